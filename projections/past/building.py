"""Build a view as it was, in a schema of its own, and say how far it is meanwhile."""

import asyncio

import msgspec
import structlog
from psycopg import sql

from projections.replay import replay_into
from projections.view import Source, View, connect

_SPAN = 2_500  # read and decoded in one go: whoever else is served by this process waits for no longer

logger = structlog.get_logger()


class Building(msgspec.Struct):
    """A view of a moment. `reached` and `rate` (positions a second) say how far it is, `failure` why it ended."""

    schema: str
    done: asyncio.Event
    reached: int = 0
    rate: float = 0.0
    failure: str | None = None


async def build(database_url: str, source: Source, view: View, position: int, building: Building) -> None:
    """Fill the schema with the view as it was at a position, and keep `building` up to date.

    Raises what reading, applying and Postgres do; the schema may then be there in part.
    """

    def told(reached: int, _total: int, rate: float) -> None:
        building.reached, building.rate = min(reached, position), rate

    clock = asyncio.get_running_loop().time
    began, unlogged = clock(), view.unlogged
    await replay_into(database_url, source, [unlogged], building.schema, upto=position, told=told, span=_SPAN)
    await _clean(database_url, building.schema, unlogged)
    building.reached = position
    logger.info("past_built", view=view.name, position=position, ms=round((clock() - began) * 1000, 2))


async def _clean(database_url: str, schema: str, view: View) -> None:
    # Rows that were written over thousands of times would slow the first questions down, until autovacuum comes.
    async with await connect(database_url, schema) as connection:
        for table in view.table_names:
            await connection.execute(sql.SQL("vacuum {}").format(sql.Identifier(table)))
