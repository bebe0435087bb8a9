"""Orders placed at a steady rate: how long until all views show what was acknowledged, and what keeping them costs.

Each order is two appends: that it was placed, and the venue's report that it was accepted and filled, with the new
balances. The same load runs without the views first; the difference is what they take of the process.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import chain
from statistics import quantiles
from time import perf_counter, process_time
from uuid import uuid4

import uvloop

from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.logging import configure
from commands.ports import Write
from domain.events import Event, Origin
from domain.orders import OrderPlaced
from projections.replay import rebuild
from projections.runner import Progress, Projector
from projections.views import VIEWS
from tests.bench.database import fresh_database
from tests.bench.history import balances, connected, orders, write
from tests.bench.table import Row, show

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
        if self._progress is not None:
            acknowledged = perf_counter()
            if await self._progress.reached(position, self._progress.views, 10):
                raise TimeoutError(f"The views have not reached position {position}: {self._progress.failures}")
            self.visible.append((perf_counter() - acknowledged) * 1000)


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
        projecting.cancel()
        await asyncio.wait([projecting])
    percentiles = quantiles(traffic.visible, n=100)
    return show(
        f"From acknowledged to visible in all views, at {PER_SECOND} orders a second",
        [
            Row(name="half within", figure=percentiles[49], unit="ms"),
            Row(name="99 % within", figure=percentiles[98], unit="ms"),
            Row(name="processor time of this process, an order, without views", figure=without, unit="ms"),
            Row(name="what keeping the views adds", figure=with_views - without, unit="ms"),
        ],
    )


if __name__ == "__main__":
    configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(0 if runner.run(main()) else 1)
