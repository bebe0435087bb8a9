"""What Nectar adds to an order on a real exchange, and how soon a fill that the exchange tells of can be asked for.

An order's way is timed from the request that the client sends to its arrival at the test venue: through Nectar, with
the intent committed in between, and from the same call of ccxt alone, in turns of a few seconds. What Nectar adds is
the difference of what half of both took, and of what 99 % took. The rate limit, which ours keeps and ccxt alone has
turned off, holds for one account, so the orders go through several.

A figure is the median of the rounds, as in the other benches: where a machine is shared, everything on it stands still
for tens of milliseconds now and then, and once is enough to be a round's slowest 1 %, on whichever side it falls. What
Nectar itself does now and then it does in most rounds. The rows without a limit leave nothing out: all rounds taken
together, and by how much the machine itself was late meanwhile.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import chain
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from uuid import uuid4

import msgspec
import uvloop

from adapters.exchanges.dialects import dialect
from adapters.garbage import collect_rarely
from adapters.logging import configure
from tests.bench.database import fresh_database
from tests.bench.nectar import CONNECTOR, Lines, connect, nectar
from tests.bench.plain import exchanges
from tests.bench.stalls import Wakes, stalls
from tests.bench.table import Row, at_most, show
from tests.bench.venue import Fill, Running, fill, times_of, venue

ACCOUNTS = 10
ROUNDS = 5
SLOW, FAST = 10, 200
SECONDS = {SLOW: 4.0, FAST: 4.0}
P50_MS = {SLOW: 6.0}
P99_MS = {FAST: 25.0}
FILLS, FILLS_PER_SECOND, FILL_ROUNDS = 200, 25, 3
VISIBLE_MS = 50.0
ASKED_AGAIN_SECONDS = 0.002
ARRIVED_SECONDS = 10.0
ORDER = {"trading_pair": "BTC-USDT", "trade_type": "BUY", "order_type": "LIMIT", "amount": "0.001", "price": "20000"}
"""Far below the market: it rests."""

Send = Callable[[int], Awaitable[str]]
"""Sends the order of that number, and returns the venue's client id of it."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One round: the milliseconds of its orders on their way, their client ids, and when it was."""

    took: list[float]
    orders: list[str]
    began: float
    ended: float


class Sides:
    """The rounds by orders a second, through Nectar and by ccxt alone."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ours: dict[int, list[Span]] = {SLOW: [], FAST: []}
        self.plain: dict[int, list[Span]] = {SLOW: [], FAST: []}


async def one_round(running: Running, rate: int, send: Send) -> Span:
    """Send at a steady rate, however long the answers take."""
    began: dict[str, float] = {}

    async def one(number: int) -> None:
        at = perf_counter()
        began[await send(number)] = at

    start = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for n in range(int(rate * SECONDS[rate])):
            await asyncio.sleep(start + n / rate - perf_counter())
            tasks.create_task(one(n))
    end = perf_counter()
    arrived: dict[str, float] = {}
    async with asyncio.timeout(ARRIVED_SECONDS):
        while not began.keys() <= arrived.keys():
            arrived |= (await times_of(running)).arrived
            await asyncio.sleep(0.05)
    took = [(arrived[order] - at) * 1000 for order, at in began.items()]
    return Span(took=took, orders=list(began), began=start, ended=end)


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
        for rate in SECONDS:  # to warm up
            await one_round(running, rate, by_nectar)
            await one_round(running, rate, by_ccxt)
        sides, resting = Sides(), []
        async with stalls() as wakes:
            for _ in range(ROUNDS):
                for rate in SECONDS:
                    sides.plain[rate].append(await one_round(running, rate, by_ccxt))
                    sides.ours[rate].append(await one_round(running, rate, by_nectar))
                resting += sides.ours[FAST][-1].orders
        whose = await _accounts_of(lines, [keys.account for keys in ours])
        some = [resting[n * FILLS : (n + 1) * FILLS] for n in range(FILL_ROUNDS)]
        visible = [await fills(running, lines, orders, whose) for orders in some]
    rows = [row for rate in SECONDS for row in rows_of(rate, sides, wakes)]
    shown = [
        Row(name="half are in the answer within", figure=median(p50(each) for each in visible), unit="ms"),
        at_most("99 % are in the answer within", median(p99(each) for each in visible), VISIBLE_MS, "ms"),
        Row(name="99 % of all rounds together", figure=p99(list(chain(*visible))), unit="ms"),
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


async def fills(running: Running, lines: Lines, resting: list[str], whose: Mapping[str, str]) -> list[float]:
    """Have resting orders filled at a steady rate; return the milliseconds until a query showed each.

    `resting` are the venue's client ids, `whose` our order id → account.
    """
    our_id = dialect(CONNECTOR).our_id
    missing = {our_id(order) or "" for order in resting}
    seen: dict[str, float] = {}

    async def ask() -> None:
        while missing:
            page = await lines.post("/trading/trades", {"limit": 50}, 200)
            at = perf_counter()
            found = missing & {trade["order_id"] for trade in page["data"]}
            seen.update(dict.fromkeys(found, at))
            missing.difference_update(found)
            await asyncio.sleep(ASKED_AGAIN_SECONDS)

    asking = asyncio.create_task(ask())
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


def rows_of(rate: int, sides: Sides, wakes: Wakes) -> list[Row]:
    """Return the rows of one rate."""
    plain, ours = sides.plain[rate], sides.ours[rate]
    rows = [
        Row(name=f"{rate}/s, {who}, {share} within", figure=median(place(each.took) for each in rounds), unit="ms")
        for who, rounds in (("ccxt alone", plain), ("through Nectar", ours))
        for share, place in (("half", p50), ("99 %", p99))
    ]
    pairs = list(zip(ours, plain, strict=True))
    half = median(p50(one.took) - p50(other.took) for one, other in pairs)
    most = median(p99(one.took) - p99(other.took) for one, other in pairs)
    together = p99([took for each in ours for took in each.took]) - p99([took for each in plain for took in each.took])
    for who, rounds in (("ccxt alone", plain), ("through Nectar", ours)):
        late = [late for each in rounds for late in wakes.during(each.began, each.ended)]
        name = f"{rate}/s, a sleep of 1 ms beside {who}, 99 % late by"
        rows.append(Row(name=name, figure=p99(late), unit="ms"))
    return [
        *rows,
        _limited(f"{rate}/s, what Nectar adds, half within", half, P50_MS.get(rate)),
        _limited(f"{rate}/s, what Nectar adds, 99 % within", most, P99_MS.get(rate)),
        Row(name=f"{rate}/s, what Nectar adds, 99 % of all rounds together", figure=together, unit="ms"),
    ]


def _limited(name: str, figure: float, limit: float | None) -> Row:
    return Row(name=name, figure=figure, unit="ms") if limit is None else at_most(name, figure, limit, "ms")


def p50(values: list[float]) -> float:
    """Return what half of the values are below."""
    return median(values)


def p99(values: list[float]) -> float:
    """Return what 99 % of the values are below."""
    return quantiles(values, n=100, method="inclusive")[98]


if __name__ == "__main__":
    configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(0 if runner.run(main()) else 1)
