"""The market of the paper venue: quotes of its feed, with the depth that its engine trades against behind them."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from decimal import Decimal
from functools import partial

from adapters.exchanges.paper_feed import Feed
from adapters.market_data.sources import View
from commands.ports import Clock
from domain.errors import NotFound
from domain.market_data import FundingTerms, MarketTrade, Ticker
from domain.matching.depth import Quote, ladder
from domain.matching.funding import boundary_after
from domain.order_books import Book

FUNDING_RATE = Decimal("0.0001")


class PaperSource:
    """One paper connector, as `adapters.market_data.sources.Source`. Nobody trades there but this server's users."""

    def __init__(self, feed: Feed, *, name: str, perpetual: bool, tick_seconds: float, clock: Clock) -> None:
        """Show a feed."""
        self.perpetual = perpetual
        self._feed = feed
        self._name = name
        self._tick_seconds = tick_seconds
        self._clock = clock

    async def check(self, trading_pair: str) -> None:
        """Raise `NotFound` for a pair that is not traded there."""
        if trading_pair not in self._feed.rules:
            raise NotFound(f"Trading pair '{trading_pair[:64]}' not found on {self._name}")

    async def books(self, trading_pair: str) -> AsyncGenerator[View, None]:
        """Yield the book at every tick."""
        while True:
            yield partial(self._book, trading_pair, self._quotes()[trading_pair])
            await asyncio.sleep(self._tick_seconds)

    async def trades(self, trading_pair: str) -> AsyncGenerator[Sequence[MarketTrade], None]:  # noqa: ARG002
        """Yield once that there are none, and nothing after that."""
        yield ()
        await asyncio.Event().wait()

    async def tickers(self, trading_pairs: Collection[str] | None) -> Mapping[str, Ticker]:
        """Return the prices in the middle."""
        now = self._clock()
        return {
            pair: Ticker(price=quote.mid, ticked_at=now)
            for pair, quote in self._quotes().items()
            if trading_pairs is None or pair in trading_pairs
        }

    async def funding(self, trading_pair: str) -> FundingTerms:
        """Return what the paper venue pays."""
        mid = self._quotes()[trading_pair].mid
        return FundingTerms(rate=FUNDING_RATE, next_at=boundary_after(self._clock()), mark_price=mid, index_price=mid)

    def _quotes(self) -> Mapping[str, Quote]:
        (*_, now) = self._feed.steps(None, self._clock())
        return {pair: quote for pair, quote in now.items() if isinstance(quote, Quote)}

    def _book(self, trading_pair: str, quote: Quote) -> Book:
        depth = ladder(quote, self._feed.rules[trading_pair])
        return Book(bids=depth.bids, asks=depth.asks)
