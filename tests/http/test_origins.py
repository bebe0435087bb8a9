from uuid import UUID

import pytest

from adapters.http.bodies import MalformedRequest
from adapters.http.callers import CALLERS, Committed
from adapters.http.origins import origin_of

STORY = "0190f3a5-c2b8-4d0f-9d1a-6f5e3c7b2a10"


def scope(**headers: str):
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"headers": named, "user": "admin"}


def test_a_request_that_names_no_story_begins_one():
    origin = origin_of(scope())
    assert (origin.actor, origin.causation_id, origin.idempotency_key) == ("admin", None, None)
    assert origin.correlation_id == origin.command_id


def test_a_request_may_go_on_with_a_story():
    origin = origin_of(scope(x_correlation_id=STORY))
    assert origin.correlation_id == UUID(STORY)
    assert origin.command_id != origin.correlation_id


@pytest.mark.parametrize("given", ["", "not a uuid", "é"])
def test_a_story_that_is_no_uuid_is_not_gone_on_with(given):
    origin = origin_of(scope(x_correlation_id=given))
    assert origin.correlation_id == origin.command_id


def test_a_key_is_taken_as_it_is():
    assert origin_of(scope(idempotency_key="order 17/a")).idempotency_key == "order 17/a"


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é"])
def test_a_key_that_cannot_be_kept_is_refused_with_the_bound(key):
    with pytest.raises(MalformedRequest) as caught:
        origin_of(scope(idempotency_key=key))
    (problem,) = caught.value.problems
    assert problem.loc == ("header", "Idempotency-Key")
    assert "255" in problem.msg


def test_only_a_later_position_moves_a_caller_on():
    committed = Committed()
    assert committed.last("admin") == 0
    for position in (5, 9, 7):
        committed.note("admin", position)
    assert committed.last("admin") == 9
    assert committed.last("other") == 0


def test_the_callers_seen_last_are_kept():
    committed = Committed()
    for caller in range(CALLERS + 1):
        committed.note(str(caller), caller + 1)
    assert committed.last("0") == 0
    assert committed.last(str(CALLERS)) == CALLERS + 1
