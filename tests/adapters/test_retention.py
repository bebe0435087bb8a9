"""Retention: old updates of bots go, a signed record of it stays, and whatever else is done to the log is found."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from adapters import drops, retention
from adapters.__main__ import main
from adapters.audit import exports
from adapters.audit.verification import Report, verify
from adapters.event_store import PostgresLog
from adapters.retention import NotAsSealed, apply_command, drop
from adapters.seals import LEAF, last_seal, make
from commands.ports import Write
from domain.bots import RETENTION, UPDATE_EVENTS, SealedRun, UpdatesDropped, updates_of
from domain.errors import Conflict
from domain.events import Origin
from projections.replay import rebuild
from projections.view import connect as connect_view
from projections.view import dump
from projections.views import VIEWS
from tests.projections.conftest import projecting
from tests.projections.fleet import FLEET, heard
from tests.projections.given import EVERYTHING, tell
from tests.sealing import KEY, PUBLIC, connect, seal_all

STORY = [*EVERYTHING[:10], *FLEET, *EVERYTHING[10:20]]
LEFT = 3
"""The newest event of each bot that has told something."""
UPDATES = sum(isinstance(event, UPDATE_EVENTS) for _, event in STORY)
NOW = timedelta(0)


@pytest.fixture
async def tampering(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Return a connection of somebody who may do anything to the database."""
    async with await connect(database_url) as opened:
        yield opened


@pytest.fixture
async def log(database_url: str, tampering: psycopg.AsyncConnection) -> AsyncIterator[PostgresLog]:
    """Return a log of trading and of bots, sealed in runs of 7; a copy of its events lies beside it."""
    async with PostgresLog.open(database_url) as opened:
        await tell(opened, STORY)
        await seal_all(tampering, limit=7)
        await tampering.execute("create table kept_events as table log.events")
        yield opened


async def found(database_url: str, **given: object) -> tuple[Report, Counter[tuple[str, int]]]:
    """Return a verification's report, and kind and position of all that it found."""
    report = await verify(database_url, PUBLIC, **given)  # type: ignore[arg-type]
    places = [(str(f.kind), at) for f in report.findings for at in range(f.first, f.last + 1)]
    return report, Counter(places)


async def positions(connection: psycopg.AsyncConnection, condition: str = "true") -> list[int]:
    """Return the positions of the events that there are."""
    rows = await connection.execute(f"select position from log.events where {condition} order by position".encode())
    return [position async for (position,) in rows]


async def records(log: PostgresLog) -> list[UpdatesDropped]:
    return [r.event for r in (await log.read([RETENTION]))[RETENTION] if isinstance(r.event, UpdatesDropped)]


async def test_updates_go_and_all_else_stays(database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection):
    """Defect 45 of the reference: what bots tell stays there for ever."""
    life = await positions(tampering, "stream not like 'bot\\_updates-%'")
    newest = await positions(
        tampering, "(stream, version) in (select stream, max(version) from log.events group by stream)"
    )
    assert await drop(database_url, KEY, older_than=NOW) == UPDATES - LEFT
    assert await positions(tampering, "position <= (select max(position) from kept_events)") == sorted({*life, *newest})
    (record,) = await records(log)
    assert record.count == UPDATES - LEFT
    gone = {position for run in record.runs for position in drops.positions(run)}
    assert gone == set(range(1, len(STORY) + 1)) - {*life, *newest}


async def test_the_log_is_as_it_was_sealed_before_and_after(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    assert (await found(database_url))[1] == Counter()
    await drop(database_url, KEY, older_than=NOW, events_per_drop=50)
    assert len(await records(log)) > 2
    for _ in ("the record not sealed yet", "sealed"):
        report, wrong = await found(database_url)
        assert wrong == Counter()
        assert report.dropped == UPDATES - LEFT
        assert report.events == len(STORY) - report.dropped + len(await records(log))
        await seal_all(tampering)


async def test_what_is_told_later_is_dropped_later(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    await tell(log, [heard("grid", second) for second in range(9000, 9020)])
    assert (await log.last([updates_of("grid")]))[updates_of("grid")].version == 20 + sum(  # type: ignore[union-attr]
        stream == updates_of("grid") for stream, _ in STORY
    )
    await seal_all(tampering, limit=7)
    # The newest one of before goes, too: it stands behind the last seal of which anything was dropped.
    assert await drop(database_url, KEY, older_than=NOW) == 20
    assert await drop(database_url, KEY, older_than=NOW) == 0
    await seal_all(tampering)
    report, wrong = await found(database_url)
    assert (wrong, report.dropped) == (Counter(), UPDATES - LEFT + 20)


async def test_only_what_is_old_goes(database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection):
    last = await last_seal(tampering)
    end = await tell(log, [heard("old", second) for second in range(10)])
    assert last is not None
    rows = await tampering.execute(
        f"select string_agg({LEAF}, ''::bytea order by position) from log.events where position > %s".encode(),
        [last.to_position],
        binary=True,
    )
    (leaves,) = await rows.fetchone() or (b"",)
    at = datetime.now(UTC) - timedelta(days=2)
    seal = make(KEY, last, end, leaves, at)
    await tampering.execute(
        "insert into log.seals (shard, from_position, to_position, previous, digest, leaves, signature, key_id,"
        " sealed_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [0, seal.from_position, end, seal.previous, seal.digest, seal.leaves, seal.signature, seal.key_id, at],
    )
    assert await drop(database_url, KEY, older_than=timedelta(days=3)) == 0
    assert await drop(database_url, KEY, older_than=timedelta(days=1)) == 9
    assert len(await positions(tampering)) == end - 9 + 1


async def test_what_is_not_sealed_yet_stays(database_url: str, log: PostgresLog):
    await drop(database_url, KEY, older_than=NOW)
    await tell(log, [heard("new", second) for second in range(9000, 9020)])
    assert await drop(database_url, KEY, older_than=NOW) == 0


OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


async def _stays(connection: psycopg.AsyncConnection) -> int:
    """Return an event that stayed under a seal of which others went."""
    (position, *_) = await positions(connection, "stream = 'bot-maker' and type = 'BotLost'")
    return position


async def _went(connection: psycopg.AsyncConnection) -> int:
    rows = await connection.execute(
        "select min(position) from kept_events k"
        " where not exists (select from log.events e where e.position = k.position)"
    )
    ((position,),) = await rows.fetchall()
    return int(position)


async def test_an_event_that_was_altered_beside_the_gap_is_named(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    position = await _stays(tampering)
    await tampering.execute("update log.events set actor = 'mallory' where position = %s", [position])
    assert (await found(database_url))[1] == Counter([("altered", position)])


async def test_an_event_that_was_removed_beside_the_gap_is_named(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    position = await _stays(tampering)
    update, *_ = await positions(tampering, f"stream = '{updates_of('stranger')}'")  # newest, and not on record
    await tampering.execute("delete from log.events where position = any(%s)", [[position, update]])
    assert (await found(database_url))[1] == Counter([("removed", position), ("removed", update)])


async def test_what_is_put_into_the_gap_is_found(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    position = await _went(tampering)
    restored = "insert into log.events select * from kept_events where position = %s"
    await tampering.execute(restored, [position])
    assert (await found(database_url))[1] == Counter()  # it is what was sealed
    await tampering.execute("update log.events set data = '{}' where position = %s", [position])
    assert (await found(database_url))[1] == Counter([("altered", position)])


async def test_without_its_record_a_gap_is_damage(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    (record,) = await records(log)
    gone = Counter(("removed", position) for run in record.runs for position in drops.positions(run))
    await tampering.execute("delete from log.events where stream = %s", [RETENTION])
    assert (await found(database_url))[1] == gone


async def _forge(log: PostgresLog, event: UpdatesDropped) -> int:
    last = (await log.last([RETENTION]))[RETENTION]
    write = Write(stream=RETENTION, expected_version=0 if last is None else last.version, events=[event])
    return (await log.append([write], Origin(correlation_id=uuid4(), command_id=uuid4(), actor="mallory"))).position


@pytest.mark.parametrize("after_a_drop", [False, True])
async def test_a_record_that_somebody_else_made_excuses_nothing(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection, *, after_a_drop: bool
):
    if after_a_drop:
        await drop(database_url, KEY, older_than=NOW)
    order, *_ = await positions(tampering, "type = 'OrderPlaced'")
    await tampering.execute("delete from log.events where position = %s", [order])
    run = SealedRun(first=1, last=7, dropped=drops.bits(1, 7, [order]), kept=drops.kept([]))
    forged = await _forge(log, drops.record(OTHER, [run], [b""], datetime.now(UTC)))
    await seal_all(tampering)
    assert (await found(database_url))[1] == Counter([("removed", order), ("forged", forged)])


async def test_a_record_that_was_changed_excuses_nothing(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    await drop(database_url, KEY, older_than=NOW)
    (record,) = await records(log)
    await seal_all(tampering)
    order, *_ = await positions(tampering, "type = 'OrderPlaced'")
    await tampering.execute("delete from log.events where position = %s", [order])
    ((place, *_),) = [await positions(tampering, f"stream = '{RETENTION}'")]
    await tampering.execute(
        "update log.events set data = convert_to(replace(convert_from(data, 'UTF8'), '\"count\":', '\"count\":1'),"
        " 'UTF8') where position = %s",
        [place],
    )
    gone = Counter(("removed", position) for run in record.runs for position in drops.positions(run))
    assert (await found(database_url))[1] == gone + Counter([("removed", order), ("altered", place), ("forged", place)])


async def test_exported_seals_accept_the_same_gap(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection, tmp_path
):
    file = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    await drop(database_url, KEY, older_than=NOW)
    _, exported = exports.read(file)
    assert (await found(database_url, exported=exported))[1] == Counter()


async def test_of_what_is_not_as_it_was_sealed_nothing_goes(
    database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection
):
    before = len(await positions(tampering))
    _, update, *_ = await positions(tampering, f"stream = '{updates_of('grid')}'")
    await tampering.execute("update log.events set actor = 'mallory' where position = %s", [update])
    with pytest.raises(NotAsSealed, match="nothing of them was dropped"):
        await drop(database_url, KEY, older_than=NOW)
    assert len(await positions(tampering)) == before
    assert (await found(database_url))[1] == Counter([("altered", update)])


async def test_nothing_goes_without_its_record(database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection):
    """The two are one transaction: what fails after the deletion undoes it."""
    await tampering.execute("set session_replication_role = default")
    await tampering.execute(
        f"alter table log.events add constraint no_records check (stream <> '{RETENTION}') not valid".encode()
    )
    before = await positions(tampering)
    with pytest.raises(psycopg.errors.CheckViolation):
        await drop(database_url, KEY, older_than=NOW)
    assert await positions(tampering) == before


async def test_one_applies_it_at_a_time(database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection):
    await tampering.execute("select pg_advisory_lock(hashtextextended('nectar.retention', 0))")
    with pytest.raises(Conflict, match="already"):
        await drop(database_url, KEY, older_than=NOW)


async def test_views_and_followers_pass_over_the_gap(database_url: str, log: PostgresLog):
    followed: list[int] = []

    async def follow(types: Sequence[str]) -> None:
        async for batch in log.follow(0, limit=10, types=types):
            followed.extend(recorded.position for recorded in batch)

    async with projecting(database_url, log) as progress, await connect_view(database_url) as views:
        assert await progress.reached(await log.position(), progress.views, 10) == 0
        await drop(database_url, KEY, older_than=NOW)
        end = await tell(log, [heard("grid", 9000)])
        assert await progress.reached(end, progress.views, 10) == 0
        live = {view.name: await dump(views, view) for view in VIEWS}
        assert await rebuild(database_url, log, VIEWS) == end
        for view in VIEWS:
            same = await dump(views, view) == live[view.name]
            assert same is (view.name != "bots")  # what bots said is all that is gone
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(follow(types)) for types in ((), ("BotHeard", "OrderPlaced"))]
            async with asyncio.timeout(10):
                while followed.count(end) < len(reading):
                    await asyncio.sleep(0)
            for task in reading:
                task.cancel()
        assert await log.page(0, 1000) == await log.page(0, 500) + await log.page(500, 500)


async def test_the_command_says_what_it_did(database_url: str, log: PostgresLog, tampering: psycopg.AsyncConnection):
    said = io.StringIO()
    console = Console(file=said)
    assert await apply_command(database_url, console, key=KEY, older_than_days=None) == 0
    assert "BOT_UPDATES_KEEP_DAYS is not set" in said.getvalue()
    assert await apply_command(database_url, console, key=KEY, older_than_days=1) == 0
    assert "Nothing was dropped, and the log is as it was" in said.getvalue()
    assert "record" not in said.getvalue()
    await tampering.execute("update log.seals set sealed_at = sealed_at - interval '2 days'")
    assert await apply_command(database_url, console, key=KEY, older_than_days=1) == retention.DAMAGED
    assert "are not what was sealed" in said.getvalue()


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "36501", "ever"])
def test_days_are_whole_and_above_zero(days: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["retention", "apply", "--older-than-days", days])
    assert "is no number of days from 1 to 36500" in capsys.readouterr().err
