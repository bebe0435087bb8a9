"""Ask about the past of a million events: the first answer, which builds the views, and the next ones."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from statistics import median, quantiles
from time import perf_counter

import httpx

from adapters.asgi import build
from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.http.callers import Committed
from adapters.logging import configure
from adapters.settings import Settings
from projections.past import Past
from projections.pool import Pool
from projections.replay import rebuild
from projections.runner import Progress
from projections.views import VIEWS
from read_api.orders import OrderReads
from read_api.portfolio import Portfolio
from read_api.settle import Reads
from tests.bench.database import fresh_database
from tests.bench.history import connected, orders, write
from tests.bench.table import Row, at_most, show
from tests.http.app import client_of

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
FIRST_SECONDS = 30.0
TIMES_TODAY = 1.5
ROUNDS = 200


async def no_refresh(*_: object) -> int:
    """Record nothing."""
    return 0


@asynccontextmanager
async def served(url: str, log: PostgresLog, end: int) -> AsyncIterator[httpx.AsyncClient]:
    """Serve views that have seen all there is, and the past."""
    progress = Progress(view.name for view in VIEWS)
    progress.moved(dict.fromkeys(progress.views, end))
    async with Pool.open(url) as pool, Past.open(url, log, VIEWS, owner="bench") as past:
        showing = asyncio.create_task(past.run())
        reads = Reads(pool, progress, Committed(), past)
        dependencies = {"reads": reads, "refresh": no_refresh}
        app = build([OrderReads, Portfolio], [], dependencies, Settings.from_environment({}))
        async with client_of(app) as client:
            yield client
        showing.cancel()
        await asyncio.wait([showing])


async def ask(client: httpx.AsyncClient, path: str, as_of: int | None) -> float:
    """Return how many milliseconds an answer takes, asking again for as long as there is none."""
    headers = {} if as_of is None else {"X-As-Of": str(as_of)}
    began = perf_counter()
    while (answer := await client.post(path, json={}, headers=headers)).status_code != httpx.codes.OK:
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    return (perf_counter() - began) * 1000


async def asked_meanwhile(client: httpx.AsyncClient, waits: list[float]) -> None:
    """Ask about today for ever, and note how long each answer took."""
    while True:
        waits.append(await ask(client, "/portfolio/state", None))
        await asyncio.sleep(0.05)


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    rows: list[Row] = []
    async with fresh_database() as url:
        total = write(url, chain(connected(), orders(int(EVENTS / 4.15))))
        yesterday = total * 9 // 10
        async with PostgresLog.open(url) as log:
            collect_rarely()
            await rebuild(url, log, [view for view in VIEWS if view.name in ("accounts", "orders", "portfolio")])
            async with served(url, log, total) as client:
                waits: list[float] = []
                meanwhile = asyncio.create_task(asked_meanwhile(client, waits))
                for path in ("/trading/orders/search", "/portfolio/state"):
                    seconds = await ask(client, path, yesterday) / 1000
                    rows.append(at_most(f"first answer of {path}", seconds, FIRST_SECONDS, "s"))
                meanwhile.cancel()
                rows.append(Row(name="meanwhile, today's answers, p99", figure=quantiles(waits, n=100)[98], unit="ms"))
                for path in ("/trading/orders/search", "/portfolio/state"):
                    # In turns, so that whatever else this machine does slows both.
                    pairs = [(await ask(client, path, yesterday), await ask(client, path, None)) for _ in range(ROUNDS)]
                    then, now = (median(times) for times in zip(*pairs, strict=True))
                    rows.append(Row(name=f"today's answer of {path}", figure=now, unit="ms"))
                    rows.append(at_most(f"next answers of {path}", then, now * TIMES_TODAY, "ms"))
    return show(f"The past of {total:,} events, as of {yesterday:,}", rows)


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
