"""Databases of archived bots as tests find them: real ones, made ones, and one that is none."""

import gzip
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from adapters.archives.files import ArchiveFiles

SAMPLES = Path(__file__).parent / "data" / "archives"
NAMES = ("empty_schema", "old_no_position_table", "real_run_headless_2ctrl", "synth_1ctrl_spot", "synth_2ctrl_40exec")


def path_of(bot: str, name: str | None = None) -> str:
    """Return a database's path as the wire contract names it."""
    return f"bots/archived/{bot}/data/{name or bot}.sqlite"


def put(root: Path, bot: str, name: str | None = None) -> Path:
    """Put a sample below a bots' folder, as the archive of a bot; return the file."""
    file = root / path_of(bot, name)
    file.parent.mkdir(parents=True)
    with gzip.open(SAMPLES / f"{name or bot}.sqlite.gz") as sample, file.open("wb") as output:
        shutil.copyfileobj(sample, output)
    return file


def put_corrupt(root: Path, bot: str = "corrupt") -> Path:
    """Put a file that is no database."""
    file = root / path_of(bot)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is not a database " * 300)
    return file


def no_archives(clock: Callable[[], datetime]) -> ArchiveFiles:
    """Return the archives of a server that has none."""
    return ArchiveFiles(Path("/no/such/folder"), clock)
