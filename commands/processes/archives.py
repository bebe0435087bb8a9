"""See that every archived bot's database is in the log: look every few seconds, and import what is new."""

import structlog

from commands.archives import ImportArchive
from commands.bus import Bus, origin_of_process
from commands.ports.archives import Archives
from domain.archives import known, stream_of
from domain.errors import DomainError

logger = structlog.get_logger()


class ArchiveWatch:
    """Imports what it has not seen in the log yet. Its memory saves questions only."""

    def __init__(self, bus: Bus, archives: Archives) -> None:
        """Watch the archives of a port."""
        self._bus = bus
        self._archives = archives
        self._settled: dict[str, str] = {}

    async def look(self) -> None:
        """Import what is new or has changed, one after the other. Raises `Unavailable` where the log is away."""
        there = await self._archives.seen()
        fresh = [seen for seen in there if self._settled.get(seen.path) != seen.sha256]
        streams = [stream_of(seen.path) for seen in fresh]
        last = await self._bus.ports.log.last(streams) if streams else {}
        for seen, stream in zip(fresh, streams, strict=True):
            recorded = last[stream]
            archive = known(None if recorded is None else recorded.event)
            if archive.settled and archive.sha256 == seen.sha256:
                self._settled[seen.path] = seen.sha256
                continue
            command = ImportArchive(path=seen.path, bot=seen.bot, sha256=seen.sha256, size=seen.size)
            try:
                await self._bus.dispatch(command, origin_of_process("archives", self._bus.ports.new_id))
            except DomainError as reason:
                logger.warning("archive_not_imported", path=seen.path, why=reason.message)
            else:
                self._settled[seen.path] = seen.sha256
