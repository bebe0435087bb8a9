"""`nectar rebuild`, in processes of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any, LiteralString

import pytest

import adapters.rebuild
from adapters.rebuild import rebuild_on_all_cores
from commands.ports import Log
from domain.errors import Conflict
from projections import orders, rates
from projections.replay import rebuild
from projections.view import Connection, connect, dump
from projections.views import VIEWS
from tests.bench.history import connected, write
from tests.bench.history import orders as history
from tests.projections.given import EVERYTHING, accepted, account, placed, tell
from tests.projections.test_replay import dumps

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
ORDERS = 4_000


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Return a connection that sees the views."""
    async with await connect(database_url) as opened:
        yield opened


def command(database_url: str, tmp_path: Path, view: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "adapters", "rebuild", view],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": database_url, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


async def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    return process.returncode, out + err


async def test_built_side_by_side_they_are_what_they_are_one_by_one(
    database_url: str, log: Log, connection: Connection
):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dumps(connection)
    told: list[tuple[str, int, int, float]] = []
    built = await rebuild_on_all_cores(database_url, VIEWS, told.append, processes=2)
    assert {outcome.view: outcome.position for outcome in built} == {view.name: end for view in VIEWS}
    assert await dumps(connection) == expected
    assert {view for view, *_ in told} <= {view.name for view in VIEWS}
    assert ("audit", end, end) in [step[:3] for step in told]


async def test_a_view_that_is_built_in_parts_is_what_it_is_as_a_whole(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(adapters.rebuild, "_MANY", 1)
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dumps(connection)
    told: list[tuple[str, int, int, float]] = []
    built = await rebuild_on_all_cores(database_url, [orders.VIEW, rates.VIEW], told.append, processes=2)
    assert [(outcome.view, outcome.position) for outcome in built] == [("orders", end), ("rates", end)]
    assert await dumps(connection) == expected
    assert [(position, of) for view, position, of, _ in told if view == "orders"][-1] == (end, end)


async def test_a_part_that_is_stuck_keeps_the_view_as_it_is(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(adapters.rebuild, "_MANY", 1)
    end = await tell(log, [*account(), placed("a"), placed("b"), accepted("never_placed")])
    [built] = await rebuild_on_all_cores(database_url, [orders.VIEW], lambda _: None, processes=2)
    assert built.stuck is not None
    assert f"View 'orders' cannot take event {end} " in built.stuck
    found = await connection.execute("select part, parts from read.rebuilds order by part")
    assert await found.fetchall() == [(0, 2), (1, 2)]


async def test_two_at_once_are_refused_before_anything_is_begun(database_url: str, log: Log, connection: Connection):
    await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    await connection.execute("select pg_advisory_lock(hashtextextended('nectar.rebuild_rates', 0))")
    with pytest.raises(Conflict, match="View 'rates' is being rebuilt already"):
        await rebuild_on_all_cores(database_url, VIEWS, lambda _: None)
    assert await (await connection.execute("select count(*) from read.rebuilds")).fetchone() == (0,)


async def test_a_view_that_is_stuck_leaves_the_others_to_be_built(
    database_url: str, log: Log, connection: Connection, tmp_path: Path
):
    end = await tell(log, [*account(), accepted("never_placed")])
    code, said = await ended(command(database_url, tmp_path, "all"))
    assert code == 1
    assert f"View 'orders' cannot take event {end} (OrderAccepted of stream" in said
    assert f"from {end} events" in said
    found = await connection.execute("select view from read.rebuilds")
    assert await found.fetchall() == [("orders",)]


async def until(connection: Connection, query: LiteralString) -> tuple[Any, ...]:
    """Return the row of a query as soon as there is one."""
    async with asyncio.timeout(PATIENCE):
        while (row := await (await connection.execute(query)).fetchone()) is None:
            await asyncio.sleep(0.005)
        found: tuple[Any, ...] = row
        return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
async def test_a_command_that_is_ended_half_way_goes_on_when_it_is_given_again(
    database_url: str, log: Log, connection: Connection, tmp_path: Path, how: signal.Signals
):
    total = write(database_url, chain(connected(), history(ORDERS)))
    await rebuild(database_url, log, [orders.VIEW])
    expected = await dump(connection, orders.VIEW)
    process = command(database_url, tmp_path, "orders")
    async with connection.transaction():  # it waits for this row, with its next page
        [at] = await until(connection, "select position from read.rebuilds where position > 0 for update")
        assert await dump(connection, orders.VIEW) == expected
        process.send_signal(how)
        if how is signal.SIGKILL:
            await asyncio.to_thread(process.wait, PATIENCE)
    code, _ = await ended(process)
    assert code == (130 if how is signal.SIGINT else -signal.SIGKILL)
    await until(connection, "select 1 where not exists (select from pg_locks where locktype = 'advisory')")
    [left] = await until(connection, "select position from read.rebuilds")
    assert at <= left < total
    told: list[int] = []
    await rebuild_on_all_cores(database_url, [orders.VIEW], lambda step: told.append(step[1]))
    assert min(told) > left
    assert await dump(connection, orders.VIEW) == expected
