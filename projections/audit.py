"""An index of every event by type, actor and story. What happened stands in the log itself, and is read from there."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from domain.bots import UpdatesDropped
from domain.events import Recorded
from projections.moments import last_before, last_by
from projections.view import Changes, Connection, View

_TABLES = """
    create table audit (
        position       bigint not null,
        type           text   not null,
        actor          text   not null,
        correlation_id uuid   not null
    );
"""

_INDEXES = """
    alter table audit add primary key (position);
    create index on audit (type, position);
    create index on audit (actor, position);
    create index on audit (correlation_id, position);
"""


async def copy(changes: Changes, after: int, through: int) -> None:
    """Take a range of the log in, straight from its table."""
    await changes.write(
        "audit",
        "insert into audit (position, type, actor, correlation_id)"
        " select position, type, actor, correlation_id from log.events"
        " where shard = 0 and position > %s and position <= %s order by position",
        [after, through],
    )


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Let go of what was dropped of the log."""
    for recorded in events:
        if isinstance(recorded.event, UpdatesDropped):
            await changes.write(
                "audit",
                "delete from audit a where position between %s and %s"
                " and not exists (select from log.events e where e.shard = 0 and e.position = a.position)",
                [recorded.event.first, recorded.event.last],
            )


VIEW = View(name="audit", tables=_TABLES, indexes=_INDEXES, handles=(UpdatesDropped,), apply=apply, copy=copy)


class Entry(msgspec.Struct, frozen=True):
    """An event with its envelope, as the log holds it; `data` is the event's JSON."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    data: msgspec.Raw


_ENTRY = (
    "e.position, e.stream, e.version, e.type, e.recorded_at, e.actor, e.command_id, e.correlation_id,"
    " e.causation_id, e.data"
)


async def search(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    above: int | None = None,
    upto: int | None = None,
    stream: str | None = None,
    type_: str | None = None,
    actor: str | None = None,
    correlation_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Return up to `limit` events that match, newest first, with a position below `before`.

    Positions are above `above` and at most `upto`; times, both inclusive, are turned into positions first, because in
    the log time follows position.
    """
    values = {
        "before": before,
        "above": above,
        "upto": upto,
        "stream": stream,
        "type": type_,
        "actor": actor,
        "correlation_id": correlation_id,
        "since": since,
        "until": until,
    }
    return await _found(connection, values, limit, " desc")


async def _found(
    connection: Connection, values: Mapping[str, object], limit: int, direction: LiteralString
) -> list[Entry]:
    """Return the first events that match, in the order of positions or against it."""
    stream = values.get("stream")
    conditions = [_CONDITIONS[name] for name, value in values.items() if value is not None and name in _CONDITIONS]
    # A stream has an index of its own in the log; everything else is found here.
    source: LiteralString = "log.events e" if stream is not None else "audit a join log.events e on e.shard = 0"
    joined: LiteralString = "" if stream is not None else " and e.position = a.position"
    key: LiteralString = "e" if stream is not None else "a"
    # In a stream, versions are in the order of positions, and they are what its index holds.
    order: LiteralString = "e.version" if stream is not None else "a.position"
    where = (" where " + " and ".join(conditions)).replace("@", key) if conditions else ""
    found = await connection.execute(
        f"select {_ENTRY} from {source}{joined}{where} order by {order}{direction} limit %(limit)s",
        {**values, "limit": limit},
    )
    return [_entry(row) async for row in found]


_CONDITIONS: dict[str, LiteralString] = {
    "before": "@.position < %(before)s",
    "above": "@.position > %(above)s",
    "upto": "@.position <= %(upto)s",
    "stream": "@.stream = %(stream)s",
    "type": "@.type = %(type)s",
    "actor": "@.actor = %(actor)s",
    "correlation_id": "@.correlation_id = %(correlation_id)s",
    "since": f"@.position > {last_before('%(since)s')}",
    "until": f"@.position <= {last_by('%(until)s')}",
}


async def onward(
    connection: Connection,
    *,
    limit: int,
    above: int,
    upto: int,
    stream: str | None = None,
    type_: str | None = None,
    actor: str | None = None,
    correlation_id: UUID | None = None,
) -> list[Entry]:
    """Return up to `limit` events that match, oldest first, with a position above `above` and at most `upto`."""
    values = {
        "above": above,
        "upto": upto,
        "stream": stream,
        "type": type_,
        "actor": actor,
        "correlation_id": correlation_id,
    }
    return await _found(connection, values, limit, "")


async def stream(
    connection: Connection,
    name: str,
    *,
    limit: int,
    after: int = 0,
    upto: int | None = None,
    at: datetime | None = None,
) -> list[Entry]:
    """Return up to `limit` events of a stream behind version `after`, oldest first, as it was at a position or time."""
    found = await connection.execute(
        f"select {_ENTRY} from log.events e where e.stream = %(name)s and e.version > %(after)s"
        " and (%(upto)s::bigint is null or e.position <= %(upto)s)"
        " and (%(at)s::timestamptz is null or e.recorded_at <= %(at)s) order by e.version limit %(limit)s",
        {"name": name, "after": after, "upto": upto, "at": at, "limit": limit},
    )
    return [_entry(row) async for row in found]


async def chain(
    connection: Connection, correlation_id: UUID, *, limit: int, after: int = 0, upto: int | None = None
) -> list[Entry]:
    """Return up to `limit` events of a story behind position `after`, and up to another, oldest first."""
    found = await connection.execute(
        f"select {_ENTRY} from audit a join log.events e on e.shard = 0 and e.position = a.position"
        " where a.correlation_id = %(story)s and a.position > %(after)s"
        " and (%(upto)s::bigint is null or a.position <= %(upto)s) order by a.position limit %(limit)s",
        {"story": correlation_id, "after": after, "upto": upto, "limit": limit},
    )
    return [_entry(row) async for row in found]


async def total(connection: Connection, *, upto: int | None = None) -> int:
    """Return how many events there are, or were behind a position."""
    found = await connection.execute("select coalesce(max(position), 0) from audit")
    row = await found.fetchone()
    end = 0 if row is None else int(row[0])
    return end if upto is None else min(end, upto)


async def length(connection: Connection, name: str, *, upto: int | None = None, at: datetime | None = None) -> int:
    """Return the version of a stream, as it was at a position or time; 0 for one that did not exist."""
    found = await connection.execute(
        "select version from log.events where stream = %(name)s and (%(upto)s::bigint is null or position <= %(upto)s)"
        " and (%(at)s::timestamptz is null or recorded_at <= %(at)s) order by version desc limit 1",
        {"name": name, "upto": upto, "at": at},
    )
    row = await found.fetchone()
    return 0 if row is None else int(row[0])


def _entry(row: Sequence[Any]) -> Entry:
    *envelope, data = row
    return Entry(*(*envelope, msgspec.Raw(data)))
