"""Feeds that are cut and silenced at random while fifty readers look: what is shown says how old it is."""

import asyncio
import random

import pytest

from adapters.market_data.feeds import Feeds
from domain.errors import Unavailable
from domain.market_data import Shown
from domain.order_books import Book
from tests.fakes.feeds import QUICK, ToldSource, book, running_feeds
from tests.fakes.paper_trade import until

PAIRS = [f"T{number}-USDT" for number in range(10)]
READERS = 50
SECONDS = 60 / 30
"""A minute, thirty times as fast: all that a feed waits for is as much shorter, and so is the time it is fresh for."""
LATE = 0.15
"""Between what the venue says and what a reader sees, on a machine that does other things."""


class Storm:
    """A venue whose books count up, with streams that break and fall silent, and all that was shown wrongly."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.source = ToldSource(*PAIRS)
        self.said_at = dict.fromkeys(PAIRS, 0.0)
        self.shown = 0
        self.stale = 0
        self.wrong: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.time() + SECONDS

    @property
    def goes_on(self) -> bool:
        return self._loop.time() < self._over

    async def venue(self, pair: str) -> None:
        number = 1
        while self.goes_on:
            await asyncio.sleep(self.chance.uniform(0.002, 0.02))
            if self.chance.random() < 0.1:
                self.source.say(pair, Unavailable("cut"))
            elif self.chance.random() < 0.02:
                await asyncio.sleep(2 * QUICK.fresh)
            elif self.source.subscribed.get(("order_book", pair)):
                number += 1
                self.said_at[pair] = self._loop.time()
                self.source.say(pair, book(number, 10**6))

    async def outages(self) -> None:
        while self.goes_on:
            await asyncio.sleep(self.chance.uniform(0.1, 0.4))
            self.source.reachable = False
            await asyncio.sleep(self.chance.uniform(0.01, 0.1))
            self.source.reachable = True

    async def reader(self, feeds: Feeds, pair: str) -> None:
        while self.goes_on:
            try:
                async with feeds.books("binance", pair) as reading, asyncio.timeout(1):
                    for _ in range(self.chance.randrange(1, 30)):
                        self.look(pair, await reading.next())
                        await asyncio.sleep(self.chance.uniform(0, 0.02))
            except (Unavailable, TimeoutError):
                await asyncio.sleep(0.002)

    async def asker(self, feeds: Feeds, pair: str) -> None:
        while self.goes_on:
            try:
                shown = await feeds.book("binance", pair, wait_seconds=0.02)
            except Unavailable as refused:
                if " old: " not in refused.message and "has not come" not in refused.message:
                    self.wrong.append(refused.message)
            else:
                self.look(pair, shown)
                if shown.stale:
                    self.wrong.append(f"{pair}: asked for, and stale")
            await asyncio.sleep(0.005)

    def look(self, pair: str, shown: Shown[Book]) -> None:
        self.shown += 1
        self.stale += shown.stale
        if shown.stale and not (shown.why and shown.age_seconds >= 0):
            self.wrong.append(f"{pair}: stale, and does not say why")
        if not shown.stale and shown.age_seconds > QUICK.fresh:
            self.wrong.append(f"{pair}: {shown.age_seconds} s old, and not stale")
        if not shown.stale and shown.age_seconds < self._loop.time() - self.said_at[pair] - LATE:
            self.wrong.append(f"{pair}: says it is {shown.age_seconds} s old, and is older")


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_stale_is_shown_as_fresh_and_all_feeds_come_back(seed):
    storm = Storm(seed)
    source = storm.source
    async with running_feeds(lambda _: source) as feeds:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(storm.outages())
            for pair in PAIRS:
                tasks.create_task(storm.venue(pair))
                tasks.create_task(storm.asker(feeds, pair))
            for number in range(READERS):
                tasks.create_task(storm.reader(feeds, PAIRS[number % len(PAIRS)]))
        assert storm.wrong == []
        assert storm.shown > READERS * SECONDS
        assert storm.stale > 0
        assert sum(state.failures for state in feeds.states()) > len(PAIRS)
        source.reachable = True
        await until(lambda: all(source.subscribed.get(("order_book", pair)) == 1 for pair in PAIRS))
        for pair in PAIRS:
            source.say(pair, book(1, 2))
        await until(lambda: not any(state.stale for state in feeds.states()))
        assert len(feeds.states()) == len(PAIRS)
