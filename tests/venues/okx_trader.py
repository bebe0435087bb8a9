"""ccxt's own `okx` at the test venue, for the tests of its dialect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro

from tests.venues.floor import Floor, Keys
from tests.venues.ledger import Market, Order
from tests.venues.okx_answers import signature
from tests.venues.serving import Venue, running_venue

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
OURS = "n0123456789abcdef0123456789abcde"
PATIENCE_SECONDS = 5

Thing = dict[str, Any]


class Trader:
    """ccxt's clients of alice's account: `spot` and `swap` differ in their URLs alone."""

    def __init__(self, venue: Venue, keys: Keys) -> None:
        self.floor, self.levers, self.ledger = venue.floor, venue.levers, venue.floor.ledger
        self.keys = keys
        self._venue = venue
        self._clients: list[Any] = []
        self.spot, self.swap = self.client("okx"), self.client("okx_perpetual")

    def client(self, connector: str, **options: object) -> Any:
        """Return a client with alice's keys; `options` are ccxt's."""
        settings = {
            "apiKey": self.keys.api_key,
            "secret": self.keys.secret,
            "password": self.keys.passphrase,
            "number": str,
            "enableRateLimit": False,
            "timeout_on_exit": 0,  # milliseconds that it would wait for connections to close
        }
        kind = "swap" if connector == "okx_perpetual" else "spot"
        client = ccxt.pro.okx({**settings, "options": {"defaultType": kind}, **options})
        client.urls = client.deep_extend(client.urls, self._venue.urls[connector])
        self._clients.append(client)
        return client

    def order(self, order_id: str, market: Market = Market.SPOT) -> Order:
        """Return an order as the venue has it."""
        found = self.ledger.find("alice", market, order_id=int(order_id))
        assert found is not None
        return found

    async def listening(self, subscriptions: int) -> None:
        """Wait until the venue has taken in so many subscriptions."""
        listeners = self.floor.desk(Market.SPOT)._listeners["alice"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(listeners) < subscriptions:
                await asyncio.sleep(0)

    @asynccontextmanager
    async def socket(self, path: str = "private") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a socket without ccxt, to see what it does not show; a private one is logged in."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.spot.urls['api']['ws']}/{path}") as ws,
        ):
            if path == "private":
                timestamp = str(int(self.floor.now().timestamp()))
                sign = signature(self.keys.secret, f"{timestamp}GET/users/self/verify")
                login = {"apiKey": self.keys.api_key, "passphrase": self.keys.passphrase}
                await ws.send_json({"op": "login", "args": [{**login, "timestamp": timestamp, "sign": sign}]})
                assert (await ws.receive_json())["event"] == "login"
            yield ws

    async def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.close()


async def rows(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[Thing]:
    """Return the next rows that a socket tells, as many as asked for."""
    found: list[Thing] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < count:
            message = await ws.receive_json()
            found += message.get("data", [])
    return found


@asynccontextmanager
async def trading() -> AsyncIterator[Trader]:
    """Run a venue with alice on it."""
    floor = Floor(seed=7)
    keys = floor.open_account("alice")
    async with running_venue(floor) as venue:
        trader = Trader(venue, keys)
        try:
            yield trader
        finally:
            await trader.close()


async def told(watch: Callable[[], Awaitable[Sequence[Thing]]], *conditions: Callable[[Thing], bool]) -> list[Thing]:
    """Watch until each condition has held of something that was told; return all that was told."""
    things: list[Thing] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all(any(condition(thing) for thing in things) for condition in conditions):
            things += await watch()
    return things
