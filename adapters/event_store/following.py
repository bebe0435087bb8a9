"""Following the log: a bell that rings when something was appended, and the newest events, kept once for all.

What this process appends is in the tail with its commit; what others append is fetched when the bell rings.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import structlog
from psycopg import AsyncConnection

from adapters.event_store import connections
from adapters.event_store.reader import POSITION, TYPE, Reader, Row, recorded
from domain.errors import Unavailable
from domain.events import Recorded

logger = structlog.get_logger()

POLL_SECONDS = 1.0
"""How long followers rely on the bell before they look by themselves."""

PAUSE_SECONDS = 0.002
"""How long a look at the log is put off after the one before, so that a busy log is read in larger pieces."""

WINDOW = 50_000
"""How many positions one query for some types goes through at most."""

KEPT = 4_000
"""How many of the newest events stay in memory, at least."""

FETCHED = 1_000
"""How many events the tail takes in with one query at most."""


class Bell:
    """Rings when the log has grown, through one connection for all followers of the process. Only ever a hint."""

    def __init__(self, database_url: str) -> None:
        self._parameters = connections.parameters(database_url)
        self._position = 0
        self._next = asyncio.Event()

    @property
    def position(self) -> int:
        """How far the log has grown, as far as that was heard."""
        return self._position

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


class Tail:
    """The newest rows of the log. Followers that have caught up read here; each row is fetched and decoded once."""

    def __init__(self, reader: Reader, bell: Bell) -> None:
        self._reader = reader
        self._bell = bell
        self._followers = 0
        self._followed = asyncio.Event()
        self._positions: list[int] = []
        self._rows: list[Row | Recorded] = []
        self._looked_at = 0.0
        self.grown = asyncio.Event()
        self.start: int | None = None  # None: nothing is known yet
        self.end = 0  # what is above `start`, up to and with `end`, is here

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Keep the tail up to date for as long as the context lasts."""
        self._followers += 1
        self._followed.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._followed.clear()

    def above(self, after: int, limit: int, types: Sequence[str]) -> tuple[list[Recorded], int]:
        """Return up to `limit` events of some types (or all), and the position up to which there are no others.

        Raises as `catalog.decode`.
        """
        events: list[Recorded] = []
        for place in range(bisect_right(self._positions, after), len(self._rows)):
            row = self._rows[place]
            if types and (row.type if isinstance(row, Recorded) else row[TYPE]) not in types:
                continue
            if len(events) == limit:
                return events, events[-1].position
            if not isinstance(row, Recorded):
                row = self._rows[place] = recorded(row)
            events.append(row)
        return events, self.end

    def take(self, rows: Sequence[Row]) -> None:
        """Take in what this process has appended; it is fetched if something is missing between it and the tail."""
        if not rows:
            return
        if self._followed.is_set() and self.start is not None and rows[0][POSITION] == self.end + 1:
            self._extend(rows)
        self._bell.ring(rows[-1][POSITION])

    async def run(self) -> None:
        """Fetch what others append while somebody follows, for ever."""
        reachable = True
        while True:
            if not self._followed.is_set():
                await self._followed.wait()
                self.start = None
            ring = self._bell.next
            more = False
            try:
                more = await self._fetch()
            except Unavailable as e:
                if reachable:
                    logger.warning("followers_wait", position=self.end, why=e.message)
                reachable = False
            else:
                reachable = True
            if not more:
                await self._heard(ring)

    async def _fetch(self) -> bool:
        """Take the next rows in, and say whether there may be more."""
        self._looked_at = asyncio.get_running_loop().time()
        if self.start is None:
            self._positions, self._rows = [], []
            self.start = self.end = await self._reader.position()
            self._grow()
        rows = await self._reader.page_of_rows(self.end, FETCHED)
        if new := [row for row in rows if row[POSITION] > self.end]:  # the others were appended here meanwhile
            self._extend(new)
        return len(rows) == FETCHED

    def _extend(self, rows: Sequence[Row]) -> None:
        self._rows += rows
        self._positions += (row[POSITION] for row in rows)
        self.end = self._positions[-1]
        if len(self._rows) > 2 * KEPT:
            self.start = self._positions[-KEPT - 1]
            del self._rows[:-KEPT], self._positions[:-KEPT]
        self._grow()

    async def _heard(self, ring: asyncio.Event) -> None:
        """Wait until the log has grown above the tail, or long enough to look without having heard."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await ring.wait()
                await self._rest()
                while self._bell.position <= self.end:  # appended here, by now
                    await self._bell.next.wait()
                    await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(max(0.0, self._looked_at + PAUSE_SECONDS - asyncio.get_running_loop().time()))

    def _grow(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()


async def follow(
    reader: Reader, tail: Tail, after: int, *, limit: int, types: Sequence[str]
) -> AsyncIterator[list[Recorded]]:
    """Yield what comes above a position, in batches, for ever."""
    with tail.followed():
        while True:
            grown, start = tail.grown, tail.start
            if start is None or after >= tail.end:
                await grown.wait()
                continue
            if after >= start:
                events, after = tail.above(after, limit, types)
            else:
                try:
                    events, after = await _behind(reader, after, start, limit, types)
                except Unavailable:  # the tail says so
                    await asyncio.sleep(POLL_SECONDS)
                    continue
            if events:
                yield events


async def _behind(
    reader: Reader, after: int, start: int, limit: int, types: Sequence[str]
) -> tuple[list[Recorded], int]:
    """Return events from before the tail, and the position up to which there are no others."""
    if not types:
        events = await reader.page(after, limit)
        return events, events[-1].position if events else start
    through = min(start, after + WINDOW)
    events = await reader.page_of_types(after, through, limit, types)
    return events, events[-1].position if len(events) == limit else through
