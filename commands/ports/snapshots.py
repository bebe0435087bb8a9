"""What the log keeps beside a long stream, so that nobody has to read it from its beginning."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from domain.events import Recorded

AT_ONCE = 1000
"""How many events of a stream are given at once, at most."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a stream after the event at `version`, which the command `command_id` appended."""

    stream: str
    version: int
    command_id: UUID
    state: bytes


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as far as it has to be read: its first event, and up to `AT_ONCE` in order.

    With a snapshot these begin with the event that it ends with, without one with the first.
    """

    snapshot: Snapshot | None = None
    first: Recorded | None = None
    events: Sequence[Recorded] = ()


class Snapshots(Protocol):
    """States of streams, made by this program's own code. A cache: each may be gone at any time."""

    async def recent(self, streams: Sequence[str]) -> dict[str, Recent]:
        """Return the newest snapshot of each stream with what comes after it. Raises `Unavailable`."""
        ...

    async def beyond(self, stream: str, version: int) -> list[Recorded]:
        """Return up to `AT_ONCE` events of a stream above a version, in order. Raises `Unavailable`."""
        ...

    async def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one. Where it cannot be kept, the program's log says so, and no more."""
        ...
