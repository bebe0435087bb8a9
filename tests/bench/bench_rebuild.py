"""Rebuild every view on all cores, and beside it the raw limit: COPY the log out and decode it, on as many cores.

`BENCH_EVENTS` is how long the log is. The figure that counts is the one over ten million: `BENCH_EVENTS=10000000`.
"""

import asyncio
import os
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from time import perf_counter

import psycopg

from adapters.event_store.reader import recorded
from adapters.garbage import collect_rarely
from adapters.logging import configure
from adapters.rebuild import rebuild_on_all_cores
from projections.views import VIEWS
from tests.bench.database import fresh_database
from tests.bench.history import connected, orders, write
from tests.bench.table import Row, at_least, at_most, show

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
RATE = 60_000
MEGABYTES = 400
CORES = len(os.sched_getaffinity(0))
_COPY = (
    "copy (select position, stream, version, type, schema_version, recorded_at,"
    " correlation_id, causation_id, command_id, actor, data from log.events"
    " where shard = 0 and position > {after} and position <= {through} order by position) to stdout (format binary)"
)
_TYPES = ["int8", "text", "int8", "text", "int2", "timestamptz", "uuid", "uuid", "uuid", "text", "bytea"]


def read(url: str, after: int, through: int) -> int:
    """Copy a part of the log out and decode it; return how many events it has."""
    collect_rarely()
    query = _COPY.format(after=after, through=through)
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(query.encode()) as rows:
        rows.set_types(_TYPES)
        return sum(1 for _ in map(recorded, rows.rows()))


def raw(url: str, total: int) -> float:
    """Return how many events a second can be read and decoded at best, each core a part of the log."""
    cuts = [total * n // CORES for n in range(CORES + 1)]
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        list(pool.map(read, [url] * CORES, [0] * CORES, [0] * CORES))  # processes that are there, modules imported
        started = perf_counter()
        assert sum(pool.map(read, [url] * CORES, cuts[:-1], cuts[1:])) == total
        return total / (perf_counter() - started)


def processor_seconds() -> float:
    """Return what the processes that have ended used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url:
        total = write(url, chain(connected(), orders(int(EVENTS / 4.15))))
        limit = await asyncio.to_thread(raw, url, total)
        started, used = perf_counter(), processor_seconds()
        built = await rebuild_on_all_cores(url, VIEWS, lambda _: None)
        rate = total / (perf_counter() - started)
        microseconds = (processor_seconds() - used) / total * 1e6
        assert {outcome.position for outcome in built} == {total}
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return show(
        f"Rebuild of all views over {total:,} events on {CORES} cores",
        [
            at_least("events a second", rate, RATE),
            Row(name="COPY out and decode, the raw limit", figure=limit, unit="/s"),
            Row(name="of the raw limit", figure=rate / limit * 100, unit="%"),
            Row(name="processor time for an event, without Postgres", figure=microseconds, unit="µs"),
            at_most("memory of the largest process", megabytes, MEGABYTES, "MB"),
        ],
    )


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
