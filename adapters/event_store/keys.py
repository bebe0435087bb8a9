"""What the log remembers of idempotency keys."""

from datetime import datetime

from psycopg import AsyncConnection

from commands.ports import Appended
from domain.errors import Conflict
from domain.events import Origin

_FIRST = "select position, answer, request from work.idempotency where actor = %b and key = %b"
_FORGET = "delete from work.idempotency where recorded_at < %b"


async def first_answer(connection: AsyncConnection, origin: Origin, request: bytes) -> Appended | None:
    """Return the first answer under the origin's key, None if there is none.

    Raises `Conflict` when the key was used for another request.
    """
    cursor = await connection.execute(_FIRST, (origin.actor, origin.idempotency_key), prepare=True, binary=True)
    row = await cursor.fetchone()
    if row is None:
        return None
    position, answer, first_request = row
    if first_request != request:
        raise Conflict(f"Idempotency-Key '{origin.idempotency_key}' was used for another request")
    return Appended(position=position, repeated=True, answer=answer)


async def forget(connection: AsyncConnection, before: datetime) -> int:
    """Delete the keys that were first used before a time, and return how many."""
    return (await connection.execute(_FORGET, (before,))).rowcount
