"""How bots stand at this moment: what the views hold, by the clock."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from domain.errors import NotFound
from projections.bots.standing import FEW_BOTS, Known, Standing, standing, standings, with_all_lines
from projections.moments import Moment
from projections.view import Connection


class Roster:
    """The bots that there are, as they were read last: what has changed since is read again when somebody asks.

    One that was not heard for so many seconds counts as silent.
    """

    def __init__(self, clock: Callable[[], datetime], *, heartbeat_seconds: float = 30.0) -> None:
        """Take what tells the time, aware, in UTC."""
        self._clock = clock
        self._heartbeat = timedelta(seconds=heartbeat_seconds)
        self._known: Known = {}

    @property
    def since(self) -> datetime:
        """Who was heard since then is not silent."""
        return self._since(None)

    def _since(self, at: Moment | None) -> datetime:
        return (self._clock() if at is None else at.at) - self._heartbeat

    async def all(self, connection: Connection, *, lines: bool = True, at: Moment | None = None) -> Sequence[Standing]:
        """Return how every bot stands, or stood at a moment, oldest first.

        With the newest lines of their logs; where `lines` are wanted and the bots are few, with all that are kept.
        """
        if at is None:
            found = self._known = await standings(connection, since=self.since, known=self._known)
        else:
            found = await standings(connection, since=self._since(at), known={})
        bots = list(found.values())
        return await with_all_lines(connection, bots) if lines and len(bots) <= FEW_BOTS else bots

    async def find(self, connection: Connection, instance: str, *, at: Moment | None = None) -> Standing | None:
        """Return how a bot stands, or stood at a moment, None for one that is unknown or cleared away."""
        return await standing(connection, instance, since=self._since(at))

    async def one(self, connection: Connection, instance: str, *, at: Moment | None = None) -> Standing:
        """Return how a bot stands, or stood at a moment. Raises `NotFound`."""
        found = await self.find(connection, instance, at=at)
        if found is None:
            raise unknown(instance)
        return found


def unknown(instance: str) -> NotFound:
    """Return the refusal of a bot that nobody knows."""
    return NotFound(f"Bot {instance} not found")
