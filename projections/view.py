"""What a view is, and how far each one has come.

A view is a few tables that are a function of the log, and of nothing else: no clock, no random number, no serial. It
may be thrown away and built again at any time, and gives the same bytes however the log was cut into batches.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, LiteralString, Protocol

import msgspec
import psycopg
from psycopg import sql

from domain.events import Event, Recorded

Connection = psycopg.AsyncConnection[Any]

SCHEMA = "read"

_MANY = 100

Apply = Callable[[Connection, Sequence[Recorded]], Awaitable[None]]

_CHECKPOINTS = """
    create table if not exists read.checkpoints (
        view        text   primary key,
        fingerprint text   not null,
        position    bigint not null,
        tables      text[] not null
    ) with (fillfactor = 50)
"""


class Source(Protocol):
    """What a view is made from: the log, read only."""

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        ...

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return up to `limit` events with a position above `after`, in order, of all types or of those named."""
        ...

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above position `after`, in order, for ever; waits where the log ends."""
        ...


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Tables that are kept from the events they handle.

    `tables` and `indexes` are DDL with unqualified names; a key that `apply` needs stands in `tables`, everything else
    is added to the filled tables. `handles` names the events that `apply` is given, in position order; empty means
    every event. `revision` goes up when `apply` changes in what it writes: the view is then built anew, as it is when
    its DDL changes.
    """

    name: str
    tables: str
    indexes: str
    handles: tuple[type[Event], ...]
    apply: Apply
    revision: int = 1

    @property
    def fingerprint(self) -> str:
        """What the tables and their content depend on, besides the log."""
        parts = (self.tables, self.indexes, *sorted(e.__name__ for e in self.handles), str(self.revision))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def table_names(self) -> list[str]:
        """The tables, in the order of their DDL."""
        return re.findall(r"create table (\w+)", self.tables)

    def relevant(self, events: Sequence[Recorded], after: int) -> list[Recorded]:
        """Return the events above position `after` that this view handles."""
        if not self.handles:
            return [e for e in events if e.position > after]
        return [e for e in events if type(e.event) in self.handles and e.position > after]


class Moved(Exception):
    """Say that a checkpoint is not where it was: somebody else has moved or replaced the view."""


async def connect(database_url: str, schema: str = SCHEMA) -> Connection:
    """Open a connection for writing views in a schema.

    A commit does not wait for the disk: rows and checkpoint are lost together in a crash, and made again from the log.
    """
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    await connection.execute(
        "select set_config('search_path', %s, false), set_config('synchronous_commit', 'off', false),"
        " set_config('timezone', 'UTC', false), set_config('jit', 'off', false)",
        [schema],
    )
    return connection


async def prepare(connection: Connection, views: Sequence[View]) -> None:
    """Make the table of checkpoints, with a row for each view; a view that was never built has no fingerprint."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('nectar.checkpoints', 0))")
        await connection.execute(_CHECKPOINTS)
        await connection.execute(
            "insert into read.checkpoints (view, fingerprint, position, tables)"
            " select view, '', 0, '{}' from unnest(%s::text[]) as v (view) on conflict do nothing",
            [[view.name for view in views]],
        )


async def checkpoints(connection: Connection, views: Sequence[View]) -> dict[str, tuple[str, int]]:
    """Return view → (fingerprint, position)."""
    cursor = await connection.execute(
        "select view, fingerprint, position from read.checkpoints where view = any(%s)", [[view.name for view in views]]
    )
    return {name: (fingerprint, position) for name, fingerprint, position in await cursor.fetchall()}


async def move(connection: Connection, views: Sequence[View], at: Mapping[str, int], to: int) -> None:
    """Move checkpoints by compare-and-set, and hold them until the transaction ends. Raises `Moved`."""
    cursor = await connection.execute(
        "update read.checkpoints c set position = %s"
        " from unnest(%s::text[], %s::bigint[], %s::text[]) as e (view, position, fingerprint)"
        " where c.view = e.view and c.position = e.position and c.fingerprint = e.fingerprint",
        [to, [v.name for v in views], [at[v.name] for v in views], [v.fingerprint for v in views]],
    )
    if cursor.rowcount != len(views):
        raise Moved


async def make_tables(connection: Connection, views: Sequence[View]) -> None:
    """Create the empty tables of views in the connection's schema."""
    for view in views:
        await connection.execute(view.tables.encode())


async def add(connection: Connection, table: LiteralString, rows: Sequence[msgspec.Struct]) -> None:
    """Insert rows that are not there yet, structs with the names of the table's columns.

    Many go by COPY, which costs Postgres a third of what JSON does; a few go faster in one statement.
    """
    if len(rows) < _MANY:
        await put(connection, table, rows)
        return
    columns = ", ".join(rows[0].__struct_fields__)
    async with connection.cursor() as cursor, cursor.copy(f"copy {table} ({columns}) from stdin".encode()) as copy:
        for row in rows:
            await copy.write_row(msgspec.structs.astuple(row))


async def put(
    connection: Connection, table: LiteralString, rows: Sequence[object], conflict: LiteralString = ""
) -> None:
    """Insert rows, structs or dicts with the names of the table's columns; `conflict` is the clause for those there.

    They go as one JSON value: an array for each column costs four times as much here, and no less in Postgres.
    """
    await connection.execute(
        f"insert into {table} select * from json_populate_recordset(null::{table}, %s::json) {conflict}",  # noqa: S608
        [msgspec.json.encode(rows).decode()],
    )


def text(value: str | None) -> str | None:
    """Return a venue's words as Postgres can keep them: NUL becomes the replacement character."""
    return value if value is None or "\0" not in value else value.replace("\0", "\ufffd")


async def dump(connection: Connection, view: View) -> bytes:
    """Return every row of a view's tables, ordered: equal views give equal bytes."""
    parts: list[bytes] = []
    for table in view.table_names:
        name = sql.Identifier(table)
        query = sql.SQL("copy (select * from {} order by {}.*) to stdout").format(name, name)
        parts.append(f"-- {table}\n".encode())
        async with connection.cursor() as cursor, cursor.copy(query) as rows:
            parts.extend([bytes(row) async for row in rows])
    return b"".join(parts)
