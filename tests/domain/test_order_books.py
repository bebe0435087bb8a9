"""Books, and the five questions against an answer that is found the slow way."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.order_books import (
    Book,
    average_price_for_volume,
    book_of,
    price_for_quote_volume,
    price_for_volume,
    volume_for_price,
)
from domain.values import Side

D = Decimal
BIDS = ((D(99), D(1)), (D(98), D(2)))
ASKS = ((D(101), D("0.5")), (D(103), D("1.5")))
BOOK = Book(bids=BIDS, asks=ASKS)
EMPTY = Book(bids=(), asks=())


def test_levels_in_any_order_make_a_book():
    levels = [(D(98), D(2)), (D(99), D(5)), (D(97), D(1)), (D(99), D(1)), (D(97), D(0)), (D(96), D(0))]
    assert book_of(levels, reversed(ASKS)) == BOOK
    assert book_of((), ASKS).mid is None
    assert BOOK.mid == 100
    with pytest.raises(Invalid, match="not below"):
        book_of(ASKS, BIDS)


@pytest.mark.parametrize("level", [(0, 1), (-1, 1), (99, -1), ("NaN", 1), (99, "Infinity")], ids=str)
def test_a_level_that_cannot_be_is_refused(level):
    with pytest.raises(Invalid, match="An order book has no level of"):
        book_of([(D(level[0]), D(level[1]))], ())
    with pytest.raises(Invalid, match="The best bid 101 is not below the best ask 101"):
        book_of([(D(101), D(1))], ASKS)


# The five questions.


def test_what_is_asked_for_is_had_level_by_level():
    found = price_for_volume(BOOK, Side.BUY, D(1))
    assert (found.price, found.volume, found.quote_volume) == (103, 1, D("102"))
    found = price_for_volume(BOOK, Side.SELL, D(1))
    assert (found.price, found.volume) == (99, 1)
    found = price_for_quote_volume(BOOK, Side.BUY, D("153.5"))
    assert (found.price, found.volume, found.quote_volume) == (103, D("0.5") + D(103) / 103, D("153.5"))
    found = volume_for_price(BOOK, Side.BUY, D(102))
    assert (found.price, found.volume, found.quote_volume) == (101, D("0.5"), D("50.5"))
    found = volume_for_price(BOOK, Side.SELL, D(98))
    assert (found.price, found.volume, found.quote_volume) == (98, 3, 295)
    assert average_price_for_volume(BOOK, Side.SELL, D(2)).average_price == D("98.5")


@pytest.mark.parametrize("ask", [price_for_volume, average_price_for_volume, price_for_quote_volume])
def test_a_book_that_is_too_thin_has_no_price_and_says_what_there_is(ask):
    found = ask(BOOK, Side.BUY, D(10_000))
    assert (found.price, found.volume, found.quote_volume) == (None, 2, D("205"))
    if ask is average_price_for_volume:
        assert found.average_price is None


@pytest.mark.parametrize("side", Side)
def test_an_empty_side_has_nothing(side):
    for ask in (price_for_volume, average_price_for_volume, price_for_quote_volume, volume_for_price):
        found = ask(EMPTY, side, D(1))
        assert (found.price, found.volume, found.quote_volume, found.average_price) == (None, 0, 0, None)


POSITIVE = st.decimals("0.000000000000000001", "1000000", places=18)
SIDES = st.dictionaries(POSITIVE, POSITIVE, max_size=5).map(lambda side: list(side.items()))


@st.composite
def books(draw) -> Book:
    bids, asks = draw(SIDES), draw(SIDES)
    above = max((price for price, _ in bids), default=D(0))
    return book_of(bids, [(price + above, amount) for price, amount in asks])


def fraction(value: D | None) -> Fraction:
    assert value is not None
    return Fraction(value)


def slowly(book: Book, side: Side) -> list[tuple[Fraction, Fraction]]:
    levels = book.asks if side is Side.BUY else book.bids
    return sorted(((Fraction(p), Fraction(a)) for p, a in levels), reverse=side is Side.SELL)


@given(book=books(), side=st.sampled_from(Side), asked=POSITIVE)
@settings(max_examples=100, deadline=None)
def test_each_answer_is_the_one_that_is_found_the_slow_way(book, side, asked):
    levels = slowly(book, side)
    wanted = Fraction(asked)
    sums = [sum(a for _, a in levels[: n + 1]) for n in range(len(levels))]
    costs = [sum(p * a for p, a in levels[: n + 1]) for n in range(len(levels))]

    enough = next((n for n, had in enumerate(sums) if had >= wanted), None)
    found, average = price_for_volume(book, side, asked), average_price_for_volume(book, side, asked)
    if enough is None:
        assert (found.price, average.average_price) == (None, None)
        assert Fraction(found.volume) == Fraction(average.volume) == (sums[-1] if sums else 0)
    else:
        cost = costs[enough] - (sums[enough] - wanted) * levels[enough][0]
        assert fraction(found.price) == levels[enough][0]
        assert found.volume == average.volume == asked
        assert Fraction(found.quote_volume) == cost
        assert abs(fraction(average.average_price) - cost / wanted) <= cost / wanted / 10**70

    spent = next((n for n, cost in enumerate(costs) if cost >= wanted), None)
    found = price_for_quote_volume(book, side, asked)
    if spent is None:
        assert found.price is None
        assert Fraction(found.quote_volume) == (costs[-1] if costs else 0)
    else:
        volume = sums[spent] - (costs[spent] - wanted) / levels[spent][0]
        assert fraction(found.price) == levels[spent][0]
        assert found.quote_volume == asked
        assert abs(Fraction(found.volume) - volume) <= volume / 10**60

    within = [(p, a) for p, a in levels if (p <= wanted if side is Side.BUY else p >= wanted)]
    found = volume_for_price(book, side, asked)
    assert Fraction(found.volume) == sum(a for _, a in within)
    assert Fraction(found.quote_volume) == sum(p * a for p, a in within)
    assert (found.price is None) == (not within)
    assert not within or fraction(found.price) == within[-1][0]
