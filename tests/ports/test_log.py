"""What every event log does: one suite, run against the real one and the fake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, timedelta
from itertools import count
from uuid import UUID

import msgspec
import pytest

from adapters.event_store import PostgresLog
from commands.ports import Log
from domain import catalog
from domain.accounts import AccountAdded, AccountRemoved
from domain.errors import Conflict, StreamMoved
from domain.events import Origin, Recorded
from tests.appends import added, origin, write
from tests.fakes.log import MemoryLog


@pytest.fixture(params=["memory", "postgres"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[MemoryLog | PostgresLog]:
    if request.param == "memory":
        yield MemoryLog()
    else:
        database_url = request.getfixturevalue("database_url")
        async with PostgresLog.open(database_url) as opened:
            yield opened


async def collect(log: Log, after: int, last: int, *, limit: int = 1000, types: Sequence[str] = ()) -> list[Recorded]:
    """Follow until the event at position `last` has come."""
    seen: list[Recorded] = []
    async with asyncio.timeout(30), aclosing(log.follow(after, limit=limit, types=types)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            assert 0 < len(batch) <= limit
            seen += batch
            if seen[-1].position >= last:
                break
    return seen


async def test_an_empty_log_is_at_position_zero(log: Log):
    assert await log.position() == 0
    assert await log.page(0, 10) == []
    assert await log.read(["a"]) == {"a": []}
    assert await log.last(["a"]) == {"a": None}


async def test_events_get_the_next_positions_and_versions(log: Log):
    first = await log.append([write("a", 0, added("x"), added("y"))], origin())
    second = await log.append([write("b", 0, added("z"))], origin())
    assert (first.position, second.position) == (2, 3)
    events = await log.page(0, 10)
    assert [(e.position, e.stream, e.version) for e in events] == [(1, "a", 1), (2, "a", 2), (3, "b", 1)]


async def test_the_envelope_holds_what_the_origin_said(log: Log):
    said = Origin(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        command_id=UUID(int=3),
        actor="<orders>",
    )
    await log.append([write("account-ä", 0, added("ä"))], said)
    [event] = (await log.read(["account-ä"]))["account-ä"]
    assert (event.correlation_id, event.causation_id, event.command_id) == (UUID(int=1), UUID(int=2), UUID(int=3))
    assert (event.actor, event.type, event.schema_version) == ("<orders>", "AccountAdded", 1)
    assert event.event == added("ä")
    assert event.recorded_at.utcoffset() == timedelta(0)
    assert event.recorded_at.tzinfo is UTC


async def test_a_story_without_a_cause_has_none(log: Log):
    await log.append([write("a", 0, added("x"))], origin())
    assert (await log.page(0, 1))[0].causation_id is None


@pytest.mark.parametrize("expected", [0, 1, 3, 100])
async def test_a_stream_at_another_version_refuses_the_append(log: Log, expected: int):
    await log.append([write("a", 0, added("x"), added("y"))], origin())
    with pytest.raises(StreamMoved) as refusal:
        await log.append([write("a", expected, added("z"))], origin())
    assert (refusal.value.stream, refusal.value.expected) == ("a", expected)
    assert await log.position() == 2


async def test_a_stream_cannot_begin_with_a_hole(log: Log):
    with pytest.raises(StreamMoved):
        await log.append([write("a", 1, added("x"))], origin())


async def test_several_streams_are_appended_together_or_not_at_all(log: Log):
    await log.append([write("a", 0, added("x")), write("b", 0, added("y"), added("z"))], origin())
    with pytest.raises(StreamMoved):
        await log.append([write("a", 1, added("x")), write("b", 1, added("y"))], origin())
    with pytest.raises(StreamMoved):
        await log.append([write("b", 1, added("x")), write("c", 0, added("y"))], origin())
    assert await log.position() == 3
    assert {stream: len(events) for stream, events in (await log.read(["a", "b", "c"])).items()} == {
        "a": 1,
        "b": 2,
        "c": 0,
    }


async def test_an_append_without_events_checks_versions_and_answers_with_the_position(log: Log):
    await log.append([write("a", 0, added("x"))], origin())
    assert (await log.append([write("a", 1)], origin())).position == 1
    assert (await log.append([], origin())).position == 1
    with pytest.raises(StreamMoved):
        await log.append([write("a", 0)], origin())


async def test_a_repeat_is_answered_as_the_first_time(log: Log):
    first = await log.append([write("a", 0, added("x"))], origin("k"), answer=b"done", request=b"r")
    assert not first.repeated
    again = await log.append([write("a", 0, added("x"))], origin("k"), answer=b"other", request=b"r")
    assert (again.position, again.repeated, again.answer) == (1, True, b"done")
    elsewhere = await log.append([write("b", 0, added("x"))], origin("k"), answer=b"other", request=b"r")
    assert elsewhere == again
    assert await log.position() == 1
    assert await log.answered(origin("k"), b"r") == again


async def test_an_answer_is_kept_when_nothing_was_appended(log: Log):
    await log.append([], origin("k"), answer=b"nothing to do", request=b"r")
    again = await log.append([write("a", 0, added("x"))], origin("k"), request=b"r")
    assert (again.position, again.repeated, again.answer) == (0, True, b"nothing to do")


async def test_a_key_without_an_answer_is_remembered_too(log: Log):
    await log.append([write("a", 0, added("x"))], origin("k"))
    again = await log.append([write("a", 1, added("y"))], origin("k"))
    assert (again.repeated, again.answer) == (True, None)


async def test_a_key_used_for_another_request_is_a_conflict(log: Log):
    await log.append([write("a", 0, added("x"))], origin("k"), request=b"r")
    with pytest.raises(Conflict, match="Idempotency-Key 'k' was used for another request"):
        await log.append([write("b", 0, added("x"))], origin("k"), request=b"s")
    with pytest.raises(Conflict):
        await log.answered(origin("k"), b"s")
    assert await log.position() == 1


async def test_a_refused_append_leaves_its_key_free(log: Log):
    with pytest.raises(StreamMoved):
        await log.append([write("a", 5, added("x"))], origin("k"), request=b"r")
    assert await log.answered(origin("k"), b"r") is None
    assert not (await log.append([write("a", 0, added("x"))], origin("k"), request=b"r")).repeated


async def test_a_key_belongs_to_its_actor(log: Log):
    await log.append([write("a", 0, added("x"))], origin("k", "anna"), request=b"r")
    other = await log.append([write("b", 0, added("x"))], origin("k", "boris"), request=b"s")
    assert (other.position, other.repeated) == (2, False)


async def test_without_a_key_nothing_was_answered(log: Log):
    await log.append([write("a", 0, added("x"))], origin(), answer=b"done")
    assert await log.answered(origin(), b"") is None


async def test_old_keys_can_be_forgotten(log: MemoryLog | PostgresLog):
    await log.append([write("a", 0, added("x"))], origin("old"))
    at = (await log.page(0, 1))[0].recorded_at
    assert await log.forget_keys(at) == 0
    assert await log.forget_keys(at + timedelta(microseconds=1)) == 1
    assert await log.answered(origin("old"), b"") is None


async def test_streams_are_read_whole_and_in_order(log: Log):
    for version in range(5):
        await log.append([write("a", version, added(str(version))), write(f"b{version}", 0, added("b"))], origin())
    found = await log.read(["b3", "a", "none"])
    assert list(found) == ["b3", "a", "none"]
    assert [e.version for e in found["a"]] == [1, 2, 3, 4, 5]
    assert [e.event for e in found["a"]] == [added(str(version)) for version in range(5)]
    assert [e.position for e in found["b3"]] == [8]
    last = await log.last(["a", "none"])
    assert last == {"a": found["a"][-1], "none": None}


async def test_a_name_that_cannot_be_stored_is_a_stream_that_does_not_exist(log: Log):
    assert await log.read(["a\0b", "\ud800"]) == {"a\0b": [], "\ud800": []}
    assert await log.last(["a\0b"]) == {"a\0b": None}


async def test_pages_are_bounded_and_in_order(log: Log):
    await log.append([write("a", 0, *(added(str(n)) for n in range(7)))], origin())
    assert [e.position for e in await log.page(2, 3)] == [3, 4, 5]
    assert [e.position for e in await log.page(5, 3)] == [6, 7]
    assert await log.page(7, 3) == []


async def test_a_page_of_some_types_has_no_others(log: Log):
    await log.append([write("a", 0, added("a"), AccountRemoved(account="a"), added("a"))], origin())
    assert [e.position for e in await log.page(0, 10, ["AccountRemoved"])] == [2]
    assert [e.position for e in await log.page(0, 1, ["AccountAdded"])] == [1]
    assert [e.position for e in await log.page(1, 10, ["AccountAdded", "AccountRemoved"])] == [2, 3]


async def test_long_events_are_reached_for_few_at_a_time(log: Log):
    for number in range(6):
        name = "a" * 100 if number == 3 else "a"
        await log.append(
            [write(f"s{number}", 0, added(name) if number != 1 else AccountRemoved(account=name))], origin()
        )
    short = len(catalog.encode(added("a")))
    assert await log.reach(0, 6, [], 10**6) == 6
    assert await log.reach(0, 2, [], 10**6) == 2
    assert await log.reach(0, 6, [], 3 * short + 10) == 3  # the fourth is too long to come with them
    assert await log.reach(3, 6, [], 1) == 4  # one at least
    assert await log.reach(4, 6, [], short) == 5
    assert await log.reach(0, 6, ["AccountAdded"], short) == 2  # the second is of another type
    assert await log.reach(6, 6, [], 1) == 6


async def test_a_range_has_all_between_two_positions(log: Log):
    await log.append([write("a", 0, *(added(str(n)) for n in range(4)), AccountRemoved(account="a"))], origin())
    assert [e.position for e in await log.between(1, 3)] == [2, 3]
    assert [e.position for e in await log.between(1, 9, ["AccountRemoved"])] == [5]
    assert await log.between(5, 9) == []


async def test_each_stream_is_in_one_of_the_parts(log: Log):
    await log.append([write(f"s{n}", 0, added("x"), added("y")) for n in range(20)], origin())
    parts = [await log.between(0, 40, part=(number, 3)) for number in range(3)]
    assert sorted(e.position for part in parts for e in part) == list(range(1, 41))
    assert sorted(stream for part in parts for stream in {e.stream for e in part}) == sorted(f"s{n}" for n in range(20))
    assert all(parts)
    assert await log.between(0, 40, ["AccountAdded"], (1, 3)) == parts[1]


async def test_a_follower_sees_what_was_there_and_what_comes(log: Log):
    await log.append([write("a", 0, *(added(str(n)) for n in range(5)))], origin())
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(collect(log, 1, 8, limit=2))
        for number in range(3):
            await log.append([write(f"b{number}", 0, added("b"))], origin())
    assert [e.position for e in follower.result()] == [2, 3, 4, 5, 6, 7, 8]


async def test_a_follower_of_some_types_sees_no_others(log: Log):
    await log.append([write("a", 0, *(added(str(n)) for n in range(50)))], origin())
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(collect(log, 0, 52, types=["AccountRemoved"]))
        await log.append([write("b", 0, added("b"), AccountRemoved(account="b"))], origin())
    assert [e.position for e in follower.result()] == [52]


async def test_writers_of_one_stream_come_one_after_the_other(log: Log):
    async def step(number: int) -> int:
        for tries in count(1):
            events = (await log.read(["hot"]))["hot"]
            try:
                await log.append([write("hot", len(events), added(str(number)))], origin())
            except StreamMoved:
                continue
            return tries
        raise AssertionError

    async with asyncio.timeout(60):
        await asyncio.gather(*(step(number) for number in range(20)))
    events = (await log.read(["hot"]))["hot"]
    assert [e.version for e in events] == list(range(1, 21))
    assert sorted(e.event.account for e in events if isinstance(e.event, AccountAdded)) == sorted(map(str, range(20)))


async def test_of_many_repeats_at_the_same_time_one_is_the_first(log: Log):
    answers = await asyncio.gather(
        *(log.append([write(f"a{n}", 0, added("x"))], origin("k"), answer=b"%d" % n, request=b"r") for n in range(30))
    )
    assert [a.repeated for a in answers].count(False) == 1
    first = next(n for n, a in enumerate(answers) if not a.repeated)
    assert {a.answer for a in answers if a.repeated} == {b"%d" % first}
    assert {a.position for a in answers} == {1}
    assert await log.position() == 1


async def test_events_of_one_write_may_be_of_several_stories(log: Log):
    told = msgspec.structs.replace(
        write("a", 0, added("x"), added("y")), correlation_id=UUID(int=1), stories=[UUID(int=2), None]
    )
    await log.append([told], origin())
    assert [e.correlation_id for e in await log.page(0, 10)] == [UUID(int=2), UUID(int=1)]
