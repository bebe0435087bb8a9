"""Books kept from what a venue tells, and the five questions against an answer that is found the slow way."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.errors import Invalid
from domain.order_books import (
    MOST_WAITING,
    Book,
    Delta,
    KeptBook,
    Snapshot,
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


# Keeping a book.


def delta(first: int, last: int, bids=(), asks=()) -> Delta:
    return Delta(first=first, last=last, bids=[(D(p), D(a)) for p, a in bids], asks=[(D(p), D(a)) for p, a in asks])


def snapshot(sequence: int, bids=BIDS, asks=ASKS) -> Snapshot:
    return Snapshot(sequence=sequence, bids=bids, asks=asks)


def test_there_is_no_book_before_the_first_snapshot():
    kept = KeptBook()
    assert (kept.view(), kept.sequence) == (None, None)
    assert not kept.take(delta(1, 1, [(99, 1)]))
    assert kept.view() is None
    assert kept.take(snapshot(5))
    assert (kept.view(), kept.sequence) == (BOOK, 5)


def test_a_delta_changes_adds_and_takes_out():
    kept = KeptBook()
    kept.take(snapshot(5))
    assert kept.take(delta(6, 7, [(99, 0), (97, 4), (98, 3), (50, 0)], [(102, 1)]))
    assert kept.view() == Book(bids=((D(98), D(3)), (D(97), D(4))), asks=(ASKS[0], (D(102), D(1)), ASKS[1]))


def test_a_view_is_the_same_object_until_the_book_changes():
    kept = KeptBook()
    kept.take(snapshot(5))
    view = kept.view()
    kept.take(delta(4, 5, [(99, 0)]))
    kept.take(snapshot(3, (), ()))
    assert kept.view() is view
    kept.take(delta(6, 6, [(99, 2)]))
    assert kept.view() is not view
    assert view == BOOK


def test_after_a_hole_there_is_no_book_until_a_snapshot_that_the_deltas_lead_on_from():
    kept = KeptBook()
    kept.take(snapshot(5))
    assert not kept.take(delta(7, 7, [(99, 7)]))
    assert kept.view() is None
    assert not kept.take(delta(8, 8, [(98, 8)]))
    assert kept.take(snapshot(6))
    assert kept.view() == Book(bids=((D(99), D(7)), (D(98), D(8))), asks=ASKS)


def test_a_snapshot_that_leaves_a_hole_is_no_book():
    kept = KeptBook()
    kept.take(delta(7, 7))
    assert not kept.take(snapshot(5))
    assert kept.take(snapshot(6))
    assert kept.sequence == 7


def test_of_those_who_wait_only_the_newest_are_remembered():
    kept = KeptBook()
    for number in range(1, MOST_WAITING + 3):
        kept.take(delta(number, number, [(99, number)]))
    assert not kept.take(snapshot(1))
    assert kept.take(snapshot(2))
    assert kept.sequence == MOST_WAITING + 2


@pytest.mark.parametrize("level", [(0, 1), (-1, 1), (99, -1), ("NaN", 1), (99, "Infinity")], ids=str)
def test_a_level_that_cannot_be_is_refused_and_with_it_the_book(level):
    kept = KeptBook()
    kept.take(snapshot(5))
    with pytest.raises(Invalid, match="An order book has no level of"):
        kept.take(delta(6, 6, [level]))
    assert kept.view() is None
    with pytest.raises(Invalid):
        kept.take(Snapshot(sequence=6, bids=[(D(level[0]), D(level[1]))], asks=()))
    assert kept.take(snapshot(6))


def test_a_book_whose_best_prices_meet_is_not_shown():
    kept = KeptBook()
    kept.take(snapshot(5))
    kept.take(delta(6, 6, [(101, 1)]))
    with pytest.raises(Invalid, match="The best bid 101 is not below the best ask 101"):
        kept.view()
    kept.take(delta(7, 7, [(101, 0)]))
    assert kept.view() == BOOK


def test_levels_in_any_order_make_a_book():
    levels = [(D(98), D(2)), (D(99), D(5)), (D(97), D(1)), (D(99), D(1)), (D(97), D(0)), (D(96), D(0))]
    assert book_of(levels, reversed(ASKS)) == BOOK
    assert book_of((), ASKS).mid is None
    assert BOOK.mid == 100
    with pytest.raises(Invalid, match="not below"):
        book_of(ASKS, BIDS)


PRICES = st.integers(1, 40)
AMOUNTS = st.decimals("0", "5", places=2)
CHANGES = st.lists(st.tuples(PRICES, AMOUNTS), max_size=4)


class Kept(RuleBasedStateMachine):
    """A venue whose deltas are lost, repeated and late, and a book kept of it: it is the venue's, or there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = KeptBook()
        self.number = 0
        self.sides: tuple[dict[D, D], dict[D, D]] = ({}, {})
        self.sent: list[Delta] = []
        self.history = {0: EMPTY}

    @initialize()
    def begins(self) -> None:
        self.snapshot_comes(0)

    @rule(bids=CHANGES, asks=CHANGES)
    def venue_changes(self, bids: list[tuple[int, D]], asks: list[tuple[int, D]]) -> None:
        self.number += 1
        told = delta(self.number, self.number, bids, [(price + 40, amount) for price, amount in asks])
        for side, levels in zip(self.sides, (told.bids, told.asks), strict=True):
            side |= dict(levels)
            for price in [price for price, amount in side.items() if not amount]:
                del side[price]
        self.sent.append(told)
        self.history[self.number] = book_of(self.sides[0].items(), self.sides[1].items())

    @rule(back=st.integers(0, 6))
    def delta_comes(self, back: int) -> None:
        if self.sent:
            self.kept.take(self.sent[max(0, len(self.sent) - 1 - back)])

    @rule(count=st.integers(2, 5))
    def deltas_come_as_one(self, count: int) -> None:
        run = self.sent[-count:]
        if run:
            self.kept.take(
                Delta(
                    first=run[0].first,
                    last=run[-1].last,
                    bids=[level for each in run for level in each.bids],
                    asks=[level for each in run for level in each.asks],
                )
            )

    @rule(back=st.integers(0, 4))
    def snapshot_comes(self, back: int) -> None:
        number = max(0, self.number - back)
        book = self.history[number]
        self.kept.take(Snapshot(sequence=number, bids=book.bids, asks=book.asks))

    @rule()
    def resync_always_helps(self) -> None:
        self.snapshot_comes(0)
        assert self.kept.sequence == self.number

    @invariant()
    def the_book_is_the_venue_s_at_its_number_or_none(self) -> None:
        if self.kept.sequence is None:
            assert self.kept.view() is None
        else:
            assert self.kept.view() == self.history[self.kept.sequence]


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


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
