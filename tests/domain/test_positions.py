"""Leverage and position mode."""

from domain import positions
from domain.errors import Invalid
from domain.events import Event
from domain.positions import (
    NEW,
    LeverageRequested,
    LeverageSet,
    Margin,
    MarginRefused,
    PositionModeRequested,
    PositionModeSet,
    evolve,
)
from domain.values import PositionMode
from tests.domain.given import Given

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
    assert given(ASKED).state.pending == ASKED
    assert given(ASKED, REFUSED).state.pending is None
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
