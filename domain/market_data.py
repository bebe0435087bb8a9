"""Market data: what a venue tells everybody, and how old it is when it is shown."""

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


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed stands; `age_seconds` is None where nothing came yet. Without readers it ends at `ends_at`."""

    kind: str
    connector: str
    trading_pair: str
    began_at: Utc
    asked_at: Utc
    ends_at: Utc
    readers: int
    age_seconds: float | None
    stale: bool
    why: str
    heard: int
    restarts: int
