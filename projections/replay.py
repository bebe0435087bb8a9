"""Build views from the log: anew beside the old ones, or as they were at some time.

A rebuild fills the tables of a shadow schema, adds the indexes at the end, and puts the tables in place of the old ones
in one transaction that holds the view's checkpoint. The old view serves until then, and whoever keeps it goes on: it
finds the checkpoint moved, and continues behind the new view.

A shadow has a checkpoint of its own in `read.rebuilds`, which moves with its rows. A rebuild that was cut off leaves it
behind, and the next one goes on from there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg import sql

from domain.errors import Conflict
from domain.events import Recorded
from projections.skips import leaving_out
from projections.view import (
    SCHEMA,
    Connection,
    Source,
    Stuck,
    View,
    connect,
    make_tables,
    of_the_server,
    prepare,
    take,
)

Told = Callable[[int, int, float], None]
"""Is told the position reached, the position where the log ends, and the rate in positions per second."""

_PAGE = 5_000
_AHEAD = 2  # so many pages are read before the slowest view has taken them
_NEAR = 1_000  # so few events are caught up with while the checkpoint is held


class _Filling(msgspec.Struct, eq=False):
    """Views that are filled over one connection, and the last position that each has seen.

    One that is `kept` is a shadow: its place in the log is recorded with its rows.
    """

    connection: Connection
    views: Sequence[View]
    at: dict[str, int]
    kept: bool = False
    indexed: bool = False
    taking: asyncio.Task[None] | None = None


def _nobody(_position: int, _total: int, _rate: float) -> None:
    pass


async def rebuild(database_url: str, source: Source, views: Sequence[View], *, told: Told = _nobody) -> int:
    """Build views anew and put them in place; return the position that they have seen.

    Goes on where a rebuild of the same definition over the same log was cut off. Raises `Conflict` when one of them is
    being rebuilt by somebody else, before anything is begun, and `Stuck` at an event that a view cannot take.
    """
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(claimed(database_url, view)) for view in views]
        building = [
            await _shadow(connection, source, view) for view, connection in zip(views, connections, strict=True)
        ]
        reached = await _fill(source, building, told)
        await asyncio.gather(*(_index(shadow) for shadow in building if not shadow.indexed))
        while await source.position() - reached > _NEAR:
            reached = await _fill(source, building, told)
        return min([await _swap(shadow, source) for shadow in building])


async def refuse_second(database_url: str, views: Sequence[View]) -> None:
    """Raise `Conflict` when one of the views is being rebuilt by somebody else."""
    async with AsyncExitStack() as stack:
        for view in views:
            await stack.enter_async_context(claimed(database_url, view))


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
        views = await leaving_out(connection, views)
        filling = _Filling(connection=connection, views=views, at=dict.fromkeys((view.name for view in views), 0))
        reached = await _fill(source, [filling], told, upto=upto)
        await _index(filling)
        return reached


@asynccontextmanager
async def claimed(database_url: str, view: View) -> AsyncIterator[Connection]:
    """Keep others from building a view anew, and lend a connection to its shadow.

    Raises `Conflict` when somebody else builds it.
    """
    schema = _schema(view)
    async with await connect(database_url, schema) as connection:
        cursor = await connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", [f"nectar.{schema}"])
        if await cursor.fetchone() != (True,):
            raise Conflict(f"View '{view.name}' is being rebuilt already")
        try:
            yield connection
        finally:
            if not connection.broken:  # closing alone gives it back a moment later
                await connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [f"nectar.{schema}"])


async def _shadow(connection: Connection, source: Source, view: View) -> _Filling:
    # Goes on with what another rebuild left behind, where that is of this definition and this log.
    await prepare(connection, [view])
    [view] = await leaving_out(connection, [view])
    cursor = await connection.execute(
        "select position, mark, indexed from read.rebuilds"
        " where view = %s and fingerprint = %s and to_regnamespace(%s) is not null",
        [view.name, view.fingerprint, _schema(view)],
    )
    left = await cursor.fetchone()
    if left is not None and await _holds(source, left[0], left[1]):
        return _Filling(connection=connection, views=[view], at={view.name: left[0]}, kept=True, indexed=left[2])
    schema = sql.Identifier(_schema(view))
    async with connection.transaction():
        await connection.execute(sql.SQL("drop schema if exists {} cascade").format(schema))
        await connection.execute(sql.SQL("create schema {}").format(schema))
        await make_tables(connection, [view])
        await connection.execute("delete from read.rebuilds where view = %s", [view.name])
        await connection.execute(
            "insert into read.rebuilds (view, fingerprint) values (%s, %s)", [view.name, view.fingerprint]
        )
    return _Filling(connection=connection, views=[view], at={view.name: 0}, kept=True)


def _schema(view: View) -> str:
    return f"rebuild_{view.name}"


async def _holds(source: Source, position: int, mark: UUID | None) -> bool:
    # An older copy of the log may have been put in its place, and written on.
    if position == 0:
        return True
    found = await source.page(position - 1, 1)
    return bool(found) and (found[0].position, found[0].command_id) == (position, mark)


async def _fill(
    source: Source,
    building: Sequence[_Filling],
    told: Told,
    *,
    upto: int | datetime | None = None,
) -> int:
    # Pages are read ahead, and views on connections of their own take them each at its own pace: while Postgres works
    # for one of them, this process works for another.
    clock = asyncio.get_running_loop().time
    after = min(at for filling in building for at in filling.at.values())
    types = _types([view for filling in building for view in filling.views]) if upto is None else ()
    started, first, total = clock(), after, await source.position()
    under_way: deque[tuple[int, list[asyncio.Task[None]]]] = deque()
    try:
        while True:
            end = await source.position()
            page = _cut(await source.page(after, _PAGE, types), upto)
            if page:
                rate = (after - first) / max(clock() - started, 1e-9)
                after = page[-1].position
                total = max(total, after)
                for filling in building:
                    filling.taking = asyncio.create_task(_take(filling.taking, filling, page, total, rate))
                under_way.append((after, [filling.taking for filling in building if filling.taking is not None]))
            while under_way and (len(under_way) > _AHEAD or not page):
                reached, tasks = under_way.popleft()
                await asyncio.gather(*tasks)
                told(reached, total, (reached - first) / max(clock() - started, 1e-9))
            if not page:
                return after if upto is not None else _seen(building, end)
    finally:
        # None is left behind: a connection may not be closed under a statement.
        taking = [filling.taking for filling in building if filling.taking is not None]
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)


def _types(views: Sequence[View]) -> Sequence[str]:
    # What none of them handles need not be read.
    if not all(view.handles for view in views):
        return ()
    return sorted({event.__name__ for view in views for event in view.handles})


def _seen(building: Sequence[_Filling], end: int) -> int:
    # What comes behind the last event that they handle, up to the end, is nothing to them.
    for filling in building:
        filling.at.update((name, max(at, end)) for name, at in list(filling.at.items()))
    return min(at for filling in building for at in filling.at.values())


async def _take(
    before: asyncio.Task[None] | None, filling: _Filling, page: Sequence[Recorded], total: int, rate: float
) -> None:
    if before is not None:
        await before
    try:
        await _commit(filling, page, total, rate)
    except Exception as error:
        if not filling.kept or of_the_server(error, filling.connection):
            raise
        if len(page) == 1:
            raise Stuck(filling.views[0].name, page[0], error) from error
        # Up to the event that it cannot take it is filled, so that it goes on from there when it can.
        half = len(page) // 2
        await _take(None, filling, page[:half], total, rate)
        await _take(None, filling, page[half:], total, rate)


async def _commit(filling: _Filling, page: Sequence[Recorded], total: int, rate: float) -> None:
    connection, last = filling.connection, page[-1]
    if last.position <= min(filling.at.values()):
        return
    async with connection.transaction():
        await take(connection, filling.views, page, filling.at)
        if filling.kept:
            await connection.execute(
                "update read.rebuilds set position = %s, mark = %s, total = %s, rate = %s where view = %s",
                [last.position, last.command_id, total, rate, filling.views[0].name],
            )
    filling.at.update((name, max(at, last.position)) for name, at in list(filling.at.items()))


def _cut(page: list[Recorded], upto: int | datetime | None) -> list[Recorded]:
    if upto is None:
        return page
    if isinstance(upto, datetime):
        return [e for e in page if e.recorded_at <= upto]
    return [e for e in page if e.position <= upto]


async def _index(filling: _Filling) -> None:
    connection = filling.connection
    for view in filling.views:
        async with connection.transaction():
            await connection.execute(view.indexes.encode())
            for table in view.table_names:
                await connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))
            if filling.kept:
                await connection.execute("update read.rebuilds set indexed = true where view = %s", [view.name])


async def _swap(shadow: _Filling, source: Source) -> int:
    connection, [view] = shadow.connection, shadow.views
    live, schema = sql.Identifier(SCHEMA), sql.Identifier(_schema(view))
    reached = shadow.at[view.name]
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
        await connection.execute("delete from read.rebuilds where view = %s", [view.name])
        await connection.execute(sql.SQL("drop schema {} cascade").format(schema))
    return reached
