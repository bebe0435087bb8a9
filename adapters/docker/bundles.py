"""Folders as archives: what a service of a Swarm is given, and what it gives back."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, cast

import structlog

from domain.errors import Unavailable

logger = structlog.get_logger()


def contents(root: Path, *folders: str) -> dict[str, bytes]:
    """Return path below `root` → content of the files in these folders; what Python compiled is left out."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for folder in folders
        for file in sorted((root / folder).rglob("*"))
        if file.is_file() and not file.is_symlink() and "__pycache__" not in file.parts
    }


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a compressed archive, the same bytes for the same files; its owner alone may read what comes out of it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o600
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def unpack(archive: io.RawIOBase, into: Path, mode: Literal["r|", "r|gz"] = "r|") -> None:
    """Put an archive's files and folders into a folder; what would lead out of it is left out, and said in the log.

    `archive` is read from where it stands, `mode` is tarfile's. Raises `Unavailable` for half an archive.
    """
    left_out: list[str] = []

    def take(member: tarfile.TarInfo, to: str) -> tarfile.TarInfo | None:
        try:
            return tarfile.data_filter(member, to)
        except tarfile.FilterError:
            left_out.append(member.name)
            return None

    into.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=cast("BinaryIO", archive), mode=mode) as tar:
            tar.extractall(into, filter=take)  # noqa: S202 - the filter
    except (tarfile.TarError, EOFError, ValueError) as e:  # ValueError: what is no base64, a name with a NUL.
        raise Unavailable(f"What '{into.name}' holds has not arrived whole: {e}") from e
    if left_out:
        logger.warning("files_left_out", folder=into.name, count=len(left_out), first=left_out[0][:200])


class Stream(io.RawIOBase):
    """Bytes that come in pieces, as a file to be read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Give what has come, waiting for more only where there is nothing."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
