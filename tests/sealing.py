"""A log to seal and to tamper with, and what tests of seals do to it."""

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.seals import EVENTS_PER_SEAL, Seal, last_seal, seal_next

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()


async def connect(database_url: str) -> psycopg.AsyncConnection:
    """Connect as somebody whom triggers and foreign keys do not stop."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    await connection.execute("set session_replication_role = replica")
    return connection


async def record(connection: psycopg.AsyncConnection, count: int) -> None:
    """Append events with every column filled differently, as the log does."""
    await connection.execute(
        """
        insert into log.events (position, stream, version, type, schema_version, recorded_at,
                                correlation_id, causation_id, command_id, actor, data)
        select n, 'stream-é-' || mod(n, 3), n, 'Type' || mod(n, 5), mod(n, 7), clock_timestamp(),
               gen_random_uuid(), case when mod(n, 2) = 0 then gen_random_uuid() end, gen_random_uuid(), 'ädmin',
               convert_to(repeat('x', mod(n, 9)::integer), 'UTF8')
        from (select coalesce(max(position), 0) as last from log.events) l, generate_series(last + 1, last + %s) n
        """,
        (count,),
    )


async def seal_all(connection: psycopg.AsyncConnection, *, limit: int = EVENTS_PER_SEAL) -> list[Seal]:
    """Seal what is not sealed yet, and return the new seals."""
    seals = []
    last = await last_seal(connection)
    while (last := await seal_next(connection, KEY, last, limit=limit)) is not None:
        seals.append(last)
    return seals
