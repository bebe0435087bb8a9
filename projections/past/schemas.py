"""Schemas of the past: named after the process that made them, which holds a lock in Postgres for as long as it lives.

Whoever starts drops what is left of those that are gone.
"""

from collections.abc import Sequence

import structlog
from psycopg import sql

from projections.view import Connection

_OWNERS = r"select distinct split_part(nspname, '_', 2) from pg_namespace where nspname like 'past\_%'"
_SCHEMAS = "select nspname from pg_namespace where starts_with(nspname, %s) order by nspname"
_TRY_LOCK = "select pg_try_advisory_lock(hashtextextended('nectar.past.' || %s, 0))"
_UNLOCK = "select pg_advisory_unlock(hashtextextended('nectar.past.' || %s, 0))"

logger = structlog.get_logger()


def name_of(owner: str, number: int, view: str) -> str:
    """Return the name of an owner's schema."""
    return f"past_{owner}_{number}_{view}"


async def hold(connection: Connection, owner: str) -> None:
    """Say that an owner lives, for as long as the connection does, and drop what those left who do not."""
    await connection.execute(_TRY_LOCK, [owner])
    owners = [name async for (name,) in await connection.execute(_OWNERS)]
    for other in owners:
        if other != owner and await (await connection.execute(_TRY_LOCK, [other])).fetchone() == (True,):
            dropped = await drop_all(connection, other)
            await connection.execute(_UNLOCK, [other])
            logger.info("past_left_over_dropped", schemas=dropped)


async def drop_all(connection: Connection, owner: str) -> int:
    """Drop the schemas of an owner, and return how many there were."""
    found = await connection.execute(_SCHEMAS, [f"past_{owner}_"])
    names = [name async for (name,) in found]
    await drop(connection, names)
    return len(names)


async def drop(connection: Connection, names: Sequence[str]) -> None:
    """Drop schemas, those that are there."""
    for name in names:
        await connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))
