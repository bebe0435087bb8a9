"""Rebuild every view over a million events."""

import asyncio
import os
import resource
import sys
from itertools import chain
from time import perf_counter, process_time

from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.logging import configure
from projections.replay import rebuild
from projections.views import VIEWS
from tests.bench.database import fresh_database
from tests.bench.history import connected, orders, write
from tests.bench.table import Row, at_least, at_most, show

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
RATE = 25_000
MEGABYTES = 400


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url:
        total = write(url, chain(connected(), orders(int(EVENTS / 4.15))))
        async with PostgresLog.open(url) as log:
            collect_rarely()  # as `nectar rebuild` does
            started, busy = perf_counter(), process_time()
            await rebuild(url, log, VIEWS)
            rate = total / (perf_counter() - started)
            busy = (process_time() - busy) / total * 1e6
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return show(
        f"Rebuild of all views over {total:,} events",
        [
            at_least("events a second", rate, RATE),
            Row(name="processor time of this process, an event", figure=busy, unit="µs"),
            at_most("memory of the process", megabytes, MEGABYTES, "MB"),
        ],
    )


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
