"""A server of WebSockets for `bench_sockets`, in a process of its own, over a venue that speaks as Binance does."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime

import uvloop

from adapters.asgi import build
from adapters.garbage import collect_rarely
from adapters.logging import configure
from adapters.market_data.public_clients import PublicClients, opener
from adapters.market_data.sources import USUAL
from adapters.settings import Settings
from adapters.uvicorn import web
from domain.candles import Columns
from domain.market_data import FeedState
from read_api.executors import NoExecutors
from read_api.sockets import Sockets, socket_topics
from read_api.sockets.conversation import Terms
from tests.bench.books import urls
from tests.fakes.feeds import running_feeds
from tests.venues.public import sources_of


class NoCandles:
    """Candles that nobody asks for."""

    def connectors(self) -> list[str]:
        return []

    async def latest(self, connector: str, trading_pair: str, name: str, count: int) -> Columns:
        raise NotImplementedError

    async def between(self, connector: str, trading_pair: str, name: str, start: int, end: int) -> Columns:
        raise NotImplementedError

    def following(self, connector: str, trading_pair: str, name: str, count: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def states(self, timeout_seconds: float) -> list[FeedState]:
        return []


def _now() -> datetime:
    return datetime.now(UTC)


async def serve(address: str) -> None:
    """Serve on a free port, told on stderr, until stdin ends."""
    collect_rarely()
    clients = PublicClients(opener({"binance": urls(address)}))
    terms = Terms(least_seconds=0.25, most_seconds=60, heartbeat_seconds=30, clock=_now)
    async with running_feeds(sources_of(clients), patience=USUAL) as feeds:
        topics = socket_topics(feeds, NoCandles(), NoExecutors(), terms)
        app = build([Sockets], [], {"sockets": topics}, Settings.from_environment({}))
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            async with web(app, listener):
                sys.stderr.write(f"{listener.getsockname()[1]}\n")
                await asyncio.to_thread(sys.stdin.read)
        await clients.close()


@asynccontextmanager
async def served(address: str) -> AsyncIterator[tuple[int, int]]:
    """Run the server on a venue; give its port and the id of its process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.sockets", address),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        line = await process.stderr.readline()
        if not line.strip().isdigit():
            raise ChildProcessError(f"The server did not start: {(line + await process.stderr.read()).decode()}")
        yield int(line), process.pid
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    configure("info")
    uvloop.run(serve(sys.argv[1]))
