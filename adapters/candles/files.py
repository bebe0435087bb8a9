"""Read candles from a file: CSV, plain, gzip or zip, or Parquet. What is wrong is said with its line.

Columns are known by their names, those of Hummingbot, of Binance's own files and of the usual data sets. A CSV file
without a header has Binance's columns in Binance's order (Binance public data, 2026-03).
"""

import csv
import gzip
import io
import re
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from domain.candles import Candle, Interval, crossed, wrong
from domain.errors import Invalid

SHOWN = 10
"""So many wrong lines are named."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "open_time", "opentime", "date", "datetime", "time"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "quote_asset_volume": ("quote_asset_volume", "quote_volume"),
    "n_trades": ("n_trades", "count", "number_of_trades", "trades"),
    "taker_buy_base_volume": ("taker_buy_base_volume", "taker_buy_volume", "taker_buy_base_asset_volume"),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume"),
}
_REQUIRED = Candle._fields[:6]
_BINANCE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_HOUR_SECONDS = 3600
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
# A time as a number is in seconds, milli-, micro- or nanoseconds: whichever makes it a time between 1973 and 5138.
_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))

Row = tuple[int, Sequence[Any]]
"""A line's number, and what stands in the columns that were asked for."""
Progress = Callable[[int], object]
"""Told how many bytes of the file have been read in all."""


def check(path: Path, of: Interval, now: float, progress: Progress) -> int:
    """Return the number of candles in a file after looking at each. Raises `Invalid`, with the lines that are wrong."""
    problems: list[str] = []
    count, rows = 0, 0
    times, lines = array("d"), array("q")
    for line, candle in _candles(path, of, now, progress):
        rows += 1
        if isinstance(candle, str):
            count += 1
            if len(problems) < SHOWN:
                problems.append(f"line {line}: {candle}")
        else:
            times.append(candle.timestamp)
            lines.append(line)
    count += _repeated(times, lines, problems)
    if count:
        more = f"\n… and {count - len(problems)} more" if count > len(problems) else ""
        found = "\n".join(problems)
        raise Invalid(f"{count} of {rows} lines of {path.name} cannot be used, so none was taken:\n{found}{more}")
    if not rows:
        raise Invalid(f"{path.name} has no candles")
    return rows


def candles(path: Path, of: Interval, now: float, progress: Progress) -> Iterator[Candle]:
    """Yield the candles of a file that was checked. Raises `Invalid` if it is another one by now."""
    for line, candle in _candles(path, of, now, progress):
        if isinstance(candle, str):
            raise Invalid(f"{path.name}, line {line}: {candle}")
        yield candle


def _repeated(times: Sequence[float], lines: Sequence[int], problems: list[str]) -> int:
    if all(one < other for one, other in pairwise(times)):
        return 0
    count, first = 0, dict[float, int]()
    for time, line in zip(times, lines, strict=True):
        if first.setdefault(time, line) != line:
            count += 1
            if len(problems) < SHOWN:
                at = datetime.fromtimestamp(time, UTC)
                problems.append(f"line {line}: {at:%Y-%m-%d %H:%M:%S} is the time of line {first[time]}, too")
    return count


def _candles(path: Path, of: Interval, now: float, progress: Progress) -> Iterator[tuple[int, Candle | str]]:
    read = _parquet if path.suffix == ".parquet" else _csv
    try:
        for line, row in read(path, progress):
            yield line, _candle(row, of, now)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as e:
        raise Invalid(f"{path.name} cannot be read: {e}") from e
    except UnicodeDecodeError as e:
        raise Invalid(f"{path.name} is not UTF-8 text: {e.reason} at byte {e.start}") from e
    except csv.Error as e:
        raise Invalid(f"{path.name} is not CSV: {e}") from e


def _candle(row: Sequence[Any], of: Interval, now: float) -> Candle | str:
    """Return a row as a candle, or what is wrong with it."""
    try:
        candle = Candle(_seconds(row[0]), *(float(value) if value not in {None, ""} else 0.0 for value in row[1:]))
    except (TypeError, ValueError) as e:
        return str(e)
    if candle.timestamp % (of.seconds if of.aligned else _HOUR_SECONDS):
        return f"{row[0]} is not where a candle of {of.name} begins"
    if candle.timestamp + of.seconds > now:
        return f"the candle of {row[0]} has not ended"
    return wrong(candle) or crossed(candle) or candle


def _seconds(value: Any) -> float:  # noqa: ANN401 - whatever a file has for a time
    """Return a time in seconds since 1970. Raises `ValueError`."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    text = str(value).strip()
    if _NUMBER.fullmatch(text) is None:
        try:
            return _seconds(datetime.fromisoformat(text))
        except ValueError as e:
            raise ValueError(f"'{text[:40]}' is not a time") from e
    number = float(text)
    for above, unit in _UNITS:
        if abs(number) < above:
            return number / unit
    raise ValueError(f"'{text[:40]}' is not a time")


def _csv(path: Path, progress: Progress) -> Iterator[Row]:
    with path.open("rb") as raw, _text(path, raw) as lines:
        reader = csv.reader(lines)
        places: list[int | None] | None = None
        for row in reader:
            if reader.line_num % 1000 == 0:
                progress(raw.tell())
            if not row:
                continue
            if places is None:
                has_header = _NUMBER.fullmatch(row[0].strip()) is None
                places = _places(path, row if has_header else _BINANCE)
                if has_header:
                    continue
            yield reader.line_num, [_at(row, place) for place in places]
        progress(raw.tell())


def _at(row: Sequence[str], place: int | None) -> str | None:
    return row[place] if place is not None and place < len(row) else None


def _places(path: Path, header: Sequence[str]) -> list[int | None]:
    """Return where a candle's fields stand among a file's columns. Raises `Invalid` for one that is missing."""
    columns = [column.strip().lower().replace(" ", "_") for column in header]
    places: list[int | None] = []
    for field, known in _NAMES.items():
        place = next((columns.index(name) for name in known if name in columns), None)
        if place is None and field in _REQUIRED:
            raise Invalid(f"{path.name} has no column {field}. Its columns: {', '.join(columns)[:200]}")
        places.append(place)
    return places


@contextmanager
def _text(path: Path, raw: IO[bytes]) -> Iterator[IO[str]]:
    if path.suffix == ".gz":
        with gzip.open(raw, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    elif path.suffix == ".zip":
        with zipfile.ZipFile(raw) as folder:
            inside = folder.namelist()
            if len(inside) != 1:
                raise Invalid(f"{path.name} has {len(inside)} files in it; candles are read from one alone")
            with folder.open(inside[0]) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                yield text
    else:
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield text


def _parquet(path: Path, progress: Progress) -> Iterator[Row]:
    try:
        import polars as pl  # noqa: PLC0415 - it is large, and nothing else needs it
    except ImportError as e:
        raise Invalid(
            f"{path.name} is Parquet, which polars reads: install it with pip install 'nectar[parquet]'"
        ) from e
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as e:
        raise Invalid(f"{path.name} is not Parquet: {e}") from e
    places = _places(path, table.columns)
    size = path.stat().st_size
    for line, row in enumerate(table.iter_rows(), start=1):
        if line % 1000 == 0:
            progress(size * line // table.height)
        yield line, [None if place is None else row[place] for place in places]
    progress(size)
