"""The test venue as a process of its own for benches: it notes when orders arrive and when it tells of fills.

Times are those of the machine's monotonic clock, which all processes share.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import msgspec
import uvloop
from aiohttp import web

from adapters.garbage import collect_rarely
from tests.venues.floor import Floor, Keys
from tests.venues.ledger import Market
from tests.venues.serving import Venue, application
from tests.venues.steps import Step, What

PLENTY = {Market.SPOT: {"USDT": Decimal(1_000_000_000)}}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts the venue is to have."""

    accounts: int


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue listens, what to merge over ccxt's `urls` by connector, and the keys of its accounts."""

    address: str
    urls: dict[str, dict[str, Any]]
    keys: list[Keys]


class Times(msgspec.Struct, kw_only=True):
    """When what happened, in seconds of `perf_counter`, by the client's id of the order."""

    arrived: dict[str, float] = {}
    told: dict[str, float] = {}


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A resting order that somebody is to trade with."""

    account: str
    client_id: str


def _application(floor: Floor, times: Times) -> web.Application:
    @web.middleware
    async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.method == "POST" and request.path.endswith("/order"):
            at = perf_counter()
            body = (await request.read()).decode()
            times.arrived[dict(parse_qsl(body))["newClientOrderId"]] = at
        answered: web.StreamResponse = await handler(request)
        return answered

    async def fill(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Fill)
        order = floor.ledger.find(asked.account, Market.SPOT, client_id=asked.client_id)
        if order is None:
            raise web.HTTPNotFound(text=f"Account {asked.account} has no order {asked.client_id}")
        floor.desk(Market.SPOT).fill(asked.account, order.order_id, order.amount)
        return web.Response()

    async def tell(request: web.Request) -> web.Response:
        answer = web.Response(body=msgspec.json.encode(times))
        times.arrived, times.told = {}, {}
        return answer

    async def followed(request: web.Request) -> web.Response:
        desk = floor.desk(Market.SPOT)
        return web.json_response(sum(desk.followed(each.account) > 1 for each in floor.keys.values()))

    app = application(floor)
    app.middlewares.append(noting)
    app.add_routes([web.post("/-/fill", fill), web.post("/-/times", tell), web.get("/-/followed", followed)])
    return app


async def _serve(wanted: Wanted) -> None:
    collect_rarely()
    floor, times = Floor(seed=1), Times()
    keys = [floor.open_account(f"a{n}", starting=PLENTY) for n in range(wanted.accounts)]

    def told(step: Step) -> None:
        # The user stream's messages of this step leave in the same turn of the loop.
        at = perf_counter()
        times.told |= {change.order.client_id: at for change in step.changes if change.what is What.TRADED}

    for each in keys:
        floor.desk(Market.SPOT).listen(each.account, told)
    runner = web.AppRunner(_application(floor, times), access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    urls = {name: dict(merged) for name, merged in Venue(floor, address).urls.items()}
    sys.stdout.buffer.write(msgspec.json.encode(Running(address=address, urls=urls, keys=keys)) + b"\n")
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@asynccontextmanager
async def venue(accounts: int) -> AsyncIterator[Running]:
    """Run a venue whose prices stand still, with so many accounts that own enough for anything."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.venue", msgspec.json.encode(Wanted(accounts=accounts))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    if process.stdin is None or process.stdout is None:
        raise ChildProcessError("The venue was started without pipes")
    try:
        line = await process.stdout.readline()
        if not line:
            raise ChildProcessError(f"The venue ended with {await process.wait()} instead of listening")
        yield msgspec.json.decode(line, type=Running)
    finally:
        process.stdin.close()
        await process.wait()


async def times_of(running: Running) -> Times:
    """Return what a venue noted since it was last asked."""
    async with aiohttp.request("POST", f"http://{running.address}/-/times") as answer:
        return msgspec.json.decode(await answer.read(), type=Times)


async def fill(running: Running, wanted: Fill) -> None:
    """Have somebody trade with a resting order."""
    async with aiohttp.request("POST", f"http://{running.address}/-/fill", data=msgspec.json.encode(wanted)) as answer:
        answer.raise_for_status()


async def followed(running: Running) -> int:
    """Return how many accounts have a user stream open; this process follows each, too."""
    async with aiohttp.request("GET", f"http://{running.address}/-/followed") as answer:
        return int(await answer.text())


def credentials(connector: str, keys: Keys) -> Mapping[str, str]:
    """Return an account's keys under a Binance connector's field names."""
    return {f"{connector}_api_key": keys.api_key, f"{connector}_api_secret": keys.secret}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(msgspec.json.decode(sys.argv[1], type=Wanted)))
