"""The same exchange object of ccxt without Nectar: what it takes by itself for an order, and what it weighs."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from adapters.exchanges.ccxt_lazily import exchange_class
from adapters.garbage import collect_rarely
from tests.bench.bench_start import weight
from tests.bench.venue import Running, followed
from tests.venues.floor import Keys

WATCHED = ("watch_orders", "watch_my_trades", "watch_balance")
"""The streams of an account on spot."""


def exchange(keys: Keys, running: Running) -> Any:
    """Return ccxt's Binance with an account's keys, the URLs set and its rate limit off: it adds some 10 ms."""
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "adjustForTimeDifference": True}
    config = {"apiKey": keys.api_key, "secret": keys.secret, "enableRateLimit": False, "options": options}
    made = exchange_class("binance")(config)
    made.has["fetchCurrencies"] = False
    made.urls = made.deep_extend(made.urls, running.urls["binance"])
    return made


@asynccontextmanager
async def exchanges(running: Running, accounts: Sequence[Keys]) -> AsyncIterator[list[Any]]:
    """Make an exchange object for each account; the markets are loaded once and shared."""
    made: list[Any] = []
    try:
        for keys in accounts:
            made.append(exchange(keys, running))
            if len(made) == 1:
                await made[0].load_markets()
            else:
                made[-1].set_markets_from_exchange(made[0])
        yield made
    finally:
        await asyncio.gather(*(each.close() for each in made))


async def _watch(made: Sequence[Any], running: Running, accounts: int) -> list[asyncio.Task[None]]:
    """Follow the streams of more accounts; returns when the venue tells so many."""

    async def follow(one: Any, method: str) -> None:
        while True:
            await getattr(one, method)()

    tasks = [asyncio.create_task(follow(one, method)) for one in made for method in WATCHED]
    async with asyncio.timeout(_FOLLOWED_SECONDS):
        while await followed(running) < accounts:
            for task in tasks:
                if task.done():
                    task.result()  # a stream ends by what it failed with
            await asyncio.sleep(0.05)
    return tasks


_FOLLOWED_SECONDS = 60.0
_AT_ONCE = 10


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """Megabytes with the first account, and with all."""

    first: float
    all: float


async def _weigh(running: Running, settle_seconds: float) -> None:
    collect_rarely()
    async with exchanges(running, running.keys[:1]) as made:
        tasks = await _watch(made, running, 1)
        await asyncio.sleep(settle_seconds)
        first = weight_of_this()
        more = []
        for begin in range(1, len(running.keys), _AT_ONCE):  # all at once would be signed long before they are sent
            some = [exchange(keys, running) for keys in running.keys[begin : begin + _AT_ONCE]]
            for each in some:
                each.set_markets_from_exchange(made[0])
            more += some
            tasks += await _watch(some, running, 1 + len(more))
        await asyncio.sleep(settle_seconds)
        sys.stdout.buffer.write(msgspec.json.encode(Weighed(first=first, all=weight_of_this())) + b"\n")
        sys.stdout.buffer.flush()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.gather(*(each.close() for each in more))


def weight_of_this() -> float:
    """Return what this process holds of memory, in MB."""
    return weight(os.getpid())[0]


async def weighed(running: Running, settle_seconds: float) -> Weighed:
    """Return what plain exchange objects weigh with their streams, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.plain", str(settle_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(msgspec.json.encode(running))
    if process.returncode != 0:
        raise ChildProcessError(f"The plain exchange objects ended with {process.returncode}")
    return msgspec.json.decode(output, type=Weighed)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_weigh(msgspec.json.decode(sys.stdin.buffer.read(), type=Running), float(sys.argv[1])))
