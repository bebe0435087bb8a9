"""The event log on Postgres.

`writer` commits appends in groups, `reader` asks over a small pool, `following` waits for what comes, `snapshots` keeps
what long streams came to. The tables, the lock and the append itself are in `migrations/`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self

from adapters.event_store.batches import Item, storable
from adapters.event_store.following import Bell, Tail, follow
from adapters.event_store.reader import Reader, recorded
from adapters.event_store.snapshots import KeptSnapshots
from adapters.event_store.writer import Writer
from commands.ports import Appended, Write
from commands.ports.snapshots import Recent, Snapshot
from domain.events import Origin, Recorded

__all__ = ["PostgresLog"]


class PostgresLog:
    """The port `Log`, over one writing connection, a pool of reading ones and one that listens."""

    def __init__(self, reader: Reader, writer: Writer, tail: Tail, snapshots: KeptSnapshots) -> None:
        """Use `open` instead: these have to run."""
        self._reader = reader
        self._writer = writer
        self._tail = tail
        self._snapshots = snapshots

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncIterator[Self]:
        """Connect, and close when the context ends: what waits then is still committed. Raises `Unavailable`.

        Cancels the task that is in the context should the log's own tasks ever fail, and raises what they failed with.
        """
        reader = Reader(database_url)
        bell = Bell(database_url)
        tail = Tail(reader, bell)
        writer = Writer(database_url, appended=tail.take)
        snapshots = KeptSnapshots(reader)
        await writer.open()
        await reader.open()
        opener = asyncio.current_task()

        def stop_opener(ended: asyncio.Task[None]) -> None:
            if opener is not None and not ended.cancelled() and ended.exception() is not None:
                opener.cancel("The event log has failed")

        committing = asyncio.create_task(writer.run())
        runs = (reader.streams.run, reader.lasts.run, snapshots.together.run, bell.run, tail.run)
        for_ever = [asyncio.create_task(run()) for run in runs]
        for task in (committing, *for_ever):
            task.add_done_callback(stop_opener)
        try:
            yield cls(reader, writer, tail, snapshots)
        finally:
            writer.close()
            await asyncio.wait([committing])
            for task in for_ever:
                task.cancel()
            await asyncio.wait(for_ever)
            await reader.close()
            for task in (committing, *for_ever):
                if not task.cancelled():
                    task.result()  # raises what it failed with

    def hold(self, turn: int) -> None:
        """Append only while nobody has taken a later turn to work on this database (`work.turns`)."""
        self._writer.hold(turn)

    async def append(
        self, writes: Sequence[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
    ) -> Appended:
        """Append to one or more streams, all or nothing, durably.

        Raises what the port says, and `Invalid` for a name that cannot be stored.
        """
        return await self._writer.append(Item(writes, origin, answer, request))

    async def answered(self, origin: Origin, request: bytes) -> Appended | None:
        """Return the first answer under the origin's idempotency key, None if there is none."""
        if origin.idempotency_key is None or not storable(origin.idempotency_key) or not storable(origin.actor):
            return None
        return await self._reader.answered(origin, request)

    async def forget_keys(self, older_than: datetime) -> int:
        """Delete the idempotency keys that were first used before a time, and return how many."""
        return await self._reader.forget_keys(older_than)

    async def read(self, streams: Sequence[str]) -> dict[str, list[Recorded]]:
        """Return the events of each stream in version order; a stream that does not exist has an empty list."""
        found = await self._reader.streams.rows([stream for stream in streams if storable(stream)])
        return {stream: [recorded(row) for row in found.get(stream, ())] for stream in streams}

    async def last(self, streams: Sequence[str]) -> dict[str, Recorded | None]:
        """Return the last event of each stream, None for one that does not exist."""
        found = await self._reader.lasts.rows([stream for stream in streams if storable(stream)])
        return {stream: recorded(found[stream][0]) if stream in found else None for stream in streams}

    async def recent(self, streams: Sequence[str]) -> dict[str, Recent]:
        """Return the newest snapshot of each stream with what comes after it."""
        found = await self._snapshots.recent([stream for stream in streams if storable(stream)])
        return {stream: found.get(stream, Recent()) for stream in streams}

    async def beyond(self, stream: str, version: int) -> list[Recorded]:
        """Return up to `AT_ONCE` events of a stream above a version, in order."""
        return await self._snapshots.beyond(stream, version) if storable(stream) else []

    async def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one, if the server takes it."""
        await self._snapshots.keep(snapshot)

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        return await self._reader.position()

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return up to `limit` events with a position above `after`, in order, of all types or of those named."""
        if types:
            return await self._reader.page_of_types(after, sys.maxsize, limit, types)
        return await self._reader.page(after, limit)

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        """Return up to which position events of some types hold so many bytes together, at most `through`.

        At least one event is up to there, however long it is.
        """
        return await self._reader.reach(after, through, types, most_bytes)

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        """Return the events above one position and up to and with another, in order, of all types or of those named.

        `part` is a number and how many parts the streams are dealt out to, by a hash of their names.
        """
        return await self._reader.between(after, through, types, part)

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above position `after`, in order, for ever; waits where the log ends."""
        return follow(self._reader, self._tail, after, limit=limit, types=types)
