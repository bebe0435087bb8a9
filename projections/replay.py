"""Build views from the log: anew beside the old ones, or as they were at some time.

A rebuild fills the tables of a shadow schema, adds the indexes at the end, and puts the tables in place of the old ones
in one transaction that holds the view's checkpoint. The old view serves until then, and whoever keeps it goes on: it
finds the checkpoint moved, and continues behind the new view.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from psycopg import sql

from domain.errors import Conflict
from domain.events import Recorded
from projections.view import SCHEMA, Connection, Source, View, connect, make_tables, prepare, take

Told = Callable[[int, int, float], None]
"""Is told the position reached, the position where the log ends, and the rate in events per second."""

_PAGE = 5_000
_AHEAD = 2  # so many pages are read before the slowest view has taken them
_NEAR = 1_000  # so few events are caught up with while the checkpoint is held


def _nobody(_position: int, _total: int, _rate: float) -> None:
    pass


async def rebuild(database_url: str, source: Source, views: Sequence[View], *, told: Told = _nobody) -> int:
    """Build views anew and put them in place; return the position that they have seen.

    Raises `Conflict` when one of them is being rebuilt by somebody else.
    """
    async with AsyncExitStack() as stack:
        building = [(view, await stack.enter_async_context(_shadow(database_url, view))) for view in views]
        for view, connection in building:
            await prepare(connection, [view])
        reached = await _fill(source, building, 0, told)
        await asyncio.gather(*(_index(connection, view) for view, connection in building))
        while await source.position() - reached > _NEAR:
            reached = await _fill(source, building, reached, told)
        for view, connection in building:
            await _swap(connection, view, source, reached)
        return reached


async def replay_into(
    database_url: str,
    source: Source,
    views: Sequence[View],
    schema: str,
    *,
    upto: int | datetime | None = None,
    told: Told = _nobody,
) -> int:
    """Build views in a schema of their own, which must not exist, as they were at a position or time.

    Returns the position of the last event they have seen.
    """
    async with await connect(database_url, schema) as connection:
        await connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        await make_tables(connection, views)
        reached = await _fill(source, [(view, connection) for view in views], 0, told, upto=upto)
        for view in views:
            await _index(connection, view)
        return reached


@asynccontextmanager
async def _shadow(database_url: str, view: View) -> AsyncIterator[Connection]:
    schema = f"rebuild_{view.name}"
    drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
    async with await connect(database_url, schema) as connection:
        cursor = await connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", [f"nectar.{schema}"])
        if await cursor.fetchone() != (True,):
            raise Conflict(f"View '{view.name}' is being rebuilt already")
        await connection.execute(drop)
        await connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        await make_tables(connection, [view])
        try:
            yield connection
        finally:
            if not connection.broken:
                await connection.execute(drop)


async def _fill(
    source: Source,
    building: Sequence[tuple[View, Connection]],
    after: int,
    told: Told,
    *,
    upto: int | datetime | None = None,
) -> int:
    # Pages are read ahead, and views on connections of their own take them each at its own pace: while Postgres works
    # for one of them, this process works for another.
    by_connection: dict[Connection, list[View]] = {}
    for view, connection in building:
        by_connection.setdefault(connection, []).append(view)
    clock = asyncio.get_running_loop().time
    started, first, total = clock(), after, await source.position()
    taking: dict[Connection, asyncio.Task[None]] = {}
    under_way: deque[tuple[int, list[asyncio.Task[None]]]] = deque()
    try:
        while True:
            page = _cut(await source.page(after, _PAGE), upto)
            if page:
                after = page[-1].position
                for connection, views in by_connection.items():
                    taking[connection] = asyncio.create_task(_take(taking.get(connection), connection, views, page))
                under_way.append((after, list(taking.values())))
            while under_way and (len(under_way) > _AHEAD or not page):
                reached, tasks = under_way.popleft()
                await asyncio.gather(*tasks)
                told(reached, max(total, reached), (reached - first) / max(clock() - started, 1e-9))
            if not page:
                return after
    finally:
        # None is left behind: a connection may not be closed under a statement.
        for task in taking.values():
            task.cancel()
        await asyncio.gather(*taking.values(), return_exceptions=True)


async def _take(
    before: asyncio.Task[None] | None, connection: Connection, views: Sequence[View], page: Sequence[Recorded]
) -> None:
    if before is not None:
        await before
    async with connection.transaction():
        await take(connection, views, page)


def _cut(page: list[Recorded], upto: int | datetime | None) -> list[Recorded]:
    if upto is None:
        return page
    if isinstance(upto, datetime):
        return [e for e in page if e.recorded_at <= upto]
    return [e for e in page if e.position <= upto]


async def _index(connection: Connection, view: View) -> None:
    await connection.execute(view.indexes.encode())
    for table in view.table_names:
        await connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))


async def _swap(connection: Connection, view: View, source: Source, reached: int) -> None:
    live = sql.Identifier(SCHEMA)
    async with connection.transaction():
        # Until this transaction ends the checkpoint cannot move, so the log holds all that the old view has seen.
        held = await connection.execute("select tables from read.checkpoints where view = %s for update", [view.name])
        (old_tables,) = await held.fetchone() or ([],)
        total = await source.position()
        while reached < total:
            page = await source.page(reached, _PAGE)
            await take(connection, [view], page)
            reached = page[-1].position
        for table in sorted({*old_tables, *view.table_names}):
            await connection.execute(sql.SQL("drop table if exists {}.{}").format(live, sql.Identifier(table)))
        for table in view.table_names:
            await connection.execute(sql.SQL("alter table {} set schema {}").format(sql.Identifier(table), live))
        await connection.execute(
            "update read.checkpoints set fingerprint = %s, position = %s, tables = %s where view = %s",
            [view.fingerprint, reached, view.table_names, view.name],
        )
