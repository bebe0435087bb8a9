"""An event log in memory, for tests of what uses one; it passes the same suite as the real one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zlib import crc32

from commands.ports import Appended, Write
from commands.ports.snapshots import AT_ONCE, Recent, Snapshot
from domain import catalog
from domain.errors import Conflict, StreamMoved, Unavailable
from domain.events import Event, Origin, Recorded

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryLog:
    """Events in a list, as `commands.ports.Log`. Each append is recorded one second after the one before.

    Events go through their bytes, so that what cannot be stored fails here, too.
    """

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.reachable = True
        self.snapshots: dict[str, Snapshot] = {}
        self._streams: dict[str, list[Recorded]] = {}
        self._keys: dict[tuple[str, str], tuple[bytes, Appended, datetime]] = {}
        self._grown = asyncio.Event()
        self._appends = 0

    async def append(
        self, writes: Sequence[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
    ) -> Appended:
        """Append to one or more streams, all or nothing."""
        repeated = await self.answered(origin, request)
        if repeated is not None:
            return repeated
        for write in writes:
            if len(self._streams.get(write.stream, ())) != write.expected_version:
                raise StreamMoved(write.stream, write.expected_version)
        self._appends += 1
        now = _BEGINNING + timedelta(seconds=self._appends)
        for write in writes:
            stories = write.stories or [None] * len(write.events)
            told = zip(write.events, stories, strict=True)
            for version, (event, story) in enumerate(told, write.expected_version + 1):
                self._record(write, version, event, story, origin, now)
        appended = Appended(position=len(self.recorded))
        if origin.idempotency_key is not None:
            first = Appended(position=appended.position, repeated=True, answer=answer)
            self._keys[origin.actor, origin.idempotency_key] = (request, first, now)
        self._grown.set()
        self._grown = asyncio.Event()
        return appended

    async def answered(self, origin: Origin, request: bytes) -> Appended | None:
        """Return the first answer under the origin's idempotency key, None if there is none."""
        self._check_reachable()
        if origin.idempotency_key is None or (origin.actor, origin.idempotency_key) not in self._keys:
            return None
        first_request, first, _ = self._keys[origin.actor, origin.idempotency_key]
        if first_request != request:
            raise Conflict(f"Idempotency-Key '{origin.idempotency_key}' was used for another request")
        return first

    async def forget_keys(self, older_than: datetime) -> int:
        """Delete the idempotency keys that were first used before a time, and return how many."""
        old = [key for key, (_, _, first_used_at) in self._keys.items() if first_used_at < older_than]
        for key in old:
            del self._keys[key]
        return len(old)

    async def read(self, streams: Sequence[str]) -> dict[str, list[Recorded]]:
        """Return the events of each stream in version order."""
        self._check_reachable()
        return {stream: list(self._streams.get(stream, ())) for stream in streams}

    async def last(self, streams: Sequence[str]) -> dict[str, Recorded | None]:
        """Return the last event of each stream, None for one that does not exist."""
        return {stream: events[-1] if events else None for stream, events in (await self.read(streams)).items()}

    async def recent(self, streams: Sequence[str]) -> dict[str, Recent]:
        """Return the newest snapshot of each stream with what comes after it."""
        return {stream: self._recent(stream, events) for stream, events in (await self.read(streams)).items()}

    async def beyond(self, stream: str, version: int) -> list[Recorded]:
        """Return up to `AT_ONCE` events of a stream above a version, in order."""
        return (await self.read([stream]))[stream][version : version + AT_ONCE]

    async def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one."""
        older = self.snapshots.get(snapshot.stream)
        if self.reachable and (older is None or older.version <= snapshot.version):
            self.snapshots[snapshot.stream] = snapshot

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        self._check_reachable()
        return len(self.recorded)

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return up to `limit` events with a position above `after`, in order."""
        self._check_reachable()
        return [event for event in self.recorded[after:] if not types or event.type in types][:limit]

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        """Return up to which position events of some types hold so many bytes together, at most `through`."""
        held = 0
        for event in await self.page(after, through - after, types):
            held += len(catalog.encode(event.event))
            if held > most_bytes and event.position <= through:
                return event.position - 1 if event.position - 1 > after else event.position
        return through

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        """Return the events above one position and up to another, of one of so many parts of the streams."""
        events = await self.page(after, through - after, types)
        return [e for e in events if e.position <= through and crc32(e.stream.encode()) % part[1] == part[0]]

    async def follow(
        self, after: int, *, limit: int = 1000, types: Sequence[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above position `after`, in order, for ever."""
        while True:
            grown = self._grown
            events = await self.page(after, limit, types)
            if events:
                yield events
                after = events[-1].position
            else:
                await grown.wait()

    def _recent(self, stream: str, events: Sequence[Recorded]) -> Recent:
        kept, version, first = self.snapshots.get(stream), 1, events[0] if events else None
        if kept is not None:
            ours = len(events) >= kept.version and events[kept.version - 1].command_id == kept.command_id
            kept, version = (kept, kept.version) if ours else (None, 1)
        return Recent(snapshot=kept, first=first, events=events[version - 1 :][:AT_ONCE])

    def _record(  # noqa: PLR0917 - one row
        self, write: Write, version: int, event: Event, story: UUID | None, origin: Origin, now: datetime
    ) -> None:
        stream = write.stream
        type_ = catalog.type_of(event)
        recorded = Recorded(
            position=len(self.recorded) + 1,
            stream=stream,
            version=version,
            type=type_,
            schema_version=event.schema_version,
            recorded_at=now,
            correlation_id=story or write.correlation_id or origin.correlation_id,
            causation_id=write.causation_id or origin.causation_id,
            command_id=origin.command_id,
            actor=origin.actor,
            event=catalog.decode(type_, event.schema_version, catalog.encode(event)),
        )
        self.recorded.append(recorded)
        self._streams.setdefault(stream, []).append(recorded)

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise Unavailable("The event log cannot be reached: it was made so")
