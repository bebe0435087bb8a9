"""Let a read show what its caller wrote: wait until the views have reached it, and say so when they have not.

A write answers with `X-Position`. A read waits for the last position that its caller committed through this process,
or for the one that it names in `X-After-Position`, whichever is later; after a second it answers from what there is,
with the number of events it is behind in `X-Lag`.
"""

from contextlib import AbstractAsyncContextManager

from adapters.http.bodies import MalformedRequest
from adapters.http.callers import Committed
from adapters.http.problems import Problem, shown
from adapters.http.protocol import header
from adapters.http.requests import Request
from projections.pool import Pool
from projections.runner import Progress
from projections.view import Connection

PATIENCE_SECONDS = 1.0
_DIGITS = 18

Headers = tuple[tuple[bytes, bytes], ...]


class Reads:
    """What the read routes share: the views, and how far they have come."""

    def __init__(self, pool: Pool, progress: Progress, committed: Committed) -> None:
        self._pool = pool
        self._progress = progress
        self._committed = committed

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection to the views. Raises `Unavailable`."""
        return self._pool.connection()

    def seen(self, view: str) -> int:
        """Return the position of the last event that a view has seen, -1 before it is built."""
        return self._progress.positions[view]

    async def settle(self, request: Request, *views: str, position: int = 0) -> Headers:
        """Wait until views show what the request's caller wrote, and `position`; return headers that say how it went.

        Raises `MalformedRequest` for an `X-After-Position` that is no position.
        """
        wanted = max(position, self._committed.last(request.asgi["user"]), _after(request))
        lag = await self._progress.reached(wanted, views, PATIENCE_SECONDS)
        return ((b"x-lag", b"%d" % lag),) if lag else ()


def _after(request: Request) -> int:
    given = header(request.asgi, b"x-after-position")
    if given is None:
        return 0
    if given.isdigit() and len(given) <= _DIGITS:
        return int(given)
    raise MalformedRequest(
        [
            Problem(
                type="int_parsing",
                loc=("header", "X-After-Position"),
                msg=f"X-After-Position should be a position in the log, a whole number of at most {_DIGITS} digits",
                input=shown(given.decode("latin-1")),
            )
        ]
    )


async def behind(progress: Progress, position: int) -> str | None:
    """Return why the views do not show the log up to a position, after some patience; None when they do."""
    lag = await progress.reached(position, progress.views, PATIENCE_SECONDS)
    for view, reason in progress.failures.items():
        return f"View '{view}' has stopped: {reason}"
    return f"The views are {lag} events behind the log" if lag else None
