"""Rows as Parquet, by polars, which is an optional part (`nectar[parquet]`)."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from domain.errors import Invalid, Unavailable

_ROWS = 20_000  # in memory together, and in a row group
_BYTES = 64 * 1024
_PREFIX = "nectar-table-"


class Tables:
    """The port `Tables` of reads."""

    def __init__(self) -> None:
        """Remove what servers that were killed have left in the folder for temporary files."""
        for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
            # No folder, another user's, or in use: a server holds its own as long as it lives.
            with (
                suppress(NotADirectoryError, PermissionError, BlockingIOError),
                _held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as there,
            ):
                if there:
                    shutil.rmtree(folder)

    @contextmanager
    def parquet(self) -> Iterator["Parquet"]:
        """Lend a file to write rows to; it is gone when the block ends. Raises `Invalid` where polars is missing."""
        try:
            import polars as pl  # noqa: F401
        except ImportError as e:
            raise Invalid("Parquet needs an optional part: pip install 'nectar[parquet]'. CSV does not.") from e
        with _folder() as folder:
            yield Parquet(folder)


@contextmanager
def _folder() -> Iterator[Path]:
    """Lend a folder that nobody takes for left behind; it is gone when the block ends."""
    while True:
        with TemporaryDirectory(prefix=_PREFIX) as made, _held(folder := Path(made), fcntl.LOCK_EX) as there:
            if there:  # else a server that began just now has removed it, before it was held
                yield folder
                return


@contextmanager
def _held(folder: Path, how: int) -> Iterator[bool]:
    """Hold a folder, which whatever ends this process lets go, and say whether it is there.

    Raises `BlockingIOError` where somebody else holds it, and `how` says not to wait.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(opened, how)
        yield folder.exists()
    finally:
        os.close(opened)


class Parquet:
    """A Parquet file in the making: rows are put aside in pieces, since polars writes a file as a whole."""

    def __init__(self, folder: Path) -> None:
        """Write to an empty folder."""
        self._folder = folder
        self._columns: dict[str, type] = {}
        self._rows: list[Mapping[str, object]] = []
        self._pieces: list[Path] = []

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows with the same columns, texts but for those where the first row has a whole number.

        Raises `Unavailable` when the disk is full.
        """
        if rows and not self._columns:
            self._columns = {name: int if isinstance(value, int) else str for name, value in rows[0].items()}
        self._rows += rows
        if len(self._rows) >= _ROWS:
            self._put_aside()

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the file, which has all rows then. Raises `Unavailable` when the disk is full."""
        import polars as pl

        if self._rows or not self._pieces:
            self._put_aside()
        file = self._folder / "whole"
        try:
            pl.scan_parquet(self._pieces).sink_parquet(file, row_group_size=_ROWS)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
            raise _full(self._folder, e) from e
        with file.open("rb") as written:
            while piece := written.read(_BYTES):
                yield piece

    def _put_aside(self) -> None:
        import polars as pl

        piece = self._folder / str(len(self._pieces))
        try:
            pl.DataFrame(self._rows, schema=self._columns).write_parquet(piece)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
            raise _full(self._folder, e) from e
        self._pieces.append(piece)
        self._rows = []


def _full(folder: Path, error: BaseException) -> Unavailable:
    return Unavailable(f"The table cannot be written to {folder.parent}: {error}")
