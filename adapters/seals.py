"""Seal what the log holds: chained, signed digests from which `adapters/audit` tells what was changed since.

A seal covers a run of positions. Its bytes, so that anybody can compute them again (integers big-endian, `|` joins):

    leaf      = SHA-256(00 | row)
    digest    = SHA-256(01 | previous | the leaf of each row in order)
    signature = Ed25519("nectar seal 1" 00 | shard, 2 bytes | from, 8 bytes | to, 8 bytes | previous | digest
                        | SHA-256(leaves) | sealed_at, 8 bytes)

`row` is every column of `log.events` but `shard` and `position`, each as `COPY … (FORMAT binary)` writes it: four bytes
of length, then the value; a null has length -1 and no value. Shard and position are a row's place, which the seal
fixes: so a row that was moved still has its leaf, and is found again. `previous` is the digest of the seal before, 32
zeros for the first. `leaves` are the first 8 bytes of each leaf, enough to name the row that does not fit; a seal
without leaves says that its positions were missing already when it was made. `sealed_at` is in microseconds since
2000-01-01 UTC.

The hashes of a seal are taken inside Postgres, in one statement; verification takes them here, from raw rows: neither
leans on the other, and sealing leaves the process that writes alone.
"""

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import psycopg
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EVENTS_PER_SEAL = 1000
START = bytes(32)
SHARD = 0
LEAF_BYTES = 8

COLUMNS = (
    "stream",
    "version",
    "type",
    "schema_version",
    "recorded_at",
    "correlation_id",
    "causation_id",
    "command_id",
    "actor",
    "data",
)
"""What a leaf covers, in this order: every column of `log.events` but the place."""

_BINARY = {
    "stream": "convert_to(stream, 'UTF8')",
    "version": "int8send(version)",
    "type": "convert_to(type, 'UTF8')",
    "schema_version": "int2send(schema_version)",
    "recorded_at": "timestamptz_send(recorded_at)",
    "correlation_id": "uuid_send(correlation_id)",
    "causation_id": "uuid_send(causation_id)",
    "command_id": "uuid_send(command_id)",
    "actor": "convert_to(actor, 'UTF8')",
    "data": "data",
}
_ROW = " || ".join(f"coalesce(int4send(length({_BINARY[c]})) || {_BINARY[c]}, int4send(-1))" for c in COLUMNS)

LEAF = f"sha256('\\x00'::bytea || {_ROW})"
"""The leaf of a row of `log.events`, in SQL."""

_NEXT = f"""
with page as (
    select position, %(after)s + row_number() over (order by position) as unbroken,
           {LEAF} as leaf
    from (select * from log.events where shard = %(shard)s and position > %(after)s order by position limit %(limit)s) e
)
select min(position), max(position) filter (where position = unbroken),
       string_agg(leaf, ''::bytea order by position) filter (where position = unbroken), clock_timestamp()
from page
"""  # noqa: S608 - made of the constants above

_INSERT = """
insert into log.seals
    (shard, from_position, to_position, previous, digest, leaves, signature, key_id, sealed_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

SELECT = """
select shard, from_position, to_position, previous, digest, leaves, signature, key_id, timestamptz_send(sealed_at)
from log.seals
"""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_PLACE = struct.Struct(">hqq")
_MICROSECONDS = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)

logger = structlog.get_logger()


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What `log.seals` holds of a run of positions; the bytes are described above."""

    shard: int
    from_position: int
    to_position: int
    previous: bytes
    digest: bytes
    leaves: bytes
    signature: bytes
    key_id: str
    sealed_at: int


SealRow = tuple[int, int, int, bytes, bytes, bytes, bytes, str, bytes]


def from_row(row: SealRow) -> Seal:
    """Return the seal of a row of `SELECT`."""
    shard, first, last, previous, digest, leaves, signature, key, sealed_at = row
    return Seal(
        shard=shard,
        from_position=first,
        to_position=last,
        previous=previous,
        digest=digest,
        leaves=leaves,
        signature=signature,
        key_id=key,
        sealed_at=_MICROSECONDS.unpack(sealed_at)[0],
    )


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the start of its SHA-256."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def leaf(values: Sequence[bytes | None]) -> bytes:
    """Return the leaf of a row, given the binary values of `COLUMNS`."""
    return sha256(b"\x00" + b"".join([_NULL if v is None else _LENGTH.pack(len(v)) + v for v in values])).digest()


def digest(previous: bytes, leaves: bytes) -> bytes:
    """Return the digest of a run of rows, given their whole leaves in order."""
    return sha256(b"\x01" + previous + leaves).digest()


def make(key: Ed25519PrivateKey, after: Seal | None, to_position: int, leaves: bytes, sealed_at: datetime) -> Seal:
    """Return the signed seal that follows `after`, up to a position, given the whole leaves of its rows in order."""
    previous, first = (START, 1) if after is None else (after.digest, after.to_position + 1)
    unsigned = Seal(
        shard=SHARD,
        from_position=first,
        to_position=to_position,
        previous=previous,
        digest=digest(previous, leaves),
        leaves=b"".join(leaves[i : i + LEAF_BYTES] for i in range(0, len(leaves), sha256().digest_size)),
        signature=b"",
        key_id=key_id(key.public_key()),
        sealed_at=(sealed_at - _EPOCH) // timedelta(microseconds=1),
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(_statement(unsigned)))


def genuine(seal: Seal, key: Ed25519PublicKey) -> bool:
    """Return whether the owner of the key made this seal, and made it like this."""
    try:
        key.verify(seal.signature, _statement(seal))
    except (InvalidSignature, struct.error):  # from a file, numbers may not fit their bytes
        return False
    return seal.key_id == key_id(key)


def _statement(seal: Seal) -> bytes:
    return b"".join(
        (
            b"nectar seal 1\x00",
            _PLACE.pack(seal.shard, seal.from_position, seal.to_position),
            seal.previous,
            seal.digest,
            sha256(seal.leaves).digest(),
            _MICROSECONDS.pack(seal.sealed_at),
        )
    )


async def seal_next(
    connection: psycopg.AsyncConnection, key: Ed25519PrivateKey, after: Seal | None, *, limit: int = EVENTS_PER_SEAL
) -> Seal | None:
    """Seal up to `limit` events that follow a seal, and return the new one; None if there are none.

    A hole in the log gets a seal of its own, without leaves: it is on record, and what follows is sealed all the same.
    Raises `psycopg.IntegrityError` when `after` is not the last seal any more.
    """
    end = 0 if after is None else after.to_position
    cursor = await connection.execute(_NEXT, {"after": end, "shard": SHARD, "limit": limit}, binary=True)
    first, last, leaves, now = await cursor.fetchone() or (None, None, None, None)
    if first is None:
        return None
    seal = make(key, after, last, leaves, now) if last is not None else make(key, after, first - 1, b"", now)
    await connection.execute(
        _INSERT,
        (
            seal.shard,
            seal.from_position,
            seal.to_position,
            seal.previous,
            seal.digest,
            seal.leaves,
            seal.signature,
            seal.key_id,
            now,
        ),
    )
    return seal


class Sealer:
    """Seals the log once a second, for as long as it runs; of several sealers on one log, one works at a time."""

    def __init__(self, database_url: str, key: Ed25519PrivateKey, *, interval_seconds: float = 1.0) -> None:
        self._database_url = database_url
        self._key = key
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Follow the log and seal it. Survives a restart of Postgres: it goes on after the last seal.

        Returns only when somebody else changed the seals under it: what they say must not be mended, but be looked at.
        """
        connected = True
        while True:
            try:
                async with await self._connect() as connection:
                    connected = True
                    await self._wait_for_turn(connection)
                    await self._seal(connection)
            except psycopg.IntegrityError as e:
                logger.error("sealer_stopped", error=str(e), remedy="run nectar audit verify")  # noqa: TRY400
                return
            except psycopg.Error as e:
                # Away, read-only after a failover, a full disk: sealing can wait, and must not end the server.
                if connected:
                    logger.warning("sealer_waits", error=f"{type(e).__name__}: {e}")
                connected = False
            await asyncio.sleep(self._interval_seconds)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._database_url, autocommit=True, connect_timeout=5, application_name="nectar-sealer"
        )

    async def _wait_for_turn(self, connection: psycopg.AsyncConnection) -> None:
        # Asked for again and again, because a statement that waits holds back what VACUUM may clean up.
        while True:
            cursor = await connection.execute("select pg_try_advisory_lock(hashtextextended('nectar.sealer', 0))")
            if await cursor.fetchone() == (True,):
                return
            await asyncio.sleep(self._interval_seconds)

    async def _seal(self, connection: psycopg.AsyncConnection) -> None:
        last = await last_seal(connection)
        await _warn_if_cut(connection, last)
        while True:
            seal = await seal_next(connection, self._key, last)
            if seal is None or seal.to_position - seal.from_position + 1 < EVENTS_PER_SEAL:
                await asyncio.sleep(self._interval_seconds)
            last = seal or last


async def last_seal(connection: psycopg.AsyncConnection) -> Seal | None:
    """Return the newest seal, None if there is none."""
    cursor = await connection.execute(f"{SELECT} where shard = %s order by from_position desc limit 1", (SHARD,))
    row = await cursor.fetchone()
    return None if row is None else from_row(row)


async def _warn_if_cut(connection: psycopg.AsyncConnection, last: Seal | None) -> None:
    cursor = await connection.execute("select coalesce(max(position), 0) from log.events where shard = %s", (SHARD,))
    row = await cursor.fetchone()
    if last is not None and row is not None and row[0] < last.to_position:
        logger.error("log_ends_before_its_seals", position=row[0], sealed_to=last.to_position)
