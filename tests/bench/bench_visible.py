"""Orders placed at a steady rate: how long until all views show what was acknowledged, and what keeping them costs.

Each order is two appends: that it was placed, and the venue's report that it was accepted and filled, with the new
balances. The same load runs without the views first; the difference is what they take of the process. A last time it
runs with a client of the live log, on a socket of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import chain
from statistics import quantiles
from time import perf_counter, process_time
from uuid import uuid4

import uvloop

from adapters.asgi import build
from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.http.callers import Committed
from adapters.logging import configure
from adapters.settings import Settings
from commands.ports import Write
from domain.events import Event, Origin
from domain.orders import OrderPlaced
from projections.pool import Pool
from projections.replay import rebuild
from projections.runner import Progress, Projector
from projections.views import VIEWS
from read_api.audit.feed import AuditFeed, Following
from read_api.settle import Reads
from tests.bench.database import fresh_database
from tests.bench.history import balances, connected, orders, write
from tests.bench.table import Row, show
from tests.listening import KNOWN, listened

ORDERS_BEFORE = 20_000
PER_SECOND = 200
SECONDS = 8.0
STREAM = "balances-master_account-live"


class Traffic:
    """Orders at a steady rate, whatever the answers take; `visible` are the milliseconds until views showed each."""

    def __init__(self, log: PostgresLog, progress: Progress | None) -> None:
        """Take what keeps the views up to date, None for nothing to wait for."""
        self._log = log
        self._progress = progress
        self._balances = asyncio.Lock()
        self._version = 0
        self.visible: list[float] = []
        self.acknowledged: dict[int, float] = {}

    async def run(self) -> float:
        """Place all orders; return the milliseconds of processor time that each took of this process."""
        count = int(PER_SECOND * SECONDS)
        clock = asyncio.get_running_loop().time
        last = (await self._log.last([STREAM]))[STREAM]
        self._version = 0 if last is None else last.version
        began, busy = clock(), process_time()
        async with asyncio.TaskGroup() as tasks:
            for n in range(count):
                await asyncio.sleep(began + n / PER_SECOND - clock())
                tasks.create_task(self._order())
        return (process_time() - busy) * 1000 / count

    async def _order(self) -> None:
        order_id = f"n{uuid4().hex}"
        facts = _facts(order_id)
        stream = f"order-{order_id}"
        await self._append(Write(stream=stream, expected_version=0, events=facts[:1]))
        async with self._balances:
            report = Write(stream=stream, expected_version=1, events=facts[1:])
            seen = balances("live", datetime.now(UTC), tokens=3, n=self._version)
            writes = [report, Write(stream=STREAM, expected_version=self._version, events=[seen])]
            self._version += 1
            appended = asyncio.create_task(self._append(*writes))
            await asyncio.wait([appended])
        await appended

    async def _append(self, *writes: Write) -> None:
        origin = Origin(correlation_id=uuid4(), command_id=uuid4(), actor="admin")
        position = (await self._log.append(writes, origin)).position
        acknowledged = self.acknowledged[position] = perf_counter()
        if self._progress is not None:
            if await self._progress.reached(position, self._progress.views, 10):
                raise TimeoutError(f"The views have not reached position {position}: {self._progress.failures}")
            self.visible.append((perf_counter() - acknowledged) * 1000)


class Listener:
    """A client of the live log; `heard` is when each position came."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.heard: dict[int, float] = {}

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read for ever."""
        async for line in reader:
            if line.startswith(b"id: "):
                self.heard[int(line.removeprefix(b"id: "))] = perf_counter()

    async def until(self, position: int) -> None:
        """Wait until a position has come."""
        async with asyncio.timeout(10):
            while position not in self.heard:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(url: str, log: PostgresLog, progress: Progress) -> AsyncIterator[Listener]:
    """Serve the live log over HTTP, and listen to it."""
    async with Pool.open(url) as pool:
        stopping = asyncio.Event()
        dependencies = {
            "reads": Reads(pool, progress, Committed()),
            "following": Following(tail=log, stopping=stopping),
        }
        app = build([AuditFeed], [], dependencies, Settings.from_environment({}))
        async with listened(app) as address:
            host, _, port = address.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            authorization = f"Authorization: {KNOWN['Authorization']}"
            writer.write(f"GET /audit/feed HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n\r\n".encode())
            listener = Listener()
            reading = asyncio.create_task(listener.read(reader))
            await listener.until(await log.position())
            yield listener
            stopping.set()
            writer.close()
            await asyncio.wait([reading])


def _facts(order_id: str) -> list[Event]:
    # What happens to an order that fills: placed, accepted, two trades.
    facts = [event for stream, event in orders(2) if stream == f"order-n{1:032x}"]
    if not isinstance(facts[0], OrderPlaced):
        raise TypeError(f"An order begins with {facts[0]}")
    placed = {name: getattr(facts[0], name) for name in facts[0].__struct_fields__} | {"client_order_id": order_id}
    return [OrderPlaced(**placed), *facts[1:]]


async def main() -> bool:
    """Print the figures ; there is no limit to keep."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database())
        write(url, chain(connected(), orders(ORDERS_BEFORE)))
        log = await stack.enter_async_context(PostgresLog.open(url))
        await rebuild(url, log, VIEWS)
        collect_rarely()
        without = await Traffic(log, None).run()
        progress = Progress(view.name for view in VIEWS)
        projecting = asyncio.create_task(Projector(url, log, VIEWS, progress).run())
        if await progress.reached(await log.position(), progress.views, 60):
            raise TimeoutError("The views have not caught up with the log")
        traffic = Traffic(log, progress)
        with_views = await traffic.run()
        async with listening(url, log, progress) as listener:
            followed = Traffic(log, None)
            await followed.run()
            await listener.until(max(followed.acknowledged))
        projecting.cancel()
        await asyncio.wait([projecting])
    percentiles = quantiles(traffic.visible, n=100)
    told = [max(0.0, listener.heard[at] - since) * 1000 for at, since in followed.acknowledged.items()]
    return show(
        f"From acknowledged to visible in all views, at {PER_SECOND} orders a second",
        [
            Row(name="half within", figure=percentiles[49], unit="ms"),
            Row(name="99 % within", figure=percentiles[98], unit="ms"),
            Row(name="heard in the live log, 99 % within", figure=quantiles(told, n=100)[98], unit="ms"),
            Row(name="processor time of this process, an order, without views", figure=without, unit="ms"),
            Row(name="what keeping the views adds", figure=with_views - without, unit="ms"),
        ],
    )


if __name__ == "__main__":
    configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(0 if runner.run(main()) else 1)
