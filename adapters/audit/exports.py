"""Keep seals in a file, away from the database that they speak for.

A line of JSON each: first what the file is and the public key that signed, then the seals in order, bytes in base64.
"""

import fcntl
import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.audit.checking import Progress
from adapters.audit.verification import apart, snapshot, stored_seals
from adapters.seals import START, Seal, genuine
from domain.errors import Conflict

FORMAT = "nectar seals 1"

logger = structlog.get_logger()


class WrongExport(Exception):
    """Refuse a file that is no export of seals, naming the line."""


class ForgedSeals(Exception):
    """Refuse to export seals that were forged, or of which some are missing."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    public_key: bytes


_head = msgspec.json.Decoder(_Head)
_seal = msgspec.json.Decoder(Seal)


async def export(database_url: str, key: Ed25519PublicKey, file: Path) -> Seal | None:
    """Write all seals to a file, in place of what it held, and return the last one.

    Raises `ForgedSeals` (the file stays as it was) and `Unavailable`.
    """
    return await apart(lambda told: _export(database_url, key, file, told), lambda _done, _all: None)


def _export(database_url: str, key: Ed25519PublicKey, file: Path, told: Progress) -> Seal | None:
    last: Seal | None = None
    with snapshot(database_url) as (_, connection), beside(file) as unfinished, unfinished.open("wb") as out:
        out.write(_line(_Head(format=FORMAT, public_key=key.public_bytes_raw())))
        with closing(stored_seals(connection)) as seals:
            for seal in seals:
                _check(seal, last, key)
                out.write(_line(seal))
                last = seal
                told(seal.to_position, 0)
    return last


@contextmanager
def beside(file: Path) -> Iterator[Path]:
    """Give a file to write to that takes the place of another one when the block has ended well, and else is gone.

    What one that was killed left is removed. Raises `Conflict` while somebody else writes the same file, `OSError`
    with what was written when there was no room for more.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    with unfinished.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise Conflict(f"{file} is being written by another export") from e
        left = held.tell() + _remove(_pieces(unfinished))
        if left:
            logger.warning("unfinished_export_removed", file=str(unfinished), bytes=left)
        try:
            yield unfinished
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(file)
        except OSError as e:
            done = _remove([unfinished, *_pieces(unfinished)])
            reason = e.strerror or e
            raise OSError(f"{file} stays as it was: of the export {done:,} bytes were written, then: {reason}") from e
        finally:
            _remove([unfinished, *_pieces(unfinished)])


def _pieces(unfinished: Path) -> list[Path]:
    """Return what Parquet is put together of (`parquet.py`)."""
    beside = unfinished.parent.glob(f"{glob.escape(unfinished.name)}.*")
    return [path for path in beside if path.suffix[1:].isdecimal()]


def _remove(paths: Iterable[Path]) -> int:
    """Remove files, those that are there, and return how many bytes they had."""
    size = 0
    for path in paths:
        if path.exists():
            size += path.stat().st_size
            path.unlink()
    return size


def read(file: Path) -> tuple[Ed25519PublicKey, Iterator[Seal]]:
    """Return the key and the seals of a file. Both this and the iteration raise `WrongExport` or `OSError`."""
    with file.open("rb") as lines:
        try:
            head = _head.decode(lines.readline())
            key = Ed25519PublicKey.from_public_bytes(head.public_key)
        except (msgspec.DecodeError, ValueError) as e:
            raise WrongExport(f"{file} is no export of seals: line 1 does not say '{FORMAT}' and a public key") from e
    if head.format != FORMAT:
        raise WrongExport(f"{file} is no export that can be read here: '{head.format[:80]}' instead of '{FORMAT}'")
    return key, _seals(file)


def _seals(file: Path) -> Iterator[Seal]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number > 1:
                try:
                    yield _seal.decode(line)
                except msgspec.DecodeError as e:
                    raise WrongExport(f"{file} is damaged: line {number} is no seal") from e


def _check(seal: Seal, last: Seal | None, key: Ed25519PublicKey) -> None:
    begins, follows = (1, START) if last is None else (last.to_position + 1, last.digest)
    if not genuine(seal, key):
        raise ForgedSeals(f"The seal of positions {seal.from_position} to {seal.to_position} was forged or altered")
    if seal.from_position != begins or seal.previous != follows:
        raise ForgedSeals(f"The seal that begins at position {begins} is missing or was replaced")


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"
