"""Drop what bots told long ago, and leave proof of it. The command `nectar retention apply`.

Only updates of bots go, never what became of them: the streams `bot_updates-…`. The newest event of each stream stays,
so that versions go on from it. What is under one seal is read, compared with the seal and sealed anew (`drops.py`); the
deletion and its record are one transaction, so that neither is ever there without the other.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rich.console import Console

from adapters import drops, seals
from adapters.seals import LEAF, SELECT, SHARD, Seal
from domain import catalog
from domain.bots import RETENTION, UPDATE_EVENTS, SealedRun, UpdatesDropped, updates_of
from domain.errors import Conflict, Unavailable

DONE = 0
DAMAGED = 1

EVENTS_PER_DROP = 10_000
"""A transaction goes through so many positions, or through those under one seal if they are more."""

_ACTOR = "<retention>"
_LOCK = "select pg_try_advisory_lock(hashtextextended('nectar.retention', 0))"
_LAST = "select data, version from log.events where stream = %s order by version desc limit 1"
_SEALS = f"""
{SELECT} where shard = {SHARD} and from_position > %s and sealed_at < clock_timestamp() - %s
 order by from_position limit 100
"""
_ROWS = f"""
select position, {LEAF},
       left(stream, length(%(prefix)s)) = %(prefix)s and type = any(%(types)s)
       and exists (select from log.events n where n.stream = e.stream and n.version > e.version)
  from log.events e where shard = {SHARD} and position between %(first)s and %(last)s order by position
"""  # noqa: S608 - made of constants
_DELETE = f"delete from log.events where shard = {SHARD} and position = any(%s)"  # noqa: S608
_APPEND = """
select moved from log.append(
    array[%(stream)s], array[%(version)s::bigint],
    array[%(stream)s], array[%(version)s::bigint + 1], array['UpdatesDropped'], array[%(schema_version)s::bigint],
    array[%(story)s::uuid], array[null::uuid], array[%(command)s::uuid], array[%(actor)s], array[%(data)s::bytea],
    array[]::text[], array[]::text[], array[]::bytea[], array[]::bytea[], array[]::bigint[])
"""


class NotAsSealed(Exception):
    """Refuse to drop anything of events that are not what was sealed."""


class _Row(NamedTuple):
    position: int
    leaf: bytes
    goes: bool


async def drop(
    database_url: str,
    key: Ed25519PrivateKey,
    *,
    older_than: timedelta,
    events_per_drop: int = EVENTS_PER_DROP,
    told: Callable[[int], None] = lambda _count: None,
) -> int:
    """Drop the updates of bots that were sealed longer ago than that, and return how many there were.

    `told` hears of each drop how many it had. Raises `Conflict` while somebody else does the same, `NotAsSealed`, and
    `Unavailable`.
    """
    story, count = uuid4(), 0
    try:
        async with await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, connect_timeout=5, application_name="nectar-retention"
        ) as connection:
            if await (await connection.execute(_LOCK)).fetchone() != (True,):
                raise Conflict("Somebody else applies the retention already")
            reached = await _reached(connection)
            while batch := await _batch(connection, reached, older_than, events_per_drop):
                reached = batch[-1].to_position
                dropped = await _drop(connection, key, batch, story)
                count += dropped
                if dropped:
                    told(dropped)
    except psycopg.OperationalError as e:
        raise Unavailable(f"The event log cannot be reached: {str(e).strip()}") from e
    return count


async def _reached(connection: psycopg.AsyncConnection) -> int:
    """Return the position up to which was dropped what was to be dropped."""
    row = await (await connection.execute(_LAST, [RETENTION], binary=True)).fetchone()
    if row is None:
        return 0
    last = catalog.decode("UpdatesDropped", UpdatesDropped.schema_version, row[0])
    if not isinstance(last, UpdatesDropped):
        raise TypeError(f"The stream {RETENTION} ends with {type(last).__name__}")
    return last.last


async def _batch(
    connection: psycopg.AsyncConnection, after: int, older_than: timedelta, events_per_drop: int
) -> list[Seal]:
    cursor = await connection.execute(_SEALS, [after, older_than], binary=True)
    found: list[Seal] = []
    for row in await cursor.fetchall():
        seal = seals.from_row(row)
        if found and seal.to_position - found[0].from_position >= events_per_drop:
            break
        found.append(seal)
    return found


async def _drop(connection: psycopg.AsyncConnection, key: Ed25519PrivateKey, batch: Sequence[Seal], story: UUID) -> int:
    runs: list[SealedRun] = []
    gone: list[_Row] = []
    async with connection.transaction():
        for seal in batch:
            rows = await _rows(connection, seal)
            _compare(seal, rows, key.public_key())
            going = [row for row in rows if row.goes]
            if going:
                places = drops.bits(seal.from_position, seal.to_position, [row.position for row in going])
                staying = drops.kept(row.leaf for row in rows if not row.goes)
                runs.append(SealedRun(first=seal.from_position, last=seal.to_position, dropped=places, kept=staying))
                gone += going
        if gone:
            await _delete(connection, gone)
            await _append(connection, key, runs, gone, story)
    return len(gone)


async def _rows(connection: psycopg.AsyncConnection, seal: Seal) -> list[_Row]:
    cursor = await connection.execute(
        _ROWS,
        {
            "prefix": updates_of(""),
            "types": [event.__name__ for event in UPDATE_EVENTS],
            "first": seal.from_position,
            "last": seal.to_position,
        },
        binary=True,
    )
    return [_Row(*row) async for row in cursor]


def _compare(seal: Seal, rows: Sequence[_Row], key: Ed25519PublicKey) -> None:
    """Raise `NotAsSealed` unless a seal and all that is under it are as they were when it was made."""
    if not seal.leaves:  # a hole that is on record: nothing is there
        return
    whole = [row.position for row in rows] == list(range(seal.from_position, seal.to_position + 1))
    leaves = b"".join([row.leaf for row in rows])
    if not whole or not seals.genuine(seal, key) or seals.digest(seal.previous, leaves) != seal.digest:
        raise NotAsSealed(
            f"Events {seal.from_position} to {seal.to_position} are not what was sealed: nothing of them was dropped."
            " Run nectar audit verify."
        )


async def _delete(connection: psycopg.AsyncConnection, gone: Sequence[_Row]) -> None:
    cursor = await connection.execute(_DELETE, [[row.position for row in gone]])
    if cursor.rowcount != len(gone):
        raise Conflict(
            f"Of {len(gone)} events {cursor.rowcount} were there to be dropped: somebody else changes the log"
        )


async def _append(
    connection: psycopg.AsyncConnection,
    key: Ed25519PrivateKey,
    runs: Sequence[SealedRun],
    gone: Sequence[_Row],
    story: UUID,
) -> None:
    (at,) = await (await connection.execute("select clock_timestamp()", binary=True)).fetchone() or (None,)
    last = await (await connection.execute(_LAST, [RETENTION], binary=True)).fetchone()
    event = drops.record(key, runs, [row.leaf for row in gone], at)
    cursor = await connection.execute(
        _APPEND,
        {
            "stream": RETENTION,
            "version": 0 if last is None else last[1],
            "schema_version": event.schema_version,
            "story": story,
            "command": uuid4(),
            "actor": _ACTOR,
            "data": catalog.encode(event),
        },
    )
    if await cursor.fetchone() != ([],):
        raise Conflict(f"Somebody else writes to the stream {RETENTION}")


async def apply_command(
    database_url: str, console: Console, *, key: Ed25519PrivateKey, older_than_days: int | None
) -> int:
    """Drop old updates of bots and print how many. Exit code 1 where what is there is not what was sealed.

    With no number of days nothing is dropped.
    """
    if older_than_days is None:
        console.print("What bots tell is kept for ever: BOT_UPDATES_KEEP_DAYS is not set.", soft_wrap=True)
        return DONE
    with console.status("Dropping") as status:
        dropped: list[int] = []

        def told(count: int) -> None:
            dropped.append(count)
            status.update(f"Dropped {sum(dropped):,} updates")

        try:
            count = await drop(database_url, key, older_than=timedelta(days=older_than_days), told=told)
        except NotAsSealed as e:
            console.print(f"[red]{e}[/] {sum(dropped):,} updates before them were dropped.", soft_wrap=True)
            return DAMAGED
    days = "a day" if older_than_days == 1 else f"{older_than_days} days"
    if not count:
        console.print(
            f"Nothing was dropped, and the log is as it was: no update of a bot was sealed more than {days} ago,"
            " beside the newest of each bot, which stays.",
            soft_wrap=True,
        )
        return DONE
    console.print(
        f"Dropped {count:,} updates of bots that were older than {days}. The log has a record of it, by"
        " which nectar audit verify knows that it is no damage.",
        soft_wrap=True,
    )
    return DONE
