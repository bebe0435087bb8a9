"""Ask the portfolio's history for snapshots of every five minutes, with ten tokens each."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import chain
from statistics import median
from time import perf_counter

from adapters.asgi import build
from adapters.event_store import PostgresLog
from adapters.http.callers import Committed
from adapters.logging import configure
from adapters.settings import Settings
from domain.events import Event
from projections.pool import Pool
from projections.replay import rebuild
from projections.runner import Progress
from projections.views import VIEWS
from read_api.portfolio import Portfolio
from read_api.settle import Reads
from tests.bench.database import fresh_database
from tests.bench.history import START, balances, connected, write
from tests.bench.table import Row, at_most, show
from tests.http.app import client_of

SNAPSHOTS = 26_000
TOKENS = 10
ROUNDS = 15
LIMIT_MS = 50


def month() -> Iterator[tuple[str, Event]]:
    """Yield snapshots of two connectors, each as often."""
    connectors = ("paper", "paper_perpetual")
    for n in range(SNAPSHOTS):
        connector = connectors[n % len(connectors)]
        at = START + timedelta(seconds=300 * (n // len(connectors)))
        yield f"balances-master_account-{connector}", balances(connector, at, tokens=TOKENS, n=n)


async def no_refresh(*_: object) -> int:
    """Record nothing."""
    return 0


async def main() -> bool:
    """Print the figures beside their limit; return whether it was kept."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database())
        end = write(url, chain(connected(), month()))
        async with PostgresLog.open(url) as log:
            await rebuild(url, log, VIEWS)
        progress = Progress(view.name for view in VIEWS)
        progress.moved(dict.fromkeys(progress.views, end))
        reads = Reads(await stack.enter_async_context(Pool.open(url)), progress, Committed())
        app = build([Portfolio], [], {"reads": reads, "refresh": no_refresh}, Settings.from_environment({}))
        client = await stack.enter_async_context(client_of(app))
        rows: list[Row] = []
        for interval in ("1d", "1h", "5m"):
            times = []
            for _ in range(ROUNDS):
                began = perf_counter()
                answer = await client.post("/portfolio/history", json={"interval": interval, "limit": 100})
                times.append((perf_counter() - began) * 1000)
            name = f"{len(answer.json()['data'])} moments at {interval}"
            limit = at_most(name, median(times), LIMIT_MS, "ms") if interval == "1d" else None
            rows.append(limit or Row(name=name, figure=median(times), unit="ms"))
    return show(f"Portfolio history over {SNAPSHOTS:,} snapshots of {TOKENS} tokens", rows)


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
