"""A server of WebSockets on real sockets, over feeds and candles in the test's hand."""

import asyncio
from array import array
from contextlib import asynccontextmanager, contextmanager

import msgspec

from adapters.asgi import build
from adapters.settings import Settings
from domain.candles import Columns
from domain.errors import Invalid, Unavailable
from read_api.executors import NoExecutors
from read_api.sockets import Sockets, socket_topics
from read_api.sockets.conversation import MOST_SUBSCRIPTIONS, Terms
from tests.fakes.feeds import QUICK, ToldSource, now, running_feeds
from tests.listening import listened, listener

PAIR = {"connector": "binance", "trading_pair": "BTC-USDT"}
BOOK = {"action": "subscribe", "type": "order_book", "update_interval": 0, **PAIR}
TRADES = {"action": "subscribe", "type": "trades", "update_interval": 0, **PAIR}
CANDLES = {"action": "subscribe", "type": "candles", "update_interval": 0, **PAIR}
TERMS = Terms(least_seconds=0.01, most_seconds=60, heartbeat_seconds=3600, clock=now)


class ToldCandles:
    """Candles that the test says; each is its time and its price."""

    def __init__(self):
        self.said = [(60, 1.0), (120, 2.0)]
        self.away = False
        self.broken = False
        self.followed = []

    def connectors(self):
        return ["binance"]

    async def latest(self, connector, trading_pair, name, count):
        if trading_pair != "BTC-USDT":
            raise Invalid(f"Unknown pair {trading_pair}")
        if self.broken:
            raise RuntimeError("nobody foresaw this")
        if self.away:
            raise Unavailable("the venue does not answer")
        times = memoryview(array("d", [time for time, _ in self.said[-count:]]))
        prices = memoryview(array("d", [price for _, price in self.said[-count:]]))
        return Columns(times, *[prices] * 9)

    async def between(self, connector, trading_pair, name, start, end):
        raise NotImplementedError

    @contextmanager
    def following(self, connector, trading_pair, name, count):
        self.followed.append((connector, trading_pair, name, count))
        try:
            yield
        finally:
            self.followed.remove((connector, trading_pair, name, count))

    def states(self, timeout_seconds):
        return []


class World:
    """A server, the source of its feeds and its candles."""

    def __init__(self, address, feeds, source, candles):
        self.address, self.feeds, self.source, self.candles = address, feeds, source, candles

    def listener(self):
        return listener(self.address)

    async def readers(self, count, kind="order_book"):
        """Wait until so many read a feed."""
        async with asyncio.timeout(20):
            while sum(state.readers for state in self.feeds.states() if state.kind == kind) != count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(terms=TERMS, **pings):
    source, candles = (
        ToldSource("BTC-USDT", *(f"A{number}-USDT" for number in range(MOST_SUBSCRIPTIONS))),
        ToldCandles(),
    )
    patience = msgspec.structs.replace(QUICK, fresh=60, quiet=60)
    async with running_feeds(lambda _: source, patience=patience) as feeds:
        topics = socket_topics(feeds, candles, NoExecutors(), terms)
        app = build([Sockets], [], {"sockets": topics}, Settings.from_environment({}))
        async with listened(app, **pings) as address:
            yield World(address, feeds, source, candles)
