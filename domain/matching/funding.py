"""When funding is due: every eight hours of venue time, at 00:00, 08:00 and 16:00 UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from domain.values import Utc

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVERY = timedelta(hours=8)


def boundary_after(at: Utc) -> Utc:
    """Return the first funding time after an instant."""
    return EPOCH + ((at - EPOCH) // EVERY + 1) * EVERY


def boundaries(after: Utc, until: Utc) -> Iterator[Utc]:
    """Yield the funding times after one instant up to another, that one included."""
    due = boundary_after(after)
    while due <= until:
        yield due
        due += EVERY
