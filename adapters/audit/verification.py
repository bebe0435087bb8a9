"""Prove that the log is what was sealed, or name the events that are not.

Rows and seals are read once, in order, in one snapshot, while the server goes on. Each run of rows is hashed again and
compared with its seal; only where they differ are the rows looked at one by one. A row that is not at home where it
stands and a place whose row is gone are kept until the end and then matched by leaf, which tells a row that was moved
from one that was altered, removed or put in. Memory does not grow with the log.

What no seal can show: events that were cut off the end together with their seals. They are found against seals that
were exported before, kept where whoever can write to this database cannot.
"""

import struct
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from enum import StrEnum
from typing import NamedTuple

import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import sql

from adapters import drops
from adapters.drops import Drop, kept, positions, stored_drops
from adapters.seals import COLUMNS, LEAF_BYTES, SELECT, SHARD, START, Seal, digest, from_row, genuine, leaf
from domain.bots import SealedRun
from domain.errors import Unavailable

MOST_SUSPECTS = 10_000

_ROWS = f"""
copy (select shard, position, {", ".join(COLUMNS)} from log.events order by shard, position) to stdout (format binary)
"""  # noqa: S608 - the columns are constants
_SEALS = f"{SELECT} order by shard, from_position"
_SHORT = struct.Struct(">h")
_LONG = struct.Struct(">q")

Progress = Callable[[int, int], None]
"""Told how many events are read, and how many there are."""


class Kind(StrEnum):
    """What can be wrong with a log."""

    ALTERED = "altered"
    REMOVED = "removed"
    MOVED = "moved"
    INSERTED = "inserted"
    HOLE = "hole"
    UNSEALED = "unsealed"
    FORGED = "forged"
    REPLACED = "replaced"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, with the positions from `first` to `last`, and in words."""

    kind: Kind
    first: int
    last: int
    message: str


class Report(msgspec.Struct, kw_only=True):
    """What a verification found.

    `events` were read; those up to position `sealed_to` are covered by `seals` seals and `tail` events after it are not
    sealed yet. `dropped` are gone, as signed records of it say. `more` findings are not listed, because there are too
    many.
    """

    events: int = 0
    dropped: int = 0
    seals: int = 0
    sealed_to: int = 0
    tail: int = 0
    findings: list[Finding] = []
    more: int = 0


class _Row(NamedTuple):
    place: tuple[int, int]  # shard, position
    leaf: bytes
    columns: tuple[bytes, bytes, bytes]  # type, stream, version

    @property
    def short(self) -> bytes:
        return self.leaf[:LEAF_BYTES]

    @property
    def name(self) -> str:
        type_, stream, version = self.columns
        return f"{type_.decode(errors='replace')} ({stream.decode(errors='replace')!r} {_LONG.unpack(version)[0]})"


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
    async with snapshot(database_url) as (for_rows, for_seals):
        cursor = await for_seals.execute("select count(*) from log.events")
        (total,) = await cursor.fetchone() or (0,)
        async with (
            aclosing(_rows(for_rows)) as rows,
            aclosing(stored_seals(for_seals)) as stored,
            aclosing(stored_drops(for_seals)) as dropped,
        ):
            checking = _Checking(rows, dropped, key)
            async for seal in checking.witnessed(exported, stored):
                await checking.check(seal)
                progress(checking.report.events, total)
            await checking.finish()
            progress(checking.report.events, total)
    return checking.report


async def stored_seals(connection: psycopg.AsyncConnection) -> AsyncGenerator[Seal, None]:
    """Yield the seals that the database holds, in order, inside the connection's transaction."""
    async with connection.cursor("seals", binary=True) as cursor:
        cursor.itersize = 100
        await cursor.execute(_SEALS)
        async for row in cursor:
            yield from_row(row)


class _Checking:
    """One verification under way: rows and seals are taken in order, and what does not fit is kept for the end."""

    def __init__(self, rows: AsyncIterator[_Row], dropped: AsyncIterator[Drop], key: Ed25519PublicKey) -> None:
        self._rows = rows
        self._drops = dropped
        self._runs: deque[SealedRun] = deque()  # of the drop that was read last, and not passed yet
        self._key = key
        self._ahead: _Row | None = None
        self._before: Seal | None = None
        self._strangers: list[_Row] = []  # not at home where they stand
        self._vacant: dict[int, bytes] = {}  # position → short leaf of the event that should be there
        self._homeless: dict[bytes, int] = {}  # the same, the other way round
        self.report = Report()

    async def witnessed(self, exported: Iterable[Seal], stored: AsyncIterator[Seal]) -> AsyncIterator[Seal]:
        """Yield the exported seals, then those stored that follow them; where both exist they have to be the same."""
        other = await anext(stored, None)
        covered = 0
        for seal in exported:
            while other is not None and other.from_position < seal.from_position:
                self._differs(other)
                other = await anext(stored, None)
            if other != seal:
                self._differs(seal)
            if other is not None and other.from_position == seal.from_position:
                other = await anext(stored, None)
            covered = seal.to_position
            yield seal
        while other is not None:
            if other.from_position > covered:
                yield other
            else:
                self._differs(other)
            other = await anext(stored, None)

    async def check(self, seal: Seal) -> None:
        """Compare the rows of the next seal with it."""
        expected, previous = (1, START) if self._before is None else (self._before.to_position + 1, self._before.digest)
        if not genuine(seal, self._key) or seal.shard != SHARD or seal.from_position < expected:
            self._find(Kind.FORGED, seal.from_position, seal.to_position, "the seal was forged or altered")
            return
        if seal.from_position > expected:
            self._find(Kind.UNSEALED, expected, seal.from_position - 1, "their seal is missing, nothing proves them")
            await self._pass_over(seal.from_position - 1)
        elif seal.previous != previous:
            self._find(Kind.FORGED, seal.from_position, seal.to_position, "the seal does not follow the one before it")
        self._before = seal
        self.report.seals += 1
        self.report.sealed_to = seal.to_position
        rows = []
        async for row in self._up_to(seal.to_position):
            if row.place >= (SHARD, seal.from_position) and seal.leaves:
                rows.append(row)
            else:
                self._suspect(row)
        if not seal.leaves:
            self._find(Kind.HOLE, seal.from_position, seal.to_position, "missing already when the log was sealed")
            return
        run = await self._dropped(seal)
        gone = frozenset[int]() if run is None else frozenset(positions(run))
        staying = [row for row in rows if row.place[1] not in gone]
        if run is None:
            whole = digest(seal.previous, b"".join([row.leaf for row in rows])) == seal.digest
        else:
            whole = kept(row.leaf for row in staying) == run.kept
            self.report.dropped += len(gone)
        if not whole or len(rows) > len(staying) or not _gapless(seal, staying, gone):
            self._compare(seal, rows, gone, whole=whole)

    async def finish(self) -> None:
        """Read the rows after the last seal, and say of everything that did not fit what happened to it."""
        self.report.tail = await self._pass_over(None)
        await self._records_up_to(None)
        left = []
        for row in self._strangers:
            home = self._homeless.pop(row.short, None)
            if home is None:
                left.append(row)
            else:
                del self._vacant[home]
                if row.place != (SHARD, home):
                    self._find(Kind.MOVED, home, home, f"{row.name} stands at {_where(row.place)} now")
        for row in left:
            shard, position = row.place
            if shard == SHARD and position in self._vacant:
                del self._vacant[position]
                self._find(Kind.ALTERED, position, position, f"reads {row.name} now")
            else:
                self._find(Kind.INSERTED, position, position, f"{row.name} was put in at {_where(row.place)}")
        for position in self._vacant:
            self._find(Kind.REMOVED, position, position, "no event stands there any more")
        self.report.findings = _joined(self.report.findings)

    async def _dropped(self, seal: Seal) -> SealedRun | None:
        """Return what is on record as dropped of the events under a seal; records are in the order of seals."""
        await self._records_up_to(seal.from_position)
        run = self._runs[0] if self._runs else None
        return run if run and (run.first, run.last) == (seal.from_position, seal.to_position) else None

    async def _records_up_to(self, position: int | None) -> None:
        """Pass over what was dropped before a position, or over all."""
        while True:
            while self._runs and (position is None or self._runs[0].first < position):
                self._runs.popleft()
            if self._runs:
                return
            drop = await anext(self._drops, None)
            if drop is None:
                return
            if drops.genuine(drop.event, self._key):
                self._runs.extend(drop.event.runs)
            else:
                message = "what it says to be dropped was not signed by the key of the seals"
                self._find(Kind.FORGED, drop.position, drop.position, message)

    def _compare(self, seal: Seal, rows: Sequence[_Row], gone: AbstractSet[int], *, whole: bool) -> None:
        fits = not whole
        standing: dict[int, _Row] = {}
        for row in rows:
            if standing.setdefault(row.place[1], row) is not row:  # only without the primary key
                fits = False
                self._suspect(row)
        for position in range(seal.from_position, seal.to_position + 1):
            start = (position - seal.from_position) * LEAF_BYTES
            short = seal.leaves[start : start + LEAF_BYTES]
            here = standing.get(position)
            if (here is None and position in gone) or (here is not None and here.short == short):
                continue
            fits = False
            if self._full():
                self.report.more += 1
                continue
            self._vacant[position] = short
            self._homeless[short] = position
            if here is not None:
                self._strangers.append(here)
        if fits:
            self._find(Kind.ALTERED, seal.from_position, seal.to_position, "at least one; the seal cannot tell which")

    async def _pass_over(self, position: int | None) -> int:
        # Rows that no seal covers are only looked at for events that belong elsewhere, and for holes.
        passed, expected = 0, self.report.sealed_to + 1
        async for row in self._up_to(position):
            passed += 1
            if row.place < (SHARD, 1) or row.place[0] != SHARD or row.short in self._homeless:
                self._suspect(row)
                expected += row.place == (SHARD, expected)
                continue
            if row.place[1] != expected:
                self._find(Kind.HOLE, expected, row.place[1] - 1, "no event stands there, and no seal tells of one")
            expected = row.place[1] + 1
        return passed

    async def _up_to(self, position: int | None) -> AsyncIterator[_Row]:
        while True:
            row = self._ahead or await anext(self._rows, None)
            self._ahead = None
            if row is None:
                return
            if position is not None and row.place > (SHARD, position):
                self._ahead = row
                return
            self.report.events += 1
            yield row

    def _suspect(self, row: _Row) -> None:
        if self._full():
            self.report.more += 1
        else:
            self._strangers.append(row)

    def _full(self) -> bool:
        return len(self._vacant) + len(self._strangers) >= MOST_SUSPECTS

    def _differs(self, seal: Seal) -> None:
        self._find(Kind.REPLACED, seal.from_position, seal.to_position, "the seal stored is not the one exported")

    def _find(self, kind: Kind, first: int, last: int, message: str) -> None:
        if len(self.report.findings) < MOST_SUSPECTS:
            self.report.findings.append(Finding(kind=kind, first=first, last=last, message=message))
        else:
            self.report.more += 1


def _gapless(seal: Seal, rows: Sequence[_Row], gone: AbstractSet[int]) -> bool:
    expected = [n for n in range(seal.from_position, seal.to_position + 1) if n not in gone]
    return [row.place[1] for row in rows] == expected


def _joined(findings: list[Finding]) -> list[Finding]:
    # Neighbours of which the same is to be said become one.
    joined: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.first, f.last)):
        before = joined[-1] if joined else None
        if before and (before.kind, before.message, before.last + 1) == (finding.kind, finding.message, finding.first):
            joined[-1] = msgspec.structs.replace(before, last=finding.last)
        else:
            joined.append(finding)
    return joined


def _where(place: tuple[int, int]) -> str:
    shard, position = place
    return f"position {position}" if shard == SHARD else f"position {position} of shard {shard}"


async def _rows(connection: psycopg.AsyncConnection) -> AsyncGenerator[_Row, None]:
    # COPY gives the binary value of each column untouched: the very bytes that a leaf is made of.
    async with connection.cursor() as cursor, cursor.copy(_ROWS) as copy:
        async for shard, position, *values in copy.rows():
            stream, version, type_ = values[:3]
            yield _Row(
                place=(_SHORT.unpack(shard)[0], _LONG.unpack(position)[0]),
                leaf=leaf(values),
                columns=(type_, stream, version),
            )


@asynccontextmanager
async def snapshot(database_url: str) -> AsyncIterator[tuple[psycopg.AsyncConnection, psycopg.AsyncConnection]]:
    """Open two connections, read-only, that see the same moment for as long as they live. Raises `Unavailable`."""
    async with AsyncExitStack() as stack:
        try:
            first, second = [await stack.enter_async_context(await _connect(database_url)) for _ in range(2)]
            cursor = await first.execute("select pg_export_snapshot()")
            (name,) = await cursor.fetchone() or (None,)
            await second.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(name)))
            yield first, second
        except psycopg.OperationalError as e:
            raise Unavailable("The event log cannot be reached: its database does not answer") from e
        except psycopg.errors.UndefinedTable as e:
            raise Unavailable("The database holds no event log: run nectar migrate, or start the server on it") from e


async def _connect(database_url: str) -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(database_url, connect_timeout=5, client_encoding="UTF8")
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
    return connection
