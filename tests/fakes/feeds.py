"""Feeds that run for as long as a test wants them, over the paper venue or over a source in the test's hand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from adapters.exchanges.names import Connector
from adapters.exchanges.paper_feed import SyntheticFeed
from adapters.market_data.feeds import Feeds
from adapters.market_data.paper_source import PaperSource
from adapters.market_data.sources import Patience, Source, View
from domain.errors import NotFound, Unavailable
from domain.market_data import FundingTerms, MarketTrade, NoTicker, Ticker
from domain.order_books import Book

QUICK = Patience(
    first=5, quiet=0.05, fresh=0.2, pause=0, poll=0.005, retry=0.001, longest_retry=0.004, leave=0.05, sweep=0.01
)


def now() -> datetime:
    return datetime.now(UTC)


def book(bid: object, ask: object, amount: object = 1) -> Book:
    """Return a book of one level a side."""
    return Book(bids=((Decimal(str(bid)), Decimal(str(amount))),), asks=((Decimal(str(ask)), Decimal(str(amount))),))


class ToldSource:
    """A source that says what the test tells it to; `subscribed` counts who listens, by kind and pair."""

    perpetual = True

    def __init__(self, *pairs: str) -> None:
        self._pairs = pairs
        self.reachable = True
        self.subscribed: dict[tuple[str, str], int] = {}
        self.begun: dict[tuple[str, str], int] = {}
        self.asked: list[object] = []
        self.no_tickers: dict[str, NoTicker] = {}
        self.leaving: asyncio.Event | None = None  # to leave a stream takes until this is set
        self.is_leaving = False
        self.most = 0  # subscriptions to one stream at once
        self.price = Decimal(100)
        self.answering = asyncio.Event()
        self.answering.set()
        self._streams: dict[tuple[str, str], asyncio.Queue[Any]] = {}

    def say(self, trading_pair: str, told: Book | View | Exception) -> None:
        """Say a book, something that makes one when it is looked at, or how the stream breaks."""
        self._stream("order_book", trading_pair).put_nowait((lambda: told) if isinstance(told, Book) else told)

    def say_trades(self, trading_pair: str, told: Sequence[MarketTrade] | Exception) -> None:
        """Say trades, or how the stream breaks."""
        self._stream("trades", trading_pair).put_nowait(told)

    async def check(self, trading_pair: str) -> None:
        self._reach()
        if trading_pair not in self._pairs:
            raise NotFound(f"Trading pair '{trading_pair}' not found on the venue")

    def books(self, trading_pair: str) -> AsyncGenerator[View, None]:
        return self._listen("order_book", trading_pair)

    def trades(self, trading_pair: str) -> AsyncGenerator[Sequence[MarketTrade], None]:
        return self._listen("trades", trading_pair)

    async def tickers(self, trading_pairs: Collection[str] | None) -> Mapping[str, Ticker | NoTicker]:
        self.asked.append(trading_pairs)
        await self.answering.wait()
        self._reach()
        wanted = self._pairs if trading_pairs is None else trading_pairs
        return {pair: self.no_tickers.get(pair) or Ticker(price=self.price) for pair in wanted}

    async def funding(self, trading_pair: str) -> FundingTerms:
        self.asked.append(trading_pair)
        return FundingTerms(rate=Decimal("0.0001"), next_at=now(), mark_price=self.price, index_price=None)

    async def _listen(self, kind: str, trading_pair: str) -> AsyncGenerator[Any, None]:
        self._reach()
        key = kind, trading_pair
        self.subscribed[key] = self.subscribed.get(key, 0) + 1
        self.begun[key] = self.begun.get(key, 0) + 1
        self.most = max(self.most, self.subscribed[key])
        try:
            while True:
                said = await self._stream(kind, trading_pair).get()
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.is_leaving = True
            if self.leaving is not None:
                await self.leaving.wait()
            self.subscribed[key] -= 1

    def _stream(self, kind: str, trading_pair: str) -> asyncio.Queue[Any]:
        return self._streams.setdefault((kind, trading_pair), asyncio.Queue())

    def _reach(self) -> None:
        if not self.reachable:
            raise Unavailable("the venue does not answer")


def paper_source(connector: Connector) -> Source:
    """Return the paper venue's market, as it stands."""
    if connector.exchange_id:
        raise Unavailable(f"{connector.name} cannot be reached by a test")
    return PaperSource(
        SyntheticFeed(1), name=connector.name, perpetual=connector.perpetual, tick_seconds=0.05, clock=now
    )


@asynccontextmanager
async def running_feeds(
    sources: Callable[[Connector], Source] = paper_source,
    *,
    patience: Patience = QUICK,
    timeout_seconds: float = 600,
    cleanup_seconds: float = 300,
    most: int = 500,
) -> AsyncIterator[Feeds]:
    """Run feeds."""
    feeds = Feeds(
        sources,
        clock=now,
        timeout_seconds=timeout_seconds,
        cleanup_seconds=cleanup_seconds,
        patience=patience,
        most=most,
    )
    running = asyncio.create_task(feeds.run())
    await asyncio.sleep(0)  # they begin with the loop's next round
    try:
        yield feeds
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), running.exception()
