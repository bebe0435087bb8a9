"""Order books: views that never change, asked what trading would cost.

A level is a price, quote per base, and the base to be had at it; of a view the best come first. Whoever buys walks the
asks upward, whoever sells the bids downward.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import takewhile

import msgspec

from domain.errors import Invalid
from domain.values import ZERO, Side

Level = tuple[Decimal, Decimal]


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
    if high and low and high[0][0] >= low[0][0]:
        raise Invalid(f"The best bid {high[0][0]} is not below the best ask {low[0][0]}")
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
