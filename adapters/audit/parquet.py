"""Lines of an export as Parquet, by polars, some at a time. Imported when it is used: polars is an optional part."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import polars as pl

ROWS_AT_ONCE = 20_000
"""Rows that are in memory together."""

_TYPES = {
    **dict.fromkeys(("position", "version", "schema_version"), pl.Int64()),
    "recorded_at": pl.Datetime("us", "UTC"),
}
# What polars raises in the middle of a damaged file is no `Exception`.
_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows, in pieces that are put together at the end. Raises `OSError`."""
    schema = {name: _TYPES.get(name, pl.String()) for name in columns}
    pieces: list[Path] = []
    left = iter(rows)
    try:
        while some := list(islice(left, ROWS_AT_ONCE)):
            pieces.append(file.with_name(f"{file.name}.{len(pieces)}"))
            pl.DataFrame(some, schema=schema, orient="row").write_parquet(pieces[-1])
        pl.scan_parquet(pieces).sink_parquet(file, row_group_size=ROWS_AT_ONCE)
    except _FAULTS as e:
        raise OSError(f"{file} cannot be written: {e}") from e
    finally:
        for piece in pieces:
            piece.unlink(missing_ok=True)


def read(file: Path, columns: Sequence[str]) -> Iterator[Sequence[object]]:
    """Yield the cells of each row.

    Raises `ValueError` for a file that is damaged or has other columns, `OSError`.
    """
    done = 0
    try:
        table = pl.scan_parquet(file)
        if list(table.collect_schema()) != list(columns):
            raise ValueError(f"its columns are not {', '.join(columns)}")
        while height := (some := table.slice(done, ROWS_AT_ONCE).collect()).height:
            yield from zip(*(column.to_list() for column in some.get_columns()), strict=True)
            done += height
    except _FAULTS as e:
        raise ValueError(str(e)) from e
