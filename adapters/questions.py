"""Questions that are asked one at a time, of a venue that may not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

from domain.errors import Unavailable


class Questions:
    """One turn at a time. Who waits for a turn that ends without an answer has none, too, and does not ask again.

    Else each of those who wait for a silent venue would wait for all before them.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._lock = asyncio.Lock()
        self._failed_time = -inf
        self._why = ""

    @asynccontextmanager
    async def turn(self, *, anyway: bool = False) -> AsyncIterator[None]:
        """Have a turn. Raises `Unavailable` if one ended so while it was waited for, unless it is had `anyway`."""
        began = asyncio.get_running_loop().time()
        async with self._lock:
            if self._failed_time > began and not anyway:
                raise Unavailable(self._why)
            try:
                yield
            except Unavailable as reason:
                self._failed_time, self._why = asyncio.get_running_loop().time(), reason.message
                raise
