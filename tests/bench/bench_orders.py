"""What Nectar adds to an order on a real exchange, and how soon a fill that the exchange tells of can be asked for.

An order's way is timed from the request that the client sends to its arrival at the test venue: through Nectar, with
the intent committed in between, and from the same call of ccxt alone, in turns. The difference is Nectar's: for half of
the orders the medians are compared, for 99 % the slowest of ours with the median of ccxt alone, so that what slows
ccxt now and then counts against us. The rate limit, which ours keeps and ccxt alone has turned off, holds for one
account, so the orders go through several.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import quantiles
from time import perf_counter
from typing import Any
from uuid import uuid4

import uvloop

from adapters.exchanges.dialects import dialect
from adapters.garbage import collect_rarely
from adapters.logging import configure
from tests.bench.database import fresh_database
from tests.bench.nectar import CONNECTOR, Lines, connect, nectar
from tests.bench.plain import exchanges
from tests.bench.table import Row, at_most, show
from tests.bench.venue import Fill, Running, fill, times_of, venue

ACCOUNTS = 10
ROUNDS = 3
SLOW, FAST = 10, 200
SECONDS = {SLOW: 5.0, FAST: 4.0}
P50_MS = {SLOW: 6.0}
P99_MS = {FAST: 25.0}
FILLS, FILLS_PER_SECOND = 400, 25
VISIBLE_MS = 50.0
ASKED_AGAIN_SECONDS = 0.002
ARRIVED_SECONDS = 10.0
ORDER = {"trading_pair": "BTC-USDT", "trade_type": "BUY", "order_type": "LIMIT", "amount": "0.001", "price": "20000"}
"""Far below the market: it rests."""

Send = Callable[[int], Awaitable[str]]
"""Sends the order of that number, and returns the venue's client id of it."""


class Sides:
    """Milliseconds on the way, by orders a second: through Nectar, and by ccxt alone."""

    def __init__(self, running: Running) -> None:
        """Begin with no order sent."""
        self.ours: dict[int, list[float]] = {SLOW: [], FAST: []}
        self.plain: dict[int, list[float]] = {SLOW: [], FAST: []}
        self._running = running

    async def round(self, rate: int, send: Send, into: list[float]) -> list[str]:
        """Send at a steady rate, however long the answers take; return the orders' client ids."""
        began: dict[str, float] = {}

        async def one(number: int) -> None:
            at = perf_counter()
            began[await send(number)] = at

        clock = asyncio.get_running_loop().time
        start = clock()
        async with asyncio.TaskGroup() as tasks:
            for n in range(int(rate * SECONDS[rate])):
                await asyncio.sleep(start + n / rate - clock())
                tasks.create_task(one(n))
        arrived: dict[str, float] = {}
        async with asyncio.timeout(ARRIVED_SECONDS):
            while not began.keys() <= arrived.keys():
                arrived |= (await times_of(self._running)).arrived
                await asyncio.sleep(0.05)
        into += [(arrived[order] - at) * 1000 for order, at in began.items()]
        return list(began)


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    collect_rarely()
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(venue(2 * ACCOUNTS))
        ours, theirs = running.keys[:ACCOUNTS], running.keys[ACCOUNTS:]
        url = await stack.enter_async_context(fresh_database())
        server, client = await stack.enter_async_context(nectar(running, url))
        await connect(client, ours)
        lines = Lines(server.port)
        stack.callback(lines.close)
        made = await stack.enter_async_context(exchanges(running, theirs))
        by_nectar, by_ccxt = through_nectar(lines, [keys.account for keys in ours]), through_ccxt(made)
        warm = Sides(running)
        for rate in SECONDS:
            await warm.round(rate, by_nectar, warm.ours[rate])
            await warm.round(rate, by_ccxt, warm.plain[rate])
        sides, resting = Sides(running), []
        for _ in range(ROUNDS):
            for rate in SECONDS:
                await sides.round(rate, by_ccxt, sides.plain[rate])
                resting = await sides.round(rate, by_nectar, sides.ours[rate])
        visible = await fills(running, lines, resting[-FILLS:], [keys.account for keys in ours])
    rows = [row for rate in SECONDS for row in rows_of(rate, sides)]
    p50, p99 = _p50_p99(visible)
    shown = [
        Row(name="half are in the answer within", figure=p50, unit="ms"),
        at_most("99 % are in the answer within", p99, VISIBLE_MS, "ms"),
    ]
    kept = show("From a client's request to the order's arrival at the exchange", rows)
    return show(f"From a fill on the exchange's stream to the answer of a query, {FILLS_PER_SECOND}/s", shown) and kept


def through_nectar(lines: Lines, accounts: list[str]) -> Send:
    """Return what places an order over HTTP."""
    venue_id = dialect(CONNECTOR).venue_id

    async def send(number: int) -> str:
        order = {**ORDER, "account_name": accounts[number % len(accounts)], "connector_name": CONNECTOR}
        return venue_id((await lines.post("/trading/orders", order, 201))["order_id"])

    return send


def through_ccxt(made: list[Any]) -> Send:
    """Return what places an order by ccxt alone."""

    async def send(number: int) -> str:
        order_id = f"n{uuid4().hex}"
        exchange = made[number % len(made)]
        await exchange.create_order("BTC/USDT", "limit", "buy", 0.001, 20000, {"newClientOrderId": order_id})
        return order_id

    return send


async def fills(running: Running, lines: Lines, resting: list[str], accounts: list[str]) -> list[float]:
    """Have resting orders filled at a steady rate; return the milliseconds until a query showed each."""
    our_id = dialect(CONNECTOR).our_id
    seen: dict[str, float] = {}

    async def ask() -> None:
        while len(seen) < len(resting):
            page = await lines.post("/trading/trades", {"limit": 50}, 200)
            at = perf_counter()
            for trade in page["data"]:
                seen.setdefault(trade["order_id"], at)
            await asyncio.sleep(ASKED_AGAIN_SECONDS)

    asking = asyncio.create_task(ask())
    whose = await _accounts_of(lines, accounts)
    for order in resting:
        await fill(running, Fill(account=whose[our_id(order) or ""], client_id=order))
        await asyncio.sleep(1 / FILLS_PER_SECOND)
    async with asyncio.timeout(ARRIVED_SECONDS):
        await asking
    told = (await times_of(running)).told
    return [(seen[our_id(order) or ""] - told[order]) * 1000 for order in resting]


async def _accounts_of(lines: Lines, accounts: list[str]) -> dict[str, str]:
    whose: dict[str, str] = {}
    for account in accounts:
        cursor: str | None = None
        while True:
            body = {"account_names": [account], "limit": 1000, "cursor": cursor}
            page = await lines.post("/trading/orders/search", body, 200)
            whose |= {order["order_id"]: account for order in page["data"]}
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
    return whose


def rows_of(rate: int, sides: Sides) -> list[Row]:
    """Return the rows of one rate."""
    plain50, plain99 = _p50_p99(sides.plain[rate])
    ours50, ours99 = _p50_p99(sides.ours[rate])
    return [
        Row(name=f"{rate}/s, ccxt alone, half within", figure=plain50, unit="ms"),
        Row(name=f"{rate}/s, ccxt alone, 99 % within", figure=plain99, unit="ms"),
        Row(name=f"{rate}/s, through Nectar, half within", figure=ours50, unit="ms"),
        Row(name=f"{rate}/s, through Nectar, 99 % within", figure=ours99, unit="ms"),
        _limited(f"{rate}/s, what Nectar adds, half within", ours50 - plain50, P50_MS.get(rate)),
        _limited(f"{rate}/s, what Nectar adds, 99 % within", ours99 - plain50, P99_MS.get(rate)),
    ]


def _limited(name: str, figure: float, limit: float | None) -> Row:
    return Row(name=name, figure=figure, unit="ms") if limit is None else at_most(name, figure, limit, "ms")


def _p50_p99(values: list[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(0 if runner.run(main()) else 1)
