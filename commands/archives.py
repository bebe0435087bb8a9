"""Take the databases of archived bots into the log, once, and delete archives."""

import msgspec
import structlog

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import append
from commands.folding import load
from commands.ports import Write
from commands.ports.archives import Seen, Unreadable
from domain import archives, bots
from domain.archives import ArchiveUnreadable, known, missing, stream_of
from domain.errors import Invalid, NotFound
from domain.events import Event

logger = structlog.get_logger()

DEPTH = 5
"""Parts of a path: bots, archived, the bot, data, the file."""


class ImportArchive(Command, frozen=True, kw_only=True):
    """Have all of a database in the log. What is there already is not read again."""

    path: str
    bot: str
    sha256: str
    size: int


class DeleteArchive(Command, frozen=True, kw_only=True):
    """Delete the archive that a database belongs to, for ever; what was taken into the log stays in the log."""

    path: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Which bot's archive is gone, and how many of its runs are not shown any more."""

    bot: str
    runs: int = 0


async def import_(command: ImportArchive, call: Call) -> Outcome:
    """Look at the file, and append what it holds batch by batch; a crash in between goes on behind the last batch."""
    writing = await _Writing.of(command.path, call)
    archive = known(writing.last)
    if archive.settled and archive.sha256 == command.sha256:
        return Outcome(result=None, position=writing.position)
    seen = Seen(path=command.path, bot=command.bot, sha256=command.sha256, size=command.size)
    port = call.ports.archives
    try:
        found = await port.look(seen)
        await writing.append(archives.find(archive, found))
        archive = known(writing.last)
        async for event in port.read(found, missing(archive, found), rest=not archive.rest):
            await writing.append([event])
    except Unreadable as reason:
        unreadable = ArchiveUnreadable(
            path=seen.path,
            bot=seen.bot,
            sha256=seen.sha256,
            size=seen.size,
            reason=str(reason),
            found_at=call.ports.clock(),
        )
        await writing.append(archives.refuse(archive, unreadable))
        logger.warning("archive_unreadable", path=seen.path, why=str(reason))
    else:
        await writing.append(archives.finish(known(writing.last), seen.path, call.ports.clock()))
    return Outcome(result=None, position=writing.position)


async def delete(command: DeleteArchive, call: Call) -> Outcome:
    """Delete the files, then note it, and that the bot's run is not shown any more.

    After a crash in between the files are gone and the log does not know: the same command notes it then.
    """
    ports = call.ports
    check_path(command.path)
    bot = command.path.split("/")[-3]
    there = await call.ports.archives.delete(command.path)
    stream, life = stream_of(command.path), bots.stream_of(bot)
    last = (await ports.log.last([stream]))[stream]
    lived = await load(ports.log, life, bots.NEW, bots.evolve)
    noted = archives.delete(None if last is None else last.event, command.path, ports.clock())
    if not there and (last is None or not noted):
        raise NotFound(f"Database path '{command.path}' not found")
    state = lived.state
    runs: list[Event] = []
    if state.deployed is not None and state.cleared and not state.run_deleted:
        runs = [bots.BotRunDeleted(instance=bot)]
    result = Deleted(bot=bot, runs=len(runs))
    writes = [
        Write(stream=stream, expected_version=0 if last is None else last.version, events=noted),
        *([Write(stream=life, expected_version=lived.version, events=runs)] if runs else []),
    ]
    position = await append(ports.log, writes, call.origin, answer=call.keep(result), request=call.request)
    return Outcome(result=result, position=position)


def check_path(path: str) -> str:
    """Return a path that can be that of an archived bot's database.

    Raises `Invalid` for one that leads elsewhere, `NotFound` for one that has another form.
    """
    parts = path.split("/")
    if parts[:2] != ["bots", "archived"] or ".." in parts:
        raise Invalid(f"Path '{path[:200]}' is outside the archived bots directory")
    if len(parts) != DEPTH or parts[3] != "data" or not all(parts) or not parts[4].endswith(".sqlite"):
        raise NotFound(f"Database path '{path[:200]}' not found")
    return path


class _Writing:
    """Appends to one stream that nobody else writes to: the server that works has the turn, and imports one by one."""

    def __init__(self, call: Call, stream: str, version: int, last: Event | None, position: int) -> None:
        self._call = call
        self._stream = stream
        self._version = version
        self.last = last
        self.position = position

    @classmethod
    async def of(cls, path: str, call: Call) -> "_Writing":
        stream = stream_of(path)
        recorded = (await call.ports.log.last([stream]))[stream]
        if recorded is None:
            return cls(call, stream, 0, None, 0)
        return cls(call, stream, recorded.version, recorded.event, recorded.position)

    async def append(self, events: list[Event]) -> None:
        if not events:
            return
        write = Write(stream=self._stream, expected_version=self._version, events=events)
        self.position = await append(self._call.ports.log, [write], self._call.plain())
        self._version += len(events)
        self.last = events[-1]


HANDLERS: Handlers = {ImportArchive: (import_, None), DeleteArchive: (delete, Deleted)}
