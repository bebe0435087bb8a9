"""Candles on disk: for each series a folder of files, each the columns of some thousand slots, one after the other.

A file is a head (magic, number of candles, CRC-32 of what follows) and ten runs of doubles, so that reading is nothing
but copying. A file is written beside and moved into its place, first the candles, then that they are known: what a
crash leaves behind is at worst asked for again. A lock in the folder lets one process at a time write. All of this
blocks.
"""

import fcntl
import mmap
import os
import shutil
import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import msgspec

from domain.candles import Candle, Columns, Known, Series, Span, learn, slot
from domain.errors import Invalid

SLOTS = 8192
"""In one file: large enough that a year of minutes is 65 files, small enough to be written again for one candle."""
_HEAD = struct.Struct("<8sII")
_MAGIC = b"candles1"
_WIDTH = len(Candle._fields)
_DOUBLE = 8
_LONGEST_NAME = 200


class DamagedCandles(Exception):
    """Refuse to go on with candles that are not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"Candle file {path} is damaged: {why}. Remove it to have its candles asked for again")


class CandleStore:
    """The candles below a folder, which is made when the first ones are kept."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def known(self, series: Series) -> list[Known]:
        """Return what is known of a series. Raises `DamagedCandles`."""
        path = self._folder(series) / "known.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[Known])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as e:
            raise DamagedCandles(path, str(e)) from e

    def read(self, series: Series, span: Span) -> Columns:
        """Return the candles in a span of slots. Raises `DamagedCandles`."""
        folder = self._folder(series)
        with ExitStack() as open_files:
            parts = []
            for number in range(span[0] // SLOTS, (span[1] - 1) // SLOTS + 1):
                with suppress(FileNotFoundError):
                    file = os.open(path := folder / f"{number}.candles", os.O_RDONLY)
                    open_files.callback(os.close, file)
                    parts.append((path, file, *_head(path, file)))
            total = sum(count for _, _, count, _ in parts)
            columns = _room(total * _DOUBLE)
            at = 0
            for path, file, count, checksum in parts:
                end = at + count * _DOUBLE
                _fill(path, file, [column[at:end] for column in columns], checksum)
                at = end
        doubles = [column.cast("d") for column in columns]
        low, high = (bisect_left(doubles[0], edge * series.interval.seconds) for edge in span)
        return Columns(*(column[low:high] for column in doubles))

    def keep(self, series: Series, candles: Sequence[Candle], news: Iterable[Known], now: int) -> int:
        """Keep candles, in order of their times, and which spans were asked for; return how many are new.

        A candle that is there already is replaced.
        """
        with self._written_by_us(series) as folder:
            added = 0
            for number, group in groupby(candles, key=lambda candle: slot(series.interval, candle.timestamp) // SLOTS):
                added += self._merge(series, folder, number, list(group))
            known = self.known(series)
            for each in news:
                known = learn(known, each, now)
            _replace(folder / "known.json", msgspec.json.encode(known))
            _sync(folder)
        return added

    def forget(self, connector: str) -> None:
        """Remove all candles of a connector."""
        shutil.rmtree(self._root / connector, ignore_errors=True)

    def _merge(self, series: Series, folder: Path, number: int, candles: list[Candle]) -> int:
        before = self.read(series, (number * SLOTS, (number + 1) * SLOTS))
        rows: dict[float, Sequence[float]] = {row[0]: row for row in zip(*before, strict=True)}
        already = len(rows)
        for candle in candles:
            rows[candle.timestamp] = candle
        columns = zip(*(rows[timestamp] for timestamp in sorted(rows)), strict=True)
        body = b"".join(array("d", column).tobytes() for column in columns)
        head = _HEAD.pack(_MAGIC, len(rows), zlib.crc32(body))
        _replace(folder / f"{number}.candles", head + body)
        return len(rows) - already

    @contextmanager
    def _written_by_us(self, series: Series) -> Iterator[Path]:
        folder = self._folder(series)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)

    def _folder(self, series: Series) -> Path:
        pair = quote(series.trading_pair, safe="")
        if len(pair) > _LONGEST_NAME or not pair.strip("."):
            raise Invalid(f"Trading pair '{series.trading_pair[:64]}' cannot be the name of a folder")
        # Seconds, for a file system to which 1m and 1M are the same.
        return self._root / series.connector / pair / str(series.interval.seconds)


def _head(path: Path, file: int) -> tuple[int, int]:
    raw = os.pread(file, _HEAD.size, 0)
    if len(raw) < _HEAD.size:
        raise DamagedCandles(path, "it is cut off")
    magic, count, checksum = _HEAD.unpack(raw)
    if magic != _MAGIC:
        raise DamagedCandles(path, f"it begins with {magic!r}")
    if os.fstat(file).st_size != _HEAD.size + count * _WIDTH * _DOUBLE:
        raise DamagedCandles(path, f"it does not have the size of {count} candles")
    return count, checksum


def _room(length: int) -> list[memoryview]:
    """Return memory for all columns, in large pages if there are any: small ones take as long to get as to fill."""
    if not length:
        return [memoryview(b"")] * _WIDTH
    memory = mmap.mmap(-1, length * _WIDTH, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel may be built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    whole = memoryview(memory)
    return [whole[at : at + length] for at in range(0, length * _WIDTH, length)]


def _fill(path: Path, file: int, columns: list[memoryview], checksum: int) -> None:
    os.preadv(file, columns, _HEAD.size)
    found = 0
    for column in columns:
        found = zlib.crc32(column, found)
    if found != checksum:
        raise DamagedCandles(path, "its checksum is wrong")


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _sync(folder: Path) -> None:
    entries = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)
