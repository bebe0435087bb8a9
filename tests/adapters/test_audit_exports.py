"""Events are exported exactly, in every format, or not at all."""

import asyncio
import io
import json
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from adapters.audit import commands, files, lines, ranges
from adapters.audit.lines import FORMATS, Line
from adapters.audit.ranges import NotAsSealed
from adapters.event_store import PostgresLog
from adapters.retention import drop
from domain.errors import Conflict, Invalid
from tests.exporting import events, exported, tampering, told, verified, whole
from tests.projections.fleet import FLEET
from tests.projections.given import EVERYTHING, tell
from tests.sealing import KEY, connect, seal_all

__all__ = ["tampering", "whole"]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("format_", FORMATS)
async def test_every_format_brings_back_every_byte(database_url, tampering, tmp_path, format_):
    file = tmp_path / "events"
    done = await exported(database_url, file, 3, 17, format_)
    assert (done.head.first, done.head.last, done.events, done.unsealed) == (3, 17, 15, 0)
    report, head = verified(file)
    assert (report.findings, report.events, report.seals, head) == ([], 15, 3, done.head)
    rows = await tampering.execute(
        "select position, stream, version, type, schema_version, recorded_at, correlation_id::text,"
        " causation_id::text, command_id::text, actor, data from log.events where position between 3 and 17"
        " order by position"
    )
    found = [
        (
            *(line.position, line.stream, line.version, line.type, line.schema_version, line.recorded_at),
            *(line.correlation_id, line.causation_id, line.command_id, line.actor, line.content),
        )
        for line in events(file)
    ]
    assert found == [row async for row in rows]
    assert [path.name for path in tmp_path.iterdir()] == ["events"]


async def test_of_events_outside_of_the_range_only_hashes_are_there(database_url, tampering, tmp_path):
    file = tmp_path / "events.jsonl"
    await exported(database_url, file, 9, 10)
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["kind"] for line in written] == ["head", "seal", "leaf", "event", "event", *["leaf"] * 4]
    assert [line["position"] for line in written[2:]] == [8, 9, 10, 11, 12, 13, 14]
    assert set(written[2]) == {"kind", "position", "data"}


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [
        ((1, 20), (1, 20)),
        ((7, 8), (7, 8)),
        ((20, 20), (20, 20)),
        ((1, 1), (1, 1)),
        ((15, 10**9), (15, 20)),
        ((21, 24), (21, 20)),
        ((99, 99), (99, 98)),
    ],
)
async def test_a_range_reaches_from_its_first_to_its_last_position(database_url, tampering, tmp_path, wanted, given_):
    first, last = given_
    done = await exported(database_url, tmp_path / "events", *wanted)
    assert (done.head.first, done.head.last, done.events) == (first, last, last - first + 1)
    assert [line.position for line in events(tmp_path / "events")] == list(range(first, last + 1))
    assert not verified(tmp_path / "events")[0].findings


async def test_what_is_not_sealed_yet_is_left_out_and_counted(database_url, tampering, tmp_path):
    assert (await exported(database_url, tmp_path / "a", 19, 22)).unsealed == 2
    assert (await exported(database_url, tmp_path / "b", 22, 23)).unsealed == 2
    assert (await exported(database_url, tmp_path / "c", 3, 5)).unsealed == 0


async def test_times_stand_for_what_was_recorded_between_them(database_url, tampering, tmp_path):
    rows = await tampering.execute("select recorded_at from log.events order by position")
    at = [moment async for (moment,) in rows]
    await tampering.execute("delete from log.seals")
    await tampering.execute("update log.events set recorded_at = %s where position <= 5", [at[4]])
    await seal_all(tampering, limit=7)
    little = timedelta(microseconds=1)
    for begin, end, first, last in (
        (at[4], at[9], 1, 10),
        (at[4] + little, at[9] - little, 6, 9),
        (at[0] - timedelta(days=9), at[4], 1, 5),
        (at[-1] + little, at[-1] + timedelta(days=9), 25, 24),
    ):
        done = await exported(database_url, tmp_path / "events", begin, end)
        assert (done.head.first, done.head.last) == (first, last)


async def test_a_range_that_ends_before_it_begins_is_refused(database_url, tampering, tmp_path):
    with pytest.raises(Invalid, match="ends at 3, before it begins, at 5"):
        await exported(database_url, tmp_path / "events", 5, 3)
    assert not list(tmp_path.iterdir())


async def test_a_log_without_events_is_an_empty_file_that_proves_it(database_url, tmp_path):
    done = await exported(database_url, tmp_path / "events")
    assert (done.head.first, done.head.last, done.events) == (1, 0, 0)
    assert not verified(tmp_path / "events")[0].findings


@pytest.mark.parametrize("format_", FORMATS)
async def test_what_retention_dropped_is_accepted_exactly(database_url, tmp_path, format_):
    file = tmp_path / "events"
    async with await connect(database_url) as connection, PostgresLog.open(database_url) as log:
        await tell(log, [*EVERYTHING[:10], *FLEET, *EVERYTHING[10:20]])
        await seal_all(connection, limit=7)
        dropped = await drop(database_url, KEY, older_than=timedelta(0), events_per_drop=10)
        await seal_all(connection, limit=7)
        rows = await connection.execute("select position from log.events order by position")
        left = [position async for (position,) in rows]
    assert dropped > 20
    done = await exported(database_url, file, format_=format_)
    report, _ = verified(file)
    assert (report.findings, report.dropped, done.events) == ([], dropped, len(left))
    middle = await exported(database_url, tmp_path / "part", left[5], left[-5], format_)
    assert middle.events == len(left) - 9
    # One more than was dropped is one too many.
    for gone in (left[3], left[12], left[-3]):
        rewritten(file, tmp_path / "less", partial(stays, gone))
        assert told(verified(tmp_path / "less")[0]) == {("removed", gone)}
    # Without the record of it, what was dropped is missing.
    rewritten(file, tmp_path / "unrecorded", lambda line: line.kind != "dropped")
    assert {kind for kind, _ in told(verified(tmp_path / "unrecorded")[0])} == {"removed"}


def stays(gone: int, line: Line) -> bool:
    return line.position != gone or line.kind != "event"


def rewritten(file: Path, to: Path, keep: Callable[[Line], bool]) -> None:
    lines.write(files.format_of(file), to, [line for line in lines.read(files.format_of(file), file) if keep(line)])


async def test_a_tampered_log_is_not_exported_and_the_file_stays_as_it_was(database_url, tampering, tmp_path):
    file = tmp_path / "events"
    file.write_text("the export before")
    await tampering.execute("update log.events set actor = 'other' where position = 5")
    with pytest.raises(NotAsSealed, match="Events 5 to 5 altered"):
        await exported(database_url, file)
    assert (file.read_text(), len(list(tmp_path.iterdir()))) == ("the export before", 1)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_full_disk_leaves_the_file_as_it_was(database_url, tampering, tmp_path, format_):
    file = tmp_path / "events"
    file.write_text("the export before")
    with at_most(2000), pytest.raises(OSError, match=r"events stays as it was: of the export [\d,]+ bytes") as full:
        await exported(database_url, file, format_=format_)
    assert "File too large" in str(full.value)
    assert (file.read_text(), len(list(tmp_path.iterdir()))) == ("the export before", 1)


CHILD = """
import asyncio, pathlib, sys
from adapters.audit import ranges
from tests.sealing import KEY

def progress(done, all_):
    print("begun", flush=True)
    sys.stdin.read()

url, file, format_ = sys.argv[1:]
file = pathlib.Path(file)
asyncio.run(ranges.export(url, KEY, file, begin=1, end=20, format_=format_, progress=progress))
"""


async def test_an_export_that_was_killed_is_cleaned_up_by_the_next_and_two_at_once_are_refused(
    database_url, tampering, tmp_path, capsys
):
    file, other = tmp_path / "events", tmp_path / "events.unfinished.old"
    other.write_text("not ours")
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, database_url, str(file), "jsonl"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 20) == b"begun\n"
    with pytest.raises(Conflict, match="events is being written by another export"):
        await exported(database_url, file)
    child.kill()
    await child.wait()
    (tmp_path / "events.unfinished.7").write_bytes(b"of Parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"events.unfinished{end}" for end in ("", ".7", ".old")]
    await exported(database_url, file)
    assert "unfinished_export_removed" in capsys.readouterr().out
    assert not verified(file)[0].findings
    assert {path.name for path in tmp_path.iterdir()} == {"events", other.name}


async def test_an_export_that_nobody_waits_for_any_more_leaves_nothing(database_url, tampering, tmp_path):
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    going_on = threading.Event()

    def progress(done: int, all_: int) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert going_on.wait(10)

    work = ranges.export(database_url, KEY, tmp_path / "events", begin=1, end=20, format_="jsonl", progress=progress)
    task = asyncio.create_task(work)
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    going_on.set()
    await loop.shutdown_default_executor()
    assert not list(tmp_path.iterdir())


async def test_the_commands_say_what_they_did(database_url, tampering, tmp_path):
    printed = io.StringIO()
    console, file = Console(file=printed, width=200), tmp_path / "events"
    assert (
        await commands.export_events_command(database_url, console, key=KEY, file=file, begin=2, end=22, format_="csv")
        == 0
    )
    assert await commands.verify_file_command(console, file) == 0
    file.write_text(file.read_text().replace("ädmin", "admin", 1))
    assert await commands.verify_file_command(console, file) == 1
    said = printed.getvalue()
    assert "19 events, positions 2 to 20" in said
    assert "2 events at the end of the range are not sealed yet" in said
    assert "Event 2 altered" in said
    assert "The file was changed" in said


@pytest.mark.parametrize("given_", ["0", "yesterday", "99999999999999999999", "-1", ""])
def test_a_place_that_is_none_is_refused(given_):
    with pytest.raises(ValueError, match=r"none|Invalid isoformat"):
        commands.place_of(given_)
