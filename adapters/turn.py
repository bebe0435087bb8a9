"""Whose turn it is: of all servers on one database one does the work, the others stand by to take over.

Two that work at once would both match the resting orders of a paper venue, and each would ask venues about orders that
the other one is just sending.
"""

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from psycopg import AsyncConnection

from adapters.event_store import connections

logger = structlog.get_logger()

POLL_SECONDS = 1.0
NOTICED_SECONDS = 3.0
"""A server that took over waits so long before it begins: by then the one before has seen that its turn is over."""

_TRY = "select pg_try_advisory_lock(hashtextextended('nectar.work', 0))"


class TurnLost(Exception):
    """Say that another server has taken over."""

    def __init__(self) -> None:
        super().__init__("Another server has taken over the work on this database; this one has to stop")


class Turn:
    """A session lock of Postgres: it goes to somebody else when its holder's connection ends, however it ends."""

    def __init__(self, database_url: str) -> None:
        self._parameters = connections.parameters(database_url)
        self._connection: AsyncConnection | None = None

    async def take(self, waits_for: Callable[[str], None]) -> None:
        """Wait until nobody else works, and take the turn; `waits_for` is told when that is not at once."""
        stood_by = False
        while not await self._tried():
            if not stood_by and self._connection is not None:
                logger.warning("standing_by")
                waits_for("Standing by: another server works on this database")
                stood_by = True
            await asyncio.sleep(POLL_SECONDS)
        if stood_by:
            await asyncio.sleep(NOTICED_SECONDS)
            logger.warning("taking_over")

    async def keep(self) -> None:
        """Hold the turn until canceled, also when Postgres was restarted meanwhile. Raises `TurnLost`."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                if not await self._held() and not await self._tried() and self._connection is not None:
                    raise TurnLost
        finally:
            if self._connection is not None:
                await self._connection.close()

    async def _held(self) -> bool:
        if self._connection is None:
            return False
        try:
            await self._connection.execute("select")
        except psycopg.OperationalError:
            self._connection = None
            return False
        return True

    async def _tried(self) -> bool:
        """Try to take the turn; afterwards there is a connection unless Postgres does not answer."""
        try:
            if self._connection is None:
                self._connection = await AsyncConnection.connect(self._parameters, autocommit=True)
            cursor = await self._connection.execute(_TRY)
            return await cursor.fetchone() == (True,)
        except psycopg.OperationalError:
            self._connection = None
            return False
