"""Verification: whatever was done to a sealed log is found and named."""

import asyncio
import io
import random
from collections import Counter
from pathlib import Path

import msgspec
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from adapters.audit import checking, commands, exports
from adapters.audit.verification import Report, verify
from adapters.seals import COLUMNS, last_seal, make
from domain.errors import Unavailable
from tests.sealing import KEY, PUBLIC, connect, record, seal_all

SEALED, TAIL = 20, 4

# For each column a value that it cannot have had.
OTHER_VALUES = {
    "stream": "stream || 'x'",
    "version": "version + 1000",
    "type": "type || ' '",
    "schema_version": "schema_version + 1::smallint",
    "recorded_at": "case when mod(position, 2) = 0 then 'infinity' else recorded_at + interval '1 microsecond' end",
    "correlation_id": "gen_random_uuid()",
    "causation_id": "case when causation_id is null then gen_random_uuid() end",
    "command_id": "gen_random_uuid()",
    "actor": "''",
    "data": "data || '\\x00'::bytea",
}


@pytest.fixture
async def sealed(database_url):
    """A log of 20 events in seals of 7, and 4 that are not sealed; a copy of both tables lies beside it."""
    async with await connect(database_url) as connection:
        await record(connection, SEALED)
        await seal_all(connection, limit=7)
        await record(connection, TAIL)
        await connection.execute("create table kept_events as table log.events")
        await connection.execute("create table kept_seals as table log.seals")
        yield connection


async def restore(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("truncate log.events, log.seals")
    await connection.execute("insert into log.events table kept_events")
    columns = "shard, from_position, to_position, previous, digest, leaves, signature, key_id, sealed_at"
    await connection.execute(f"insert into log.seals ({columns}) select {columns} from kept_seals")


def told(report: Report) -> Counter[tuple[str, int]]:
    """Return kind and position of every finding."""
    return Counter((str(f.kind), position) for f in report.findings for position in range(f.first, f.last + 1))


async def move(connection: psycopg.AsyncConnection, position: int, to: int) -> None:
    await connection.execute("update log.events set position = %s where position = %s", (to, position))


async def swap(connection: psycopg.AsyncConnection, one: int, other: int) -> None:
    for position, to in ((one, -7), (other, one), (-7, other)):
        await move(connection, position, to)


async def put_in(connection: psycopg.AsyncConnection, position: int) -> None:
    await connection.execute(
        """
        insert into log.events select 0, %s, 'put-in', %s, type, schema_version, recorded_at, correlation_id,
                                      causation_id, command_id, actor, data from kept_events where position = 1
        """,
        (position, position),
    )


positions = st.integers(1, SEALED)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_single_tampering_is_found_and_named(database_url, sealed, data):
    await restore(sealed)
    what = data.draw(st.sampled_from(["alter", "delete", "swap", "move", "shard", "push", "before", "cut"]))
    position = data.draw(positions)
    match what:
        case "alter":
            column = data.draw(st.sampled_from(COLUMNS))
            await sealed.execute(
                f"update log.events set {column} = {OTHER_VALUES[column]} where position = %s", (position,)
            )
            expected = {("altered", position)}
        case "delete":
            await sealed.execute("delete from log.events where position = %s", (position,))
            expected = {("removed", position)}
        case "swap":
            other = data.draw(positions.filter(lambda p: p != position))
            await swap(sealed, position, other)
            expected = {("moved", position), ("moved", other)}
        case "move":
            await move(sealed, position, data.draw(st.sampled_from([-5, 0, SEALED + TAIL + 1])))
            expected = {("moved", position)}
        case "shard":
            await sealed.execute(
                "update log.events set shard = %s where position = %s", (data.draw(st.sampled_from([-1, 1])), position)
            )
            expected = {("moved", position)}
        case "push":
            await sealed.execute("update log.events set position = -position where position >= %s", (position,))
            await sealed.execute("update log.events set position = 1 - position where position < 0")
            await put_in(sealed, position)
            expected = {("inserted", position), *(("moved", p) for p in range(position, SEALED + 1))}
        case "before":
            at = data.draw(st.sampled_from([0, -3]))
            await put_in(sealed, at)
            expected = {("inserted", at)}
        case "cut":
            await sealed.execute("delete from log.events where position >= %s", (position,))
            expected = {("removed", p) for p in range(position, SEALED + 1)}
    assert set(told(await verify(database_url, PUBLIC))) == expected


async def test_an_untouched_log_is_intact(database_url, sealed):
    report = await verify(database_url, PUBLIC)
    assert (report.findings, report.events, report.seals, report.sealed_to, report.tail) == ([], 24, 3, SEALED, TAIL)


async def test_a_finding_says_what_stands_there_now(database_url, sealed):
    await sealed.execute("update log.events set type = 'OrderFilled' where position = 9")
    (finding,) = (await verify(database_url, PUBLIC)).findings
    assert finding.message == "reads OrderFilled ('stream-é-0' 9) now"


async def test_several_tamperings_are_each_named(database_url, sealed):
    await sealed.execute("update log.events set actor = 'nobody' where position = 2")
    await sealed.execute("delete from log.events where position in (10, 11)")
    await swap(sealed, 5, 18)
    report = await verify(database_url, PUBLIC)
    assert set(told(report)) == {("altered", 2), ("moved", 5), ("removed", 10), ("removed", 11), ("moved", 18)}
    assert [(f.first, f.last) for f in report.findings if f.kind == "removed"] == [(10, 11)]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_second_event_at_one_position_is_found(database_url, sealed, order):
    await sealed.execute("alter table log.events drop constraint events_pkey")
    await put_in(sealed, 6)
    await sealed.execute(f"create table shuffled as select * from log.events order by stream {order}")
    await sealed.execute("truncate log.events")
    await sealed.execute("insert into log.events table shuffled")
    assert set(told(await verify(database_url, PUBLIC))) == {("inserted", 6)}


async def test_a_hole_after_the_last_seal_is_found(database_url, sealed):
    await sealed.execute("delete from log.events where position in (22, 23)")
    assert set(told(await verify(database_url, PUBLIC))) == {("hole", 22), ("hole", 23)}


@pytest.mark.parametrize(
    "change",
    [
        "from_position = 9",
        "to_position = 13",
        "previous = sha256('x')",
        "digest = sha256('x')",
        "leaves = set_byte(leaves, 3, get_byte(leaves, 3) # 1)",
        "signature = set_byte(signature, 3, get_byte(signature, 3) # 1)",
        "key_id = 'another'",
        "sealed_at = 'infinity'",
        "shard = 1",
    ],
)
async def test_an_altered_seal_is_named_and_its_events_called_unsealed(database_url, sealed, change):
    await sealed.execute("alter table log.seals drop constraint seals_check1")
    await sealed.execute(f"update log.seals set {change} where from_position = 8")
    found = set(told(await verify(database_url, PUBLIC)))
    assert {("unsealed", p) for p in range(8, 15)} <= found
    assert {kind for kind, _ in found} == {"forged", "unsealed"}


async def test_seals_of_another_key_are_forged(database_url, sealed):
    report = await verify(database_url, Ed25519PrivateKey.generate().public_key())
    assert set(told(report)) == {("forged", p) for p in range(1, SEALED + 1)}


@pytest.mark.parametrize(("lost", "unproven"), [(1, range(1, 8)), (8, range(8, 15))])
async def test_a_lost_seal_is_found(database_url, sealed, lost, unproven):
    await sealed.execute("delete from log.seals where from_position = %s", (lost,))
    assert set(told(await verify(database_url, PUBLIC))) == {("unsealed", p) for p in unproven}


async def test_a_seal_whose_leaves_hide_the_event_still_says_that_one_was_altered(database_url, sealed):
    last = await last_seal(sealed)
    cursor = await sealed.execute("select clock_timestamp()")
    (now,) = await cursor.fetchone()
    await sealed.execute("update log.events set actor = 'x' where position = 21")
    await seal_all(sealed)
    cursor = await sealed.execute("select leaves from log.seals where from_position = 21")
    (short,) = await cursor.fetchone()
    whole = b"".join(short[i : i + 8] + bytes(24) for i in range(0, len(short), 8))
    lying = make(KEY, last, 24, whole, now)
    await sealed.execute(
        "update log.seals set digest = %s, signature = %s, sealed_at = %s where from_position = 21",
        (lying.digest, lying.signature, now),
    )
    (finding,) = (await verify(database_url, PUBLIC)).findings
    assert (finding.kind, finding.first, finding.last) == ("altered", 21, 24)


async def test_a_seal_that_does_not_follow_the_one_before_it_is_found(database_url, sealed):
    last = await last_seal(sealed)
    assert last is not None
    await seal_all(sealed)
    cursor = await sealed.execute("select sealed_at from log.seals where from_position = 21")
    (now,) = await cursor.fetchone()
    other = make(KEY, msgspec.structs.replace(last, digest=bytes(32)), 24, bytes(128), now)
    await sealed.execute(
        "update log.seals set previous = %s, digest = %s, leaves = %s, signature = %s where from_position = 21",
        (other.previous, other.digest, other.leaves, other.signature),
    )
    assert ("forged", 21) in told(await verify(database_url, PUBLIC))


async def test_an_event_put_into_a_hole_is_found(database_url, sealed):
    await sealed.execute("delete from log.events where position = 21")
    await seal_all(sealed)
    await put_in(sealed, 21)
    assert set(told(await verify(database_url, PUBLIC))) == {("hole", 21), ("inserted", 21)}


async def test_a_log_that_grows_and_is_sealed_meanwhile_is_verified_as_of_one_moment(database_url, sealed):
    async def grow() -> None:
        for _ in range(40):
            await record(sealed, 7)
            await seal_all(sealed, limit=3)

    growing = asyncio.create_task(grow())
    while not growing.done():
        report = await verify(database_url, PUBLIC)
        assert (report.findings, report.events) == ([], report.sealed_to + report.tail)
    await growing


async def test_more_damage_than_can_be_listed_is_counted(database_url, sealed, monkeypatch):
    monkeypatch.setattr(checking, "MOST_SUSPECTS", 6)
    await sealed.execute("update log.events set actor = 'x'")
    report = await verify(database_url, PUBLIC)
    assert report.findings
    assert len(report.findings) <= 6
    assert report.more > 0


async def test_more_events_put_in_than_can_be_listed_are_counted(database_url, sealed, monkeypatch):
    monkeypatch.setattr(checking, "MOST_SUSPECTS", 6)
    for position in range(-10, 1):
        await put_in(sealed, position)
    report = await verify(database_url, PUBLIC)
    assert (len(report.findings), report.more) == (6, 5)


async def test_progress_ends_at_the_whole_log(database_url, sealed):
    seen: list[tuple[int, int]] = []
    await verify(database_url, PUBLIC, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (SEALED + TAIL, SEALED + TAIL)


async def test_a_log_cut_off_together_with_its_seals_is_found_with_an_export(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    await sealed.execute("delete from log.events where position >= 15")
    await sealed.execute("delete from log.seals where from_position >= 15")
    assert (await verify(database_url, PUBLIC)).findings == []
    key, seals = exports.read(file)
    found = set(told(await verify(database_url, key, exported=seals)))
    assert found == {(kind, p) for p in range(15, SEALED + 1) for kind in ("removed", "replaced")}


async def test_a_log_cut_off_and_written_anew_is_found_with_an_export(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    await sealed.execute("delete from log.events where position >= 15")
    await sealed.execute("delete from log.seals where from_position >= 15")
    await record(sealed, 12)
    await seal_all(sealed, limit=4)
    assert (await verify(database_url, PUBLIC)).findings == []
    key, seals = exports.read(file)
    found = set(told(await verify(database_url, key, exported=seals)))
    assert {("altered", p) for p in range(15, SEALED + 1)} < found
    assert ("replaced", 15) in found


async def test_seals_made_anew_over_the_same_events_differ_from_an_export(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    await sealed.execute("delete from log.seals")
    await seal_all(sealed, limit=5)
    key, seals = exports.read(file)
    # The stored seals beyond the export do not follow its last one.
    found = {kind for kind, _ in told(await verify(database_url, key, exported=seals))}
    assert found == {"replaced", "forged"}


async def test_an_export_proves_its_part_of_a_log_that_went_on(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    last = await exports.export(database_url, PUBLIC, file)
    assert last is not None
    assert last.to_position == SEALED
    await seal_all(sealed)
    await record(sealed, 3)
    key, seals = exports.read(file)
    report = await verify(database_url, key, exported=seals)
    assert (report.findings, report.seals, report.sealed_to, report.tail) == ([], 4, SEALED + TAIL, 3)


async def test_forged_or_missing_seals_are_not_exported_and_an_older_file_stays(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    file.write_text("older")
    await sealed.execute("delete from log.seals where from_position = 8")
    with pytest.raises(exports.ForgedSeals, match="begins at position 8 is missing"):
        await exports.export(database_url, PUBLIC, file)
    await sealed.execute("update log.seals set signature = decode(repeat('00', 64), 'hex')")
    with pytest.raises(exports.ForgedSeals, match="positions 1 to 7 was forged"):
        await exports.export(database_url, PUBLIC, file)
    assert [path.name for path in tmp_path.iterdir()] == ["seals"]
    assert file.read_text() == "older"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: [], "line 1"),
        (lambda lines: [b"%PDF-1.7\n"], "line 1"),
        (lambda lines: [lines[0].replace(b"nectar seals 1", b"nectar seals 9"), *lines[1:]], "'nectar seals 9'"),
        (lambda lines: [*lines[:2], lines[2][:40]], "line 3 is no seal"),
    ],
)
async def test_a_file_that_is_no_export_is_refused_by_line(database_url, sealed, tmp_path, change, why):
    file: Path = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    with pytest.raises(exports.WrongExport, match=why):
        list(exports.read(file)[1])


async def test_a_log_that_cannot_be_reached_is_unavailable():
    with pytest.raises(Unavailable, match="event log cannot be reached"):
        await verify("postgresql://user@127.0.0.1:1/none", PUBLIC)


async def test_a_database_without_a_log_is_unavailable(empty_database_url):
    with pytest.raises(Unavailable, match="holds no event log: run nectar migrate"):
        await verify(empty_database_url, PUBLIC)


async def test_an_exported_seal_with_impossible_numbers_is_forged(database_url, sealed, tmp_path):
    file = tmp_path / "seals"
    await exports.export(database_url, PUBLIC, file)
    key, seals = exports.read(file)
    first, *others = seals
    wild = msgspec.structs.replace(first, to_position=2**70)
    report = await verify(database_url, key, exported=[wild, *others])
    assert "forged" in {str(f.kind) for f in report.findings}


async def test_the_commands_print_the_verdict_and_exit_by_it(database_url, sealed, tmp_path):
    out, file = io.StringIO(), tmp_path / "seals"
    console = Console(file=out, width=200)
    assert await commands.export_command(database_url, console, key=PUBLIC, file=file) == 0
    assert await commands.verify_command(database_url, console, key=PUBLIC) == 0
    assert await commands.verify_command(database_url, console, file=file) == 0
    assert "Sealed up to position 20" in out.getvalue()
    assert "The log is as it was sealed: 24 events read, 3 seals" in out.getvalue()
    await sealed.execute("update log.events set type = 'Fill[red]ed' where position = 9")
    assert await commands.verify_command(database_url, console, key=PUBLIC) == 1
    assert "Event 9 altered: reads Fill[red]ed" in out.getvalue()
    await sealed.execute("delete from log.seals where from_position = 1")
    assert await commands.export_command(database_url, console, key=PUBLIC, file=file) == 1
    assert "nothing exported" in out.getvalue()
    with pytest.raises(ValueError, match="needs the key of the vault or a file"):
        await commands.verify_command(database_url, console)


@pytest.mark.parametrize("seed", [3, 11])
async def test_many_random_seals_of_many_sizes_verify(database_url, seed):
    chance = random.Random(seed)
    async with await connect(database_url) as connection:
        for _ in range(10):
            await record(connection, chance.randrange(1, 200))
            await seal_all(connection, limit=chance.randrange(1, 60))
    assert (await verify(database_url, PUBLIC)).findings == []
