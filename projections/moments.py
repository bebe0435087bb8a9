"""Where in the log a moment is. Times follow positions there, so a time is found by halving."""

from datetime import datetime
from typing import LiteralString

import msgspec

from domain import catalog
from domain.bots import RETENTION, UpdatesDropped
from domain.errors import Invalid
from projections.view import Connection

_ENDS = (
    "select (select position from log.events where shard = 0 order by position limit 1),"
    " (select position from log.events where shard = 0 order by position desc limit 1)"
)
_UPTO = "select recorded_at from log.events where shard = 0 and position <= %s order by position desc limit 1"
_DROPPED = "select type, schema_version, data from log.events where stream = %s order by version desc"
# What is at `low` or before was recorded by then, what is at `high` or behind it was not. Positions may be missing.
_HALVING: LiteralString = """(
    with recursive halving (low, high) as (
        select 0::bigint, coalesce(max(position), 0) + 1 from log.events where shard = 0
        union all
        select case when middle.recorded_at {by} {time} then middle.position else low end,
               case when middle.recorded_at {by} {time} then high else (low + high) / 2 end
          from halving left join lateral (
               select position, recorded_at from log.events
                where shard = 0 and position >= (low + high) / 2 and position < high order by position limit 1
          ) middle on true
         where high - low > 1
    )
    select low from halving order by high - low limit 1
)"""


def last_by(time: LiteralString) -> LiteralString:
    """Return the SQL of the position of the last event recorded at a time or before; 0 for none."""
    return _HALVING.replace("{by}", "<=").replace("{time}", time)


def last_before(time: LiteralString) -> LiteralString:
    """Return the SQL of the position of the last event recorded before a time; 0 for none."""
    return _HALVING.replace("{by}", "<").replace("{time}", time)


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
    row = await (await connection.execute(f"select {last_by('%s::timestamptz')}", [when, when])).fetchone()
    return Moment(position=row[0] if row else last, at=when)


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
