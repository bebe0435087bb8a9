"""Put an instance's folder away, below `bots/archived` or in S3, so that it can be done again from wherever it stopped.

1. Its keys are taken out, and what is no file.
2. It is stamped: a file in it says which archive it becomes. What is found under its name at the other end is its own
   archive only with the same stamp, and nobody else's is written over.
3. It arrives: by being renamed, or as a copy that is renamed when it is whole, or as an object that is compared.
4. Its folder is renamed, which is the sign that it has arrived, and only then removed: half a folder is never taken for
   a whole one.
"""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import IO

import msgspec

from adapters.bot_files.instance import INSTANCES, shred, sweep
from adapters.bot_files.paths import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    copy,
    inside,
    is_there,
    opened,
    read,
    remove,
    sync,
    walk,
    write,
)
from domain.errors import NotFound, Unavailable

ARCHIVED = "archived"
_STAMP = ".archive.json"
_ARRIVING = ".arriving"
_CHUNK_BYTES = 1 << 20

Send = Callable[[int, "Stamp"], None]
"""Takes a folder to where it is archived, all of it or nothing; what is there already with that stamp is its own."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which archive a folder becomes, and when that began."""

    instance: str
    archive_id: str
    begun_at: datetime


class Stopped(Exception):
    """End work that nobody waits for any more."""


def go_on(stop: Event) -> None:
    """Raise `Stopped` if nobody waits any more."""
    if stop.is_set():
        raise Stopped


def chunks(file: IO[bytes], *, stop: Event) -> Iterator[bytes]:
    """Yield a file's content piece by piece, as long as somebody waits for it."""
    while chunk := file.read(_CHUNK_BYTES):
        go_on(stop)
        yield chunk


def arrived(instance: str) -> str:
    """Return the name of a folder that has arrived in its archive and has only to be removed."""
    return f".{instance}.archived"


def put_away_here(root: Path, instance: str, settings: bytes, at: datetime, stop: Event) -> str:
    """Move the folder below `archived`, on whichever file system that is, and return where it lies now."""
    location = f"{ARCHIVED}/{instance}"
    with _instances(root) as instances, opened(root, ARCHIVED, make=PRIVATE_FOLDER) as archived:
        if not is_there(instances, instance):
            if not is_there(archived, instance):
                raise _nothing_of(instance)
            sync(archived)
            return location
        stamp = _ready(instances, instance, settings, at)
        if not is_there(archived, instance):
            try:
                os.rename(instance, instance, src_dir_fd=instances, dst_dir_fd=archived)
            except OSError as e:
                if e.errno != errno.EXDEV:
                    raise
                _copy(instances, archived, instance, stop)
            else:
                sync(archived)
                sync(instances)
                return location
        _own(archived, instance, stamp)
        _leave(instances, instance)
        return location


def put_away_by(
    root: Path, instance: str, settings: bytes, at: datetime, send: Send, *, is_sent: Callable[[], bool]
) -> None:
    """Have the folder sent away and remove it. Without a folder, `is_sent` says whether that has been done."""
    with _instances(root) as instances:
        if not is_there(instances, instance):
            if not is_sent():
                raise _nothing_of(instance)
            return
        stamp = _ready(instances, instance, settings, at)
        with inside(instances, instance) as folder:
            send(folder, stamp)
        _leave(instances, instance)


def finish(root: Path, instance: str) -> None:
    """Remove what has arrived in its archive and is still here."""
    with _instances(root) as instances:
        remove(instances, arrived(instance))


def _instances(root: Path) -> AbstractContextManager[int]:
    return opened(root, INSTANCES, make=PRIVATE_FOLDER)


def _ready(instances: int, instance: str, settings: bytes, at: datetime) -> Stamp:
    with inside(instances, instance) as folder:
        shred(folder, settings)
        sweep(folder, instance)
        stamp = _stamp_of(folder)
        if stamp is None or stamp.instance != instance:
            stamp = Stamp(instance=instance, archive_id=secrets.token_hex(16), begun_at=at)
            write(folder, _STAMP, msgspec.json.encode(stamp), PRIVATE_FILE)
        sync(folder)
    return stamp


def _stamp_of(folder: int) -> Stamp | None:
    try:
        return msgspec.json.decode(read(folder, _STAMP) or b"", type=Stamp)
    except msgspec.DecodeError:
        return None


def _own(archived: int, instance: str, stamp: Stamp) -> None:
    with inside(archived, instance) as folder:
        if _stamp_of(folder) != stamp:
            raise Unavailable(
                f"Bot '{instance}' cannot be archived: {ARCHIVED}/{instance} is another archive. Move that away first"
            )


def _copy(instances: int, archived: int, instance: str, stop: Event) -> None:
    # One folder deeper until it is whole, where nobody looks for archives.
    with (
        inside(archived, _ARRIVING, make=PRIVATE_FOLDER) as arriving,
        inside(instances, instance) as source,
    ):
        remove(arriving, instance)
        with inside(arriving, instance, make=PRIVATE_FOLDER) as target:
            for path, folders, files, at in walk(source):
                with inside(target, *path) as into:
                    for name in folders:
                        os.mkdir(name, PRIVATE_FOLDER, dir_fd=into)
                    for name in files:
                        copy(at, into, name, partial(chunks, stop=stop))
                    sync(into)
        os.rename(instance, instance, src_dir_fd=arriving, dst_dir_fd=archived)
        sync(archived)


def _leave(instances: int, instance: str) -> None:
    os.rename(instance, arrived(instance), src_dir_fd=instances, dst_dir_fd=instances)
    sync(instances)
    remove(instances, arrived(instance))


def _nothing_of(instance: str) -> NotFound:
    return NotFound(f"Bot '{instance}' has no files, neither as an instance nor in the archive")
