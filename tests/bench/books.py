"""A venue with nothing but order books, as Binance tells them, in a process of its own: deltas at a steady rate."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

import msgspec
import uvloop
from aiohttp import web

from adapters.garbage import collect_rarely

LEVELS = 500
CHANGED = 5
"""Levels of each side in a delta."""
NEAR = 40
"""Of so many best levels."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs there are, and how often each one's book changes."""

    pairs: int
    per_second: int


def pair_of(number: int) -> str:
    """Return the name of a pair."""
    return f"T{number}-USDT"


class Books:
    """All books; a level's price follows from its number, so that a delta is quickly made."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._chance = random.Random(1)
        self._numbers = {f"T{n}USDT": 1 for n in range(wanted.pairs)}
        self._amounts = {
            symbol: [["1.5"] * LEVELS for _ in ("bids", "asks")] for symbol in self._numbers
        }  # symbol → side → level → amount

    def info(self) -> bytes:
        """Return all symbols, as Binance writes them."""
        symbols = [
            {
                "symbol": symbol,
                "status": "TRADING",
                "baseAsset": symbol.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "isSpotTradingAllowed": True,
                "permissions": ["SPOT"],
                "orderTypes": ["LIMIT", "MARKET"],
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                    {"filterType": "LOT_SIZE", "minQty": "0.0001", "maxQty": "9000", "stepSize": "0.0001"},
                ],
            }
            for symbol in self._numbers
        ]
        return msgspec.json.encode({"timezone": "UTC", "serverTime": int(time() * 1000), "symbols": symbols})

    def snapshot(self, symbol: str) -> bytes:
        """Return a whole book."""
        bids, asks = (
            [[_price(symbol, side, level), amount] for level, amount in enumerate(amounts) if amount != "0"]
            for side, amounts in enumerate(self._amounts[symbol])
        )
        return msgspec.json.encode({"lastUpdateId": self._numbers[symbol], "bids": bids, "asks": asks})

    def delta(self, symbol: str) -> str:
        """Change a book and return what changed."""
        self._numbers[symbol] += 1
        number = self._numbers[symbol]
        sides = []
        for side, amounts in enumerate(self._amounts[symbol]):
            changed = self._chance.sample(range(NEAR), CHANGED)
            for level in changed:
                amounts[level] = "0" if self._chance.random() < 0.2 else f"{self._chance.randrange(1, 99_999) / 10_000}"
            sides.append([[_price(symbol, side, level), amounts[level]] for level in changed])
        told = {"e": "depthUpdate", "E": int(time() * 1000), "s": symbol, "U": number, "u": number}
        return msgspec.json.encode({**told, "b": sides[0], "a": sides[1]}).decode()

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """Tell of the books that a socket subscribes to."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with asyncio.TaskGroup() as tasks:
            telling = []
            async for message in socket:
                asked = message.json()
                await socket.send_str(msgspec.json.encode({"result": None, "id": asked["id"]}).decode())
                if asked["method"] == "SUBSCRIBE":
                    symbols = [name.partition("@")[0].upper() for name in asked["params"]]
                    telling += [tasks.create_task(self._tell(socket, symbol)) for symbol in symbols]
            for task in telling:
                task.cancel()
        return socket

    async def _tell(self, socket: web.WebSocketResponse, symbol: str) -> None:
        loop = asyncio.get_running_loop()
        every = 1 / self._wanted.per_second
        due = loop.time() + self._chance.random() * every
        while not socket.closed:
            await asyncio.sleep(due - loop.time())
            due += every
            await socket.send_str(self.delta(symbol))


def _price(symbol: str, side: int, level: int) -> str:
    best = 1000 + int(symbol[1:-4])
    return f"{best - level / 100 if side == 0 else best + (level + 1) / 100:.2f}"


def urls(address: str) -> dict[str, object]:
    """Return what is merged over ccxt's `urls` of `binance`."""
    rest, sockets = f"http://{address}/api/v3", f"ws://{address}/stream/ws"
    return {"api": {"public": rest, "private": rest, "v1": rest, "ws": {"spot": sockets}}}


@asynccontextmanager
async def listening(books: Books) -> AsyncIterator[str]:
    """Run the venue in this process; gives its address."""

    async def info(_: web.Request) -> web.Response:
        return web.Response(body=books.info(), content_type="application/json")

    async def depth(request: web.Request) -> web.Response:
        return web.Response(body=books.snapshot(request.query["symbol"]), content_type="application/json")

    async def now(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": int(time() * 1000)})

    app = web.Application()
    app.add_routes(
        [
            web.get("/api/v3/exchangeInfo", info),
            web.get("/api/v3/depth", depth),
            web.get("/api/v3/time", now),
            web.get("/stream/ws", books.stream),
            web.get("/stream/ws/{number}", books.stream),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _serve(wanted: Wanted) -> None:
    async with listening(Books(wanted)) as address:
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until whoever started it is done


@asynccontextmanager
async def book_venue(wanted: Wanted) -> AsyncIterator[str]:
    """Run the venue in a process of its own; gives its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.books",
        msgspec.json.encode(wanted).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    collect_rarely()
    uvloop.run(_serve(msgspec.json.decode(sys.argv[1], type=Wanted)))
