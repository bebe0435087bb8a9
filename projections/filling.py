"""Fill the tables of views from the log, one range of positions after the other."""

# ruff: noqa: S608 - queries are put together from constants of this file

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from psycopg import sql

from domain.errors import Conflict
from domain.events import Recorded
from projections.view import WHOLE, Connection, Part, Source, Stuck, View, of_the_server, take

Told = Callable[[int, int, float], None]
"""Is told the position reached, the position where the log ends, and the rate in positions per second."""

SPAN = 5_000
"""So many positions are read, folded and committed at once; whoever else is served by the process waits meanwhile."""

_MOST_BYTES = 4_000_000
"""So much of long events is read at once: decoded they take some ten times as much memory, for each span ahead."""
_AHEAD = 2  # so many spans are read before the slowest view has taken them
MARK = "select command_id from log.events where shard = 0 and position <= {} order by position desc limit 1"
"""By this command the log is known again: an older copy may have been put in its place, and written on."""

_MOVE = (
    f"update read.rebuilds set position = %(to)s, total = %(total)s, rate = %(rate)s, mark = ({MARK.format('%(to)s')})"
    " where view = %(view)s and part = %(part)s and position = %(at)s"
)


class Filling(msgspec.Struct, eq=False):
    """Views that are filled over one connection, and the last position that each has seen.

    One that is `kept` is a shadow of one view: its place in the log is recorded with its rows. `part` says of which
    streams.
    """

    connection: Connection
    views: Sequence[View]
    at: dict[str, int]
    kept: bool = False
    indexed: bool = False
    part: Part = WHOLE
    taking: asyncio.Task[None] | None = None


async def fill(source: Source, building: Sequence[Filling], told: Told, *, upto: int, span: int = SPAN) -> None:
    """Take the log up to and with a position into views, which may be at different positions. Raises `Stuck`.

    Spans are read ahead, and views on connections of their own take them each at its own pace: while Postgres works for
    one of them, this process works for another.
    """
    clock = asyncio.get_running_loop().time
    after = min(at for filling in building for at in filling.at.values())
    views = [view for filling in building for view in filling.views]
    types, bulky = _types(views), any(view.bulky for view in views)
    started, first = clock(), after
    under_way: deque[tuple[int, list[asyncio.Task[None]]]] = deque()
    try:
        while after < upto or under_way:
            if after < upto:
                through = min(after + span, upto)
                if bulky:
                    through = await source.reach(after, through, types, _MOST_BYTES)
                events = await source.between(after, through, types, building[0].part)
                rate = (after - first) / max(clock() - started, 1e-9)
                after = through
                for filling in building:
                    filling.taking = asyncio.create_task(
                        _take(source, filling.taking, filling, events, through, upto, rate)
                    )
                under_way.append((after, [filling.taking for filling in building if filling.taking is not None]))
            if len(under_way) > _AHEAD or after >= upto:
                reached, tasks = under_way.popleft()
                await asyncio.gather(*tasks)
                told(reached, upto, (reached - first) / max(clock() - started, 1e-9))
    finally:
        # None is left behind: a connection may not be closed under a statement.
        taking = [filling.taking for filling in building if filling.taking is not None]
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)


def _types(views: Sequence[View]) -> Sequence[str]:
    # What none of them handles need not be read.
    if not all(view.handles for view in views):
        return ()
    return sorted({event.__name__ for view in views for event in view.handles})


async def _take(  # noqa: PLR0917 - private
    source: Source,
    before: asyncio.Task[None] | None,
    filling: Filling,
    events: Sequence[Recorded],
    through: int,
    total: int,
    rate: float,
) -> None:
    if before is not None:
        await before
    try:
        await _commit(filling, events, through, total, rate)
    except Conflict:
        raise
    except Exception as error:
        if not filling.kept or of_the_server(error, filling.connection):
            raise
        [view] = filling.views
        if view.copy is not None:  # it may have been any event, and not one of those that were read for `apply`
            events = await source.between(filling.at[view.name], through, (), filling.part)
        if not events:
            raise
        if len(events) == 1:
            raise Stuck(view.name, events[0], error) from error
        # Up to the event that it cannot take it is filled, so that it goes on from there when it can.
        half = len(events) // 2
        await _take(source, None, filling, events[:half], events[half].position - 1, total, rate)
        await _take(source, None, filling, events[half:], through, total, rate)


async def _commit(filling: Filling, events: Sequence[Recorded], through: int, total: int, rate: float) -> None:
    connection, at = filling.connection, min(filling.at.values())
    if through <= at:
        return
    async with connection.transaction():
        await take(connection, filling.views, events, filling.at, through, shared=filling.part != WHOLE)
        if filling.kept:
            await _move(filling, at, through, total, rate)
    filling.at.update((name, max(at, through)) for name, at in list(filling.at.items()))


async def _move(filling: Filling, at: int, to: int, total: int, rate: float) -> None:
    name = filling.views[0].name
    moved = await filling.connection.execute(
        _MOVE.encode(),
        {"view": name, "part": filling.part.number, "at": at, "to": to, "total": total, "rate": rate},
    )
    if moved.rowcount != 1:
        raise Conflict(f"View '{name}' is being rebuilt by somebody else: its shadow is not at position {at} any more")


async def add_indexes(filling: Filling) -> None:
    """Add what the filled tables of views still lack."""
    connection = filling.connection
    for view in filling.views:
        async with connection.transaction():
            await connection.execute(view.indexes.encode())
            for table in view.table_names:
                await connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))
            if filling.kept:
                await connection.execute("update read.rebuilds set indexed = true where view = %s", [view.name])
    filling.indexed = True
