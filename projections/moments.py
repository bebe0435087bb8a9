"""Where in the log a moment is. Times follow positions there, so a time is found by halving."""

from datetime import datetime

import msgspec

from domain import catalog
from domain.bots import RETENTION, UpdatesDropped
from domain.errors import Invalid
from projections.view import Connection

_ENDS = (
    "select (select position from log.events where shard = 0 order by position limit 1),"
    " (select position from log.events where shard = 0 order by position desc limit 1)"
)
_FROM = "select position, recorded_at from log.events where shard = 0 and position >= %s order by position limit 1"
_UPTO = "select recorded_at from log.events where shard = 0 and position <= %s order by position desc limit 1"
_DROPPED = "select type, schema_version, data from log.events where stream = %s order by version desc"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A place between two events: all that was recorded up to and with `position` had happened, at `at`.

    One that is `final` is the same whatever is recorded from now on.
    """

    position: int
    at: datetime
    final: bool = True


async def moment_of(connection: Connection, when: int | datetime, name: str) -> Moment:
    """Return the moment that a position or a time means: a time, the last event recorded at it or before.

    `name` is what the user calls it. Raises `Invalid` for one that the log does not reach.
    """
    found = await (await connection.execute(_ENDS)).fetchone()
    first, last = found or (None, None)
    if first is None or last is None:
        raise Invalid(f"{name} '{_shown(when)}' cannot be shown: the log is empty")
    if isinstance(when, datetime):
        return await _at(connection, when, name, first, last)
    if when > last:
        raise Invalid(f"{name} '{when}' is beyond the end of the log, position {last}")
    if when < first:
        raise Invalid(f"{name} '{when}' is before the first event, at position {first}")
    return Moment(position=when, at=await _recorded_at(connection, when))


async def _at(connection: Connection, when: datetime, name: str, first: int, last: int) -> Moment:
    began, ended = await _recorded_at(connection, first), await _recorded_at(connection, last)
    found = await (await connection.execute("select greatest(clock_timestamp(), %s)", [ended])).fetchone()
    now = found[0] if found else ended
    if when > now:
        raise Invalid(f"{name} '{_shown(when)}' is in the future: it is {_shown(now)}")
    if when < began:
        raise Invalid(f"{name} '{_shown(when)}' is before the first event, which was recorded at {_shown(began)}")
    if when >= ended:
        return Moment(position=last, at=when, final=False)
    low, high = first, last  # what is at low was recorded at that time or before, what is at high after it
    while high - low > 1:
        middle = (low + high) // 2
        row = await (await connection.execute(_FROM, [middle])).fetchone()
        position, recorded_at = row or (high, ended)
        if recorded_at <= when:
            low = position
        else:
            high = middle
    return Moment(position=low, at=when)


async def _recorded_at(connection: Connection, position: int) -> datetime:
    row = await (await connection.execute(_UPTO, [position])).fetchone()
    if row is None:
        raise Invalid(f"Position {position} is before the first event of the log")
    at: datetime = row[0]
    return at


async def dropped_around(connection: Connection, position: int) -> tuple[int, int] | None:
    """Return between which positions updates of bots were dropped, where a position lies among them; else None."""
    for type_, schema_version, data in await (await connection.execute(_DROPPED, [RETENTION])).fetchall():
        event = catalog.decode(type_, schema_version, data)
        if isinstance(event, UpdatesDropped) and event.first <= position <= event.last:
            return event.first, event.last
    return None


def _shown(when: int | datetime) -> str:
    return str(when) if isinstance(when, int) else when.isoformat().replace("+00:00", "Z")
