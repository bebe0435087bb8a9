"""What a market is heard from: the public side of one venue, as the feeds need it."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from domain.market_data import FundingTerms, MarketTrade, NoTicker, Ticker
from domain.order_books import Book

View = Callable[[], Book]
"""Makes a book of what was heard last when somebody wants to see it. Raises `Unavailable` for what is no book."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long feeds wait, in seconds."""

    first: float = 10.0
    """A reader waits for so long for the first news, or for fresh ones."""
    quiet: float = 5.0
    """A stream of books that is silent for so long is not believed any more: the book is asked for."""
    fresh: float = 10.0
    """What was heard longer ago is stale: the quiet, and as long again in which the venue has to answer."""
    pause: float = 0.1
    """Between two books of a stream that somebody follows; what changes meanwhile is in the second one."""
    poll: float = 1.0
    """Between two questions where the venue has no stream."""
    retry: float = 1.0
    """After a failure, and twice as long after each further one, up to `longest_retry`."""
    longest_retry: float = 30.0
    leave: float = 5.0
    """To end a stream may take so long; a connection that hangs is closed with the others."""
    sweep: float = 1.0
    """How often it is looked for what has become stale."""
    tickers: float = 5.0
    """What was asked for not longer ago is shown again: prices, and terms of funding."""


USUAL = Patience()


class Source(Protocol):
    """The public side of one connector's venue. Everything raises `Unavailable`, or `Invalid` in the venue's words."""

    @property
    def perpetual(self) -> bool:
        """Whether it trades perpetuals."""
        ...

    async def check(self, trading_pair: str) -> None:
        """Raise `NotFound` for a pair that is not traded there."""
        ...

    def books(self, trading_pair: str) -> AsyncGenerator[View, None]:
        """Subscribe to a book: yields when it was heard that it changed, or is still what it was."""
        ...

    def trades(self, trading_pair: str) -> AsyncGenerator[Sequence[MarketTrade], None]:
        """Subscribe to the trades of others: yields those that are new, oldest first."""
        ...

    async def tickers(self, trading_pairs: Collection[str] | None) -> Mapping[str, Ticker | NoTicker]:
        """Ask for the tickers of some pairs, or of all. A pair that never traded is left out."""
        ...

    async def funding(self, trading_pair: str) -> FundingTerms:
        """Ask what is next paid on a perpetual."""
        ...
