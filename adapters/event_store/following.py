"""Following the log: a bell that rings when something was appended, and who reads on when it does."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import structlog
from psycopg import AsyncConnection

from adapters.event_store import connections
from adapters.event_store.reader import Reader
from domain.errors import Unavailable
from domain.events import Recorded

logger = structlog.get_logger()

POLL_SECONDS = 1.0
"""How long a follower relies on the bell before it looks by itself."""

WINDOW = 50_000
"""How many positions one query for some types goes through at most."""


class Bell:
    """Rings when the log has grown, through one connection for all followers of the process. Only ever a hint."""

    def __init__(self, database_url: str) -> None:
        self._parameters = connections.parameters(database_url)
        self._position = 0
        self._next = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """The ring that comes next. Taken before a look at the log, it cannot be missed while looking."""
        return self._next

    def ring(self, position: int) -> None:
        """Say that the log has grown up to a position; nobody hears it twice."""
        if position > self._position:
            self._position = position
            self._next.set()
            self._next = asyncio.Event()

    async def run(self) -> None:
        """Listen to the server, for ever."""
        while True:
            try:
                async with await AsyncConnection.connect(self._parameters, autocommit=True) as connection:
                    await connection.execute("listen nectar_events")
                    self._position = 0  # of another log, if the server came back with a backup
                    async for notification in connection.notifies():
                        if notification.payload.isdecimal():
                            self.ring(int(notification.payload))
            except psycopg.Error as e:
                logger.warning("log_not_heard", why=str(e).strip())
            await asyncio.sleep(POLL_SECONDS)


async def follow(
    reader: Reader, bell: Bell, after: int, *, limit: int, types: Sequence[str]
) -> AsyncIterator[list[Recorded]]:
    """Yield what comes above a position, in batches, for ever."""
    reachable = True
    while True:
        ring = bell.next
        try:
            events, through, more = await _look(reader, after, limit, types)
        except Unavailable as e:
            if reachable:
                logger.warning("follower_waits", position=after, why=e.message)
            reachable = False
            await _wait(ring)
            continue
        reachable = True
        if events:
            yield events
        after = through
        if not more:
            await _wait(ring)


async def _look(reader: Reader, after: int, limit: int, types: Sequence[str]) -> tuple[list[Recorded], int, bool]:
    """Return events, the position that was seen, and whether there was more to see."""
    if not types:
        events = await reader.page(after, limit)
        return events, events[-1].position if events else after, len(events) == limit
    end = await reader.position()
    through = min(end, after + WINDOW)
    events = await reader.page_of_types(after, through, limit, types)
    if len(events) == limit:
        return events, events[-1].position, True
    return events, max(after, through), through < end


async def _wait(ring: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await ring.wait()
    except TimeoutError:
        return
