"""A long log beside an empty one: what an event takes, how fast it grows, what look-ups and long streams cost."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from random import Random
from statistics import median
from time import perf_counter

import psycopg
from psycopg import AsyncConnection

from adapters.event_store import PostgresLog
from adapters.ids import time_ordered
from adapters.logging import configure
from commands.folding import EVERY, load
from commands.ports import Write
from domain import positions
from domain.events import Event, Origin
from domain.positions import PositionObserved
from domain.values import PositionSide
from projections.moments import moment_of
from tests.bench.bench_log import placed
from tests.bench.database import fresh_database
from tests.bench.history import START, connected, orders, write
from tests.bench.table import Row, at_least, at_most, show

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
FAR = 100_000_000
"""How many events sizes are reckoned for."""

SHARE = 0.7
LOOK_UP_MS = 5.0
LONG_STREAM_MS = 20.0

_ROUNDS = 15
_BATCH = 100
_BATCHES = 20
_LOOKS = 200
_EVERY_TENTH = 10

HEDGED = "position-master_account-binance_perpetual-BTC-USDT"
"""A stream that decisions fold, of a tenth of all events: a long position and a short one, seen again and again."""


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url, fresh_database(url) as empty_url:
        total = write(url, chain(connected(), with_hedge(orders(int(EVENTS / 4.15 / 1.1)))))
        rows = _sizes(url, total)
        async with PostgresLog.open(url) as long_log, PostgresLog.open(empty_url) as empty_log:
            rows += await _appends(long_log, empty_log)
            rows += await _look_ups(url, long_log, total)
            rows += await _long_stream(long_log)
    return show(f"A log of {total:,} events", rows)


def with_hedge(events: Iterator[tuple[str, Event]]) -> Iterator[tuple[str, Event]]:
    """Yield the events, and one of the hedged stream after every ten."""
    for n, event in enumerate(events):
        yield event
        if not n % _EVERY_TENTH:
            yield HEDGED, hedged(n // _EVERY_TENTH)


def hedged(n: int) -> PositionObserved:
    """Return the nth word on the hedged positions."""
    return PositionObserved(
        account="master_account",
        connector="binance_perpetual",
        trading_pair="BTC-USDT",
        side=PositionSide.LONG if n % 2 else PositionSide.SHORT,
        amount=Decimal(n % 1000 + 1),
        entry_price=Decimal("58327.47"),
        mark_price=Decimal("58330.1"),
        unrealized_pnl=Decimal("2.63"),
        leverage=10,
        observed_at=START,
    )


def _sizes(url: str, total: int) -> list[Row]:
    """Return what an event takes, and what many would."""
    with psycopg.connect(url) as connection:
        sizes = connection.execute(
            "select 'table', pg_table_size('log.events') union all"
            " select 'index ' || indexrelname, pg_relation_size(indexrelid) from pg_stat_user_indexes"
            " where relid = 'log.events'::regclass order by 2 desc"
        ).fetchall()
    rows = [Row(name=f"{name}, an event", figure=size / total, unit="B") for name, size in sizes]
    all_of_it = sum(size for _, size in sizes) / total
    return [*rows, Row(name=f"all of it, {FAR:,} events", figure=all_of_it * FAR / 1e9, unit="GB")]


async def _appends(long_log: PostgresLog, empty_log: PostgresLog) -> list[Row]:
    """Append to both in turns, so that what else the machine does counts on both sides."""
    for log in (long_log, empty_log):
        await _append_rate(log)
    rates = [(await _append_rate(empty_log), await _append_rate(long_log)) for _ in range(_ROUNDS)]
    return [
        Row(name="appends to an empty log", figure=median(empty for empty, _ in rates), unit="/s"),
        Row(name="appends to this one", figure=median(long for _, long in rates), unit="/s"),
        at_least("appends, this one to the empty one", median(long / empty for empty, long in rates), SHARE),
    ]


async def _append_rate(log: PostgresLog) -> float:
    events = [placed() for _ in range(_BATCH * _BATCHES)]

    async def append(event: Event) -> None:
        command = time_ordered()
        origin = Origin(correlation_id=command, command_id=command, actor="admin")
        await log.append([Write(stream=f"order-n{command.hex}", expected_version=0, events=[event])], origin)

    began = perf_counter()
    for start in range(0, len(events), _BATCH):
        await asyncio.gather(*(append(event) for event in events[start : start + _BATCH]))
    return len(events) / (perf_counter() - began)


async def _look_ups(url: str, log: PostgresLog, total: int) -> list[Row]:
    """Ask what handlers, followers and audits ask, anywhere in the log."""
    chance = Random(7)

    def anywhere() -> int:
        return chance.randint(1, total - 1000)

    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        last = await moment_of(connection, total, "to")

        async def moment() -> None:
            seconds = chance.random() * (last.at - START).total_seconds()
            await moment_of(connection, datetime.fromtimestamp(START.timestamp() + seconds, UTC), "from")

        questions: list[tuple[str, Callable[[], Awaitable[object]], float | None]] = [
            ("the stream of an order", lambda: log.read([f"order-n{chance.randrange(total // 5):032x}"]), LOOK_UP_MS),
            ("the last event of a long stream", lambda: log.last([HEDGED]), LOOK_UP_MS),
            ("the position of the log's end", log.position, LOOK_UP_MS),
            ("one event by its position", lambda: log.page(anywhere(), 1), LOOK_UP_MS),
            ("the position of a time", moment, LOOK_UP_MS),
            ("a page of 1,000 events, decoded", lambda: log.page(anywhere(), 1000), None),
        ]
        rows = []
        for name, ask, limit in questions:
            ms = median([await _milliseconds(ask) for _ in range(_LOOKS)])
            rows.append(Row(name=name, figure=ms, unit="ms") if limit is None else at_most(name, ms, limit, "ms"))
        return rows


async def _long_stream(log: PostgresLog) -> list[Row]:
    """Fold the hedged stream from its beginning, then as it is folded from then on: always with some new events."""

    async def fold() -> None:
        await load(log, HEDGED, positions.Known(), positions.learn)

    whole = await _milliseconds(fold)
    last = (await log.last([HEDGED]))[HEDGED]
    if last is None:
        raise ValueError(f"{HEDGED} was not written")
    version, origin = last.version, Origin(correlation_id=time_ordered(), command_id=time_ordered(), actor="admin")
    ms = []
    for n in range(_ROUNDS):
        news = [hedged(n) for n in range(EVERY // 5)]
        await log.append([Write(stream=HEDGED, expected_version=version + n * len(news), events=news)], origin)
        ms.append(await _milliseconds(fold))
    return [
        Row(name=f"a state of {version:,} events, the first time", figure=whole, unit="ms"),
        at_most("the same from its snapshot", median(ms), LONG_STREAM_MS, "ms"),
    ]


async def _milliseconds(ask: Callable[[], Awaitable[object]]) -> float:
    began = perf_counter()
    await ask()
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
