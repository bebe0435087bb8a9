"""What commands need of the outside to take archives into the log."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from domain.archives import ArchiveFound, Table
from domain.events import Event


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A database file that is there. `path` as the wire contract names it, `bot` the archive's folder."""

    path: str
    bot: str
    sha256: str
    size: int


class Unreadable(Exception):
    """Say why a file is no database of a bot."""


class Archives(Protocol):
    """The archived bots' databases."""

    async def seen(self) -> Sequence[Seen]:
        """Return every database that is there, by path; one that cannot be opened, too."""
        ...

    async def look(self, seen: Seen) -> ArchiveFound:
        """Return what a database holds. Raises `Unreadable`."""
        ...

    def read(self, found: ArchiveFound, skip: Mapping[Table, int], *, rest: bool) -> AsyncIterator[Event]:
        """Yield the rows of the tables that `skip` names in batches, without the first so many of each.

        The small tables come last, in one event, and only if `rest`. Raises `Unreadable`, `Unavailable` when the file
        is another one by now.
        """
        ...

    async def delete(self, path: str) -> bool:
        """Delete the archive that a database belongs to, all of its folder; False if there is none."""
        ...
