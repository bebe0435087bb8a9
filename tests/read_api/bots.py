"""The read routes of bots over views of the test database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.settings import Settings
from commands.ports import Log
from projections.pool import Pool
from read_api.bots import BotReads, PerformanceReads, Roster, RunReads
from read_api.settle import Reads
from tests.fakes.line import ScriptedLine
from tests.http.app import client_of
from tests.projections.conftest import projecting, remembering
from tests.projections.fleet import at
from tests.projections.given import Told, tell


class Fleet:
    """A server that reads about bots; `now` is set by the test, `line` is how it reaches them."""

    def __init__(self, client: httpx.AsyncClient, log: Log, committed: Committed) -> None:
        self.client = client
        self.log = log
        self.committed = committed
        self.now = at(0)
        self.line = ScriptedLine(self.clock)

    def clock(self) -> datetime:
        return self.now

    async def told(self, story: Sequence[Told]) -> None:
        """Append a story as this user's own, so that reads wait for it."""
        self.committed.note("admin", await tell(self.log, story))

    async def ask(self, path: str, status: int = 200, **query: object) -> Any:
        """Return the answer of a route below `/bot-orchestration`."""
        answer = await self.client.get(f"/bot-orchestration{path}", params=query)  # type: ignore[arg-type]
        assert answer.status_code == status, answer.text
        return answer.json()

    async def status(self, bot: str) -> Any:
        """Return how a bot stands."""
        return (await self.ask(f"/{bot}/status"))["data"]


@asynccontextmanager
async def reading(database_url: str, log: Log) -> AsyncIterator[Fleet]:
    """Return the routes with views that are kept up to date."""
    committed = Committed()
    async with (
        Pool.open(database_url, size=2) as pool,
        projecting(database_url, log) as progress,
        remembering(database_url, log) as past,
    ):
        assert await progress.reached(0, progress.views, 10) == 0
        fleet = Fleet(httpx.AsyncClient(), log, committed)
        dependencies = {
            "reads": Reads(pool, progress, committed, past),
            "roster": Roster(fleet.clock, heartbeat_seconds=30),
            "bot_line": fleet.line,
        }
        app = build([BotReads, PerformanceReads, RunReads], [], dependencies, Settings.from_environment({}))
        async with client_of(app) as fleet.client:
            yield fleet
