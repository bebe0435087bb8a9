"""What may be left out of a view."""

import pytest

from domain.errors import Invalid
from domain.views import NEW, EventSkipped, Next, evolve, skip
from tests.domain.given import Given

STOPPED = Next(position=815, type="OrderAccepted", stream="order-a", error="KeyError: 'a'")
SKIPPED = EventSkipped(
    view="orders", position=815, type="OrderAccepted", stream="order-a", error="KeyError: 'a'", reason="It never was"
)


def given(*events):
    return Given(NEW, evolve, events)


def wish(position=815, *, standing=STOPPED, reason="It never was", view="orders"):
    return lambda state: skip(state, view=view, position=position, standing=standing, reason=reason)


def test_the_event_that_a_view_has_stopped_at_is_skipped():
    given().when(wish(reason=" It never was\n")).then(SKIPPED)


def test_an_event_that_is_skipped_already_changes_nothing():
    further = Next(position=900, type="OrderFilled", stream="order-a", error="KeyError: 'a'")
    given(SKIPPED).when(wish(standing=further)).then()
    given(SKIPPED).when(wish(standing=None)).then()


def test_what_one_view_leaves_out_another_does_not():
    given(SKIPPED).when(wish(view="audit", standing=None)).then_refused(Invalid)


@pytest.mark.parametrize(
    ("position", "standing", "words"),
    [
        (900, STOPPED, "View 'orders' has stopped at event 815, not at event 900"),
        (814, STOPPED, "View 'orders' has stopped at event 815, not at event 814"),
        (815, None, "View 'orders' has not stopped at event 815: it has taken all events"),
        (815, Next(position=815, type="T", stream="s", error=None), "the next one, event 815, it can take"),
    ],
)
def test_only_the_event_that_a_view_has_stopped_at_can_be_skipped(position, standing, words):
    given().when(wish(position, standing=standing)).then_refused(Invalid, words)


@pytest.mark.parametrize("reason", ["", " \n", "x" * 1001], ids=["none", "blank", "too long"])
def test_a_reason_is_given(reason):
    given().when(wish(reason=reason)).then_refused(Invalid, "The reason must have 1 to 1000 characters")
