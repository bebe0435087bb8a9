"""The views that were kept while a server was troubled are those that the whole log gives."""

import subprocess
import sys
from contextlib import AsyncExitStack

from adapters import database
from adapters.event_store import PostgresLog
from adapters.settings import Settings
from projections.replay import replay_into
from projections.view import SCHEMA, connect, dump
from projections.views import VIEWS
from tests.contract.serving import Nectar


async def check_views(server: Nectar) -> None:
    """Compare the views of a server that has stopped with new ones, and with those that it rebuilds in their place."""
    async with AsyncExitStack() as stack:
        url, _ = await stack.enter_async_context(database.opened(Settings.from_environment(server.environment)))
        log = await stack.enter_async_context(PostgresLog.open(url))
        kept = await _dumps(url, SCHEMA)
        await replay_into(url, log, VIEWS, "anew")
        assert await _dumps(url, "anew") == kept
        assert run(server, "rebuild", "all") == 0
        assert await _dumps(url, SCHEMA) == kept


def run(server: Nectar, *arguments: str) -> int:
    """Run a command on a server's data and return its exit code."""
    command = [sys.executable, "-m", "adapters", *arguments]
    return subprocess.run(command, cwd=server.data, env=server.environment, check=False).returncode


async def _dumps(url: str, schema: str) -> dict[str, bytes]:
    async with await connect(url, schema) as connection:
        return {view.name: await dump(connection, view) for view in VIEWS}
