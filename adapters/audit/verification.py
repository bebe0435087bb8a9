"""Prove that the log is what was sealed, or name the events that are not.

Rows and seals are read once, in order, in one snapshot, while the server goes on; `checking.py` compares them. It is
done in a thread with connections that block: a row costs less than a turn of the event loop does.

What no seal can show: events that were cut off the end together with their seals. They are found against seals that
were exported before, kept where whoever can write to this database cannot.
"""

import asyncio
import struct
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from threading import Event
from typing import TypeVar

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import sql

from adapters.audit.checking import Checking, Finding, Kind, Progress, Report, Row
from adapters.drops import stored_drops
from adapters.seals import COLUMNS, SELECT, Seal, from_row
from domain.errors import Unavailable

__all__ = ["Finding", "Kind", "Progress", "Report", "verify"]

ROWS = f"select shard, position, {', '.join(COLUMNS)} from log.events"  # noqa: S608 - the columns are constants
_ALL = f"copy ({ROWS} order by shard, position) to stdout (format binary)"
_PLACE = struct.Struct(">hihiq")  # how many columns, then two of them behind their lengths
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
_HEADER = 19
_TRAILER = b"\xff\xff"

T = TypeVar("T")


class Interrupted(Exception):
    """End work in a thread that nobody waits for any more."""


async def verify(
    database_url: str,
    key: Ed25519PublicKey,
    *,
    exported: Iterable[Seal] = (),
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Compare the log with its seals, signed with a key, and return what is wrong.

    `exported` are seals that were kept elsewhere, in order: they are believed instead of those in the database that
    cover the same positions, and each difference between the two is a finding. Raises `Unavailable`.
    """
    return await apart(lambda told: _verify(database_url, key, exported, told), progress)


def _verify(database_url: str, key: Ed25519PublicKey, exported: Iterable[Seal], progress: Progress) -> Report:
    with snapshot(database_url) as (for_rows, for_seals):
        (total,) = for_seals.execute("select count(*) from log.events").fetchone() or (0,)
        with (
            closing(copied(for_rows, _ALL)) as rows,
            closing(stored_seals(for_seals)) as stored,
            closing(stored_drops(for_seals)) as dropped,
        ):
            checking = Checking(rows, dropped, key)
            for seal in checking.witnessed(exported, stored):
                checking.check(seal)
                progress(checking.report.events, total)
            checking.finish()
            progress(checking.report.events, total)
    return checking.report


async def apart(work: Callable[[Progress], T], progress: Progress) -> T:
    """Do work in a thread that tells of its progress, and have it end soon when the caller is canceled."""
    canceled = Event()

    def told(done: int, all_: int) -> None:
        if canceled.is_set():
            raise Interrupted
        progress(done, all_)

    try:
        return await asyncio.to_thread(work, told)
    finally:
        canceled.set()


def stored_seals(
    connection: psycopg.Connection, condition: str = "true", *values: object
) -> Generator[Seal, None, None]:
    """Yield the seals that the database holds, in order, inside the connection's transaction."""
    with connection.cursor("seals", binary=True) as cursor:
        cursor.itersize = 100
        cursor.execute(f"{SELECT} where {condition} order by shard, from_position".encode(), values)
        for row in cursor:
            yield from_row(row)


def copied(connection: psycopg.Connection, statement: str, *values: object) -> Generator[Row, None, None]:
    """Yield the rows of a `COPY … TO STDOUT (FORMAT binary)` of `ROWS`.

    It gives the binary value of each column untouched, behind its length: the very bytes that a leaf is made of.
    """
    unpack, size = _PLACE.unpack_from, _PLACE.size
    with connection.cursor() as cursor, cursor.copy(statement.encode(), values) as copy:
        for data in copy:
            line = bytes(data)
            if line.startswith(_SIGNATURE):
                line = line[_HEADER:]
            if line == _TRAILER:
                continue
            _, _, shard, _, position = unpack(line)
            raw = line[size:]
            yield Row((shard, position), sha256(b"\x00" + raw).digest(), raw)


@contextmanager
def snapshot(database_url: str) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Open two connections, read-only, that see the same moment for as long as they live. Raises `Unavailable`."""
    with ExitStack() as stack:
        try:
            first, second = [stack.enter_context(_connect(database_url)) for _ in range(2)]
            (name,) = first.execute("select pg_export_snapshot()").fetchone() or (None,)
            second.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(name)))
            yield first, second
        except psycopg.OperationalError as e:
            raise Unavailable("The event log cannot be reached: its database does not answer") from e
        except psycopg.errors.UndefinedTable as e:
            raise Unavailable("The database holds no event log: run nectar migrate, or start the server on it") from e


def _connect(database_url: str) -> psycopg.Connection:
    connection = psycopg.connect(database_url, connect_timeout=5, client_encoding="UTF8")
    connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    connection.set_read_only(True)
    return connection
