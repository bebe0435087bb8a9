"""Proof of what was dropped from the log: what stays under a seal is sealed anew, what went is named and counted.

A seal can no longer be computed again when events under it are gone. So before they go, the events under it are
compared with it, and what stays gets a digest of its own, which is signed with the key that seals are signed with.
The bytes, so that anybody can compute them again (as in `seals.py`):

    kept      = SHA-256(02 | the leaf of each row that stays, in order)
    digest    = SHA-256(03 | the leaf of each row that goes, in order)
    runs      = the concatenation, run by run, of first, 8 bytes | last, 8 bytes | SHA-256(dropped) | kept
    signature = Ed25519("nectar drop 1" 00 | first, 8 bytes | last, 8 bytes | count, 8 bytes | digest | SHA-256(runs)
                        | dropped_at, 8 bytes)
"""

import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import msgspec
import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain import catalog
from domain.bots import RETENTION, SealedRun, UpdatesDropped

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_PLACES = struct.Struct(">qq")
_HEAD = struct.Struct(">qqq")
_MICROSECONDS = struct.Struct(">q")
_BYTE = 8


def bits(first: int, last: int, positions: Iterable[int]) -> bytes:
    """Return a bit for each position from `first` to `last`, set for those that are given."""
    found = bytearray((last - first) // _BYTE + 1)
    for position in positions:
        found[(position - first) // _BYTE] |= 1 << (position - first) % _BYTE
    return bytes(found)


def positions(run: SealedRun) -> Iterator[int]:
    """Yield the positions that were dropped of a run, in order."""
    for place, byte in enumerate(run.dropped):
        for bit in range(_BYTE):
            if byte >> bit & 1:
                yield run.first + place * _BYTE + bit


def kept(leaves: Iterable[bytes]) -> bytes:
    """Return the digest over the whole leaves of rows that stay, in order."""
    return sha256(b"\x02" + b"".join(leaves)).digest()


def record(
    key: Ed25519PrivateKey, runs: Sequence[SealedRun], leaves: Sequence[bytes], dropped_at: datetime
) -> UpdatesDropped:
    """Return the signed record of a drop, given the whole leaves of the rows that go, in order."""
    unsigned = UpdatesDropped(
        first=runs[0].first,
        last=runs[-1].last,
        count=len(leaves),
        runs=runs,
        digest=sha256(b"\x03" + b"".join(leaves)).digest(),
        signature=b"",
        dropped_at=dropped_at,
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(_statement(unsigned)))


def genuine(event: UpdatesDropped, key: Ed25519PublicKey) -> bool:
    """Return whether the owner of the key made this record, and made it like this."""
    try:
        key.verify(event.signature, _statement(event))
    except (InvalidSignature, struct.error):  # of what somebody wrote, numbers may not fit their bytes
        return False
    return event.count == sum(1 for run in event.runs for _ in positions(run))


def _statement(event: UpdatesDropped) -> bytes:
    runs = sha256()
    for run in event.runs:
        runs.update(_PLACES.pack(run.first, run.last) + sha256(run.dropped).digest() + run.kept)
    head = _HEAD.pack(event.first, event.last, event.count)
    at = _MICROSECONDS.pack((event.dropped_at - _EPOCH) // timedelta(microseconds=1))
    return b"nectar drop 1\x00" + head + event.digest + runs.digest() + at


class Drop(NamedTuple):
    """A record of a drop, and where it stands in the log."""

    position: int
    event: UpdatesDropped


def stored_drops(connection: psycopg.Connection) -> Generator[Drop, None, None]:
    """Yield the records that the log holds, in order, inside the connection's transaction.

    What cannot be read is passed over: somebody else wrote it, and the seals say so.
    """
    with connection.cursor("drops", binary=True) as cursor:
        cursor.itersize = 10
        cursor.execute(_RECORDS, [RETENTION])
        for position, type_, schema_version, data in cursor:
            try:
                event = catalog.decode(type_, schema_version, data)
            except (KeyError, msgspec.DecodeError):
                continue
            if isinstance(event, UpdatesDropped):
                yield Drop(position, event)


_RECORDS = "select position, type, schema_version, data from log.events where stream = %s order by version"
