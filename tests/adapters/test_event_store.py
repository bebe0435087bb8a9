"""The event log on Postgres: many writers, broken connections, restarts."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from adapters.event_store import PostgresLog
from adapters.event_store.batches import LONGEST_NAME
from commands.ports import Appended, Log, Write
from domain.errors import Conflict, DomainError, Invalid, StreamMoved, Unavailable
from domain.events import Origin, Recorded
from tests.appends import added, origin, write
from tests.fakes.log import MemoryLog


async def follow_through(log: PostgresLog, last: int, seen: list[int] | None = None) -> list[Recorded]:
    """Follow from the beginning until position `last` has come."""
    events: list[Recorded] = []
    async with asyncio.timeout(60), aclosing(log.follow(0)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            events += batch
            if seen is not None:
                seen += [e.position for e in batch]
            if events[-1].position >= last:
                return events
    raise AssertionError("a follower never ends")


# What is appended


async def everything(database_url: str) -> list[tuple[Any, ...]]:
    """Return the whole table in position order."""
    async with await AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute(
            "select position, stream, version, type, recorded_at, command_id, data from log.events order by position"
        )
        return await cursor.fetchall()


async def test_positions_have_no_gaps_whoever_writes(database_url: str):
    writers, appends = 4, 60

    async def client(log: PostgresLog, number: int) -> list[tuple[UUID, Appended]]:
        done = []
        for n in range(appends):
            said = origin()
            mine = write(f"s{number}", n * 2, added("a"), added("b"))
            other = write(f"t{number}-{n}", 0, added("c"))
            done.append((said.command_id, await log.append([mine, other], said)))
        return done

    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(PostgresLog.open(database_url)) for _ in range(writers)]
        watcher = await stack.enter_async_context(PostgresLog.open(database_url))
        async with asyncio.TaskGroup() as tasks:
            total = writers * 5 * appends * 3
            follower = tasks.create_task(follow_through(watcher, total))
            clients = [tasks.create_task(client(logs[n % writers], n)) for n in range(writers * 5)]
    rows = await everything(database_url)
    assert [row[0] for row in rows] == list(range(1, total + 1))
    times = [row[4] for row in rows]
    assert times == sorted(times), "time follows position"
    assert [e.position for e in follower.result()] == list(range(1, total + 1))
    last_of = {row[5]: row[0] for row in rows}
    for task in clients:
        for command_id, appended in task.result():
            assert last_of[command_id] == appended.position
    for number in range(writers * 5):
        assert [row[2] for row in rows if row[1] == f"s{number}"] == list(range(1, 2 * appends + 1))


async def test_what_waits_is_committed_together(log: PostgresLog, database_url: str):
    await asyncio.gather(*(log.append([write(f"s{n}", 0, added("x"))], origin()) for n in range(100)))
    rows = await everything(database_url)
    assert len({row[4] for row in rows}) <= 2  # one time for each commit


async def test_one_refusal_in_a_batch_is_one_items_own(log: PostgresLog):
    await log.append([write("taken", 0, added("x"))], origin("k"), answer=b"first", request=b"r")
    items = [
        ([write("s1", 0, added("x"))], origin(), b""),
        ([write("taken", 0, added("x")), write("s2", 0, added("x"))], origin(), b""),
        ([write("s3", 0, added("x"))], origin("k"), b"r"),
        ([write("s4", 0, added("x"))], origin("k"), b"other"),
        ([write("s5", 0, added("x"))], origin("new"), b"r"),
    ]
    done = await asyncio.gather(
        *(log.append(writes, said, answer=b"later", request=request) for writes, said, request in items),
        return_exceptions=True,
    )
    assert done[0] == Appended(position=2)
    assert isinstance(done[1], StreamMoved)
    assert done[2] == Appended(position=1, repeated=True, answer=b"first")
    assert isinstance(done[3], Conflict)
    assert done[4] == Appended(position=3)
    assert [e.stream for e in await log.page(0, 10)] == ["taken", "s1", "s5"]


async def test_a_caller_who_leaves_takes_nobody_with_him(log: PostgresLog):
    tasks = [asyncio.create_task(log.append([write(f"s{n}", 0, added("x"))], origin())) for n in range(10)]
    await asyncio.sleep(0)  # each has handed its item over
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[3], asyncio.CancelledError)
    assert sorted(d.position for d in done if isinstance(d, Appended)) == list(range(1, 10))
    assert (await log.read(["s3"]))["s3"] == []


async def test_what_waits_when_the_log_closes_is_still_committed(database_url: str):
    async with PostgresLog.open(database_url) as log:
        tasks = [asyncio.create_task(log.append([write(f"s{n}", 0, added("x"))], origin())) for n in range(10)]
        await asyncio.sleep(0)
    assert len({(await task).position for task in tasks}) == 10
    with pytest.raises(Unavailable, match="The event log is closed"):
        await log.append([write("s", 0, added("x"))], origin())


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * (LONGEST_NAME + 1)])
async def test_a_name_that_cannot_be_stored_is_refused(log: PostgresLog, name: str):
    with pytest.raises(Invalid, match="Invalid stream name"):
        await log.append([write(name, 0, added("x"))], origin())
    with pytest.raises(Invalid, match="Invalid Idempotency-Key"):
        await log.append([], origin(name))
    assert await log.answered(origin(name), b"") is None


async def test_the_longest_name_is_stored(log: PostgresLog):
    random = Random(1)
    name = "".join(random.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=LONGEST_NAME))
    await log.append([write(name, 0, added("x"))], origin(name))
    assert len((await log.read([name]))[name]) == 1


async def test_a_stream_is_written_once_in_an_append(log: PostgresLog):
    with pytest.raises(ValueError, match="twice"):
        await log.append([write("a", 0, added("x")), write("a", 1, added("y"))], origin())


async def test_an_append_may_be_larger_than_a_batch(log: PostgresLog):
    big = [added(str(n)) for n in range(5000)]
    done = await asyncio.gather(
        log.append([write("big", 0, *big)], origin()), log.append([write("small", 0, added("x"))], origin())
    )
    assert [d.position for d in done] == [5000, 5001]
    assert len(await log.page(0, 6000)) == 5001


# Against a model

STREAMS = ("a", "b", "c")
ITEMS = st.tuples(
    st.dictionaries(st.sampled_from(STREAMS), st.tuples(st.integers(-1, 1), st.integers(0, 2)), max_size=3),
    st.none() | st.sampled_from(["k1", "k2"]),
    st.sampled_from([b"r1", b"r2"]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(ITEMS, min_size=1, max_size=6), min_size=1, max_size=6))
async def test_any_appends_at_once_do_what_they_would_do_one_by_one(database_url: str, batches):
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("truncate log.events, work.idempotency")
    model = MemoryLog()
    async with PostgresLog.open(database_url) as log:
        for batch in batches:
            versions = {stream: len(events) for stream, events in (await model.read(STREAMS)).items()}
            appends = [
                (
                    [
                        write(stream, max(0, versions[stream] + offset), *(added(str(n)) for n in range(events)))
                        for stream, (offset, events) in writes.items()
                    ],
                    origin(key),
                    request,
                    b"answer %d" % place,
                )
                for place, (writes, key, request) in enumerate(batch)
            ]
            got = await asyncio.gather(*(outcome(log, *append) for append in appends))
            # Appends that have a stream or a key in common are in order; the others cannot notice each other.
            assert got == [await outcome(model, *append) for append in appends]
        positions = [e.position for e in await log.page(0, 1000)]
        assert positions == list(range(1, await model.position() + 1))
        expected = await model.read(STREAMS)
        for stream, events in (await log.read(STREAMS)).items():
            assert [(e.version, e.command_id, e.event) for e in events] == [
                (e.version, e.command_id, e.event) for e in expected[stream]
            ]


async def outcome(log: Log, writes: list[Write], said: Origin, request: bytes, answer: bytes) -> object:
    """Append, and return what came of it but for the position."""
    try:
        appended = await log.append(writes, said, answer=answer, request=request)
    except DomainError as e:
        return type(e)
    return appended.repeated, appended.answer
