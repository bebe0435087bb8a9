"""The strategies' sources, which all instances share: `bots/scripts` and `bots/controllers/<type>`.

The log has them, with each of their versions; these files are how containers see them. What the log does not know is
somebody's own and stays as it is.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from adapters.bot_files.paths import (
    SHARED_FILE,
    SHARED_FOLDER,
    file_name,
    opened,
    read,
    remove,
    sync,
    unfinished,
    write,
)
from domain.errors import Invalid

_SCRIPTS, _CONTROLLERS = "scripts", "controllers"
_PACKAGE = "__init__.py"


def share(root: Path, sources: Mapping[str, str]) -> list[str]:
    """Write the sources that differ from what is there, and what makes packages of their folders; one call at a time.

    Returns the sources below `root` that are not among them. Raises `Invalid` for a path that is no place for a source.
    """
    folders: dict[tuple[str, ...], dict[str, bytes]] = {(_SCRIPTS,): {}, (_CONTROLLERS,): {}}
    for path, source in sources.items():
        *folder, name = _parts(path)
        folders.setdefault(tuple(folder), {})[name] = source.encode()
    for within, files in folders.items():
        with opened(root, *within, make=SHARED_FOLDER) as into:
            for name in unfinished(into):
                remove(into, name)
            changed = False
            for name, content in files.items():
                if read(into, name) != content:
                    write(into, name, content, SHARED_FILE)
                    changed = True
            if _PACKAGE not in files and read(into, _PACKAGE) is None:
                write(into, _PACKAGE, b"", SHARED_FILE)
                changed = True
            if changed:
                sync(into)
    return [path for path in _there(root) if path not in sources]


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    depth = {_SCRIPTS: 2, _CONTROLLERS: 3}.get(parts[0])
    # A source lies one folder deep among scripts, two among controllers; `__init__.py` in each of the folders.
    if depth is None or not path.endswith(".py") or not (len(parts) == depth or parts[1:] == [_PACKAGE]):
        raise Invalid(
            f"Invalid path of a source: '{path[:120]}'. It has to be scripts/<name>.py or controllers/<type>/<name>.py"
        )
    return [file_name(part) for part in parts]


def _there(root: Path) -> Iterator[str]:
    yield from _sources_in(root, (_SCRIPTS,))
    with opened(root, _CONTROLLERS) as controllers:
        types = _folders(controllers)
    for each in types:
        yield from _sources_in(root, (_CONTROLLERS, each))


def _sources_in(root: Path, folder: Collection[str]) -> Iterator[str]:
    with opened(root, *folder) as among:
        names = sorted(os.listdir(among))
    yield from ("/".join((*folder, name)) for name in names if name.endswith(".py") and name != _PACKAGE)


def _folders(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
