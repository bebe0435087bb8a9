"""Build a view as it was, in a schema of its own, and say how far it is meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog
from psycopg import sql

from domain.events import Recorded
from projections.replay import replay_into
from projections.view import Source, View, connect

_PAGE = 2_500  # read and decoded in one go: whoever else is served by this process waits for no longer

logger = structlog.get_logger()


class Building(msgspec.Struct):
    """A view of a moment. `reached` and `rate` (positions a second) say how far it is, `failure` why it ended."""

    schema: str
    done: asyncio.Event
    reached: int = 0
    rate: float = 0.0
    failure: str | None = None


class _Part:
    """The events of the log that one view handles, in pages that hold nobody up, as if the log ended at a position."""

    def __init__(self, source: Source, view: View, upto: int) -> None:
        self._source = source
        self._types = [event.__name__ for event in view.handles]
        self._upto = upto

    async def position(self) -> int:
        """Return where it ends."""
        return self._upto

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return events with a position above `after`."""
        if after >= self._upto:
            return []
        return await self._source.page(after, min(limit, _PAGE), types or self._types)

    def follow(self, after: int, *, limit: int = _PAGE, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield events for ever, those behind its end too."""
        return self._source.follow(after, limit=limit, types=types or self._types)


async def build(database_url: str, source: Source, view: View, position: int, building: Building) -> None:
    """Fill the schema with the view as it was at a position, and keep `building` up to date.

    Raises what reading, applying and Postgres do; the schema may then be there in part.
    """

    def told(reached: int, _total: int, rate: float) -> None:
        building.reached, building.rate = min(reached, position), rate

    clock = asyncio.get_running_loop().time
    began, unlogged = clock(), view.unlogged
    part = _Part(source, view, position)
    await replay_into(database_url, part, [unlogged], building.schema, upto=position, told=told)
    await _clean(database_url, building.schema, unlogged)
    building.reached = position
    logger.info("past_built", view=view.name, position=position, ms=round((clock() - began) * 1000, 2))


async def _clean(database_url: str, schema: str, view: View) -> None:
    # Rows that were written over thousands of times would slow the first questions down, until autovacuum comes.
    async with await connect(database_url, schema) as connection:
        for table in view.table_names:
            await connection.execute(sql.SQL("vacuum {}").format(sql.Identifier(table)))
