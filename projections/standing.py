"""How far each view is: what the projector of this process knows, and what the database says of those of others."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from projections.runner import Building, Progress
from projections.skips import Skip, skips
from projections.view import Connection, View

_LOG_END = "select coalesce(max(position), 0) from log.events where shard = 0"
_KEPT = "select view, fingerprint, position from read.checkpoints"
# A session lock on a key of 64 bits is listed in two halves. Parts of a shadow are filled side by side.
_SHADOWS = """
    select view, (sum(position) / count(*))::bigint, max(total), sum(rate) / count(*),
           exists (
               select from pg_locks
                where locktype = 'advisory' and objsubid = 1 and granted
                  and database = (select oid from pg_database where datname = current_database())
                  and (classid::bigint << 32) | objid::bigint = hashtextextended('nectar.rebuild_' || view, 0)
           )
      from read.rebuilds
     group by view
"""


class State(StrEnum):
    """What becomes of a view."""

    LIVE = "live"
    BUILDING = "building"
    STANDING_BY = "standing by"
    FAILED = "failed"


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """A view that is built anew beside the one that serves: `of` is where the log ends, `rate` is positions a second.

    One that does not run was cut off, and goes on from its position when it is begun again.
    """

    running: bool
    position: int
    of: int
    rate: float
    seconds_left: int | None


class ViewStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How far a view is.

    `version` is of its definition in this program; while the one that serves is another, the state is `building`.
    A view that stands by is kept by another process. `position` is of what serves, `error_position` of the event that
    the view cannot take. `skipped` are the events that it was told to leave out.
    """

    view: str
    version: str
    position: int
    lag: int
    state: State
    error: str | None
    error_position: int | None
    rebuild: Rebuild | None
    skipped: list[Skip]


async def standings(
    connection: Connection, views: Sequence[View], progress: Progress
) -> tuple[int, list[ViewStanding]]:
    """Return the position of the log's last event, and how far each view is."""
    kept = {name: (mark, at) async for name, mark, at in await connection.execute(_KEPT)}
    shadows = {name: _rebuild(*rest) async for name, *rest in await connection.execute(_SHADOWS)}
    left_out = await skips(connection)
    row = await (await connection.execute(_LOG_END)).fetchone()  # last, so that no view is ahead of it
    end: int = row[0] if row else 0
    found = []
    for view in views:
        fingerprint, position = kept.get(view.name, ("", 0))
        found.append(
            ViewStanding(
                view=view.name,
                version=view.version,
                position=position,
                lag=end - position,
                state=_state(view, fingerprint == view.fingerprint, progress),
                error=progress.failures.get(view.name),
                error_position=progress.stuck_at.get(view.name),
                rebuild=shadows.get(view.name),
                skipped=[skip for skip in left_out if skip.view == view.name],
            )
        )
    return end, found


def _state(view: View, current: bool, progress: Progress) -> State:  # noqa: FBT001 - private
    if view.name in progress.failures:
        return State.FAILED
    if not current:
        return State.BUILDING
    return State.LIVE if view.name in progress.led else State.STANDING_BY


def _rebuild(position: int, total: int, rate: float, running: bool) -> Rebuild:  # noqa: FBT001 - a row
    at = Building(position, total, rate)
    return Rebuild(
        running=running,
        position=position,
        of=total,
        rate=round(rate, 1),
        seconds_left=at.seconds_left if running else None,
    )
