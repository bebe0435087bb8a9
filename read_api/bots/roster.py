"""How bots stand at this moment: what the views hold, by the clock."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from domain.errors import NotFound
from projections.bots.standing import Standing, standing, standings
from projections.view import Connection


class Roster:
    """The bots that there are. One that was not heard for so many seconds counts as silent."""

    def __init__(self, clock: Callable[[], datetime], *, heartbeat_seconds: float = 30.0) -> None:
        """Take what tells the time, aware, in UTC."""
        self._clock = clock
        self._heartbeat = timedelta(seconds=heartbeat_seconds)

    @property
    def since(self) -> datetime:
        """Who was heard since then is not silent."""
        return self._clock() - self._heartbeat

    async def all(self, connection: Connection, *, lines: bool = True) -> Sequence[Standing]:
        """Return how every bot stands, oldest first, with lines of their logs or without."""
        return await standings(connection, since=self.since, lines=lines)

    async def find(self, connection: Connection, instance: str) -> Standing | None:
        """Return how a bot stands, None for one that is unknown or cleared away."""
        return await standing(connection, instance, since=self.since)

    async def one(self, connection: Connection, instance: str) -> Standing:
        """Return how a bot stands. Raises `NotFound`."""
        found = await self.find(connection, instance)
        if found is None:
            raise unknown(instance)
        return found


def unknown(instance: str) -> NotFound:
    """Return the refusal of a bot that nobody knows."""
    return NotFound(f"Bot {instance} not found")
