"""All feeds of this server: begun when somebody is first interested, ended when nobody is any more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import structlog

from adapters.exchanges import names
from adapters.market_data.asked import Asked, AskedTickers
from adapters.market_data.feed import BookFeed, Reading, TradeFeed
from adapters.market_data.sources import USUAL, Patience, Source
from commands.ports import Clock
from domain.errors import Invalid, Unavailable
from domain.market_data import FeedState, FundingTerms, MarketTrade, NoTicker, Shown, Ticker
from domain.order_books import Book

logger = structlog.get_logger()

MOST_FEEDS = 500

Kind = TypeVar("Kind", BookFeed, TradeFeed)
Key = tuple[str, str, str]  # kind, connector, pair


class Market:
    """One connector's venue: its public side, and what was asked of it lately."""

    def __init__(self, source: Source, clock: Clock) -> None:
        """Begin with nothing asked."""
        self.source = source
        self.tickers = AskedTickers(source.tickers, clock)
        self.funding: dict[str, Asked[FundingTerms]] = {}
        self.asked_time = 0.0


class Feeds:
    """Implements `read_api.ports.Feeds`. `sources` makes the public side of a connector; nothing is asked before."""

    def __init__(
        self,
        sources: Callable[[names.Connector], Source],
        *,
        clock: Clock,
        timeout_seconds: float,
        cleanup_seconds: float,
        patience: Patience = USUAL,
        most: int = MOST_FEEDS,
    ) -> None:
        """Begin without a feed; they run while `run` does."""
        self.timeout_seconds = timeout_seconds
        self.cleanup_seconds = cleanup_seconds
        self._sources = sources
        self._clock = clock
        self._patience = patience
        self._most = most
        self._markets: dict[str, Market] = {}
        self._feeds: dict[Key, BookFeed | TradeFeed] = {}
        self._ending: dict[Key, asyncio.Event] = {}  # set when the subscription has been left
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep the feeds until canceled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._sweep())
            tasks.create_task(self._clean_up())
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def book(self, connector: str, trading_pair: str, *, wait_seconds: float | None = None) -> Shown[Book]:
        """Return a book that is fresh, as `read_api.ports.Feeds.book`."""
        feed = await self._feed(BookFeed, connector, trading_pair)
        return await feed.fresh(self._patience.first if wait_seconds is None else wait_seconds)

    def books(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Book]]:
        """Read every change of a book, beginning with what stands."""
        return self._reading(BookFeed, connector, trading_pair)

    def trades(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Sequence[MarketTrade]]]:
        """Read the trades of others from now on."""
        return self._reading(TradeFeed, connector, trading_pair)

    async def tickers(
        self, connector: str, trading_pairs: Collection[str] | None = None, *, max_age_seconds: float | None = None
    ) -> Shown[Mapping[str, Ticker | NoTicker]]:
        """Return the tickers of some pairs, or of all. Raises `NotFound`, `Unavailable`, or `Invalid`."""
        market = self._market(connector)
        for trading_pair in trading_pairs or ():
            await market.source.check(trading_pair)
        return await market.tickers.get(
            trading_pairs, self._patience.tickers if max_age_seconds is None else max_age_seconds
        )

    def collected(self) -> Mapping[str, Shown[Mapping[str, Ticker | NoTicker]]]:
        """Return connector → the tickers of all its pairs that were asked for last."""
        found = {connector: market.tickers.all() for connector, market in self._markets.items()}
        return {connector: tickers for connector, tickers in found.items() if tickers is not None}

    async def funding(self, connector: str, trading_pair: str) -> Shown[FundingTerms]:
        """Return what is next paid on a perpetual."""
        market = self._market(connector)
        if not market.source.perpetual:
            raise Invalid("Funding info is only available for perpetual trading pairs.")
        await market.source.check(trading_pair)
        asked = market.funding.get(trading_pair)
        if asked is None:
            asked = market.funding[trading_pair] = Asked(lambda: market.source.funding(trading_pair), self._clock)
        return await asked.get(self._patience.tickers)

    def states(self) -> Sequence[FeedState]:
        """Return how every feed stands."""
        return [feed.state(self.timeout_seconds) for feed in self._feeds.values()]

    async def end(self, connector: str, trading_pair: str) -> bool:
        """End the feeds of a pair; False where there is none."""
        name = _market_of(connector).name
        keys = [key for key in self._feeds if key[1:] == (name, trading_pair)]
        await self._end(keys, "it was asked to")
        return bool(keys)

    async def restart(self, connector: str) -> Sequence[str]:
        """Begin the books of a connector anew and return their pairs."""
        name = _market_of(connector).name
        feeds = [feed for feed in self._feeds.values() if feed.connector == name and isinstance(feed, BookFeed)]
        for feed in feeds:
            feed.begin_again("it begins anew because somebody asked for that")
        return [feed.trading_pair for feed in feeds]

    def market_of(self, connector: str) -> str:
        """Return the connector whose market it is. Raises `NotFound`."""
        return _market_of(connector).name

    def glance(self, connector: str, trading_pair: str) -> Shown[Book] | None:
        """Return the book that is followed as it was heard last."""
        feed = self._feeds.get((BookFeed.kind, _market_of(connector).name, trading_pair))
        return feed.show(feed.heard) if isinstance(feed, BookFeed) else None

    def now(self) -> datetime:
        """Return the time by the clock that the feeds go by."""
        return self._clock()

    def _market(self, connector: str) -> Market:
        real = _market_of(connector)
        market = self._markets.get(real.name)
        if market is None:
            market = self._markets[real.name] = Market(self._sources(real), self._clock)
        market.asked_time = _now()
        return market

    async def _feed(self, kind: type[Kind], connector: str, trading_pair: str) -> Kind:
        market = self._market(connector)
        key = (kind.kind, _market_of(connector).name, trading_pair)
        if key not in self._feeds:
            await market.source.check(trading_pair)
        # Who leaves a stream late would end the subscription of who has just begun it anew.
        while key in self._ending:
            await self._ending[key].wait()
        feed = self._feeds.get(key)
        if feed is None:
            if self._tasks is None:
                raise Unavailable("Market data feeds are not running")
            if len(self._feeds) >= self._most:
                raise Unavailable(
                    f"{self._most} market data feeds are running, as many as this server keeps; one that nobody reads"
                    f" ends after {self.timeout_seconds:g} s, or with POST /market-data/trading-pair/remove"
                )
            listen: Callable[[], Any] = (
                (lambda: market.source.books(trading_pair))
                if kind is BookFeed
                else (lambda: market.source.trades(trading_pair))
            )
            feed = self._feeds[key] = kind(
                key[1], trading_pair, listen, spawn=self._spawn, clock=self._clock, patience=self._patience
            )
        feed.ask()
        return cast("Kind", feed)

    @asynccontextmanager
    async def _reading(self, kind: type[Kind], connector: str, trading_pair: str) -> AsyncIterator[Reading[Any]]:
        feed = await self._feed(kind, connector, trading_pair)
        feed.readers += 1
        try:
            # Whoever follows a book begins with the one that stands, whoever follows trades with the next one.
            if kind is BookFeed:
                yield Reading(feed, feed.show, seen=0)
            else:
                yield Reading(feed, feed.show, seen=feed.heard, told=feed.why)
        finally:
            feed.readers -= 1
            feed.ask()

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        if self._tasks is None:
            work.close()
            raise Unavailable("Market data feeds are not running")
        return self._tasks.create_task(work)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._patience.sweep)
            for feed in self._feeds.values():
                feed.sweep()

    async def _clean_up(self) -> None:
        """End the feeds that nobody reads, and forget the markets that nobody asks about."""
        while True:
            await asyncio.sleep(self.cleanup_seconds)
            idle = [key for key, feed in self._feeds.items() if feed.idle_seconds > self.timeout_seconds]
            await self._end(idle, f"nobody read it for {self.timeout_seconds:g} s")
            busy = {key[1] for key in self._feeds}
            for connector, market in list(self._markets.items()):
                if connector not in busy and _now() - market.asked_time > self.timeout_seconds:
                    del self._markets[connector]

    async def _end(self, keys: Sequence[Key], why: str) -> None:
        feeds = {key: self._feeds.pop(key) for key in keys}
        self._ending |= {key: asyncio.Event() for key in keys}
        await asyncio.gather(*(self._left(key, feed, why) for key, feed in feeds.items()))

    async def _left(self, key: Key, feed: BookFeed | TradeFeed, why: str) -> None:
        try:
            await feed.end(why)
        finally:
            self._ending.pop(key).set()
        logger.info("feed_ended", kind=feed.kind, connector=feed.connector, pair=feed.trading_pair, why=why)


def _market_of(connector: str) -> names.Connector:
    """Return the connector whose market it is: paper trade follows the real one. Raises `NotFound`."""
    known = names.connector(connector)
    return names.connector(known.paper_trade_of) if known.paper_trade_of else known


def _now() -> float:
    return asyncio.get_running_loop().time()
