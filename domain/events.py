"""What an event is, and what the log adds to it.

Each area's events stand in its own file; `domain/catalog.py` is the table of all of them.
"""

from typing import ClassVar
from uuid import UUID

import msgspec

from domain.values import Utc


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the past. Stored events are for ever: only add fields with defaults, or write an upcaster."""

    schema_version: ClassVar[int] = 1


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants something and why: it goes into the envelope of every event that comes of it.

    `correlation_id` names the whole story, `causation_id` the command before this one (None at its start), `command_id`
    this command, `actor` the user, or the process in angle brackets (`<orders>`). `idempotency_key` makes a repeat of
    the command answer as the first time did.
    """

    correlation_id: UUID
    command_id: UUID
    actor: str
    causation_id: UUID | None = None
    idempotency_key: str | None = None


class Recorded(msgspec.Struct, frozen=True):
    """An event as the log holds it.

    `position` is its place in the log, `version` its place in its stream, both from 1.
    """

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    recorded_at: Utc
    correlation_id: UUID
    causation_id: UUID | None
    command_id: UUID
    actor: str
    event: Event
