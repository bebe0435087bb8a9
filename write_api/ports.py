"""What the write routes need beside the bus."""

from typing import Protocol

from commands.orders import Word


class VenueWord(Protocol):
    """Knows what the venue has said of an order."""

    async def __call__(self, client_order_id: str, wait_seconds: float, /) -> Word:
        """Return the venue's word on an order, waiting for it at most so long. Raises `Unavailable`."""
        ...
