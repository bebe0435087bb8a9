"""Build views from the log: anew beside the old ones, or as they were at some time.

A rebuild fills the tables of a shadow schema, adds the indexes at the end, and puts the tables in place of the old ones
in one transaction that holds the view's checkpoint. The old view serves until then, and whoever keeps it goes on: it
finds the checkpoint moved, and continues behind the new view.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from psycopg import sql

from domain.errors import Conflict
from projections.filling import SPAN, Filling, Told, add_indexes, fill
from projections.shadows import claimed, kept_otherwise, left_behind, made_whole, opened, swap
from projections.skips import leaving_out
from projections.view import Part, Source, View, connect, make_tables

_NEAR = 1_000  # so few events are caught up with while the checkpoint is held


def _nobody(_position: int, _total: int, _rate: float) -> None:
    pass


async def rebuild(
    database_url: str,
    source: Source,
    views: Sequence[View],
    *,
    told: Told = _nobody,
    span: int = SPAN,
    keeper: bool = False,
) -> int:
    """Build views anew and put them in place; return the position that they have seen.

    What a server of another definition keeps is left to it: the shadow stays beside, for who takes the view over.
    `keeper` says that it is kept by the caller itself.

    Goes on where a rebuild of the same definition over the same log was cut off. Raises `Conflict` when one of them is
    being rebuilt by somebody else, before anything is begun, and `Stuck` at an event that a view cannot take.
    """
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(claimed(database_url, view)) for view in views]
        parts = [await opened(connection, view) for connection, view in zip(connections, views, strict=True)]
        shadows = [await made_whole(each, source, told) for each in parts]
        await _fill_up(source, shadows, told, span)
        await asyncio.gather(*(add_indexes(shadow) for shadow in shadows if not shadow.indexed))
        await _fill_up(source, shadows, told, span)
        reached = []
        for shadow, view in zip(shadows, views, strict=True):
            beside = not keeper and await kept_otherwise(shadow.connection, view)
            reached.append(shadow.at[view.name] if beside else await swap(shadow, source))
        return min(reached)


async def _fill_up(source: Source, shadows: Sequence[Filling], told: Told, span: int) -> None:
    near = False
    while not near:
        end = await source.position()
        await fill(source, shadows, told, upto=end, span=span)
        near = await source.position() - end <= _NEAR


async def begin(database_url: str, parts: Mapping[View, int]) -> dict[str, list[Part]]:
    """Make the shadows of views, to be filled in so many parts each; return the parts that they are to be filled in.

    One that was begun before stays as it is. Raises `Conflict` when one of the views is being rebuilt by somebody else,
    before anything is begun.
    """
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(claimed(database_url, view)) for view in parts]
        return {
            view.name: [filling.part for filling in await opened(connection, view, parts=number)]
            for connection, (view, number) in zip(connections, parts.items(), strict=True)
        }


async def fill_part(
    database_url: str, source: Source, view: View, part: Part, *, told: Told = _nobody, span: int = SPAN
) -> None:
    """Fill a part of a view's shadow up to where the log ends now. Raises `Conflict` and `Stuck`."""
    async with claimed(database_url, view, part) as connection:
        for filling in await left_behind(connection, view):
            if filling.part == part:
                await fill(source, [filling], told, upto=await source.position(), span=span)
                return
    raise Conflict(
        f"View '{view.name}' is being rebuilt by somebody else: its shadow has no part {part.number} any more"
    )


async def replay_into(
    database_url: str,
    source: Source,
    views: Sequence[View],
    schema: str,
    *,
    upto: int | None = None,
    told: Told = _nobody,
    span: int = SPAN,
) -> int:
    """Build views in a schema of their own, which must not exist, as they were at a position; return it."""
    async with await connect(database_url, schema) as connection:
        await connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        await make_tables(connection, views)
        views = await leaving_out(connection, views)
        filling = Filling(connection=connection, views=views, at=dict.fromkeys((view.name for view in views), 0))
        end = await source.position() if upto is None else upto
        await fill(source, [filling], told, upto=end, span=span)
        await add_indexes(filling)
        return end
