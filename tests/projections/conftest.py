"""Views over the test database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from adapters.event_store import PostgresLog
from commands.ports import Log
from projections.past import Bounds, Past
from projections.pool import Pool
from projections.replay import rebuild
from projections.runner import Progress, Projector
from projections.view import Connection, View, connect
from projections.views import VIEWS


@asynccontextmanager
async def projecting(
    database_url: str, log: Log, views: Sequence[View] = VIEWS, *, lead: bool = True
) -> AsyncIterator[Progress]:
    """Keep views while the context lasts, with a short patience for what others hold."""
    progress = Progress(view.name for view in views)
    projector = Projector(database_url, log, views, progress, lead=lead, standby_seconds=0.05)
    running = asyncio.create_task(projector.run())
    try:
        yield progress
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()  # raises what it failed with


@asynccontextmanager
async def remembering(database_url: str, log: Log, **bounds: float) -> AsyncIterator[Past]:
    """Show views as they were while the context lasts."""
    async with Past.open(database_url, log, VIEWS, owner=uuid4().hex[:8], bounds=Bounds(**bounds)) as past:  # type: ignore[arg-type]
        running = asyncio.create_task(past.run())
        try:
            yield past
        finally:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()  # raises what it failed with


@pytest.fixture(scope="session")
def template(server_url: str, template: str) -> str:
    """Return the name of a database whose views are built, of an empty log."""

    async def build() -> None:
        url = urlsplit(server_url)._replace(path=f"/{template}").geturl()
        async with PostgresLog.open(url) as log:
            await rebuild(url, log, VIEWS)

    asyncio.run(build())
    return template


@pytest.fixture
async def progress(database_url: str, log: Log) -> AsyncIterator[Progress]:
    """Return the progress of all views, which are kept up to date."""
    async with projecting(database_url, log) as kept:
        assert await kept.reached(0, kept.views, 10) == 0
        yield kept


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Return a connection that sees the views."""
    async with await connect(database_url) as opened:
        yield opened


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Return connections as the read routes use them."""
    async with Pool.open(database_url, size=2) as opened:
        yield opened
