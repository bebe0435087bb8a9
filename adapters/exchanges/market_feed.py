"""A real venue's public market for the paper venue's engine: the pairs that somebody needs, for as long as it is so.

Books and trades are those of the feeds that everybody reads (`adapters.market_data`). While a feed cannot be believed,
its pair's market is away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import structlog

from adapters.pauses import pauses
from commands.ports import Clock
from domain.connectors import TradingRule
from domain.errors import DomainError
from domain.market_data import MarketTrade, Shown
from domain.matching.depth import Away, News, Trade, depth_of
from domain.order_books import Book

logger = structlog.get_logger()

LEVELS = 100
"""Of a book, at most so many of the best levels of each side are used."""
_NO_RULES: Mapping[str, TradingRule] = {}

T_co = TypeVar("T_co", covariant=True)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the market is waited for, in seconds."""

    first_book: float = 10.0
    """An order waits for so long for its pair's book: shorter than a request to a venue may take."""
    retry: float = 1.0
    """After a feed that could not be begun, and twice as long after each further one, up to `longest_retry`."""
    longest_retry: float = 30.0
    linger: float = 60.0
    """A pair that was asked for is followed for so long, even with no order in it."""


USUAL = Patience()


class Reading(Protocol[T_co]):
    """One reader's place in a feed."""

    @property
    def why(self) -> str:
        """Why what the feed has cannot be believed now, empty where it can."""
        ...

    async def next(self) -> Shown[T_co]:
        """Wait for something newer, or for word that what was shown is stale now. Raises `Unavailable` at the end."""
        ...


class Feeds(Protocol):
    """The live markets of all connectors, as `adapters.market_data.feeds.Feeds`."""

    def books(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Book]]:
        """Read every change of a book, beginning with what stands."""
        ...

    def trades(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Sequence[MarketTrade]]]:
        """Read the trades of others from now on."""
        ...


class Followed:
    """One pair that is followed: its task while the feed runs, and how its book stands."""

    def __init__(self, trading_pair: str, asked_at: datetime) -> None:
        """Begin with no book."""
        self.trading_pair = trading_pair
        self.asked_at = asked_at
        self.task: asyncio.Task[None] | None = None
        self.fresh = asyncio.Event()
        self.why = ""  # its market is away, empty while it is not
        self.reading: Reading[Book] | None = None


class MarketFeed:
    """The market of one venue, as `adapters.exchanges.paper_feed.Feed`; what it hears it says at once by `news`."""

    def __init__(
        self,
        venue: str,
        feeds: Feeds,
        load_rules: Callable[[], Awaitable[Mapping[str, TradingRule]]],
        *,
        clock: Clock,
        patience: Patience,
    ) -> None:
        """Begin with nothing asked and nothing followed; `venue` is the connector whose market it is."""
        self._venue = venue
        self._feeds = feeds
        self._load_rules = load_rules
        self._clock = clock
        self._patience = patience
        self._rules = _NO_RULES
        self._followed: dict[str, Followed] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._heard: list[Mapping[str, News]] = []
        self._news: Callable[[], None] = _nobody

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair, none before they are loaded."""
        return self._rules

    @property
    def followed(self) -> Mapping[str, Followed]:
        """The pairs that are followed, and how each stands."""
        return self._followed

    def steps(self, after: datetime | None, until: datetime) -> Sequence[Mapping[str, News]]:  # noqa: ARG002 - now is now
        """Return what was heard since the last time; time passes also where nothing was."""
        heard, self._heard = self._heard, []
        return heard or [{}]

    async def load(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair, asking the venue the first time. Raises `Unavailable` or `Refused`."""
        if not self._rules:
            self._rules = await self._load_rules()
        return self._rules

    async def run(self, news: Callable[[], None]) -> None:
        """Follow what is to be followed until canceled; `news` is called when there are steps to take."""
        self._news = news
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for followed in self._followed.values():
                    followed.task = tasks.create_task(self._attend(followed))
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    def follow(self, trading_pair: str) -> Followed:
        """Follow a pair from now on; until its first book its market is away."""
        followed = self._followed.get(trading_pair)
        if followed is None:
            followed = self._followed[trading_pair] = Followed(trading_pair, self._clock())
            self._say(trading_pair, Away(reason=f"No order book of {trading_pair} has come from {self._venue} yet"))
            if self._tasks is not None:
                followed.task = self._tasks.create_task(self._attend(followed))
        followed.asked_at = self._clock()
        return followed

    async def ready(self, trading_pair: str) -> None:
        """Return when a pair's book is there; when none comes in time, its market is away for that reason."""
        if self._rules and trading_pair not in self._rules:
            return
        followed = self.follow(trading_pair)
        try:
            async with asyncio.timeout(self._patience.first_book):
                await followed.fresh.wait()
        except TimeoutError:
            why = followed.why or (followed.reading.why if followed.reading is not None else "it is not followed yet")
            reason = f"No order book of {trading_pair} came from {self._venue} within {self._patience.first_book:g} s"
            self._say(trading_pair, Away(reason=f"{reason}: {why}"))

    async def keep(self, busy: Collection[str]) -> None:
        """Follow pairs no more that are not busy and were not asked for lately."""
        since = self._clock() - timedelta(seconds=self._patience.linger)
        for followed in [f for pair, f in self._followed.items() if pair not in busy]:
            if followed.asked_at <= since:  # it may have been asked for while another one was left
                await self._leave(followed)

    async def _leave(self, followed: Followed) -> None:
        del self._followed[followed.trading_pair]
        reason = f"{self._venue} is not asked for the market of {followed.trading_pair}"
        self._say(followed.trading_pair, Away(reason=reason))
        if followed.task is not None:
            followed.task.cancel()
            await asyncio.wait([followed.task])
        logger.info("market_left", connector=self._venue, pair=followed.trading_pair)

    # One pair: its book and its trades, each begun again when its feed ends.

    async def _attend(self, followed: Followed) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(partial(self._read_books, followed), partial(self._lost, followed)))
            tasks.create_task(self._again(partial(self._read_trades, followed), partial(self._trades_lost, followed)))

    async def _again(self, read: Callable[[], Awaitable[None]], lost: Callable[[str], None]) -> None:
        """Read for ever; after a failure wait, longer each time unless it had gone well for longer than that."""
        patience = self._patience
        waits = pauses(patience.retry, patience.longest_retry)
        while True:
            began = _loop_time()
            try:
                await read()
            except DomainError as reason:
                lost(reason.message)
            if _loop_time() - began > patience.longest_retry:
                waits = pauses(patience.retry, patience.longest_retry)
            await asyncio.sleep(next(waits))

    async def _read_books(self, followed: Followed) -> None:
        await self.load()  # the engine takes no order of a pair whose rule it does not know
        async with self._feeds.books(self._venue, followed.trading_pair) as reading:
            followed.reading = reading
            while True:
                shown = await reading.next()
                depth = depth_of(shown.value.bids[:LEVELS], shown.value.asks[:LEVELS])
                if shown.stale:
                    self._lost(followed, shown.why)
                elif depth is None:
                    self._lost(followed, "its order book is empty")
                else:
                    followed.why = ""
                    self._say(followed.trading_pair, depth)
                    followed.fresh.set()

    async def _read_trades(self, followed: Followed) -> None:
        """Say the trades of which it is told which side took. While they are not heard, the book alone fills."""
        async with self._feeds.trades(self._venue, followed.trading_pair) as reading:
            while True:
                trades = [
                    Trade(price=trade.price, amount=trade.amount, taker=trade.side, traded_at=trade.traded_at)
                    for trade in (await reading.next()).value
                    if trade.side is not None
                ]
                if trades:
                    self._say(followed.trading_pair, trades)

    def _lost(self, followed: Followed, why: str) -> None:
        """Note that nothing is known of a pair's market; that it is lost, the feed has logged."""
        followed.fresh.clear()
        followed.why = why
        self._say(followed.trading_pair, Away(reason=f"{self._venue} does not show {followed.trading_pair}: {why}"))

    def _trades_lost(self, followed: Followed, why: str) -> None:
        logger.warning("trades_lost", connector=self._venue, pair=followed.trading_pair, why=why)

    def _say(self, trading_pair: str, news: News) -> None:
        self._heard.append({trading_pair: news})
        self._news()


def _nobody() -> None:
    """Hear nothing: before the feed runs, what it says waits for the next tick."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
