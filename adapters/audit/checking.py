"""Compare events with the seals that were made of them, and name the events that are not what was sealed.

Where rows and seals come from, a database or a file, is no matter here: they are taken in order, once. Each run of rows
is hashed again and compared with its seal; only where they differ are the rows looked at one by one. A row that is not
at home where it stands and a place whose row is gone are kept until the end and then matched by leaf, which tells a row
that was moved from one that was altered, removed or put in. Memory does not grow with the number of events.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters import drops
from adapters.drops import Drop, kept, positions
from adapters.seals import LEAF_BYTES, SHARD, START, Seal, digest, genuine
from domain.bots import SealedRun

MOST_SUSPECTS = 10_000

_LENGTH = struct.Struct(">i")
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


class Row(NamedTuple):
    """An event where it stands. `raw` is what its leaf is made of, empty where only the leaf is known."""

    place: tuple[int, int]  # shard, position
    leaf: bytes
    raw: bytes = b""

    @property
    def short(self) -> bytes:
        """The part of its leaf that a seal keeps."""
        return self.leaf[:LEAF_BYTES]

    @property
    def name(self) -> str:
        """What it says of itself: type, stream and version."""
        if not self.raw:
            return "an event whose content is not here"
        stream, version, type_ = self._columns(3)
        return f"{type_.decode(errors='replace')} ({stream.decode(errors='replace')!r} {_LONG.unpack(version)[0]})"

    def _columns(self, count: int) -> Iterator[bytes]:
        at = 0
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(self.raw, at)
            at += _LENGTH.size + length
            yield self.raw[at - length : at]


class Checking:
    """One verification under way: rows and seals are taken in order, and what does not fit is kept for the end."""

    def __init__(self, rows: Iterator[Row], dropped: Iterator[Drop], key: Ed25519PublicKey, *, begin: int = 1) -> None:
        """Take rows in the order of their places; the first seal may begin before position `begin`, not behind it."""
        self._rows = rows
        self._drops = dropped
        self._runs: deque[SealedRun] = deque()  # of the drop that was read last, and not passed yet
        self._key = key
        self._ahead: Row | None = None
        self._expected = begin
        self._previous = START if begin == 1 else None  # None: what came before is not known here
        self._strangers: list[Row] = []  # not at home where they stand
        self._astray: list[Row] = []  # among rows that they do not belong to
        self._vacant: dict[int, bytes] = {}  # position → short leaf of the event that should be there
        self._homeless: dict[bytes, int] = {}  # the same, the other way round
        self.report = Report(sealed_to=begin - 1)

    def witnessed(self, exported: Iterable[Seal], stored: Iterator[Seal]) -> Iterator[Seal]:
        """Yield the exported seals, then those stored that follow them; where both exist they have to be the same."""
        other = next(stored, None)
        covered = 0
        for seal in exported:
            while other is not None and other.from_position < seal.from_position:
                self._differs(other)
                other = next(stored, None)
            if other != seal:
                self._differs(seal)
            if other is not None and other.from_position == seal.from_position:
                other = next(stored, None)
            covered = seal.to_position
            yield seal
        while other is not None:
            if other.from_position > covered:
                yield other
            else:
                self._differs(other)
            other = next(stored, None)

    def check(self, seal: Seal) -> None:
        """Compare the rows of the next seal with it."""
        expected, previous = self._expected, self._previous
        if not self.report.seals and seal.from_position < expected:
            expected, previous = seal.from_position, None
        if not genuine(seal, self._key) or seal.shard != SHARD or seal.from_position < expected:
            self.find(Kind.FORGED, seal.from_position, seal.to_position, "the seal was forged or altered")
            return
        if seal.from_position > expected:
            self.find(Kind.UNSEALED, expected, seal.from_position - 1, "their seal is missing, nothing proves them")
            self._pass_over(seal.from_position - 1)
        elif previous is not None and seal.previous != previous:
            self.find(Kind.FORGED, seal.from_position, seal.to_position, "the seal does not follow the one before it")
        self._expected, self._previous = seal.to_position + 1, seal.digest
        self.report.seals += 1
        self.report.sealed_to = seal.to_position
        rows, begin = [], (SHARD, seal.from_position)
        for row in self._up_to(seal.to_position):
            if row.place >= begin and seal.leaves:
                rows.append(row)
            else:
                self._suspect(row)
        if not seal.leaves:
            self.find(Kind.HOLE, seal.from_position, seal.to_position, "missing already when the log was sealed")
            return
        run = self._dropped(seal)
        gone = frozenset[int]() if run is None else frozenset(positions(run))
        staying = [row for row in rows if row.place[1] not in gone] if gone else rows
        if run is None:
            whole = digest(seal.previous, b"".join([row.leaf for row in rows])) == seal.digest
        else:
            whole = kept(row.leaf for row in staying) == run.kept
            self.report.dropped += len(gone)
        if not whole or len(rows) > len(staying) or not _gapless(seal, staying, gone):
            self._compare(seal, rows, gone, whole=whole)

    def finish(self) -> None:
        """Read the rows after the last seal, and say of everything that did not fit what happened to it."""
        self.report.tail = self._pass_over(None)
        self._records_up_to(None)
        left = []
        for row in chain(self._strangers, self._astray):
            home = self._homeless.pop(row.short, None)
            if home is None:
                left.append(row)
            else:
                del self._vacant[home]
                if row.place != (SHARD, home):
                    self.find(Kind.MOVED, home, home, f"{row.name} stands at {_where(row.place)} now")
                elif row in self._astray:
                    self.find(Kind.MOVED, home, home, f"{row.name} does not stand under its seal")
        for row in left:
            shard, position = row.place
            if shard == SHARD and position in self._vacant:
                del self._vacant[position]
                self.find(Kind.ALTERED, position, position, f"reads {row.name} now")
            else:
                self.find(Kind.INSERTED, position, position, f"{row.name} was put in at {_where(row.place)}")
        for position in self._vacant:
            self.find(Kind.REMOVED, position, position, "no event stands there any more")
        self.report.findings = _joined(self.report.findings)

    def _dropped(self, seal: Seal) -> SealedRun | None:
        """Return what is on record as dropped of the events under a seal; records are in the order of seals."""
        self._records_up_to(seal.from_position)
        run = self._runs[0] if self._runs else None
        return run if run and (run.first, run.last) == (seal.from_position, seal.to_position) else None

    def _records_up_to(self, position: int | None) -> None:
        """Pass over what was dropped before a position, or over all."""
        while True:
            while self._runs and (position is None or self._runs[0].first < position):
                self._runs.popleft()
            if self._runs:
                return
            drop = next(self._drops, None)
            if drop is None:
                return
            if drops.genuine(drop.event, self._key):
                self._runs.extend(drop.event.runs)
            else:
                message = "what it says to be dropped was not signed by the key of the seals"
                self.find(Kind.FORGED, drop.position, drop.position, message)

    def _compare(self, seal: Seal, rows: Sequence[Row], gone: AbstractSet[int], *, whole: bool) -> None:
        fits = not whole
        standing: dict[int, Row] = {}
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
            self.find(Kind.ALTERED, seal.from_position, seal.to_position, "at least one; the seal cannot tell which")

    def _pass_over(self, position: int | None) -> int:
        # Rows that no seal covers are only looked at for events that belong elsewhere, and for holes.
        passed, expected = 0, self.report.sealed_to + 1
        for row in self._up_to(position):
            passed += 1
            if row.place < (SHARD, 1) or row.place[0] != SHARD or row.short in self._homeless:
                self._suspect(row)
                expected += row.place == (SHARD, expected)
                continue
            if row.place[1] != expected:
                self.find(Kind.HOLE, expected, row.place[1] - 1, "no event stands there, and no seal tells of one")
            expected = row.place[1] + 1
        return passed

    def _up_to(self, position: int | None) -> Iterator[Row]:
        while True:
            row = self._ahead or next(self._rows, None)
            self._ahead = None
            if row is None:
                return
            if position is not None and row.place > (SHARD, position):
                self._ahead = row
                return
            self.report.events += 1
            yield row

    def stray(self, row: Row) -> None:
        """Keep a row that stands among others than its place says, until it is known what happened to it."""
        if self._full():
            self.report.more += 1
        else:
            self._astray.append(row)

    def _suspect(self, row: Row) -> None:
        if self._full():
            self.report.more += 1
        else:
            self._strangers.append(row)

    def _full(self) -> bool:
        return len(self._vacant) + len(self._strangers) + len(self._astray) >= MOST_SUSPECTS

    def _differs(self, seal: Seal) -> None:
        self.find(Kind.REPLACED, seal.from_position, seal.to_position, "the seal stored is not the one exported")

    def find(self, kind: Kind, first: int, last: int, message: str) -> None:
        """Note that something is wrong."""
        if len(self.report.findings) < MOST_SUSPECTS:
            self.report.findings.append(Finding(kind=kind, first=first, last=last, message=message))
        else:
            self.report.more += 1


def _gapless(seal: Seal, rows: Sequence[Row], gone: AbstractSet[int]) -> bool:
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
