"""The group-commit writer: while one batch commits, the next one fills."""

import asyncio
from collections.abc import Callable, Sequence

import psycopg
import structlog
from psycopg import AsyncConnection

from adapters.event_store import batches, connections
from adapters.event_store.batches import Batch, Item
from adapters.event_store.keys import first_answer
from adapters.event_store.reader import Row
from commands.ports import Appended
from domain.errors import Conflict, DomainError, Invalid, StreamMoved, Unavailable

logger = structlog.get_logger()

SETTLE_SECONDS = 5.0
"""How long an append waits for the connection it was lost with before its caller hears that nothing is known."""

MOST_EVENTS = 2000
"""A batch takes no further item from here on; one item may have more events than this."""

_RETRY_SECONDS = 0.1
_LOCK_SECONDS = 5
_REFUSED_FOR_CONTENT = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
_FIRST_EVENT = "select position, command_id from log.events where stream = %b and version = %b"


class Writer:
    """Appends items in the order in which they come, with each commit as many as wait.

    A stream, and an idempotency key, is in a batch once; so what comes later for it is checked against what came first.

    When the connection breaks it is not known whether the batch under way was committed. It is sent again once the
    server is back: expected versions and keys let nothing in twice, and an item that now stands in its own way was
    committed the first time. Until then new items are refused at once.
    """

    def __init__(self, database_url: str, appended: Callable[[Sequence[Row]], None]) -> None:
        """Take the function that is given the rows of each commit, as the log has them."""
        self._parameters = connections.parameters(database_url)
        self._appended = appended
        self._waiting: list[Item] = []
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._connection: AsyncConnection | None = None
        self._turn: int | None = None
        self._lost: str | None = None  # why there is no connection

    async def append(self, item: Item) -> Appended:
        """Commit an item. Raises `StreamMoved`, `Conflict` or `Unavailable`."""
        if self._closing.is_set():
            raise Unavailable("The event log is closed")
        if self._lost is not None:
            raise Unavailable(self._lost)
        self._waiting.append(item)
        self._wake.set()
        return await item.done

    async def open(self) -> None:
        """Connect for the first time. Raises `Unavailable`."""
        try:
            self._connection = await self._connect()
        except psycopg.Error as e:
            raise connections.unreachable(e) from e

    def hold(self, turn: int) -> None:
        """Connect from now on only while nobody has taken a later turn to work on this database.

        A server that was cut off and is back must not append what it believed meanwhile, not even until it notices.
        """
        self._turn = turn

    def close(self) -> None:
        """Let `run` commit what waits, and end."""
        self._closing.set()
        self._wake.set()

    async def run(self) -> None:
        """Commit what comes until `close`."""
        items: list[Item] = []
        try:
            while not self._closing.is_set():
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    items, self._waiting = _take(self._waiting)
                    await self._commit(items)
        finally:
            self._closing.set()
            _fail((*items, *self._waiting), "The event log is closed")
            if self._connection is not None:
                await self._connection.close()

    async def _commit(self, items: list[Item]) -> None:
        while items := [item for item in items if not item.done.done()]:
            connection = self._connection
            if connection is None:
                await self._reconnect(items)
                continue
            try:
                await self._send(connection, items)
            except _REFUSED_FOR_CONTENT as e:
                if len(items) == 1:
                    _refuse(items[0], Invalid(f"The event log does not take this: {e}"))
                else:
                    for item in items:
                        await self._commit([item])
            except psycopg.Error as e:
                self._connection = None
                if connection.closed:
                    self._lose(e, items)
                    # At once, whether or not the items still have callers: until then everybody is refused.
                    await self._reconnect(items)
                else:
                    # The server refused and rolled back. Another connection may find a better one after a failover.
                    logger.exception("append_failed", items=len(items))
                    _fail(items, f"The event log cannot be written: {e}")
                    await connection.close()

    async def _send(self, connection: AsyncConnection, items: Sequence[Item]) -> None:
        """Append the items, or answer those that stand in the way and leave the others as they are."""
        batch = Batch(items)
        cursor = await connection.execute(batches.APPEND, batch.columns, prepare=True, binary=True)
        for before, at, moved, repeated in await cursor.fetchall():
            if moved or repeated:
                # A repeat is a repeat wherever its streams have got to meanwhile.
                for place in repeated:
                    await _settle_repeated(connection, batch.keyed[place - 1])
                for place in moved:
                    await _settle_moved(connection, *batch.writes[place - 1])
            else:
                for item, events in zip(items, batch.events_through, strict=True):
                    _answer(item, Appended(position=before + events))
                self._appended(batch.rows(before, at))

    def _lose(self, why: psycopg.Error, items: Sequence[Item]) -> None:
        self._lost = connections.unreachable(why).message
        logger.warning("log_lost", why=self._lost, items=len(items), waiting=len(self._waiting))
        for item in items:
            item.lost = True
        unknown = f"{self._lost}. It is not known whether this was recorded"
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, _fail, items, unknown)

    async def _reconnect(self, items: Sequence[Item]) -> None:
        """Wait until the server is back; when the log is closed meanwhile, give up.

        Only items that were sent wait along: of the others it is known that they were not committed.
        """
        while True:
            try:
                self._connection = await self._connect()
            except psycopg.Error as e:
                self._lost = connections.unreachable(e).message
                _fail([item for item in (*items, *self._waiting) if not item.lost], self._lost)
                self._waiting = []
            else:
                if self._lost is not None:
                    logger.info("log_found_again", items=len(items))
                self._lost = None
                return
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._closing.wait()
            except TimeoutError:
                continue
            _fail(items, self._lost)
            return

    async def _connect(self) -> AsyncConnection:
        connection = await AsyncConnection.connect(self._parameters, autocommit=True)
        batches.teach(connection)
        # Checks and inserts of one batch have to see what the batch before committed.
        await connection.execute("set default_transaction_isolation to 'read committed'; set timezone to 'UTC'")
        # Whoever holds the log's lock for so long is stuck: callers are told rather than kept.
        await connection.execute("select set_config('lock_timeout', %s, false)", [f"{_LOCK_SECONDS}s"])
        if self._turn is not None:
            row = await (await connection.execute("select taken from work.turns")).fetchone()
            if row != (self._turn,):
                await connection.close()
                raise psycopg.OperationalError("another server has taken over the work on this database")
        return connection


def _take(waiting: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Return the items of the next batch and those that have to wait for a later one, both in order."""
    taken: list[Item] = []
    left: list[Item] = []
    busy: set[object] = set()
    events = 0
    for place, item in enumerate(waiting):
        if events >= MOST_EVENTS or len(left) >= MOST_EVENTS:
            left.extend(waiting[place:])
            break
        names: set[object] = {*item.streams}
        if item.key is not None:
            names.add(item.key)
        if item.done.done():  # its caller was canceled
            continue
        if busy.isdisjoint(names):
            taken.append(item)
            events += item.events
        else:
            left.append(item)
        busy |= names
    return taken, left


async def _settle_repeated(connection: AsyncConnection, item: Item) -> None:
    """Answer an item whose key is known; one whose key was forgotten this moment stays as it is."""
    if await _is_settled(connection, item):
        return
    try:
        first = await first_answer(connection, item.origin, item.request)
    except Conflict as e:
        _refuse(item, e)
    else:
        if first is not None:
            _answer(item, first)


async def _settle_moved(connection: AsyncConnection, item: Item, place: int) -> None:
    """Answer an item of which a write's stream is at another version."""
    if not await _is_settled(connection, item):
        write = item.writes[place]
        _refuse(item, StreamMoved(write.stream, write.expected_version))


async def _is_settled(connection: AsyncConnection, item: Item) -> bool:
    """Say whether an item needs no other answer, after answering it if a lost connection has committed it."""
    if item.lost and item.first is not None:
        cursor = await connection.execute(_FIRST_EVENT, item.first)
        for position, command_id in await cursor.fetchall():
            if command_id == item.origin.command_id:
                _answer(item, Appended(position=position + item.events - 1))
    return item.done.done()


def _answer(item: Item, appended: Appended) -> None:
    if not item.done.done():
        item.done.set_result(appended)


def _fail(items: Sequence[Item], why: str) -> None:
    for item in items:
        _refuse(item, Unavailable(why))


def _refuse(item: Item, why: DomainError) -> None:
    if not item.done.done():
        item.done.set_exception(why)
