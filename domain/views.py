"""Events that views leave out, which is how a view goes on that cannot take one.

A view that stops at an event is mended. Until it is, or where the event says what should never have been said, somebody
may decide to have the view without it: that decision is an event, too, and holds wherever the view is built.
"""

import msgspec

from domain.errors import Invalid
from domain.events import Event

STREAM = "views"

LONGEST_REASON = 1_000
"""Characters."""


class EventSkipped(Event, frozen=True, kw_only=True):
    """A view leaves an event out, whenever and wherever it is built. Stream `views`.

    `position`, `type` and `stream` are those of the event; `error` is why the view could not take it, `reason` why it
    was not waited for a repair.
    """

    view: str
    position: int
    type: str
    stream: str
    error: str
    reason: str


EVENTS = (EventSkipped,)


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """The event that a view takes next, and why it cannot; None where it can."""

    position: int
    type: str
    stream: str
    error: str | None


Skips = frozenset[tuple[str, int]]
"""View and position of the events that are left out."""

NEW: Skips = frozenset()


def evolve(state: Skips, event: Event) -> Skips:
    """Return what is left out after one more event."""
    return state | {(event.view, event.position)} if isinstance(event, EventSkipped) else state


def skip(state: Skips, *, view: str, position: int, standing: Next | None, reason: str) -> list[Event]:
    """Leave out the event that a view has stopped at. `standing` is None for a view that has taken every event.

    Raises `Invalid` for any other event, and without a reason.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise Invalid(f"The reason must have 1 to {LONGEST_REASON} characters, not {len(reason.strip())}")
    if (view, position) in state:
        return []
    only = "Only the event that a view has stopped at can be skipped"
    if standing is None:
        raise Invalid(f"View '{view}' has not stopped at event {position}: it has taken all events of the log. {only}")
    if standing.error is None:
        raise Invalid(
            f"View '{view}' has not stopped at event {position}: the next one, event {standing.position}, it can take."
            f" {only}"
        )
    if standing.position != position:
        raise Invalid(f"View '{view}' has stopped at event {standing.position}, not at event {position}. {only}")
    return [
        EventSkipped(
            view=view,
            position=position,
            type=standing.type,
            stream=standing.stream,
            error=standing.error,
            reason=reason.strip(),
        )
    ]
