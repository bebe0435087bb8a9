"""Reading the log: streams, pages, positions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.event_store import connections, keys
from commands.ports import Appended
from domain import catalog
from domain.errors import Unavailable
from domain.events import Origin, Recorded

T = TypeVar("T")
Row = tuple[Any, ...]
"""The columns of an event in the order of the queries below."""

POSITION, STREAM, TYPE = 0, 1, 3
"""Places in a row."""

MOST_CONNECTIONS = 4
WAIT_SECONDS = 2.0
"""How long a question waits for a connection before the log counts as unreachable."""

_STREAMS = """
select position, stream, version, type, schema_version, recorded_at,
       correlation_id, causation_id, command_id, actor, data
  from log.events where stream = any(%b) order by stream, version
"""
_LAST = """
select event.position, event.stream, event.version, event.type, event.schema_version, event.recorded_at,
       event.correlation_id, event.causation_id, event.command_id, event.actor, event.data
  from unnest(%b::text[]) as wanted (stream)
 cross join lateral (select * from log.events e where e.stream = wanted.stream order by e.version desc limit 1) as event
"""
_PAGE = """
select position, stream, version, type, schema_version, recorded_at,
       correlation_id, causation_id, command_id, actor, data
  from log.events where shard = 0 and position > %b order by position limit %b
"""
_PAGE_OF_TYPES = """
select position, stream, version, type, schema_version, recorded_at,
       correlation_id, causation_id, command_id, actor, data
  from log.events where shard = 0 and position > %b and position <= %b and type = any(%b) order by position limit %b
"""
_BETWEEN = """
select position, stream, version, type, schema_version, recorded_at,
       correlation_id, causation_id, command_id, actor, data
  from log.events where shard = 0 and position > %b and position <= %b {}order by position
"""
# The names stand in the query: those of a parameter are compared one by one once Postgres plans for any of them.
_OF_TYPES = "and type in ({}) "
_BEYOND = """
select position from (
    select position, sum(octet_length(data)) over (order by position) as bytes
      from log.events where shard = 0 and position > %b and position <= %b {}
) as summed where bytes > %b order by position limit 1
"""
_OF_PART = "and mod(hashtextextended(stream, 0) & 2147483647, %b::bigint) = %b::bigint "
_POSITION = "select coalesce(max(position), 0) from log.events where shard = 0"


def recorded(row: Row) -> Recorded:
    """Return the event of a row. Raises as `catalog.decode`."""
    position, stream, version, type_, schema_version, at, correlation_id, causation_id, command_id, actor, data = row
    return Recorded(  # by place: by name it takes several times as long
        position,
        stream,
        version,
        type_,
        schema_version,
        at,
        correlation_id,
        causation_id,
        command_id,
        actor,
        catalog.decode(type_, schema_version, data),
    )


class Reader:
    """Asks over a small pool. Every method raises `Unavailable` when the server does not answer."""

    def __init__(self, database_url: str) -> None:
        self.streams = Together(lambda streams: self.rows(_STREAMS, (streams,)))
        self.lasts = Together(lambda streams: self.rows(_LAST, (streams,)))
        self._pool = AsyncConnectionPool(
            connections.parameters(database_url),
            min_size=1,
            max_size=MOST_CONNECTIONS,
            open=False,
            kwargs={"autocommit": True},
            configure=_configure,
            timeout=WAIT_SECONDS,
            # A pool that has given up begins anew with the next question, without the long pauses of its own attempts.
            reconnect_timeout=WAIT_SECONDS / 2,
        )

    async def open(self) -> None:
        """Open the pool."""
        await self._pool.open()

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        [(position,)] = await self.rows(_POSITION, ())
        return int(position)

    async def page(self, after: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events above a position."""
        return [recorded(row) for row in await self.page_of_rows(after, limit)]

    async def page_of_rows(self, after: int, limit: int) -> list[Row]:
        """Return up to `limit` events above a position, not decoded."""
        return await self.rows(_PAGE, (after, limit))

    async def page_of_types(self, after: int, through: int, limit: int, types: Sequence[str]) -> list[Recorded]:
        """Return up to `limit` events of some types, above one position and up to and with another."""
        rows = await self.rows(_PAGE_OF_TYPES, (after, through, list(types), limit))
        return [recorded(row) for row in rows]

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        """Return up to which position events of some types hold at most so many bytes, and at least one event."""
        of_types = _OF_TYPES.format(", ".join(sql.quote(name) for name in types)) if types else ""
        found = await self.rows(_BEYOND.format(of_types), (after, through, most_bytes))
        if not found:
            return through
        [(beyond,)] = found
        return int(beyond) - 1 if beyond - 1 > after else int(beyond)

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        """Return the events above one position and up to another, of one of so many parts of the streams."""
        number, parts = part
        values: list[object] = [after, through]
        conditions = ""
        if types:
            conditions += _OF_TYPES.format(", ".join(sql.quote(name) for name in types))
        if parts > 1:
            conditions += _OF_PART
            values += [parts, number]
        return [recorded(row) for row in await self.rows(_BETWEEN.format(conditions), values)]

    async def answered(self, origin: Origin, request: bytes) -> Appended | None:
        """Return the first answer under the origin's key; raises `Conflict` as well."""
        return await self._ask(lambda connection: keys.first_answer(connection, origin, request))

    async def forget_keys(self, before: datetime) -> int:
        """Delete the keys that were first used before a time, and return how many."""
        return await self._ask(lambda connection: keys.forget(connection, before))

    async def rows(self, query: str, values: Sequence[object]) -> list[Row]:
        """Return all rows of a query."""

        async def fetch(connection: AsyncConnection) -> list[Row]:
            cursor = await connection.execute(query.encode(), values, prepare=True, binary=True)
            return await cursor.fetchall()

        return await self._ask(fetch)

    async def write(self, statement: str, values: Sequence[object]) -> None:
        """Execute a statement that may be executed twice."""
        await self._ask(lambda connection: connection.execute(statement.encode(), values, prepare=True))

    async def _ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            try:
                return await self._once(question)
            except PoolTimeout:
                raise  # there was no connection at all: to wait as long again would tell no more
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # The server was restarted while the connection lay in the pool. All questions here may be asked twice.
                await self._pool.check()
                return await self._once(question)
        except (psycopg.OperationalError, psycopg.InterfaceError) as e:
            raise connections.unreachable(e) from e

    async def _once(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._pool.connection() as connection:
            return await question(connection)


class Together:
    """Answers many callers with one query: the streams asked for while a query is out are asked for by the next one."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[list[Row]]]) -> None:
        """Take what returns the rows of streams, as queries here give them."""
        self._ask = ask
        self._wanted: list[tuple[Sequence[str], asyncio.Future[dict[str, list[Row]]]]] = []
        self._wake = asyncio.Event()

    async def rows(self, streams: Sequence[str]) -> dict[str, list[Row]]:
        """Return the rows of each stream that has any, and maybe of others."""
        if not streams:
            return {}
        answer: asyncio.Future[dict[str, list[Row]]] = asyncio.get_running_loop().create_future()
        self._wanted.append((streams, answer))
        self._wake.set()
        return await answer

    async def run(self) -> None:
        """Ask, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, []
            found: dict[str, list[Row]] = {}
            try:
                for row in await self._ask(list({stream for streams, _ in wanted for stream in streams})):
                    found.setdefault(row[STREAM], []).append(row)
            except Unavailable as e:
                for _, answer in wanted:
                    if not answer.done():
                        answer.set_exception(Unavailable(e.message))
            else:
                for _, answer in wanted:
                    if not answer.done():
                        answer.set_result(found)


async def _configure(connection: AsyncConnection) -> None:
    # Plans made while the table is small must serve when it is large.
    await connection.execute("set timezone to 'UTC'; set enable_seqscan to off; set jit to off")
