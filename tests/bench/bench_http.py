"""Orders recorded through the write API by many clients at once, beside what bounds it in the same run."""

import asyncio
import sys
from contextlib import AsyncExitStack
from statistics import median

import msgspec

from tests.bench.database import fresh_database
from tests.bench.load import Figures, Load, measured
from tests.bench.servers import ACCOUNT, Behind, Venue, served
from tests.bench.table import Row, at_least, at_most, show

CLIENTS = 64
ROUNDS = 3
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

SERVERS: dict[str, tuple[Behind, Venue, int]] = {
    "library": ("library", "mute", 1),
    "recorded": ("log", "mute", 1),
    "recorded, no log": ("memory", "mute", 1),
    "two servers": ("log", "mute", 2),
    "traded": ("log", "paper", 1),
    "traded, no log": ("memory", "paper", 1),
}
"""Name → what stands behind the route, which venue, how many processes."""


async def main(names: list[str]) -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    chosen = names or list(SERVERS)
    figures: dict[str, list[Figures]] = {name: [] for name in chosen}
    async with fresh_database() as url, AsyncExitStack() as stack:
        ports: dict[str, list[int]] = {}
        for name in chosen:
            behind, venue, count = SERVERS[name]
            ports[name] = [await stack.enter_async_context(served(behind, venue, url)) for _ in range(count)]
        for _ in range(ROUNDS):
            for name in chosen:
                figures[name].append(await measured(load(ports[name])))
    for name, rounds in figures.items():
        print(name, [f"{f.per_second:,.0f} {f.p50_ms:.1f} {f.p99_ms:.1f}" for f in rounds])
    return True


def load(ports: list[int]) -> Load:
    """Return the load on servers."""
    body = msgspec.json.encode(ORDER).decode()
    return Load(ports=ports, path="/trading/orders", body=body, clients=CLIENTS, seconds=SECONDS, status=201)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(sys.argv[1:])) else 1)
