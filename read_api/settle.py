"""Let a read show what its caller wrote: wait until the views have reached it, and say so when they have not.

A write answers with `X-Position`. A read waits for the last position that its caller committed through this process,
or for the one that it names in `X-After-Position`, whichever is later; after a second it answers from what there is,
with the number of events it is behind in `X-Lag`. What this server's definition of a view has never built is not
answered at all: the tables of another definition get no new events, and would show the past as the present.

A read that names a moment in `X-As-Of` is answered from the views as they were then (`projections/past/`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from adapters.http.as_of import NAME, as_of
from adapters.http.bodies import MalformedRequest
from adapters.http.callers import Committed
from adapters.http.problems import Problem, shown
from adapters.http.protocol import header
from adapters.http.requests import Request
from domain.errors import Invalid, Unavailable
from projections.moments import Moment
from projections.past import Past
from projections.pool import Pool
from projections.runner import Progress
from projections.view import Connection

PATIENCE_SECONDS = 1.0
_LONG_AT_A_TIME, _LONG_PATIENCE_SECONDS = 3, 5.0
_DIGITS = 18
_SHOWN = "nectar.shown"
"""The key of a request's scope under which the moment stands that it is about, with the views as they were then."""

Headers = tuple[tuple[bytes, bytes], ...]


class Reads:
    """What the read routes share: the views, and how far they have come."""

    def __init__(self, pool: Pool, progress: Progress, committed: Committed, past: Past | None = None) -> None:
        """Answer from views as they are, and, with `past`, as they were."""
        self._pool = pool
        self._past = past
        self._progress = progress
        self._committed = committed
        self._long = asyncio.Semaphore(_LONG_AT_A_TIME)

    def connection(self, request: Request) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection to the views that `settle` waited for. Raises `Unavailable`."""
        moment, views = request.asgi.get(_SHOWN, (None, ()))
        return self.past.connection(moment, views) if views else self._pool.connection()

    @asynccontextmanager
    async def long_connection(self, request: Request) -> AsyncIterator[Connection]:
        """Lend such a connection for an answer that may take minutes; few at a time, so that others find one.

        Raises `Unavailable`, also where none of the few becomes free.
        """
        try:
            async with asyncio.timeout(_LONG_PATIENCE_SECONDS):
                await self._long.acquire()
        except TimeoutError as e:
            raise Unavailable(
                f"{_LONG_AT_A_TIME} long answers are being made, the most at a time", retry_after_seconds=5
            ) from e
        try:
            async with self.connection(request) as connection:
                yield connection
        finally:
            self._long.release()

    def moment(self, request: Request) -> Moment | None:
        """Return the moment that a request is about, None for now; known once it has settled."""
        moment: Moment | None = request.asgi.get(_SHOWN, (None, ()))[0]
        return moment

    @property
    def past(self) -> Past:
        """The views as they were. Raises `Invalid` where they are not shown."""
        if self._past is None:
            raise Invalid("This server does not show the past")
        return self._past

    def today(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection to the views as they are. Raises `Unavailable`."""
        return self._pool.connection()

    def seen(self, view: str) -> int:
        """Return the position of the last event that a view has seen, -1 before it is built."""
        return self._progress.positions[view]

    @property
    def progress(self) -> Progress:
        """How far the views have come, as this process knows it."""
        return self._progress

    async def settle(self, request: Request, *views: str, position: int = 0, today: bool = False) -> Headers:
        """Wait until views show what the request's caller wrote, and `position`; return headers that say how it went.

        A request about the past waits for the views as they were; the header names the position that it is answered
        from. With `today`, views as they are serve it too.

        Raises `MalformedRequest` for an `X-After-Position` that is no position or an `X-As-Of` that is no moment,
        `Invalid` for one that the log does not reach, `Gone`, and `Unavailable` where it takes long, or for a view that
        is being built.
        """
        when = as_of(request.asgi)
        if when is not None:
            moment = await self.past.moment(when, NAME)
            if not today:
                await self.past.ready(moment, views)
            request.asgi[_SHOWN] = (moment, () if today else views)
            lag = await self._reached(moment.position, views) if today else 0
            return ((b"x-as-of", b"%d" % moment.position), *_lag(lag))
        wanted = max(position, self._committed.last(request.asgi["user"]), _after(request))
        return _lag(await self._reached(wanted, views))

    async def _reached(self, position: int, views: Sequence[str]) -> int:
        lag = await self._progress.reached(position, views, PATIENCE_SECONDS)
        for view in views:
            if self._progress.positions[view] < 0:
                raise _not_built(view, self._progress)
        return lag


def _not_built(view: str, progress: Progress) -> Unavailable:
    if view in progress.failures:
        return Unavailable(f"View '{view}' could not be built; /system/projections says why")
    at = progress.building.get(view)
    if at is None:
        return Unavailable(f"View '{view}' is not built yet", retry_after_seconds=1)
    left = "" if at.seconds_left is None else f", about {at.seconds_left} seconds are left"
    return Unavailable(
        f"View '{view}' is being built: {at.position} of {at.of} events are in it{left}",
        retry_after_seconds=max(1, at.seconds_left or 1),
    )


def _lag(events: int) -> Headers:
    return ((b"x-lag", b"%d" % events),) if events else ()


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
