"""The databases of archived bots, read from disk in threads, a batch at a time.

A file is opened read-only. One that a bot left in the middle of a transaction has a journal beside it, which SQLite
must be allowed to roll back: then a copy in a temporary folder is read, and the archive stays as it was.
"""

import asyncio
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from adapters.archives import rows
from commands.ports.archives import Seen, Unreadable
from domain.archives import (
    BATCH,
    IN_ORDER,
    ArchiveExecutorsRead,
    ArchiveFound,
    ArchiveOrdersRead,
    ArchiveRestRead,
    ArchiveStatusesRead,
    ArchiveTradesRead,
    Table,
)
from domain.errors import Unavailable
from domain.events import Event

logger = structlog.get_logger()

SMALL: Sequence[Table] = ("controllers", "positions", "funding")
Make = Callable[[ArchiveFound, int, Sequence[Any]], Event]

_LARGE: Mapping[Table, Make] = {
    "orders": lambda of, n, found: ArchiveOrdersRead(path=of.path, sha256=of.sha256, first=n, orders=found),
    "trades": lambda of, n, found: ArchiveTradesRead(path=of.path, sha256=of.sha256, first=n, trades=found),
    "statuses": lambda of, n, found: ArchiveStatusesRead(path=of.path, sha256=of.sha256, first=n, statuses=found),
    "executors": lambda of, n, found: ArchiveExecutorsRead(path=of.path, sha256=of.sha256, first=n, executors=found),
}


class ArchiveFiles:
    """The port `Archives` over `<bots_path>/bots/archived/*/data/*.sqlite`."""

    def __init__(self, bots_path: Path, clock: Callable[[], datetime]) -> None:
        """Look below `bots_path`, the folder that holds `bots/`."""
        self._root = bots_path
        self._folder = bots_path / "bots" / "archived"
        self._clock = clock
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}

    async def seen(self) -> Sequence[Seen]:
        """Return every database that is there; a digest is made again only when size or time have changed."""
        return await asyncio.to_thread(self._seen)

    async def look(self, seen: Seen) -> ArchiveFound:
        """Return what a database holds, after SQLite's own check of it. Raises `Unreadable`."""
        return await asyncio.to_thread(self._look, seen)

    async def read(self, found: ArchiveFound, skip: Mapping[Table, int], *, rest: bool) -> AsyncIterator[Event]:
        """Yield the rows that are not in the log yet, `BATCH` to an event."""
        file = self._root / found.path
        if await asyncio.to_thread(self._digest, file) != found.sha256:
            raise Unavailable(f"The archive {found.path} is another file by now")
        batches, loop = self._batches(file, found, skip, rest=rest), asyncio.get_running_loop()

        def following() -> asyncio.Future[Event | None]:
            return loop.run_in_executor(None, next, batches, None)

        ahead = following()
        try:
            while (event := await ahead) is not None:
                ahead = following()  # while the one before is committed
                yield event
        finally:
            await asyncio.wait([ahead])
            await asyncio.to_thread(batches.close)

    async def delete(self, path: str) -> bool:
        """Delete the folder of the archive that a database belongs to; False if there is none."""
        return await asyncio.to_thread(self._delete, path)

    def _seen(self) -> list[Seen]:
        files = sorted(
            file
            for file in self._folder.glob("*/data/*.sqlite")
            if file.is_file() and file.resolve().is_relative_to(self._folder.resolve())
        )
        self._digests = {file: digest for file, digest in self._digests.items() if file in files}
        return [
            Seen(
                path=file.relative_to(self._root).as_posix(),
                bot=file.relative_to(self._folder).parts[0],
                sha256=self._digest(file),
                size=file.stat().st_size,
            )
            for file in files
        ]

    def _digest(self, file: Path) -> str:
        now = file.stat()
        known = self._digests.get(file)
        if known is None or known[0] != (now.st_size, now.st_mtime_ns):
            with file.open("rb") as content:
                known = ((now.st_size, now.st_mtime_ns), hashlib.file_digest(content, "sha256").hexdigest())
            self._digests[file] = known
        return known[1]

    def _look(self, seen: Seen) -> ArchiveFound:
        counts: dict[Table, int] = {}
        missing: dict[Table, str] = {}
        with _readable(), _opened(self._root / seen.path) as connection:
            (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
            if verdict != "ok":
                raise Unreadable(f"The database is damaged: {verdict}")
            there = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
            if not there & {name for name, _ in rows.TABLES.values()}:
                raise Unreadable("The database has none of a bot's tables")
            for table, (name, _) in rows.TABLES.items():
                if name not in there:
                    missing[table] = f"no such table: {name}"
                else:
                    (counts[table],) = connection.execute(f'select count(*) from "{name}"').fetchone()  # noqa: S608
        return ArchiveFound(
            path=seen.path,
            bot=seen.bot,
            sha256=seen.sha256,
            size=seen.size,
            rows=counts,
            missing=missing,
            found_at=self._clock(),
        )

    def _batches(
        self, file: Path, found: ArchiveFound, skip: Mapping[Table, int], *, rest: bool
    ) -> Generator[Event, None, None]:
        with _readable(), _opened(file) as connection:
            for table in IN_ORDER:
                number = skip.get(table, 0)
                for batch in _rows(connection, table, number) if table in skip else ():
                    yield _LARGE[table](found, number, batch)
                    number += len(batch)
            if rest:
                controllers, positions, funding = (
                    [row for batch in _rows(connection, table, 0) for row in batch] if table in found.rows else []
                    for table in SMALL
                )
                yield ArchiveRestRead(
                    path=found.path,
                    sha256=found.sha256,
                    controllers=controllers,
                    positions=positions,
                    funding=funding,
                )

    def _delete(self, path: str) -> bool:
        folder = (self._root / path).parent.parent
        if folder.parent != self._folder or not folder.is_dir() or folder.is_symlink():
            return False
        shutil.rmtree(folder)
        logger.info("archive_deleted", bot=folder.name)
        return True


def _rows(connection: sqlite3.Connection, table: Table, skip: int) -> Iterator[list[Any]]:
    name, read = rows.TABLES[table]
    found = connection.execute(f'select * from "{name}" order by rowid limit -1 offset ?', (skip,))  # noqa: S608
    while batch := found.fetchmany(BATCH):
        values = []
        for row in batch:
            try:
                values.append(read(row))
            except (LookupError, TypeError, ValueError, ArithmeticError, msgspec.DecodeError) as e:
                raise Unreadable(f"Row {skip + len(values) + 1} of {name} cannot be read: {e!r}") from e
        yield values
        skip += len(values)


@contextmanager
def _readable() -> Iterator[None]:
    """Turn SQLite's own errors into `Unreadable`."""
    try:
        yield
    except sqlite3.Error as e:
        raise Unreadable(f"SQLite cannot read it: {e}") from e


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    beside = [file.with_name(file.name + ending) for ending in ("-journal", "-wal")]
    if not any(path.exists() for path in beside):
        with closing(_connection(file, "mode=ro")) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(prefix="nectar-archive-") as folder:
        for path in (file, *beside):
            if path.exists():
                shutil.copy2(path, folder)
        with closing(_connection(Path(folder) / file.name, "mode=rw")) as connection:
            yield connection


def _connection(file: Path, mode: str) -> sqlite3.Connection:
    # Batches are read in whichever thread is free, one at a time.
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection
