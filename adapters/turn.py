"""Whose turn it is: of all servers on one database one does the work, the others stand by to take over.

Two that work at once would both match the resting orders of a paper venue, and each would ask venues about orders that
the other one is just sending.
"""

import asyncio
from collections.abc import Callable
from typing import LiteralString

import psycopg
import structlog
from psycopg import AsyncConnection

from adapters.event_store import connections

logger = structlog.get_logger()

POLL_SECONDS = 1.0
NOTICED_SECONDS = 3.0
"""A server that took over waits so long before it begins: by then the one before has seen that its turn is over."""

_TRY = "select pg_try_advisory_lock(hashtextextended('nectar.work', 0))"
_COUNT = """
insert into work.turns as t (taken) values (1) on conflict (only_row) do update set taken = t.taken + 1 returning taken
"""
_LAST = "select taken from work.turns"


class TurnLost(Exception):
    """Say that another server has taken over."""

    def __init__(self) -> None:
        super().__init__("Another server has taken over the work on this database; this one has to stop")


class Turn:
    """A session lock of Postgres: it goes to somebody else when its holder's connection ends, however it ends."""

    def __init__(self, database_url: str) -> None:
        self._parameters = connections.parameters(database_url)
        self._connection: AsyncConnection | None = None
        self._number: int | None = None

    @property
    def number(self) -> int:
        """The number of the turn that was taken; 0 before."""
        return self._number or 0

    async def take(self, waits_for: Callable[[str], None]) -> None:
        """Wait until nobody else works, and take the turn; `waits_for` is told when that is not at once."""
        stood_by = False
        while not await self._tried() or not await self._counted():
            if not stood_by and self._connection is not None:
                logger.warning("standing_by")
                waits_for("Standing by: another server works on this database")
                stood_by = True
            await asyncio.sleep(POLL_SECONDS)
        if stood_by:
            await asyncio.sleep(NOTICED_SECONDS)
            logger.warning("taking_over")

    async def keep(self) -> None:
        """Hold the turn until canceled, also when Postgres was restarted meanwhile.

        Raises `TurnLost` when another server has it, or had it meanwhile: what this one remembers of the venues is then
        not what the log says.
        """
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                if await self._held():
                    continue
                free = await self._tried()
                if self._connection is not None and not (free and await self._is_the_last()):
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

    async def _counted(self) -> bool:
        """Note that a turn begins; False if Postgres does not answer."""
        number = await self._asked(_COUNT)
        self._number = number or self._number
        return number is not None

    async def _is_the_last(self) -> bool:
        """Say whether nobody took the turn since we did; for now it is, if Postgres does not answer."""
        return await self._asked(_LAST) in {self._number, None}

    async def _asked(self, query: LiteralString) -> int | None:
        if self._connection is None:
            return None
        try:
            row = await (await self._connection.execute(query)).fetchone()
        except psycopg.OperationalError:
            self._connection = None
            return None
        return None if row is None else int(row[0])

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
