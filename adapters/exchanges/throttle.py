"""How fast requests may leave for a venue."""

import asyncio


class Throttle:
    """Keeps requests apart by what each costs of the venue's rate limit.

    ccxt's own counts no time in which nothing is asked: the first request after a quiet hour still waits for the one
    before it.
    """

    def __init__(self, milliseconds: float) -> None:
        """Take ccxt's `rateLimit`: the milliseconds that a request of cost 1 takes."""
        self._seconds = max(milliseconds, 0.0) / 1000
        self._free_at = 0.0
        self._line = asyncio.Lock()

    async def __call__(self, cost: float | None = None) -> None:
        """Wait for the turn of a request; those that wait go in the order in which they came.

        One that gives up while it waits takes no time of those behind it.
        """
        loop = asyncio.get_running_loop()
        waits = self._line.locked()
        async with self._line:
            # Whoever stood in line follows the one before it exactly, however late the loop woke it.
            turn = self._free_at if waits else max(self._free_at, loop.time())
            if turn > loop.time():
                await asyncio.sleep(turn - loop.time())
            self._free_at = turn + self._seconds * (1.0 if cost is None else cost)
