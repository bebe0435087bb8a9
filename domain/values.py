"""Values that every area uses: money, time, names of things.

Money is `Decimal` from edge to edge. Amounts on the wire have at most 18 decimals and 19 digits before the point, so a
product of two of them needs 74 digits: the arithmetic context keeps `PRECISION`, and nothing is rounded on the way.
"""

import decimal
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Annotated

import msgspec

from domain.errors import Invalid

PRECISION = 80
ZERO = Decimal(0)
ONE = Decimal(1)

# Every thread of the process starts from this context (`decimal` documentation, DefaultContext); the importing thread
# has its own already and takes it here.
decimal.DefaultContext.prec = PRECISION
decimal.setcontext(decimal.Context(prec=PRECISION))

Utc = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware datetime in UTC."""

Json = dict[str, object]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Side(StrEnum):
    """Which way an order trades the base asset."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order may execute. A LIMIT_MAKER is refused by the venue when it would take."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"


class PositionAction(StrEnum):
    """What an order does to a perpetual position; of no meaning on spot."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"


class PositionSide(StrEnum):
    """BOTH in one-way mode (the amount is signed), LONG and SHORT in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


class PositionMode(StrEnum):
    """One net position a pair, or a long and a short one beside each other."""

    ONEWAY = "ONEWAY"
    HEDGE = "HEDGE"


class Ids(AbstractSet[str]):
    """A set of ids that never changes; one with one more id costs no copy where each is made from the last one.

    All sets of one line share a dict of id → place, and each knows how many of its places it has.
    """

    __slots__ = ("_length", "_places")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Hold some ids."""
        self._places = {name: place for place, name in enumerate(dict.fromkeys(ids))} if ids else {}
        self._length = len(self._places)

    def __contains__(self, name: object) -> bool:
        """Whether an id is in it."""
        return self._places.get(name, self._length) < self._length  # type: ignore[call-overload,no-any-return]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in the order in which they came."""
        return islice(self._places, self._length)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._length

    def __repr__(self) -> str:
        """Show the ids."""
        return f"Ids({list(self)})"

    def plus(self, name: str) -> "Ids":
        """Return the set with one more id."""
        places, length = self._places, self._length
        if places.get(name, length) < length:
            return self
        if not length:  # the empty set is everybody's
            places = {}
        elif len(places) > length:  # the next place is another line's
            places = dict(zip(islice(places, length), range(length), strict=True))
        places[name] = length
        more = Ids()
        more._places, more._length = places, length + 1
        return more


def plain(value: Decimal) -> Decimal:
    """Return the same number without trailing zeros and without an exponent (`1E+2` becomes `100`)."""
    if not value:
        return ZERO
    short = value.normalize()
    return Decimal(int(short)) if short == short.to_integral_value() else short


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value` (`value` >= 0); `step` 0 leaves it as it is."""
    return plain(value // step * step if step else value)


def keep_digits(value: Decimal, digits: Decimal) -> Decimal:
    """Return `value` (> 0) rounded down to so many significant digits; those before the point all stay."""
    if digits >= PRECISION:
        return value
    last = min(value.adjusted() + 1 - int(digits), 0)
    return plain(value.quantize(ONE.scaleb(last), rounding=decimal.ROUND_DOWN))


def split_pair(trading_pair: str) -> tuple[str, str]:
    """Return base and quote of `BASE-QUOTE`. Raises `Invalid` for anything else."""
    base, dash, quote = trading_pair.partition("-")
    if not (base and dash and quote) or "-" in quote:
        raise Invalid(f"Invalid trading pair: '{trading_pair}'. Use BASE-QUOTE, for example BTC-USDT.")
    return base, quote


def check_name(kind: str, name: str) -> str:
    """Return `name` if it is safe as a name everywhere (files, streams, containers). Raises `Invalid` if it is not.

    `kind` is what it names, for the message: `account`, `connector`.
    """
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"Invalid {kind} name: '{name[:80]}'. Only letters, numbers, underscores and hyphens are allowed,"
            " at most 64 of them."
        )
    return name
