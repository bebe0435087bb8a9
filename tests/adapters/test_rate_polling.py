"""Sources are asked while somebody wants to know, and everybody hears at once what is known."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from decimal import Decimal

import pytest

from adapters.rate_sources.polling import Patience, PolledSources
from domain.errors import Invalid, Unavailable

SOON = 5.0
FAST = Patience(idle=10, stale=100, retry=0.001, longest_retry=0.002)


class FakeSource:
    """A source that says what it is told to, when it may."""

    every_seconds = 0.001

    def __init__(self) -> None:
        self.asked = 0
        self.closed = 0
        self.made = 0
        self.answer: Mapping[str, Decimal] | Exception = {"BTC-USDT": Decimal(5)}
        self.may = asyncio.Event()
        self.may.set()

    async def prices(self) -> Mapping[str, Decimal]:
        self.asked += 1
        await self.may.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        self.closed += 1


class Asked:
    """Sources that a test asks about, and the time that it gives them."""

    def __init__(self) -> None:
        self.source = FakeSource()
        self.time = 1000.0
        self.tasks: list[asyncio.Task[None]] = []
        self.sources = PolledSources(self._make, spawn=self._spawn, patience=FAST, monotonic=lambda: self.time)

    def _make(self, name: str) -> FakeSource:
        self.source.made += 1
        return self.source

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def rate(self, wait_seconds: float = SOON) -> tuple[Decimal | None, float | None, str | None]:
        said = await self.sources.prices("binance", wait_seconds=wait_seconds)
        return said.prices.rate("BTC", "USDT"), said.age_seconds, said.problem

    async def again(self) -> None:
        """Wait until the source has been asked once more from now on, and has answered."""
        before = self.source.asked
        async with asyncio.timeout(5):
            while self.source.asked < before + 2:
                await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    made = Asked()
    yield made
    await made.end()


async def test_the_first_question_waits_for_the_answer_and_all_readers_share_it(asked):
    asked.source.may.clear()
    readers = [asyncio.create_task(asked.rate()) for _ in range(20)]
    await asyncio.sleep(0)
    asked.source.may.set()
    assert await asyncio.gather(*readers) == [(5, 0.0, None)] * 20
    assert (asked.source.made, len(asked.tasks)) == (1, 1)


async def test_nobody_waits_longer_than_they_would(asked):
    asked.source.may.clear()
    assert await asked.rate(0.01) == (None, None, "binance has not answered yet")


async def test_prices_are_asked_for_again_and_again(asked):
    await asked.rate()
    asked.source.answer = {"BTC-USDT": Decimal(6)}
    await asked.again()
    assert (await asked.rate())[0] == 6


@pytest.mark.parametrize("why", [Unavailable("it is down"), Invalid("it says no")], ids=["away", "refused"])
async def test_a_source_that_is_away_is_told_at_once_and_asked_again(asked, why):
    asked.source.answer = why
    assert await asked.rate() == (None, None, why.message)
    asked.source.may.clear()
    assert await asked.rate() == (None, None, why.message)
    asked.source.answer = {"BTC-USDT": Decimal(5)}
    asked.source.may.set()
    await asked.again()
    assert await asked.rate() == (5, 0.0, None)


async def test_an_answer_that_breaks_the_reading_stops_nothing(asked):
    asked.source.answer = KeyError("symbol")
    assert await asked.rate() == (None, None, "binance answered what cannot be read")
    asked.source.answer = {"BTC-USDT": Decimal(5)}
    await asked.again()
    assert await asked.rate() == (5, 0.0, None)


async def test_old_prices_say_how_old_they_are_until_they_are_too_old(asked):
    await asked.rate()
    asked.source.answer = Unavailable("it is down")
    await asked.again()
    for _ in range(12):  # in steps in which somebody asks: nobody's interest is older than FAST.idle
        asked.time += 8
        assert await asked.rate() == (5, asked.time - 1000, "it is down")
    asked.time += 8
    assert await asked.rate() == (None, None, "it is down")


async def test_the_age_counts_from_the_question_not_from_the_answer(asked):
    asked.source.may.clear()
    reader = asyncio.create_task(asked.rate())
    while not asked.source.asked:
        await asyncio.sleep(0)
    asked.time += 3
    asked.source.may.set()
    assert await reader == (5, 3.0, None)


async def test_a_source_that_nobody_asks_about_is_left_and_made_anew(asked):
    await asked.rate()
    asked.time += FAST.idle + 1
    async with asyncio.timeout(5):
        while not asked.source.closed:
            await asyncio.sleep(0.001)
    asked.source.answer = {"BTC-USDT": Decimal(7)}
    assert await asked.rate() == (7, 0.0, None)
    assert (asked.source.made, asked.source.closed) == (2, 1)


async def test_an_end_closes_the_source(asked):
    await asked.rate()
    await asked.end()
    assert asked.source.closed == 1


async def test_a_source_that_nobody_has_is_told(asked):
    said = await asked.sources.prices("nope", wait_seconds=SOON)
    assert (said.prices.by_pair, said.age_seconds, said.problem) == ({}, None, "This server has no rate source 'nope'")
    assert asked.tasks == []
