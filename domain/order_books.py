"""Order books: kept from what a venue tells, shown as views that never change, and asked what trading would cost.

A level is a price, quote per base, and the base to be had at it; of a view the best come first. Whoever buys walks the
asks upward, whoever sells the bids downward.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import takewhile

import msgspec

from domain.errors import Invalid
from domain.values import ZERO, Side

Level = tuple[Decimal, Decimal]

MOST_WAITING = 1_000
"""So many deltas at most are remembered while a snapshot is waited for."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A whole book, its levels in any order. `sequence` is the venue's number of the last change that is in it."""

    sequence: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """The changes numbered `first` to `last`: what is at these prices now; an amount of 0 takes the price out."""

    first: int
    last: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A book at one instant, the best prices first."""

    bids: Sequence[Level]
    asks: Sequence[Level]

    @property
    def mid(self) -> Decimal | None:
        """The price in the middle of the best ones, None without both."""
        return (self.bids[0][0] + self.asks[0][0]) / 2 if self.bids and self.asks else None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk through one side of a book found.

    `price` is that of the last level that was needed, None where there is none, or where the book ends before all that
    was asked for is had. `volume` in base and `quote_volume` are had up to there; `average_price` is what a base costs.
    """

    price: Decimal | None
    volume: Decimal
    quote_volume: Decimal
    average_price: Decimal | None


def book_of(bids: Iterable[Level], asks: Iterable[Level]) -> Book:
    """Return a view of levels in any order; of two at one price the last one counts, one without an amount is none.

    Raises `Invalid` for a price or an amount that cannot be, and for best prices that meet or cross.
    """
    sides = [_checked(side) for side in (bids, asks)]
    high = tuple(sorted(sides[0].items(), reverse=True))
    low = tuple(sorted(sides[1].items()))
    _check_apart(high[0][0] if high else None, low[0][0] if low else None)
    return Book(bids=high, asks=low)


def _checked(levels: Iterable[Level]) -> dict[Decimal, Decimal]:
    side: dict[Decimal, Decimal] = {}
    for price, amount in levels:
        if not (price.is_finite() and amount.is_finite() and price > 0 and amount >= 0):
            raise Invalid(f"An order book has no level of {amount} at {price}")
        if amount:
            side[price] = amount
        else:
            side.pop(price, None)
    return side


def _check_apart(bid: Decimal | None, ask: Decimal | None) -> None:
    if bid is not None and ask is not None and bid >= ask:
        raise Invalid(f"The best bid {bid} is not below the best ask {ask}")


class _Half:
    """One side of a kept book. Keys grow towards the worse price: the price itself for asks, its negative for bids."""

    __slots__ = ("_amounts", "_keys", "_sign")

    def __init__(self, sign: int, levels: Iterable[Level]) -> None:
        self._sign = sign
        self._amounts = {price * sign: amount for price, amount in _checked(levels).items()}
        self._keys = sorted(self._amounts)

    def change(self, levels: Iterable[Level]) -> None:
        for price, amount in levels:
            key = price * self._sign
            if amount:
                if key not in self._amounts:
                    self._keys.insert(bisect_left(self._keys, key), key)
                self._amounts[key] = amount
            elif self._amounts.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]

    def levels(self) -> tuple[Level, ...]:
        return tuple((abs(key), self._amounts[key]) for key in self._keys)


class KeptBook:
    """One pair's book for as long as one connection tells of it.

    There is none before the first snapshot, and after a hole in the numbers none until the next one. Deltas that come
    meanwhile are remembered, so that a snapshot that was made before them is brought up to date.
    """

    __slots__ = ("_asks", "_bids", "_last", "_usable", "_view", "_waiting")

    def __init__(self) -> None:
        """Wait for the first snapshot."""
        self._bids, self._asks = _Half(-1, ()), _Half(1, ())
        self._last = -1
        self._usable = False
        self._waiting: list[Delta] = []
        self._view: Book | None = None

    @property
    def sequence(self) -> int | None:
        """The number of the last change that is in the book, None while there is none."""
        return self._last if self._usable else None

    def take(self, told: Snapshot | Delta) -> bool:
        """Take in what the venue tells; whether there is a book now. What is older than the book changes nothing.

        Raises `Invalid` for levels that cannot be, after which there is no book.
        """
        try:
            if isinstance(told, Snapshot):
                self._replace(told)
            else:
                self._change(told)
        except Invalid:
            self._usable = False
            self._view = None
            raise
        return self._usable

    def view(self) -> Book | None:
        """Return the book as it stands, the same object until it changes; None while there is none.

        Raises `Invalid` when its best prices meet or cross.
        """
        if self._usable and self._view is None:
            bids, asks = self._bids.levels(), self._asks.levels()
            _check_apart(bids[0][0] if bids else None, asks[0][0] if asks else None)
            self._view = Book(bids=bids, asks=asks)
        return self._view

    def _replace(self, told: Snapshot) -> None:
        if told.sequence < self._last:
            return
        self._bids, self._asks = _Half(-1, told.bids), _Half(1, told.asks)
        self._last, self._usable, self._view = told.sequence, True, None
        waiting, self._waiting = self._waiting, []
        for delta in sorted(waiting, key=_first):
            self._change(delta)

    def _change(self, told: Delta) -> None:
        if told.last <= self._last:
            return
        if not self._usable or told.first > self._last + 1:
            self._usable, self._view = False, None
            self._waiting.append(told)
            del self._waiting[:-MOST_WAITING]
            return
        for half, levels in ((self._bids, told.bids), (self._asks, told.asks)):
            _checked(levels)
            half.change(levels)
        self._last, self._view = told.last, None


def _first(delta: Delta) -> int:
    return delta.first


# The five questions. `side` is that of the one who asks: a BUY walks the asks.


def price_for_volume(book: Book, side: Side, volume: Decimal) -> Offer:
    """Say at which price the last part of so much base is had."""
    return _walk(_against(book, side), volume=volume)


def price_for_quote_volume(book: Book, side: Side, quote_volume: Decimal) -> Offer:
    """Say at which price the last part of so much quote is spent, or got."""
    return _walk(_against(book, side), quote_volume=quote_volume)


def volume_for_price(book: Book, side: Side, price: Decimal) -> Offer:
    """Say how much, in base and in quote, is had at a price or a better one."""
    within = (lambda level: level[0] <= price) if side is Side.BUY else (lambda level: level[0] >= price)
    return _walk(takewhile(within, _against(book, side)))


def average_price_for_volume(book: Book, side: Side, volume: Decimal) -> Offer:
    """Say what a base costs on average if so much is had; `average_price` is None where the book ends before."""
    found = _walk(_against(book, side), volume=volume)
    return found if found.price is not None else msgspec.structs.replace(found, average_price=None)


def _against(book: Book, side: Side) -> Sequence[Level]:
    return book.asks if side is Side.BUY else book.bids


def _walk(levels: Iterable[Level], *, volume: Decimal | None = None, quote_volume: Decimal | None = None) -> Offer:
    """Walk until so much is had, or to the end where nothing is asked for."""
    had, spent = ZERO, ZERO
    last: Decimal | None = None
    for price, amount in levels:
        notional = price * amount
        if volume is not None and had + amount >= volume:
            return _offer(price, volume, spent + (volume - had) * price)
        if quote_volume is not None and spent + notional >= quote_volume:
            return _offer(price, had + (quote_volume - spent) / price, quote_volume)
        had += amount
        spent += notional
        last = price
    return _offer(last if volume is None and quote_volume is None else None, had, spent)


def _offer(price: Decimal | None, volume: Decimal, quote_volume: Decimal) -> Offer:
    average = quote_volume / volume if volume else None
    return Offer(price=price, volume=volume, quote_volume=quote_volume, average_price=average)
