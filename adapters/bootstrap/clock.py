"""The clock of the server."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time now, aware, in UTC."""
    return datetime.now(UTC)
