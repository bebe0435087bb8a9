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

    async def __call__(self, cost: float | None = None) -> None:
        """Wait for the turn of a request; those that wait go in the order in which they came."""
        now = asyncio.get_running_loop().time()
        turn = max(self._free_at, now)
        self._free_at = turn + self._seconds * (1.0 if cost is None else cost)
        if turn > now:
            await asyncio.sleep(turn - now)
