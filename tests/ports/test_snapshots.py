"""What every log does with snapshots of its streams: one suite, run against the real one and the fake."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from adapters.event_store import PostgresLog
from commands.ports import Log
from commands.ports.snapshots import AT_ONCE, Recent, Snapshot
from tests.appends import added, origin, write
from tests.fakes.log import MemoryLog


@pytest.fixture(params=["memory", "postgres"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "memory":
        yield MemoryLog()
    else:
        async with PostgresLog.open(request.getfixturevalue("database_url")) as opened:
            yield opened


async def kept(log: Log, stream: str, version: int) -> Snapshot:
    """Keep a snapshot as somebody who has read the stream up to a version does."""
    event = (await log.read([stream]))[stream][version - 1]
    snapshot = Snapshot(stream=stream, version=version, command_id=event.command_id, state=f"{version}".encode())
    await log.keep(snapshot)
    return snapshot


def versions(recent: Recent) -> list[int]:
    return [event.version for event in recent.events]


async def test_a_stream_without_a_snapshot_is_given_from_its_beginning(log: Log):
    await log.append([write("a", 0, added("x"), added("y")), write("b", 0, added("z"))], origin())
    recent = await log.recent(["a", "nowhere"])
    events = (await log.read(["a"]))["a"]
    assert (recent["a"].snapshot, recent["a"].first, list(recent["a"].events)) == (None, events[0], events)
    assert (recent["nowhere"].snapshot, recent["nowhere"].first, list(recent["nowhere"].events)) == (None, None, [])


async def test_a_stream_with_a_snapshot_is_given_from_the_event_that_it_ends_with(log: Log):
    for version in range(5):
        await log.append([write("a", version, added("x"))], origin())
    snapshot = await kept(log, "a", 4)
    recent = (await log.recent(["a"]))["a"]
    assert (recent.snapshot, versions(recent)) == (snapshot, [4, 5])
    assert recent.first == (await log.read(["a"]))["a"][0]


async def test_a_newer_snapshot_takes_the_place_of_an_older_one_and_never_the_other_way_round(log: Log):
    for version in range(3):
        await log.append([write("a", version, added("x"))], origin())
    for version in (1, 3, 2):
        await kept(log, "a", version)
    recent = (await log.recent(["a"]))["a"]
    assert recent.snapshot is not None
    assert (recent.snapshot.version, versions(recent)) == (3, [3])


@pytest.mark.parametrize("version", [1, 2, 7])
async def test_a_snapshot_of_another_log_is_not_given(log: Log, version: int):
    await log.append([write("a", 0, added("x"), added("y"))], origin())
    await log.keep(Snapshot(stream="a", version=version, command_id=UUID(int=9), state=b"{}"))
    for _ in range(2):
        recent = (await log.recent(["a"]))["a"]
        assert (recent.snapshot, versions(recent)) == (None, [1, 2])
        assert recent.first is not None
        assert recent.first.version == 1


async def test_a_long_stream_is_given_piece_by_piece(log: Log):
    await log.append([write("a", 0, *[added("x")] * (AT_ONCE + 2))], origin())
    assert versions((await log.recent(["a"]))["a"]) == list(range(1, AT_ONCE + 1))
    assert [event.version for event in await log.beyond("a", AT_ONCE)] == [AT_ONCE + 1, AT_ONCE + 2]
    assert await log.beyond("a", AT_ONCE + 2) == []
