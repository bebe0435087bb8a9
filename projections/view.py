"""What a view is, and how far each one has come.

A view is a few tables that are a function of the log, and of nothing else: no clock, no random number, no serial. It
may be thrown away and built again at any time, and gives the same bytes however the log was cut into batches.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, LiteralString, NamedTuple, Protocol, TypeVar

import msgspec
import psycopg
from psycopg import sql

from domain.events import Event, Recorded

Connection = psycopg.AsyncConnection[Any]

SCHEMA = "read"

_MANY = 100
_SHORT = 12

_CHECKPOINTS = """
    create table if not exists read.checkpoints (
        view        text   primary key,
        fingerprint text   not null,
        position    bigint not null,
        tables      text[] not null
    ) with (fillfactor = 50)
"""

_REBUILDS = """
    create table if not exists read.rebuilds (
        view        text    not null,
        part        integer not null default 0,
        parts       integer not null default 1,
        fingerprint text    not null,
        position    bigint  not null default 0,
        mark        uuid,
        indexed     boolean not null default false,
        total       bigint  not null default 0,
        rate        double precision not null default 0,
        primary key (view, part)
    ) with (fillfactor = 50)
"""
"""How far shadows are, a row for each part of the streams.

`mark` is the command of the last event up to the position, by which the log is known again.
"""

_WITHOUT_PARTS = (
    "select true from pg_class where oid = to_regclass('read.rebuilds')"
    " and not exists (select from pg_attribute where attrelid = oid and attname = 'part')"
)
"""Finds the table of earlier versions; what their rebuilds left behind is begun anew."""


class Part(NamedTuple):
    """Some of the streams: they are dealt out to `of` parts by a hash of their names, numbered from 0."""

    number: int = 0
    of: int = 1


WHOLE = Part()
"""All streams."""


class Source(Protocol):
    """What a view is made from: the log, read only."""

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        ...

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return up to `limit` events with a position above `after`, in order, of all types or of those named."""
        ...

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        """Return up to which position events of some types hold so many bytes together, at most `through`.

        At least one event is up to there, however long it is.
        """
        ...

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        """Return the events above one position and up to and with another, in order, of all types or of those named."""
        ...

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above position `after`, in order, for ever; waits where the log ends."""
        ...


Statement = tuple[LiteralString, Sequence[object]]
"""SQL with its values."""


class Changes:
    """What views write in one transaction, sent as few statements: a round trip costs more than what is done in it.

    Statements that wait change different tables, so it does not matter which of them is executed first. Of those who
    share tables, because each fills them with a part of the streams, one at a time sends until its transaction ends.
    """

    def __init__(self, connection: Connection, *, shared: bool = False) -> None:
        self._connection = connection
        self._shared = shared
        self._waiting: dict[LiteralString, list[Statement]] = {}

    async def rows(self, query: LiteralString, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Return the rows of a query; what waits to be sent is not in them."""
        return await (await self._connection.execute(query, values)).fetchall()

    async def write(
        self,
        table: LiteralString,
        statement: LiteralString,
        values: Sequence[object] = (),
        *,
        beside: Statement | None = None,
    ) -> None:
        """Have a statement executed that changes one table, behind those that change the same one.

        `beside` is one that changes other rows of it, and may be executed before or after.
        """
        if table in self._waiting:
            await self.send()
        self._waiting[table] = [(statement, values)] if beside is None else [beside, (statement, values)]

    async def put(self, table: LiteralString, rows: Sequence[object], conflict: LiteralString = "") -> None:
        """Insert rows, structs or dicts with the names of the table's columns; `conflict` is for those that are there.

        They go as one JSON value: an array for each column costs four times as much here, and no less in Postgres.
        """
        statement: LiteralString = (
            f"insert into {table} select * from json_populate_recordset(null::{table}, %s::json) {conflict}"  # noqa: S608
        )
        await self.write(table, statement, [msgspec.json.encode(rows).decode()])

    async def add(self, table: LiteralString, rows: Sequence[msgspec.Struct]) -> None:
        """Insert rows that are not there yet, structs with the names of the table's columns.

        Many go by COPY, which costs Postgres a third of what JSON does; a few go with all the rest.
        """
        if len(rows) < _MANY:
            await self.put(table, rows)
            return
        columns = ", ".join(rows[0].__struct_fields__)
        query = f"copy {table} ({columns}) from stdin".encode()
        async with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                await copy.write_row(msgspec.structs.astuple(row))

    async def send(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        if self._shared:
            await self._connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(current_schema() || '.shared', 0))"
            )
        *others, (last, values) = chain.from_iterable(self._waiting.values())
        self._waiting = {}
        query = last
        if others:
            named: list[LiteralString] = [f"c{n} as ({statement})" for n, (statement, _) in enumerate(others)]
            query = "with " + ", ".join(named) + " " + last
        await self._connection.execute(query, [value for _, given in others for value in given] + list(values))


Words = TypeVar("Words", str, str | None)

Apply = Callable[[Changes, Sequence[Recorded]], Awaitable[None]]
Copy = Callable[[Changes, int, int], Awaitable[None]]


class View(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Tables that are kept from the events they handle.

    `tables` and `indexes` are DDL with unqualified names; a key that `apply` needs stands in `tables`, everything else
    is added to the filled tables. `handles` names the events that `apply` is given, in position order; empty means
    every event. `revision` goes up when `apply` changes in what it writes: the view is then built anew, as it is when
    its DDL changes. `skips` are the positions of events that it is never given; they stand in the log (`skips.py`).

    `copy` has Postgres make rows of the log above one position and up to and with another, of all events; `apply` comes
    after it. What is skipped lies between two ranges; a view that takes whole blocks of the log has it. A view is
    `by_stream` when each row is of one stream, and what rows share is only added up or the greatest of its kind: parts
    of the streams may then be taken in at the same time. Events of a `bulky` one may be long, each a piece of a file.
    """

    name: str
    tables: str
    indexes: str
    handles: tuple[type[Event], ...]
    apply: Apply
    copy: Copy | None = None
    by_stream: bool = False
    bulky: bool = False
    revision: int = 1
    skips: frozenset[int] = frozenset()

    @cached_property
    def fingerprint(self) -> str:
        """What the tables and their content depend on, besides the log."""
        parts = (self.tables, self.indexes, *sorted(e.__name__ for e in self.handles), str(self.revision))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def version(self) -> str:
        """The fingerprint, short enough to be read."""
        return self.fingerprint[:_SHORT]

    @cached_property
    def table_names(self) -> list[str]:
        """The tables, in the order of their DDL."""
        return re.findall(r"create (?:unlogged )?table (\w+)", self.tables)

    @cached_property
    def unlogged(self) -> "View":
        """The same view in tables that Postgres empties when it crashes, and fills twice as fast."""
        return msgspec.structs.replace(self, tables=self.tables.replace("create table", "create unlogged table"))

    def relevant(self, events: Sequence[Recorded], after: int) -> list[Recorded]:
        """Return the events above position `after` that this view handles and does not leave out."""
        handled = self.handles
        return [
            e
            for e in events
            if e.position > after and (not handled or type(e.event) in handled) and e.position not in self.skips
        ]

    def ranges(self, after: int, through: int) -> list[tuple[int, int]]:
        """Return what `copy` is to take above one position and up to another: all but what is left out."""
        cuts = sorted(position for position in self.skips if after < position <= through)
        starts, ends = [after, *cuts], [*(position - 1 for position in cuts), through]
        return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


class Moved(Exception):
    """Say that a checkpoint is not where it was: somebody else has moved or replaced the view."""


class Stuck(Exception):
    """Say at which event a view cannot go on, and why."""

    def __init__(self, view: str, at: Recorded, why: Exception) -> None:
        super().__init__(
            f"View '{view}' cannot take event {at.position} ({at.type} of stream '{at.stream}'):"
            f" {type(why).__name__}: {why}"
        )
        self.position = at.position
        self.why = why


_SERVER_TROUBLE = frozenset({"08", "40", "53", "57", "58"})
"""SQLSTATE classes: connection, rollback by the server (deadlock), resources, operator intervention, system error."""


def of_the_server(error: Exception, connection: Connection) -> bool:
    """Whether an error says something of the database, not of the view whose statement met it."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return connection.broken or error.sqlstate is None or error.sqlstate[:2] in _SERVER_TROUBLE


async def connect(database_url: str, schema: str = SCHEMA) -> Connection:
    """Open a connection for writing views in a schema.

    A commit does not wait for the disk: rows and checkpoint are lost together in a crash, and made again from the log.
    """
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    try:
        await connection.execute(
            "select set_config('search_path', %s, false), set_config('synchronous_commit', 'off', false),"
            " set_config('timezone', 'UTC', false), set_config('jit', 'off', false)",
            [schema],
        )
    except BaseException:  # nobody else could close it
        await connection.close()
        raise
    return connection


async def prepare(connection: Connection, views: Sequence[View]) -> None:
    """Make the tables of checkpoints, with a row for each view; a view that was never built has no fingerprint."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('nectar.checkpoints', 0))")
        await connection.execute(_CHECKPOINTS)
        if await (await connection.execute(_WITHOUT_PARTS)).fetchone():
            await connection.execute("drop table read.rebuilds")
        await connection.execute(_REBUILDS)
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
    expected = [{"view": v.name, "position": at[v.name], "fingerprint": v.fingerprint} for v in views]
    cursor = await connection.execute(
        "update read.checkpoints c set position = %s"
        " from json_to_recordset(%s::json) as e (view text, position bigint, fingerprint text)"
        " where c.view = e.view and c.position = e.position and c.fingerprint = e.fingerprint",
        [to, msgspec.json.encode(expected).decode()],
    )
    if cursor.rowcount != len(views):
        raise Moved


async def take(
    connection: Connection,
    views: Sequence[View],
    events: Sequence[Recorded],
    at: Mapping[str, int] | None = None,
    through: int | None = None,
    *,
    shared: bool = False,
) -> None:
    """Take events into views that have seen the log up to a position, `at`, or nothing of these events.

    They are all that there are up to `through`, for which the last one stands. `shared` is whether others fill the same
    tables.
    """
    changes = Changes(connection, shared=shared)
    for view in views:
        after = events[0].position - 1 if at is None else at[view.name]
        if view.copy is not None:
            for start, end in view.ranges(after, events[-1].position if through is None else through):
                await view.copy(changes, start, end)
        if relevant := view.relevant(events, after):
            await view.apply(changes, relevant)
    await changes.send()


async def make_tables(connection: Connection, views: Sequence[View]) -> None:
    """Create the empty tables of views in the connection's schema."""
    for view in views:
        await connection.execute(view.tables.encode())


def text(value: Words) -> Words:
    """Return a venue's words as Postgres can keep them: NUL becomes the replacement character."""
    return value.replace("\0", "\ufffd") if value else value


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
