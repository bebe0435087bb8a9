"""A rebuilt view takes its place without harm to anybody who reads, or keeps, the old one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from adapters.event_store import PostgresLog
from adapters.migrations import migrate
from commands.ports import Log
from projections import accounts, orders, shadows
from projections.replay import rebuild
from projections.view import Connection, connect, dump
from tests.cluster import cluster
from tests.projections.conftest import projecting
from tests.projections.given import EVERYTHING, account, placed, tell

PATIENCE = 10.0
SHORT = 3.0
WAITS = "select exists (select from pg_locks where not granted and relation = 'orders'::regclass)"


@asynccontextmanager
async def rebuilding_while_somebody_reads(
    database_url: str, log: Log, connection: Connection
) -> AsyncIterator[tuple[Connection, "asyncio.Task[int]"]]:
    """Lend the connection of one who has read orders in a transaction that lasts, and the rebuild that waits for it."""
    async with await connect(database_url) as reader:
        async with reader.transaction(), asyncio.timeout(PATIENCE):
            await reader.execute("select count(*) from orders")
            building = asyncio.create_task(rebuild(database_url, log, [orders.VIEW]))
            while await (await connection.execute(WAITS)).fetchone() != (True,):
                await asyncio.sleep(0.005)
            yield reader, building
        await asyncio.wait_for(building, PATIENCE)


async def test_views_go_on_while_the_swap_of_one_waits_for_a_reader(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shadows, "_LONG", 1)
    async with projecting(database_url, log, [accounts.VIEW, orders.VIEW]) as progress:
        assert await progress.reached(await tell(log, EVERYTHING), progress.views, PATIENCE) == 0
        with capture_logs() as lines:
            async with rebuilding_while_somebody_reads(database_url, log, connection) as (_, building):
                end = await tell(log, [*account("another"), placed("z")])
                assert await progress.reached(end, progress.views, SHORT) == 0
                assert not building.done()
        assert [line["view"] for line in lines if line["event"] == "swap_waits"] == ["orders"]
        end = await tell(log, [placed("y")])
        assert await progress.reached(end, progress.views, PATIENCE) == 0
        assert progress.failures == {}
    kept = await dump(connection, orders.VIEW)
    await rebuild(database_url, log, [orders.VIEW])
    assert await dump(connection, orders.VIEW) == kept


async def test_a_read_that_crosses_a_swap_is_answered(database_url: str, log: Log, connection: Connection):
    await tell(log, EVERYTHING)
    await rebuild(database_url, log, [orders.VIEW])
    async with rebuilding_while_somebody_reads(database_url, log, connection) as (reader, _):
        counted = await reader.execute("select status from order_counts")  # which the swap has locked by now
        assert await counted.fetchall()


ALWAYS_VACUUMS = (
    *("autovacuum_naptime=1s", "autovacuum_vacuum_threshold=1", "autovacuum_vacuum_scale_factor=0"),
    # A page costs it a tenth of a second, so that it would take far longer than anybody here waits.
    *("autovacuum_vacuum_cost_delay=100ms", "autovacuum_vacuum_cost_limit=1"),
)
VACUUMED = "select exists (select from pg_stat_progress_vacuum where relid = 'orders'::regclass)"


async def test_an_automatic_vacuum_of_the_old_tables_gives_way():
    with cluster(settings=ALWAYS_VACUUMS) as busy:
        await migrate(busy.url())
        async with PostgresLog.open(busy.url()) as log, await connect(busy.url()) as connection:
            end = await tell(log, EVERYTHING)
            await rebuild(busy.url(), log, [orders.VIEW])
            expected = await dump(connection, orders.VIEW)
            for _ in range(300):
                await connection.execute("update orders set wire = wire")
            async with asyncio.timeout(3 * PATIENCE):
                while await (await connection.execute(VACUUMED)).fetchone() != (True,):
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(PATIENCE):
                assert await rebuild(busy.url(), log, [orders.VIEW]) == end
            assert await dump(connection, orders.VIEW) == expected
