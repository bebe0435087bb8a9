"""Snapshots in Postgres: whose code made them, and what happens where they cannot be kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from adapters.event_store import PostgresLog
from adapters.event_store.reader import Reader
from adapters.event_store.snapshots import KeptSnapshots, code_of
from commands.folding import EVERY, fold, load
from commands.ports.snapshots import Snapshot
from domain import positions
from domain.values import PositionSide
from tests.appends import added, origin, write
from tests.domain.test_positions import paid, seen

STREAM = "position-a-paper_perpetual-BTC-USDT"
load_pair = partial(load, stream=STREAM, new=positions.Known(), evolve=positions.learn)


@asynccontextmanager
async def snapshots_of(database_url: str, code: str) -> AsyncIterator[KeptSnapshots]:
    """Keep snapshots as a program of this code does."""
    reader = Reader(database_url)
    await reader.open()
    made = KeptSnapshots(reader, code)
    asking = asyncio.create_task(made.together.run())
    try:
        yield made
    finally:
        asking.cancel()
        await reader.close()


async def months_of_hedging(log: PostgresLog) -> None:
    """Append what an account with a long and a short position is told, with a payment now and then."""
    events = [
        paid(f"f{n}") if n % 50 == 49 else seen(str(n + 1), side=PositionSide.LONG if n % 2 else PositionSide.SHORT)
        for n in range(2 * EVERY + 1)
    ]
    await log.append([write(STREAM, 0, *events)], origin())


async def in_the_table(database_url: str) -> list[tuple[str, int]]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        return await (await connection.execute("select stream, version from work.snapshots")).fetchall()


async def test_both_sides_and_all_payments_of_a_long_stream_come_back_from_its_snapshot(
    log: PostgresLog, database_url: str
):
    await months_of_hedging(log)
    whole = fold(positions.Known(), positions.learn, (await log.read([STREAM]))[STREAM])
    assert (len(whole.sides), len(whole.payments)) == (2, 10)
    assert (await load_pair(log)).state == whole
    again = await load_pair(log)
    assert (again.state, len(again.newest), again.version) == (whole, 1, 2 * EVERY + 1)
    assert await in_the_table(database_url) == [(STREAM, 2 * EVERY + 1)]


async def test_what_other_code_has_made_is_neither_given_nor_spared(log: PostgresLog, database_url: str):
    for version in range(4):
        await log.append([write("a", version, added("x"))], origin())
    events = (await log.read(["a"]))["a"]
    old, new = (
        Snapshot(stream="a", version=version, command_id=events[version - 1].command_id, state=b"{}")
        for version in (4, 2)
    )
    async with snapshots_of(database_url, "old") as before, snapshots_of(database_url, "new") as after:
        await before.keep(old)
        assert (await before.recent(["a"]))["a"].snapshot == old
        assert (await after.recent(["a"]))["a"].snapshot is None
        await after.keep(new)
        assert (await after.recent(["a"]))["a"].snapshot == new
        assert (await before.recent(["a"]))["a"].snapshot is None


def test_code_is_another_one_when_a_source_is(tmp_path: Path):
    (tmp_path / "bots").mkdir()
    (tmp_path / "bots" / "life.py").write_text("a = 1")
    (tmp_path / "orders.py").write_text("b = 1")
    codes = [code_of(tmp_path)]
    (tmp_path / "bots" / "life.py").write_text("a = 2")
    codes.append(code_of(tmp_path))
    (tmp_path / "orders.py").rename(tmp_path / "older.py")
    codes.append(code_of(tmp_path))
    (tmp_path / "older.pyc").write_bytes(b"0")
    assert len(set(codes)) == 3
    assert code_of(tmp_path) == codes[-1]


@pytest.mark.parametrize(
    "fault",
    ["alter table work.snapshots add check (version < 0)", "truncate work.snapshots"],
    ids=["refused", "emptied"],
)
async def test_a_state_is_had_without_its_snapshot(log: PostgresLog, database_url: str, fault: str):
    await months_of_hedging(log)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        if "truncate" in fault:
            await load_pair(log)
        await connection.execute(fault.encode())
    with capture_logs() as said:
        loaded = await load_pair(log)
    assert loaded.state == fold(positions.Known(), positions.learn, (await log.read([STREAM]))[STREAM])
    assert len(loaded.newest) == 2 * EVERY + 1
    refused = [line for line in said if line["event"] == "snapshot_not_kept"]
    assert [line["stream"] for line in refused] == ([] if "truncate" in fault else [STREAM])


async def test_a_snapshot_of_another_log_is_discarded_with_a_word(log: PostgresLog, database_url: str):
    await months_of_hedging(log)
    await load_pair(log)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("update work.snapshots set version = version + 7")
    with capture_logs() as said:
        await load_pair(log)
    assert [(line["event"], line["stream"]) for line in said] == [("snapshot_discarded", STREAM)]
    assert await in_the_table(database_url) == [(STREAM, 2 * EVERY + 1)]
