"""`nectar skip`: have a view go on without the event that it has stopped at, and record that for ever.

The view is held where it stands meanwhile, against whoever keeps it and whoever builds it anew, and the event is tried
on it once more: so what is recorded is true. A server that runs goes on with the view within a second.
"""

from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from rich.console import Console

from adapters.event_store import PostgresLog
from adapters.migrations import migrate
from commands.deciding import Decided, decide
from domain.errors import Invalid, NotFound
from domain.events import Origin, Recorded
from domain.views import NEW, STREAM, Next, Skips, evolve, skip
from projections.filling import SPAN, Filling
from projections.shadows import claimed, left_behind
from projections.skips import leaving_out
from projections.view import Connection, View, connect, of_the_server, prepare, take
from projections.views import VIEWS

DONE = 0

_KEPT = "select position from read.checkpoints where view = %s and fingerprint = %s for update"
_PASS = "update read.checkpoints set position = %s where view = %s and position < %s"  # noqa: S105 - no password
_FORGET = "delete from read.rebuilds where view = %s and position >= %s"


async def skip_command(
    database_url: str, console: Console, *, name: str, position: int, reason: str, actor: str
) -> int:
    """Skip the event at a position for the view of that name, and print where that is recorded.

    Raises `NotFound` for a view that there is not, `Invalid` for an event that it has not stopped at, `Conflict` while
    it is being rebuilt, `Unavailable`.
    """
    view = next((view for view in VIEWS if view.name == name), None)
    if view is None:
        raise NotFound(f"View '{name}' not found. Views: {', '.join(view.name for view in VIEWS)}")
    await migrate(database_url)
    origin = Origin(correlation_id=uuid4(), command_id=uuid4(), actor=actor)
    async with PostgresLog.open(database_url) as log:
        decided = await _skip(database_url, log, view, position=position, reason=reason, origin=origin)
    recorded = f"from now on, as event {decided.position} of the log says" if decided.events else "already"
    console.print(f"View '{name}' leaves out event {position} {recorded}.", soft_wrap=True, highlight=False)
    return DONE


async def _skip(
    database_url: str, log: PostgresLog, view: View, *, position: int, reason: str, origin: Origin
) -> Decided[Skips]:
    async with claimed(database_url, view) as shadow, await connect(database_url) as kept:
        await prepare(kept, [view])
        async with kept.transaction():
            # Until this ends the checkpoint stays: nobody can have the view take the event meanwhile.
            row = await (await kept.execute(_KEPT, [view.name, view.fingerprint])).fetchone()
            if row is not None:
                places = [Filling(connection=kept, views=await leaving_out(kept, [view]), at={view.name: row[0]})]
            else:
                places = await left_behind(shadow, view)
            if not places:
                raise Invalid(f"View '{view.name}' is not built as this program has it: rebuild it first")
            standing = _stopped([await _next(log, place) for place in places], position)
            decided = await decide(
                log,
                origin,
                stream=STREAM,
                new=NEW,
                evolve=evolve,
                decision=partial(skip, view=view.name, position=position, standing=standing, reason=reason),
            )
            # Also when it had been decided before: whoever decided it may have been killed right then.
            if row is not None and (standing is None or standing.position >= position):
                await kept.execute(_PASS, [position, view.name, position])
            if row is not None or not decided.events:
                await kept.execute(_FORGET, [view.name, position])  # what another program built may have the event
            return decided


async def _next(log: PostgresLog, place: Filling) -> Next | None:
    # A shadow may be filled in parts of the streams: each has a next event of its own.
    [view] = place.views
    after, end = place.at[view.name], await log.position()
    types = [event.__name__ for event in view.handles] if view.copy is None else ()  # it copies events of all types
    while after < end:
        through = min(after + SPAN, end)
        for event in await log.between(after, through, types, place.part):
            if event.position not in view.skips:
                error = await _tried(place.connection, view, event)
                return Next(position=event.position, type=event.type, stream=event.stream, error=error)
        after = through
    return None


def _stopped(standings: Sequence[Next | None], position: int) -> Next | None:
    """Return where a view has stopped: at that position if at several, the first of them otherwise."""
    known = sorted((s for s in standings if s is not None), key=lambda s: (s.error is None, s.position))
    return next((s for s in known if s.position == position), known[0] if known else None)


async def _tried(tables: Connection, view: View, event: Recorded) -> str | None:
    try:
        async with tables.transaction(force_rollback=True):
            await take(tables, [view], [event])
    except Exception as error:
        if of_the_server(error, tables):
            raise
        return f"{type(error).__name__}: {error}"
    return None
