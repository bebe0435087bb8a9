"""Orders that many clients place at once over HTTP, each durable before its answer, beside what bounds them.

The bounds are measured in the same run, in turns: the same web application over the eventsourcing library's recorder,
which commits once per order, and over a stub of a log. *Recorded* is the route with a venue that never says a word;
*traded* has the paper venue and the recording of what it says in the same process; *everything* the views and the seals
too, as one server that runs alone.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from statistics import median

import msgspec

from adapters.logging import configure
from tests.bench.database import fresh_database
from tests.bench.load import Figures, Load, measured
from tests.bench.servers import ACCOUNT, Behind, Venue, served
from tests.bench.table import Row, at_least, at_most, show

CLIENTS = 64
ROUNDS = 5
SECONDS = 2.5
TIMES_THE_LIBRARY = 8
SHARE_OF_STUB = 0.5
P99_MS = 100
ORDER = {
    "account_name": ACCOUNT,
    "connector_name": "paper",
    "trading_pair": "BTC-USDT",
    "trade_type": "BUY",
    "amount": "0.001",
    "order_type": "LIMIT",
    "price": "20000",
}
"""Far below the market: it rests."""

LIBRARY = "one commit per order"
SERVERS: dict[str, tuple[Behind, Venue, int]] = {
    LIBRARY: ("library", "mute", 1),
    "recorded": ("log", "mute", 1),
    "recorded, log stubbed out": ("stub", "mute", 1),
    "recorded by two servers": ("log", "mute", 2),
    "traded": ("log", "paper", 1),
    "traded, log stubbed out": ("stub", "paper", 1),
}
"""Name → what stands behind the route, which venue, how many processes."""


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    async with fresh_database() as url, AsyncExitStack() as stack:
        ports = {
            name: [await stack.enter_async_context(served(behind, venue, url)) for _ in range(count)]
            for name, (behind, venue, count) in SERVERS.items()
        }
        rounds = [{name: await measured(load(ports[name])) for name in SERVERS} for _ in range(ROUNDS)]
    # Apart, on a log of its own: its views and seals go on being made when its turn is over.
    async with fresh_database() as url, served("everything", "paper", url) as port:
        whole = [await measured(load([port])) for _ in range(ROUNDS)]
    return show(
        f"Orders over HTTP by {CLIENTS} clients at once, each durable before its answer",
        [*table(rounds), *table_of_the_whole(whole)],
    )


def load(ports: list[int]) -> Load:
    """Return the load on servers."""
    body = msgspec.json.encode(ORDER).decode()
    return Load(ports=ports, path="/trading/orders", body=body, clients=CLIENTS, seconds=SECONDS, status=201)


def table(rounds: list[dict[str, Figures]]) -> list[Row]:
    """Return the rows of the table. Ratios are those within one round, for other work on the machine comes and goes."""

    def times(name: str, other: str) -> float:
        return median(one[name].per_second / one[other].per_second for one in rounds)

    rows = [Row(name=LIBRARY, figure=median(one[LIBRARY].per_second for one in rounds), unit="/s")]
    for name in ("recorded", "recorded by two servers", "traded"):
        rows.append(Row(name=name, figure=median(one[name].per_second for one in rounds), unit="/s"))
        limit = TIMES_THE_LIBRARY if name == "recorded" else None
        rows.append(Row(name=f"{name}, times one commit per order", figure=times(name, LIBRARY), limit=limit))
        if (bound := f"{name}, log stubbed out") in SERVERS:
            rows.append(
                at_least(f"{name}, share of the rate with the log stubbed out", times(name, bound), SHARE_OF_STUB)
            )
        half = median(one[name].p50_ms for one in rounds)
        rows.append(Row(name=f"{name}, half are answered within", figure=half, unit="ms"))
        nearly_all = median(one[name].p99_ms for one in rounds)
        rows.append(at_most(f"{name}, 99 % are answered within", nearly_all, P99_MS, "ms"))
    return rows


def table_of_the_whole(rounds: list[Figures]) -> list[Row]:
    """Return the rows of a server that runs everything."""
    return [
        Row(name="everything in one process", figure=median(one.per_second for one in rounds), unit="/s"),
        at_most(
            "everything in one process, 99 % are answered within", median(one.p99_ms for one in rounds), P99_MS, "ms"
        ),
    ]


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
