"""Market data: what a venue tells everybody, and how old it is when it is shown."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from domain.values import Side, Utc

T_co = TypeVar("T_co", covariant=True)


class MarketTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade between others. `side` is that of the one who took, None where the venue does not say."""

    trade_id: str | None
    price: Decimal
    amount: Decimal
    side: Side | None
    traded_at: Utc  # venue clock, ours where the venue does not say


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's last price, and what was traded in the 24 hours before, None where the venue does not say."""

    price: Decimal
    base_volume: Decimal | None = None
    quote_volume: Decimal | None = None
    ticked_at: Utc | None = None  # venue clock


class NoTicker(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no ticker of a pair whose venue has one: it could not be read, or was refused."""

    why: str


def readable(told: Mapping[str, Ticker | NoTicker]) -> dict[str, Ticker]:
    """Return pair → ticker of those pairs that have one."""
    return {pair: ticker for pair, ticker in told.items() if isinstance(ticker, Ticker)}


class FundingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What longs will pay shorts at the next funding time, as a share of the notional; None where it is not said."""

    rate: Decimal | None
    next_at: Utc | None
    mark_price: Decimal | None
    index_price: Decimal | None


class Shown(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """Something of a market as it was heard last, and how old that is.

    What is `stale` may have changed since: its feed is broken or silent, for the reason `why`. `missed` counts what
    came between and was not shown to this reader.
    """

    value: T_co
    heard_at: Utc  # our clock
    age_seconds: float
    stale: bool = False
    why: str = ""
    missed: int = 0


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, in milliseconds: so often, in all, at least and at most; and of late."""

    count: int
    total_ms: float
    least_ms: float
    most_ms: float
    recent: int
    recent_ms: float


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed stands; what is None has not come yet. Without readers it ends at `ends_at`.

    Of candles it says of which `interval`, and how many of the newest somebody wants.

    `heard` counts its news, `first` is the number of the first one since it last began, of which there were `began`
    beginnings and `failures`. What was `unreadable` is not shown. `making` is what it took to make what is shown.
    """

    kind: str
    connector: str
    trading_pair: str
    began_at: Utc
    asked_at: Utc
    ends_at: Utc
    readers: int
    heard_at: Utc | None
    age_seconds: float | None
    stale: bool
    why: str
    heard: int
    first: int
    first_at: Utc | None
    began: int
    failures: int
    unreadable: int
    making: Timing
    interval: str | None = None
    max_records: int | None = None
