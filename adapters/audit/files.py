"""Prove a file of exported events by the seals in it, where no database is.

A file is read once, in order, a seal at a time; `checking.py` compares. Beside what a database can be found to hold, an
event of a file may stand out of its order, or have its content taken out.
"""

import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.audit import lines
from adapters.audit.checking import Checking, Kind, Progress, Report, Row
from adapters.audit.exports import WrongExport
from adapters.audit.lines import Format, Line
from adapters.audit.verification import apart
from adapters.drops import Drop
from adapters.seals import SHARD, Seal
from domain import catalog
from domain.bots import UpdatesDropped

FORMAT = "nectar events 1"
MOST_UNDER_A_SEAL = 100_000

_RANGE = struct.Struct(">qq")


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file is: all events from position `first` to `last`, none if `last` is before it."""

    format: str
    public_key: bytes
    first: int
    last: int
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return b"nectar events 1\x00" + _RANGE.pack(self.first, self.last)


async def verify(file: Path, progress: Progress) -> tuple[Report, Ed25519PublicKey, Head]:
    """Compare a file's events with the seals in it, signed with the key in it, and say what is wrong with them.

    Raises `WrongExport` for a file that is no such export or cannot be read, naming the line, and `OSError`.
    """
    report, head = await apart(lambda told: verify_now(format_of(file), file, told), progress)
    return report, Ed25519PublicKey.from_public_bytes(head.public_key), head


def format_of(file: Path) -> Format:
    """Return the format of a file, which its first bytes tell."""
    with file.open("rb") as content:
        begin = content.read(5)
    return "parquet" if begin[:4] == b"PAR1" else "csv" if begin == b"kind," else "jsonl"


def verify_now(format_: Format, file: Path, told: Progress) -> tuple[Report, Head]:
    """Do as `verify` does, in this thread, with a file of a known format."""
    read = lines.read(format_, file)
    head, key = _checked_head(file, next(read, None))
    blocks = _Blocks(file, read, head)
    checking = blocks.checking = Checking(blocks.rows(), blocks.drops, key, begin=head.first)
    _check_range(checking, head, key)
    for seal in blocks.seals():
        checking.check(seal)
        told(checking.report.sealed_to - head.first + 1, max(head.last - head.first + 1, 0))
    checking.finish()
    if (reached := max(checking.report.sealed_to, head.first - 1)) < head.last:
        checking.find(Kind.UNSEALED, reached + 1, head.last, "their seal is missing, nothing proves them")
    checking.report.events = blocks.events
    return checking.report, head


def _checked_head(file: Path, line: Line | None) -> tuple[Head, Ed25519PublicKey]:
    try:
        if line is None or line.kind != "head":
            raise WrongExport(f"{file} is no export of events: it does not begin with what it is")
        head = msgspec.json.decode(line.data, type=Head)
        key = Ed25519PublicKey.from_public_bytes(head.public_key)
    except (msgspec.DecodeError, ValueError) as e:
        raise lines.damaged(file, 1, e) from e
    if head.format != FORMAT:
        raise WrongExport(f"{file} is no export that can be read here: '{head.format[:80]}' instead of '{FORMAT}'")
    return head, key


def _check_range(checking: Checking, head: Head, key: Ed25519PublicKey) -> None:
    try:
        key.verify(head.signature, head.statement)
    except (InvalidSignature, struct.error):
        checking.find(Kind.FORGED, head.first, max(head.first, head.last), "the range that the file names was altered")


class _Blocks:
    """A file as the checking takes it: seals, what is under each, and what was dropped; a seal ahead is in memory."""

    def __init__(self, file: Path, read: Iterator[Line], head: Head) -> None:
        self.checking: Checking
        self.drops = _Waiting()
        self.events = 0
        self._file = file
        self._lines = enumerate(read, start=2)
        self._head = head
        self._next: tuple[int, Line] | None = next(self._lines, None)
        self._seals: deque[Seal] = deque()
        self._rows: deque[Row] = deque()
        self._dropped_to = 0

    def seals(self) -> Iterator[Seal]:
        """Yield the seals."""
        while self._seals or self._load():
            if self._seals:
                yield self._seals.popleft()

    def rows(self) -> Iterator[Row]:
        """Yield what is under the seals, in the order of positions."""
        while self._rows or self._load():
            while self._rows:
                yield self._rows.popleft()

    def _load(self) -> bool:
        """Read up to the next seal, and that with all that is under it; False at the end of the file."""
        seal: Seal | None = None
        under: list[Row] = []
        strangers: list[Row] = []
        if self._next is None:
            return False
        while self._next is not None:
            number, line = self._next
            if line.kind == "seal" and (seal is not None or strangers):
                break
            try:
                match line.kind:
                    case "seal":
                        seal = _seal(line)
                    case "dropped":
                        if seal is not None:
                            break
                        self.drops.put(_drop(line))
                    case "event" | "leaf":
                        row = self._row(line)
                        if row is not None:
                            here = seal is not None and seal.from_position <= row.place[1] <= seal.to_position
                            (under if here else strangers).append(row)
                    case "head":
                        raise ValueError("there is one head, and it stands first")  # noqa: TRY301
            except (msgspec.DecodeError, ValueError, KeyError) as e:
                raise lines.damaged(self._file, number, e) from e
            if len(under) + len(strangers) > MOST_UNDER_A_SEAL:
                raise WrongExport(f"{self._file} is damaged: more than {MOST_UNDER_A_SEAL:,} events under a seal")
            self._next = next(self._lines, None)
        if seal is not None:
            self._seals.append(seal)
        self._take(under, strangers)
        return True

    def _row(self, line: Line) -> Row | None:
        if line.kind == "event":
            self.events += 1
            return lines.row(line)
        if line.position is None:
            raise ValueError("a leaf has a position")
        if self._head.first <= line.position <= self._head.last:
            return None  # its content was taken out: it is missed
        return Row((SHARD, line.position), msgspec.json.decode(line.data, type=bytes))

    def _take(self, under: list[Row], strangers: list[Row]) -> None:
        ordered = sorted(under, key=lambda row: row.place)
        for row, right in zip(under, ordered, strict=True):
            if row.place != right.place:
                position = row.place[1]
                self.checking.find(Kind.MOVED, position, position, f"{row.name} does not stand in its order")
        self._rows.extend(ordered)
        for row in strangers:
            self.checking.stray(row)


class _Waiting:
    """What was read of the records of drops and not asked for yet; it may be asked again when there is more."""

    def __init__(self) -> None:
        self._drops: deque[Drop] = deque()

    def put(self, drop: Drop) -> None:
        self._drops.append(drop)

    def __iter__(self) -> Iterator[Drop]:
        return self

    def __next__(self) -> Drop:
        if not self._drops:
            raise StopIteration
        return self._drops.popleft()


def _seal(line: Line) -> Seal:
    seal = msgspec.json.decode(line.data, type=Seal)
    if line.position != seal.from_position:
        raise ValueError(f"the seal is of position {seal.from_position}")
    return seal


def _drop(line: Line) -> Drop:
    event = catalog.decode(line.type or "", line.schema_version or 0, line.content)
    if not isinstance(event, UpdatesDropped) or line.position is None:
        raise ValueError("it is no record of dropped events")
    return Drop(line.position, event)
