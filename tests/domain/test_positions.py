"""Leverage and position mode."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from domain import positions
from domain.errors import Invalid
from domain.events import Event
from domain.positions import (
    NEW,
    FundingPaid,
    Known,
    LeverageRequested,
    LeverageSet,
    Margin,
    MarginRefused,
    PositionModeRequested,
    PositionModeSet,
    PositionObserved,
    evolve,
)
from domain.values import PositionMode, PositionSide
from tests.domain.given import Given

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WHERE = {"account": "a", "connector": "paper_perpetual"}
ASKED = LeverageRequested(**WHERE, trading_pair="BTC-USDT", leverage=10)
SET = LeverageSet(**WHERE, trading_pair="BTC-USDT", leverage=10)
ASKED_MODE = PositionModeRequested(**WHERE, mode=PositionMode.HEDGE)
SET_MODE = PositionModeSet(**WHERE, mode=PositionMode.HEDGE)
REFUSED = MarginRefused(**WHERE, reason="no")


def given(*events: Event) -> Given[Margin]:
    return Given(NEW, evolve, events)


def ask(state: Margin) -> list[Event]:
    return positions.request_leverage(state, **WHERE, trading_pair="BTC-USDT", leverage=10)


def ask_mode(state: Margin) -> list[Event]:
    return positions.request_mode(state, **WHERE, mode=PositionMode.HEDGE)


def test_leverage_is_asked_for_before_it_is_set() -> None:
    given().when(ask).then(ASKED)
    given(ASKED, REFUSED).when(ask).then(ASKED)
    given(ASKED, SET).when(ask).then()


def test_a_request_that_is_under_way_does_not_count_as_set() -> None:
    given(SET, ASKED).when(ask).then(ASKED)
    given(SET_MODE, ASKED_MODE).when(ask_mode).then(ASKED_MODE)


def test_a_mode_is_asked_for_before_it_is_set() -> None:
    given().when(ask_mode).then(ASKED_MODE)
    given(ASKED_MODE, SET_MODE).when(ask_mode).then()


def test_a_word_that_is_no_mode_is_refused() -> None:
    assert positions.mode_of("HEDGE") is PositionMode.HEDGE
    given().when(lambda _: [positions.mode_of("BOTH")]).then_refused(  # type: ignore[list-item]
        Invalid, "Invalid position mode 'BOTH'. Must be 'HEDGE' or 'ONEWAY'"
    )


def test_an_answer_ends_the_request() -> None:
    assert given(ASKED).state.pending
    assert not given(ASKED, REFUSED).state.pending
    assert given(ASKED, SET).state == Margin(leverage={"BTC-USDT": 10})


def test_giving_up_ends_what_was_asked_and_nothing_else() -> None:
    given().when(lambda s: positions.give_up(s, **WHERE)).then()
    given(ASKED).when(lambda s: positions.give_up(s, **WHERE)).then(
        MarginRefused(**WHERE, reason="The server stopped before the venue answered")
    )


def test_events_of_other_areas_change_nothing() -> None:
    assert given(SET, Event()).state == given(SET).state


def test_streams_are_named_after_what_they_hold() -> None:
    assert positions.stream_of("a", "p", "BTC-USDT") == "position-a-p-BTC-USDT"
    assert positions.margin_stream_of("a", "p") == "margin-a-p"


def seen(
    amount: str, *, side: PositionSide = PositionSide.BOTH, mark: str = "100", entry: str = "100"
) -> PositionObserved:
    return PositionObserved(
        **WHERE,
        trading_pair="BTC-USDT",
        side=side,
        amount=Decimal(amount),
        entry_price=Decimal(entry),
        mark_price=Decimal(mark),
        unrealized_pnl=Decimal(0),
        leverage=10,
        observed_at=T0,
    )


def paid(funding_id: str) -> FundingPaid:
    return FundingPaid(
        **WHERE,
        trading_pair="BTC-USDT",
        funding_id=funding_id,
        rate=Decimal("0.0001"),
        payment=Decimal(-1),
        currency="USDT",
        position_size=Decimal(1),
        position_side=PositionSide.LONG,
        paid_at=T0,
    )


def known(*events: Event) -> Given[Known]:
    return Given(Known(), positions.learn, events)


def test_a_position_at_another_price_alone_is_the_same_one() -> None:
    held = known(seen("1"), paid("f1"), SET)
    held.when(lambda s: positions.observe(s, seen("1", mark="120"), always=False)).then()
    for other in (seen("2"), seen("1", entry="101"), seen("1", side=PositionSide.LONG)):
        held.when(partial(positions.observe, seen=other, always=False)).then(other)
    snapshot = seen("1", mark="120")
    held.when(lambda s: positions.observe(s, snapshot, always=True)).then(snapshot)


def test_a_position_that_was_closed_is_not_closed_again() -> None:
    for history in ([], [seen("1"), seen("0")]):
        known(*history).when(lambda s: positions.observe(s, seen("0", entry="7"), always=True)).then()
    known(seen("1")).when(lambda s: positions.observe(s, seen("0"), always=False)).then(seen("0"))


def test_a_funding_payment_is_counted_once() -> None:
    known(paid("f1")).when(lambda s: positions.pay(s, paid("f1"))).then()
    known(paid("f1")).when(lambda s: positions.pay(s, paid("f2"))).then(paid("f2"))
