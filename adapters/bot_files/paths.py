"""Folders and files that are named by others: no link and no `..` leads out of the tree.

A folder is opened part by part from the root of the tree and is a descriptor from then on, so that what is put in its
place meanwhile changes nothing. A file is written beside and moved into its place: who reads it reads all of the old or
all of the new, after a crash too. All of this blocks, and raises `OSError` with a path below the tree.
"""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from domain.errors import Invalid

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
SHARED_FOLDER = 0o755
SHARED_FILE = 0o644

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that somebody put in a file's place must not be waited for.
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.new")
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")


def instance_name(name: str) -> str:
    """Return the name of an instance if it is one. Raises `Invalid`."""
    if _INSTANCE.fullmatch(name) is None:
        raise Invalid(
            f"Invalid instance name: '{name[:80]}'. Only letters, numbers, underscores and hyphens, up to 128"
        )
    return name


def file_name(name: str) -> str:
    """Return the name of a file if it is no path, not hidden and not too long. Raises `Invalid`."""
    if _FILE.fullmatch(name) is None:
        raise Invalid(
            f"Invalid file name: '{name[:80]}'. Only letters, numbers, underscores, hyphens and dots, none first,"
            " up to 128"
        )
    return name


@contextmanager
def opened(root: Path, *names: str, make: int | None = None) -> Iterator[int]:
    """Open the folder that lies below `root` under these names; with `make`, folders that are missing get that mode.

    Raises `FileNotFoundError`, and `NotADirectoryError` where something else is in the way, links included.
    """
    if make is not None:
        root.mkdir(mode=SHARED_FOLDER, parents=True, exist_ok=True)
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with inside(top, *names, make=make) as folder:
            yield folder
    finally:
        os.close(top)


@contextmanager
def inside(top: int, *names: str, make: int | None = None) -> Iterator[int]:
    """Open the folder that lies below an open one under these names; as `opened`."""
    folder = os.dup(top)
    try:
        for depth, name in enumerate(names, 1):
            if make is not None:
                make_folder(folder, name, make)
            try:
                inner = os.open(name, _FOLDER, dir_fd=folder)
            except OSError as e:
                raise type(e)(e.errno, os.strerror(e.errno or 0), "/".join(names[:depth])) from e
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def make_folder(folder: int, name: str, mode: int) -> None:
    """Make a folder in a folder, if it is not there."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=folder)
        sync(folder)


def write(folder: int, name: str, content: bytes, mode: int) -> None:
    """Write a file in a folder, in place of what is there under its name. `sync` makes its name durable."""
    beside = f".{name}.{secrets.token_hex(4)}.new"
    with _unlinked_if_unfinished(folder, beside):
        with os.fdopen(os.open(beside, _NEW, mode, dir_fd=folder), "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)


def read(folder: int, name: str) -> bytes | None:
    """Return a file's content; None where there is no file of that name, or something else than a file."""
    if not is_file(folder, name):
        return None
    with open_file(folder, name) as file:
        return file.read()


def copy(source: int, target: int, name: str, chunks: Callable[[IO[bytes]], Iterator[bytes]]) -> None:
    """Copy a file from a folder to another one, in chunks, with its mode and time. `sync` makes its name durable."""
    with os.fdopen(os.open(name, _OLD, dir_fd=source), "rb") as old:
        status = os.fstat(old.fileno())
        with os.fdopen(os.open(name, _NEW, PRIVATE_FILE, dir_fd=target), "wb") as new:
            new.writelines(chunks(old))
            os.fchmod(new.fileno(), stat.S_IMODE(status.st_mode))
            new.flush()
            os.utime(new.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(new.fileno())


def open_file(folder: int, name: str) -> IO[bytes]:
    """Open a file to read it, and no link."""
    return os.fdopen(os.open(name, _OLD, dir_fd=folder), "rb")


def is_there(folder: int, name: str) -> bool:
    """Whether there is anything under that name, a link that leads nowhere included."""
    return _mode(folder, name) != 0


def is_file(folder: int, name: str) -> bool:
    """Whether there is a file under that name, and no link."""
    return stat.S_ISREG(_mode(folder, name))


def is_folder(folder: int, name: str) -> bool:
    """Whether there is a folder under that name, and no link."""
    return stat.S_ISDIR(_mode(folder, name))


def _mode(folder: int, name: str) -> int:
    try:
        return os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return 0


def remove(folder: int, name: str) -> None:
    """Remove what is under that name: a file, a link and not what it leads to, or a folder with all that is in it."""
    with suppress(FileNotFoundError):
        if is_folder(folder, name):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def unfinished(folder: int) -> list[str]:
    """Return what writing left behind in a folder when it was cut off."""
    return [name for name in sorted(os.listdir(folder)) if _UNFINISHED.fullmatch(name) and is_file(folder, name)]


def walk(folder: int, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str], list[str], int]]:
    """Yield each folder below one, from the top and in order of names: its path, its folders, all else in it, itself.

    Links are not followed.
    """
    names = sorted(os.listdir(folder))
    folders = {name: None for name in names if is_folder(folder, name)}
    yield path, list(folders), [name for name in names if name not in folders], folder
    for name in folders:
        below = (*path, name)
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as e:
            raise type(e)(e.errno, os.strerror(e.errno or 0), "/".join(below)) from e
        try:
            yield from walk(inner, below)
        finally:
            os.close(inner)


def sync(folder: int) -> None:
    """Make the names in a folder durable."""
    os.fsync(folder)


@contextmanager
def _unlinked_if_unfinished(folder: int, name: str) -> Iterator[None]:
    try:
        yield
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        raise
