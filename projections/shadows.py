"""Shadows: the tables of a view that is built anew, in a schema of its own beside those that serve.

A shadow has a checkpoint of its own in `read.rebuilds`, which moves with its rows. A rebuild that was cut off leaves it
behind, and the next one goes on from there. One may be filled in parts of the streams, each with a checkpoint; it is
whole again when all have come to the same position.
"""

# ruff: noqa: S608 - queries are put together from constants of this package

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import psycopg
import structlog
from psycopg import sql

from domain.errors import Conflict
from projections.filling import MARK, SPAN, Filling, Told, fill
from projections.skips import leaving_out
from projections.view import (
    SCHEMA,
    WHOLE,
    Connection,
    Part,
    Source,
    View,
    connect,
    make_tables,
    of_the_server,
    prepare,
    take,
)

logger = structlog.get_logger()

_PATIENCE_MS = 100
"""Less than what Postgres takes for a deadlock, so that it is the swap that gives way, and never a read."""
_REST_SECONDS = 0.4
"""Views and reads stand still while a swap waits for a lock: this is the time that they have in between."""
_LONG = 10

_VACUUMS_MS = 3000
_OLD_TABLES = (
    "select tablename from pg_tables where schemaname = %s"
    " and tablename = any(select unnest(tables) from read.checkpoints where view = %s)"
)

_TABLES = "select tablename from pg_tables where schemaname = %s and tablename = any(%s) order by tablename"

_UNVACUUMED = sql.SQL("alter table {} set (autovacuum_enabled = off)")
_VACUUMED = sql.SQL("alter table {} reset (autovacuum_enabled)")

_LEFT = (
    "select part, parts, position, indexed from read.rebuilds s"
    " where view = %s and fingerprint = %s and to_regnamespace(%s) is not null"
    " and position <= (select coalesce(max(position), 0) from log.events where shard = 0)"
    f" and mark is not distinct from ({MARK.format('s.position')}) order by part"
)

# A session lock on a key of 64 bits is listed in two halves.
_KEPT_OTHERWISE = """
    select exists (select from read.checkpoints where view = %(view)s and fingerprint <> %(fingerprint)s)
       and exists (
               select from pg_locks
                where locktype = 'advisory' and objsubid = 1 and granted
                  and database = (select oid from pg_database where datname = current_database())
                  and (classid::bigint << 32) | objid::bigint = hashtextextended('nectar.view.' || %(view)s, 0)
           )
"""


@asynccontextmanager
async def claimed(database_url: str, view: View, part: Part = WHOLE) -> AsyncIterator[Connection]:
    """Keep others from building a view anew, or a part of it, and lend a connection to its shadow.

    Raises `Conflict` when somebody else builds it.
    """
    schema = _schema(view)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await connect(database_url, schema))
        await stack.enter_async_context(_locked(connection, view, schema, shared=part != WHOLE))
        if part != WHOLE:
            await stack.enter_async_context(_locked(connection, view, f"{schema}.{part.number}"))
        yield connection


@asynccontextmanager
async def _locked(connection: Connection, view: View, name: str, *, shared: bool = False) -> AsyncIterator[None]:
    way, key = "_shared" if shared else "", f"nectar.{name}"
    cursor = await connection.execute(f"select pg_try_advisory_lock{way}(hashtextextended(%s, 0))".encode(), [key])
    if await cursor.fetchone() != (True,):
        raise Conflict(f"View '{view.name}' is being rebuilt already")
    try:
        yield
    finally:
        if not connection.broken:  # closing alone gives it back a moment later
            await connection.execute(f"select pg_advisory_unlock{way}(hashtextextended(%s, 0))".encode(), [key])


def _schema(view: View) -> str:
    return f"rebuild_{view.name}"


async def opened(connection: Connection, view: View, *, parts: int = 1) -> list[Filling]:
    """Return a shadow's parts: those that another rebuild of this definition, of this log, left behind, or new ones."""
    await prepare(connection, [view])
    if left := await left_behind(connection, view):
        return left
    schema = sql.Identifier(_schema(view))
    async with connection.transaction():
        await connection.execute(sql.SQL("drop schema if exists {} cascade").format(schema))
        await connection.execute(sql.SQL("create schema {}").format(schema))
        await make_tables(connection, [view])
        # Nothing reads a shadow, so what a vacuum does for it is undone by the next rows.
        for table in view.table_names:
            await connection.execute(_UNVACUUMED.format(sql.Identifier(table)))
        await connection.execute("delete from read.rebuilds where view = %s", [view.name])
        await connection.execute(
            "insert into read.rebuilds (view, part, parts, fingerprint)"
            " select %s, part, %s, %s from generate_series(0, %s - 1) as part",
            [view.name, parts, view.fingerprint, parts],
        )
    return await left_behind(connection, view)


async def left_behind(connection: Connection, view: View) -> list[Filling]:
    """Return the parts of a shadow as they stand, none where there is no shadow that may be gone on with."""
    rows = await (await connection.execute(_LEFT.encode(), [view.name, view.fingerprint, _schema(view)])).fetchall()
    if not rows or len(rows) != rows[0][1]:
        return []
    views = await leaving_out(connection, [view])
    return [
        Filling(
            connection=connection,
            views=views,
            at={view.name: position},
            kept=True,
            indexed=indexed,
            part=Part(part, parts),
        )
        for part, parts, position, indexed in rows
    ]


async def made_whole(parts: Sequence[Filling], source: Source, told: Told) -> Filling:
    """Bring all parts of a shadow to the same position, and make them one. Raises `Stuck`."""
    [connection] = {part.connection for part in parts}
    [name] = parts[0].at
    furthest = max(part.at[name] for part in parts)
    for part in parts:
        await fill(source, [part], told, upto=furthest)
    if len(parts) > 1:
        async with connection.transaction():
            await connection.execute("delete from read.rebuilds where view = %s and part > 0", [name])
            await connection.execute("update read.rebuilds set parts = 1 where view = %s", [name])
    return Filling(
        connection=connection,
        views=parts[0].views,
        at={name: furthest},
        kept=True,
        indexed=parts[0].indexed,
    )


async def kept_otherwise(connection: Connection, view: View) -> bool:
    """Whether somebody keeps a view now, with another definition: what serves is theirs, and would be kept no more."""
    values = {"view": view.name, "fingerprint": view.fingerprint}
    return await (await connection.execute(_KEPT_OTHERWISE.encode(), values)).fetchone() == (True,)


async def swap(shadow: Filling, source: Source) -> int:
    """Put a shadow in the place of the view that serves; return the position that it has seen.

    Waits for those who read the old tables, and gives way again and again to whoever comes meanwhile. Raises `Stuck`.
    """
    [view], tries = shadow.views, 0
    while True:
        try:
            return await _swap(shadow, source)
        except psycopg.errors.LockNotAvailable:
            tries += 1
            await _send_vacuums_away(shadow)
        except Exception as error:
            if of_the_server(error, shadow.connection):
                raise
            # What came last may hold what the view cannot take: filled with it, the shadow says at which event.
            await _catch_up(shadow, source)
            raise
        if tries == _LONG:
            logger.warning("swap_waits", view=view.name, reason="somebody has been reading its old tables for long")
        await asyncio.sleep(_REST_SECONDS)
        await _catch_up(shadow, source)  # so that the next try has as little left to do as this one had


async def _send_vacuums_away(shadow: Filling) -> None:
    """Wait for the old tables as whoever makes an index does: readers and writers do not notice, vacuums give way.

    An automatic vacuum ends for those who have waited for a second (`deadlock_timeout`), and a swap never waits that
    long; of large tables it goes on for minutes.
    """
    connection, [view] = shadow.connection, shadow.views
    with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):  # it is somebody else who keeps it
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = {_VACUUMS_MS}".encode())
            found = await connection.execute(_OLD_TABLES, [SCHEMA, view.name])
            names = [sql.Identifier(SCHEMA, name) async for (name,) in found]
            if names:
                tables = sql.SQL(", ").join(names)
                await connection.execute(sql.SQL("lock table {} in share update exclusive mode").format(tables))


async def _catch_up(shadow: Filling, source: Source) -> None:
    await fill(source, [shadow], lambda *_: None, upto=await source.position())


async def _swap(shadow: Filling, source: Source) -> int:
    connection, [view] = shadow.connection, shadow.views
    live, schema = sql.Identifier(SCHEMA), sql.Identifier(_schema(view))
    reached = shadow.at[view.name]
    async with connection.transaction():
        # Nobody but a vacuum has these, and it gives way to those only who wait without a limit.
        await _lock(connection, schema, view.table_names)
        await connection.execute(f"set local lock_timeout = {_PATIENCE_MS}".encode())
        # Until this transaction ends the checkpoint cannot move, so the log holds all that the old view has seen.
        held = await connection.execute("select tables from read.checkpoints where view = %s for update", [view.name])
        (old_tables,) = await held.fetchone() or ([],)
        total = await source.position()
        while reached < total:
            through = min(reached + SPAN, total)
            events = await source.between(reached, through)
            await take(connection, [view], events, {view.name: reached}, through)
            reached = through
        found = await connection.execute(_TABLES, [SCHEMA, [*old_tables, *view.table_names]])
        old_tables = [name for (name,) in await found.fetchall()]
        await _lock(connection, live, old_tables)
        for table in old_tables:
            await connection.execute(sql.SQL("drop table {}.{}").format(live, sql.Identifier(table)))
        for table in view.table_names:
            await connection.execute(_VACUUMED.format(sql.Identifier(table)))
            await connection.execute(sql.SQL("alter table {} set schema {}").format(sql.Identifier(table), live))
        await connection.execute(
            "update read.checkpoints set fingerprint = %s, position = %s, tables = %s where view = %s",
            [view.fingerprint, reached, view.table_names, view.name],
        )
        await connection.execute("delete from read.rebuilds where view = %s", [view.name])
        await connection.execute(sql.SQL("drop schema {} cascade").format(schema))
    return reached


async def _lock(connection: Connection, schema: sql.Identifier, tables: Sequence[str]) -> None:
    for table in tables:
        name = sql.SQL("{}.{}").format(schema, sql.Identifier(table))
        await connection.execute(sql.SQL("lock table {} in access exclusive mode").format(name))
