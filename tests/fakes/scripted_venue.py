"""A server on loopback that answers what a test tells it to, at the places where ccxt's Binance asks."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from adapters.exchanges import names
from adapters.exchanges.clients import VenueClient

KEY = "the-key-of-the-account"
SECRET = "the-secret-of-the-account"
SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
    "isSpotTradingAllowed": True,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.0", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ],
    "permissions": ["SPOT"],
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedVenue:
    """Answers `/order` and `/account` as scripted, and what a venue always knows; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answers: list[Handler] = []
        self.ahead_seconds = 0.0
        self.sends: asyncio.Queue[str] = asyncio.Queue()
        self.url = ""

    def answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next request for an order or an account so."""

        async def handler(_: web.Request) -> web.StreamResponse:
            text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
            return web.Response(status=status, text=text, content_type="application/json", headers=headers)

        self.answers.append(handler)

    def refuse(self, code: int, words: str, status: int = 400, **headers: str) -> None:
        """Answer the next one with an error of Binance."""
        self.answer(status, {"code": code, "msg": words}, {k.replace("_", "-"): v for k, v in headers.items()})

    def drop(self) -> None:
        """Close the connection of the next one when it was read."""

        async def handler(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.Event().wait()
            raise AssertionError

        self.answers.append(handler)

    def answer_when(self, event: asyncio.Event, body: object) -> None:
        """Answer the next one when an event is set."""

        async def handler(_: web.Request) -> web.StreamResponse:
            await event.wait()
            return web.json_response(body)

        self.answers.append(handler)

    def client(self, **urls: object) -> VenueClient:
        """Return a client of this venue, with keys."""
        stream = self.url.replace("http", "ws")
        return VenueClient(
            names.connector("binance"),
            credentials={"binance_api_key": KEY, "binance_api_secret": SECRET},
            urls={
                "api": {
                    "public": f"{self.url}/api/v3",
                    "private": f"{self.url}/api/v3",
                    "ws": {"spot": f"{stream}/ws", **urls},
                }
            },
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/ws"):
            return await self._stream(request)
        self.asked.append((request.method, request.path_qs, await request.text()))
        now = int((time.time() + self.ahead_seconds) * 1000)
        if request.path.endswith("/time"):
            return web.json_response({"serverTime": now})
        if request.path.endswith("/exchangeInfo"):
            return web.json_response({"serverTime": now, "symbols": [SYMBOL]})
        return await self.answers.pop(0)(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f'{{"result":null,"id":{msgspec.json.decode(message.data)["id"]}}}')
                await socket.send_str(await self.sends.get())
        return socket

    def orders(self) -> list[tuple[str, str, str]]:
        """Return the requests that were about orders."""
        return [asked for asked in self.asked if "/order" in asked[1]]


@asynccontextmanager
async def scripted_venue() -> AsyncIterator[ScriptedVenue]:
    venue = ScriptedVenue()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    venue.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield venue
    finally:
        await runner.cleanup()
