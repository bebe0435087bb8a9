"""A log that costs next to nothing: what is left of a route's time is not the log's."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from commands.ports import Appended, Write
from commands.ports.snapshots import Recent, Snapshot
from domain import catalog
from domain.events import Event, Origin, Recorded

_AT = datetime(2026, 1, 1, tzinfo=UTC)


class StubLog:
    """Keeps events as they are given, checks nothing, and makes nothing of them until they are read."""

    def __init__(self) -> None:
        self._streams: dict[str, list[tuple[int, Origin, Event]]] = {}
        self._position = 0

    async def append(
        self,
        writes: Sequence[Write],
        origin: Origin,
        *,
        answer: bytes | None = None,
        request: bytes = b"",
    ) -> Appended:
        for write in writes:
            for event in write.events:
                self._position += 1
                self._streams.setdefault(write.stream, []).append((self._position, origin, event))
        return Appended(position=self._position)

    async def answered(self, origin: Origin, request: bytes) -> Appended | None:
        return None

    async def forget_keys(self, older_than: datetime) -> int:
        return 0

    async def read(self, streams: Sequence[str]) -> dict[str, list[Recorded]]:
        return {
            stream: [self._recorded(stream, version) for version in range(1, len(self._streams.get(stream, ())) + 1)]
            for stream in streams
        }

    async def last(self, streams: Sequence[str]) -> dict[str, Recorded | None]:
        versions = {stream: len(self._streams.get(stream, ())) for stream in streams}
        return {stream: self._recorded(stream, version) if version else None for stream, version in versions.items()}

    async def recent(self, streams: Sequence[str]) -> dict[str, Recent]:
        found = await self.read(streams)
        return {stream: Recent(first=events[0] if events else None, events=events) for stream, events in found.items()}

    async def beyond(self, stream: str, version: int) -> list[Recorded]:
        return (await self.read([stream]))[stream][version:]

    async def keep(self, snapshot: Snapshot) -> None:
        return

    async def position(self) -> int:
        return self._position

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        everything = [recorded for found in (await self.read(list(self._streams))).values() for recorded in found]
        return sorted((r for r in everything if r.position > after), key=lambda r: r.position)[:limit]

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        raise NotImplementedError("nobody builds views from a stub")

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        raise NotImplementedError("nobody builds views from a stub")

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        raise NotImplementedError("nobody follows a stub")

    def _recorded(self, stream: str, version: int) -> Recorded:
        position, origin, event = self._streams[stream][version - 1]
        return Recorded(
            position=position,
            stream=stream,
            version=version,
            type=catalog.type_of(event),
            schema_version=event.schema_version,
            recorded_at=_AT,
            correlation_id=origin.correlation_id,
            causation_id=origin.causation_id,
            command_id=origin.command_id,
            actor=origin.actor,
            event=event,
        )
