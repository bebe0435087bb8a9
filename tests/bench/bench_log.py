"""Append to the log, beside what Postgres takes at best and what the eventsourcing library's recorder does."""

import asyncio
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from adapters.event_store import PostgresLog
from commands.ports import Write
from domain import catalog
from domain.events import Origin
from domain.orders import OrderPlaced
from domain.values import OrderType, PositionAction, Side
from tests.bench.database import fresh_database
from tests.bench.library import library_rate
from tests.bench.table import Row, at_least, show

BATCH = 100
BATCHES = 60
ROUNDS = 5
SHARE = 0.5
CLIENTS = 64
TIMES_THE_LIBRARY = 8

_ROW = f"({', '.join(['%b'] * 12)})"
_INSERT = f"insert into raw values {', '.join([_ROW] * BATCH)}".encode()  # columns in the order of the table


def placed() -> OrderPlaced:
    """Return an order as clients place it."""
    return OrderPlaced(
        client_order_id=f"nectar-{uuid4()}",
        account="master_account",
        connector="paper",
        trading_pair="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal("0.0015"),
        price=Decimal("64250.5"),
        position_action=PositionAction.OPEN,
        server="bench",
        placed_at=datetime.now(UTC),
    )


async def batched_appends(log: PostgresLog, events: list[OrderPlaced]) -> None:
    """Append each event to a stream of its own, a hundred at a time."""
    for start in range(0, len(events), BATCH):
        await asyncio.gather(*(append(log, event) for event in events[start : start + BATCH]))


async def append(log: PostgresLog, event: OrderPlaced) -> None:
    """Append one event as a command of its own."""
    origin = Origin(correlation_id=uuid4(), command_id=uuid4(), actor="admin")
    await log.append([Write(stream=f"order-{event.client_order_id}", expected_version=0, events=[event])], origin)


async def raw_inserts(connection: AsyncConnection, events: list[OrderPlaced], first: int) -> None:
    """Insert the same rows into a table of the same shape, with nothing checked."""
    for start in range(0, len(events), BATCH):
        values: list[Any] = []
        for position, event in enumerate(events[start : start + BATCH], first + start):
            values += (0, position, f"order-{event.client_order_id}", 1, "OrderPlaced", 1, datetime.now(UTC))
            values += (uuid4(), None, uuid4(), "admin", catalog.encode(event))
        await connection.execute(_INSERT, values, prepare=True)


async def rate(count: int, work: Awaitable[None]) -> float:
    """Return how many of `count` things were done a second."""
    started = perf_counter()
    await work
    return count / (perf_counter() - started)


async def single_appends(log: PostgresLog, clients: int, appends: int) -> tuple[float, float]:
    """Return the rate and the 99th percentile in ms of clients that append one event after the other."""
    milliseconds: list[float] = []

    async def client() -> None:
        for _ in range(appends):
            started = perf_counter()
            await append(log, placed())
            milliseconds.append((perf_counter() - started) * 1000)

    async def clients_together() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    per_second = await rate(clients * appends, clients_together())
    return per_second, quantiles(milliseconds, n=100)[98]


async def read_all(log: PostgresLog, last: int) -> None:
    """Follow the log from its beginning to a position."""
    async for events in log.follow(0):
        if events[-1].position >= last:
            return


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    count = BATCH * BATCHES
    ours: list[float] = []
    raw: list[float] = []
    async with fresh_database() as url, PostgresLog.open(url) as log:
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("create table raw (like log.events including all)")
            for turn in range(ROUNDS + 1):  # the first one warms up
                events = [placed() for _ in range(count)]
                raw.append(await rate(count, raw_inserts(connection, events, turn * count)))
                ours.append(await rate(count, batched_appends(log, events)))
        lone, lone_ms = await single_appends(log, 1, 300)
        many, many_ms = await single_appends(log, CLIENTS, 150)
        states = [catalog.encode(placed()) for _ in range(1500)]
        library = await asyncio.to_thread(library_rate, url, states, threads=10)
        last = await log.position()
        reading = await rate(last, read_all(log, last))
    best, appended = median(raw[1:]), median(ours[1:])
    return show(
        "The log",
        [
            Row(name="raw multi-row INSERT, 100 a commit", figure=best, unit="/s"),
            Row(name="appends, 100 a commit", figure=appended, unit="/s"),
            at_least("appends as a share of the raw INSERT", 100 * appended / best, 100 * SHARE, "%"),
            Row(name="eventsourcing's recorder, a commit each", figure=library, unit="/s"),
            Row(name=f"appends of {CLIENTS} clients", figure=many, unit="/s"),
            at_least("appends of clients to commits of the recorder", many / library, TIMES_THE_LIBRARY, "x"),
            Row(name=f"appends of {CLIENTS} clients, 99th percentile", figure=many_ms, unit="ms"),
            Row(name="appends of one client", figure=lone, unit="/s"),
            Row(name="appends of one client, 99th percentile", figure=lone_ms, unit="ms"),
            Row(name="events read and decoded in order", figure=reading, unit="/s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
