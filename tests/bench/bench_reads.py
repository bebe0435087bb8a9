"""Read routes beside a bare route of the same framework that runs one single-row SELECT over the same kind of pool."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from statistics import median
from typing import Any, cast

import litestar
import uvloop
from litestar.di import NamedDependency, Provide

from adapters.asgi import build
from adapters.event_store import PostgresLog
from adapters.http.callers import Committed
from adapters.http.protocol import App
from adapters.logging import configure
from adapters.settings import Settings
from adapters.uvicorn import web
from projections.pool import Pool
from projections.replay import rebuild
from projections.runner import Progress
from projections.views import VIEWS
from read_api.orders import OrderReads
from read_api.portfolio import Portfolio
from read_api.settle import Reads
from tests.bench.bench_history import no_refresh
from tests.bench.database import fresh_database
from tests.bench.history import connected, orders, write
from tests.bench.load import Figures, Load, measured
from tests.bench.table import Row, at_least, show

ORDERS = int(os.environ.get("BENCH_ORDERS", "100000"))
CLIENTS = 16
SECONDS = 2.5
ROUNDS = 3
SHARE = 0.6
ROUTES = {
    "bare": "/bare",
    "search": "/trading/orders/search",
    "state": "/portfolio/state",
}
BODIES = {"bare": "{}", "search": '{"limit":50}', "state": "{}"}


@litestar.post("/bare", status_code=200)
async def bare(pool: NamedDependency[Pool]) -> dict[str, Any]:
    """Answer one row."""
    async with pool.connection() as connection:
        found = await connection.execute("select account, position from accounts where account = 'master_account'")
        (row,) = await found.fetchall()
    return {"account": row[0], "position": row[1]}


@asynccontextmanager
async def application(name: str, url: str) -> AsyncIterator[App]:
    """Put the bare route together, or ours with views that have seen all there is."""
    async with Pool.open(url) as pool:
        if name == "bare":
            provided = Provide(lambda: pool, sync_to_thread=False)
            yield cast("App", litestar.Litestar([bare], dependencies={"pool": provided}, logging_config=None))
            return
        progress = Progress(view.name for view in VIEWS)
        progress.moved(dict.fromkeys(progress.views, 1))
        dependencies = {"reads": Reads(pool, progress, Committed()), "refresh": no_refresh}
        yield build([OrderReads, Portfolio], [], dependencies, Settings.from_environment({}))


async def serve(name: str, url: str) -> None:
    """Serve on a free port, told on stderr, until stdin ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with application(name, url) as app, web(app, listener):
            sys.stderr.write(f"{listener.getsockname()[1]}\n")
            await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def served(name: str, url: str) -> AsyncIterator[int]:
    """Run a server in a process of its own and give its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bench_reads", name, url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stderr is None:
        raise ChildProcessError("A server was started without pipes")
    try:
        yield int(await process.stderr.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database())
        write(url, chain(connected(), orders(ORDERS)))
        async with PostgresLog.open(url) as log:
            await rebuild(url, log, VIEWS)
        servers = {name: await stack.enter_async_context(served(name, url)) for name in ("bare", "ours")}
        figures: dict[str, list[Figures]] = {name: [] for name in ROUTES}
        for _ in range(ROUNDS):
            for name, path in ROUTES.items():
                port = servers["bare" if name == "bare" else "ours"]
                load = Load(ports=[port], path=path, body=BODIES[name], clients=CLIENTS, seconds=SECONDS, status=200)
                figures[name].append(await measured(load))
    rates = {name: median(figure.per_second for figure in rounds) for name, rounds in figures.items()}
    rows = [Row(name="a bare route, one row", figure=rates["bare"], unit="/s")]
    for name, what in (("search", f"a page of 50 of {ORDERS:,} orders"), ("state", "the portfolio's state")):
        rows.append(Row(name=what, figure=rates[name], unit="/s"))
        # Within one round, for other work on the machine comes and goes.
        shares = [
            ours.per_second / plain.per_second for ours, plain in zip(figures[name], figures["bare"], strict=True)
        ]
        rows.append(at_least(f"{what}, of the bare route", median(shares), SHARE))
    return show(f"Reads by {CLIENTS} clients at once", rows)


if __name__ == "__main__":
    configure("info")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if sys.argv[1:]:
            runner.run(serve(*sys.argv[1:]))
        else:
            sys.exit(0 if runner.run(main()) else 1)
