"""Export the events of a range with all that proves them, and prove such a file where no database is.

What is under a seal can only be proven together. So of the events outside of the range, under its first and its last
seal, the file has the hashes, and nothing of what they say. The range is signed with the key of the seals: a file that
lost its beginning or its end does not pass for a whole one. Events that are not sealed yet are not exported.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.audit import lines
from adapters.audit.checking import Progress
from adapters.audit.exports import beside
from adapters.audit.files import FORMAT, Head, verify_now
from adapters.audit.lines import Format, Line
from adapters.audit.verification import ROWS, apart, copied, snapshot, stored_seals
from adapters.drops import Drop, stored_drops
from adapters.seals import SHARD, Seal
from domain import catalog
from domain.errors import Invalid

_COPY = (
    f"copy ({ROWS} where shard = {SHARD} and position between %s and %s order by position) to stdout (format binary)"
)
_FIRST_SINCE = f"""
select position, recorded_at from log.events where shard = {SHARD} and position >= %s order by position limit 1
"""  # noqa: S608 - made of constants
_SEALED_TO = f"select coalesce(max(to_position), 0) from log.seals where shard = {SHARD} and from_position <= %s"  # noqa: S608
_LAST = f"select coalesce(max(position), 0) from log.events where shard = {SHARD} and position <= %s"  # noqa: S608
_END = 2**63 - 1

Place = int | datetime
"""A position in the log, or a moment."""


class Exported(NamedTuple):
    """What an export has: the events that the range names, and how many at its end are not sealed yet."""

    head: Head
    events: int
    unsealed: int


class NotAsSealed(Exception):
    """Refuse to export events that are not what was sealed."""


async def export(
    database_url: str,
    key: Ed25519PrivateKey,
    file: Path,
    *,
    begin: Place,
    end: Place,
    format_: Format,
    progress: Progress,
) -> Exported:
    """Write the sealed events of a range, both ends included, in place of what the file held.

    What was written is read again and verified before it takes its place. Raises `NotAsSealed`, `Invalid` for a range
    that ends before it begins, `Unavailable`, `OSError`; the file is then as it was.
    """
    if type(begin) is type(end) and begin > end:  # type: ignore[operator]
        raise Invalid(f"The range ends at {end}, before it begins, at {begin}")
    wanted = _Wanted(database_url, key, file, begin, end, format_)
    return await apart(lambda told: _export(wanted, told), progress)


class _Wanted(NamedTuple):
    database_url: str
    key: Ed25519PrivateKey
    file: Path
    begin: Place
    end: Place
    format: Format


def _export(wanted: _Wanted, told: Progress) -> Exported:
    database_url, key, file, begin, end, format_ = wanted
    with beside(file) as unfinished:
        with snapshot(database_url) as (for_rows, other):
            head, unsealed = _head(other, key, begin, end)
            whole = max(head.last - head.first + 1, 0)
            written = _lines(for_rows, other, head, lambda done: told(done, 2 * whole))
            try:
                lines.write(format_, unfinished, written)
            except ValueError as e:
                raise NotAsSealed(str(e)) from e
            finally:
                written.close()
        report, _ = verify_now(format_, unfinished, lambda done, _: told(whole + done, 2 * whole))
        if report.findings:
            first = report.findings[0]
            raise NotAsSealed(f"Events {first.first} to {first.last} {first.kind}: {first.message}")
    return Exported(head, report.events, unsealed)


def _head(connection: psycopg.Connection, key: Ed25519PrivateKey, begin: Place, end: Place) -> tuple[Head, int]:
    sealed, last = _number(connection, _SEALED_TO, _END), _number(connection, _LAST, _END)
    first = max(begin, 1) if isinstance(begin, int) else _position_of(connection, begin, last, after=False)
    wanted = min(end, last) if isinstance(end, int) else _position_of(connection, end, last, after=True) - 1
    final = max(min(wanted, sealed), first - 1)
    head = Head(format=FORMAT, public_key=key.public_key().public_bytes_raw(), first=first, last=final)
    return msgspec.structs.replace(head, signature=key.sign(head.statement)), max(wanted - max(final, first - 1), 0)


def _number(connection: psycopg.Connection, statement: str, up_to: int) -> int:
    (number,) = connection.execute(statement.encode(), [up_to]).fetchone() or (0,)
    return int(number)


def _position_of(connection: psycopg.Connection, at: datetime, last: int, *, after: bool) -> int:
    """Return the first position recorded at a moment or later (`after`: later); times follow positions."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(_FIRST_SINCE.encode(), [middle]).fetchone()
        if found is None or found[1] > at or (not after and found[1] == at):
            high = middle
        else:
            low = found[0] + 1
    return low


def _lines(
    for_rows: psycopg.Connection, other: psycopg.Connection, head: Head, told: Callable[[int], None]
) -> Generator[Line, None, None]:
    yield lines.line("head", head)
    if head.last < head.first:
        return
    overlaps = "to_position >= %s and from_position <= %s"
    end = _number(other, _SEALED_TO, head.last)
    with closing(stored_seals(other, overlaps, head.first, head.last)) as seals:
        first = next(seals, None)
        if first is None:
            return
        with (
            closing(stored_drops(other)) as stored,
            closing(copied(for_rows, _COPY, first.from_position, end)) as rows,
        ):
            drops = _about(stored, first.from_position)
            drop, row = next(drops, None), next(rows, None)
            seal: Seal | None = first
            while seal is not None:
                while drop is not None and drop.event.runs[0].first <= seal.to_position:
                    yield _dropped(drop)
                    drop = next(drops, None)
                yield lines.line("seal", seal, position=seal.from_position)
                while row is not None and row.place[1] <= seal.to_position:
                    inside = head.first <= row.place[1] <= head.last
                    yield lines.event(row) if inside else lines.line("leaf", row.leaf, position=row.place[1])
                    row = next(rows, None)
                told(seal.to_position - head.first)
                seal = next(seals, None)


def _about(drops: Iterator[Drop], position: int) -> Iterator[Drop]:
    """Yield the records that tell of something from a position on."""
    return (drop for drop in drops if drop.event.runs and drop.event.runs[-1].last >= position)


def _dropped(drop: Drop) -> Line:
    event = drop.event
    return Line(
        kind="dropped",
        position=drop.position,
        type=type(event).__name__,
        schema_version=event.schema_version,
        data=msgspec.Raw(catalog.encode(event)),
    )
