"""Snapshots of streams: the table beside the log, and the question that gives a snapshot with what came after it."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg
import structlog

from adapters.event_store.reader import POSITION, Reader, Row, Together, recorded
from commands.ports.snapshots import AT_ONCE, Recent, Snapshot
from domain.errors import Unavailable
from domain.events import Recorded

logger = structlog.get_logger()

_EVENT = """
event.position, event.stream, event.version, event.type, event.schema_version, event.recorded_at,
event.correlation_id, event.causation_id, event.command_id, event.actor, event.data
"""
# Of each stream its snapshot, shown as a row without a position; what comes from the snapshot's last event on; and the
# stream's first event, if that is not among them. With `limit` snapshots are looked up one by one: the plan is made
# while there are few, and must serve when there are many.
_RECENT = f"""
with wanted as materialized (
    select named.stream, kept.version, kept.command_id, kept.state
      from unnest(%b::text[]) as named (stream)
      left join lateral (
           select * from work.snapshots s where s.stream = named.stream and s.code = %b limit 1
      ) as kept on true
)
select null::bigint, stream, version, null::text, null::smallint, null::timestamptz,
       null::uuid, null::uuid, command_id, null::text, state
  from wanted where version is not null
union all
select {_EVENT}
  from wanted cross join lateral (
       select * from log.events e where e.stream = wanted.stream and e.version >= coalesce(wanted.version, 1)
        order by e.version limit {AT_ONCE}
  ) as event
union all
select {_EVENT}
  from wanted join log.events event on event.stream = wanted.stream and event.version = 1 where wanted.version > 1
"""  # noqa: S608 - the parts are constants
_BEYOND = f"""
select {_EVENT} from log.events event where stream = %b and version > %b order by version limit {AT_ONCE}
"""  # noqa: S608 - the parts are constants
_KEEP = """
insert into work.snapshots as kept (stream, code, version, command_id, state) values (%b, %b, %b, %b, %b)
    on conflict (stream) do update
   set code = excluded.code, version = excluded.version, command_id = excluded.command_id, state = excluded.state
 where kept.code <> excluded.code or kept.version <= excluded.version
"""
_DISCARD = "delete from work.snapshots where stream = %b and version = %b"
_VERSION, _COMMAND, _DATA = 2, 8, 10


class KeptSnapshots:
    """The port `Snapshots`, over the reading connections. What other code than this program's has made is not seen."""

    def __init__(self, reader: Reader, code: str | None = None) -> None:
        """Take how the log is read. `code` names what folds, this program's domain if it is None."""
        self._reader = reader
        self._code = code or _of_domain()
        self.together = Together(lambda streams: reader.rows(_RECENT, (streams, self._code)))

    async def recent(self, streams: Sequence[str]) -> dict[str, Recent]:
        """Return the newest snapshot of each stream with what comes after it; one of another log is discarded."""
        found = await self.together.rows(streams)
        return {stream: await self._recent(stream, found.get(stream, ())) for stream in streams}

    async def beyond(self, stream: str, version: int) -> list[Recorded]:
        """Return up to `AT_ONCE` events of a stream above a version, in order."""
        return [recorded(row) for row in await self._reader.rows(_BEYOND, (stream, version))]

    async def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one, if the server takes it."""
        values = (snapshot.stream, self._code, snapshot.version, snapshot.command_id, snapshot.state)
        try:
            await self._reader.write(_KEEP, values)
        except (Unavailable, psycopg.Error) as e:  # whoever folded has what he wanted
            logger.warning("snapshot_not_kept", stream=snapshot.stream, version=snapshot.version, why=str(e).strip())

    async def _recent(self, stream: str, rows: Sequence[Row]) -> Recent:
        kept = next((row for row in rows if row[POSITION] is None), None)
        events = sorted((row for row in rows if row[POSITION] is not None), key=lambda row: row[_VERSION])
        if kept is None:
            whole = [recorded(row) for row in events]
            return Recent(first=whole[0] if whole else None, events=whole)
        first, version = recorded(events[0]) if events else None, kept[_VERSION]
        newest = [recorded(row) for row in events if row[_VERSION] >= version]
        if not newest or (newest[0].version, newest[0].command_id) != (version, kept[_COMMAND]):
            logger.warning("snapshot_discarded", stream=stream, version=version, why="it is not of this log")
            await self._reader.write(_DISCARD, (stream, version))
            return Recent(first=first, events=await self.beyond(stream, 0))
        snapshot = Snapshot(stream=stream, version=version, command_id=kept[_COMMAND], state=kept[_DATA])
        return Recent(snapshot=snapshot, first=first, events=newest)


def code_of(folder: Traversable) -> str:
    """Return a digest of every Python source in a folder, by name and content."""
    digest = hashlib.sha256()
    for path, source in sorted(_sources("", folder)):
        digest.update(f"{path}\0{len(source)}\0".encode())
        digest.update(source)
    return digest.hexdigest()


@cache
def _of_domain() -> str:
    # All of it, for its parts use each other: a snapshot that was given up for nothing costs one long read.
    return code_of(resources.files("domain"))


def _sources(path: str, folder: Traversable) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(f"{path}{entry.name}/", entry)
        elif entry.name.endswith(".py"):
            yield path + entry.name, entry.read_bytes()
