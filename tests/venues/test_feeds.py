"""Feeds over the test venues by ccxt's own classes: books, trades, prices and terms of funding."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import pytest

from adapters.market_data.feeds import Feeds
from adapters.market_data.sources import Patience
from domain.errors import NotFound, Unavailable
from domain.market_data import readable
from domain.order_books import Book
from domain.values import OrderType, Side
from tests.fakes.feeds import running_feeds
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.levers import Lever, Pull
from tests.venues.public import public_clients, sources_of
from tests.venues.serving import Venue, running_venue

PAIR = "BTC-USDT"
CONNECTORS = ["binance", "binance_perpetual", "okx", "okx_perpetual"]
PATIENCE = Patience(
    first=5, quiet=0.3, fresh=2, pause=0.01, poll=0.05, retry=0.02, longest_retry=0.1, leave=0.5, sweep=0.05
)


class Heard:
    """A venue that is running, and feeds of one connector on it."""

    def __init__(self, connector: str, floor: Floor) -> None:
        self.connector = connector
        self.floor = floor
        self.market = Market.SWAP if connector.endswith("_perpetual") else Market.SPOT
        self.feeds: Feeds

    def books(self, pair: str = PAIR) -> Book:
        """Return the venue's own book."""
        bids, asks = self.floor.desk(self.market).depth(pair, 1000)
        return Book(bids=tuple(bids), asks=tuple(asks))

    async def same(self, pair: str = PAIR) -> None:
        """Return when our book is the venue's."""
        async with asyncio.timeout(8):
            while True:
                try:
                    shown = await self.feeds.book(self.connector, pair, wait_seconds=1)
                except Unavailable:
                    continue
                if shown.value == self.books(pair):
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def heard(connector: str) -> AsyncIterator[tuple[Heard, Venue, AsyncExitStack]]:
    floor = Floor(seed=1)
    floor.open_account("alice")
    made = Heard(connector, floor)
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(running_venue(floor))
        async with (
            public_clients(venue.urls) as clients,
            running_feeds(sources_of(clients, PATIENCE), patience=PATIENCE) as made.feeds,
        ):
            try:
                yield made, venue, stack
            finally:
                await clients.close()  # as the server does, so that no feed says goodbye to a venue that may be gone


@pytest.mark.parametrize("connector", CONNECTORS)
async def test_a_book_is_the_venue_s_through_every_move(connector):
    async with heard(connector) as (on, _, _):
        await on.same()
        chance = random.Random(1)
        for _ in range(10):
            on.floor.move(PAIR, Decimal(58_000) + chance.randrange(2_000), market=on.market)
            await on.same()
        on.floor.place(
            "alice", on.market, trading_pair=PAIR, side=Side.SELL, order_type=OrderType.MARKET, amount=Decimal("0.1")
        )
        await on.same()
        with pytest.raises(NotFound, match=f"Trading pair 'NOPE-USDT' not found on {connector}"):
            await on.feeds.book(connector, "NOPE-USDT")
        (state,) = on.feeds.states()
        assert (state.failures, state.unreadable) == (0, 0)


@pytest.mark.parametrize("connector", ["binance", "okx"])
async def test_a_book_is_the_venue_s_again_after_every_hole_and_fall(connector):
    async with heard(connector) as (on, venue, _):
        await on.same()
        chance = random.Random(2)
        for lever in (Lever.DROP_STREAM, Lever.SILENCE_STREAM, Lever.REPEAT_MESSAGE, Lever.REORDER_MESSAGES) * 2:
            venue.levers.arm(Pull(lever=lever, on=frozenset({"market"}), seconds=0.2))
            for _ in range(3):
                on.floor.move(PAIR, Decimal(58_000) + chance.randrange(2_000), market=on.market)
                await asyncio.sleep(0.12)  # the venue tells of its books ten times a second
            assert venue.levers.pulled[lever]
            venue.levers.release()
            await on.same()


@pytest.mark.parametrize("connector", ["binance", "okx"])
async def test_a_venue_that_is_gone_is_stale_and_is_heard_again_when_it_is_back(connector):
    async with heard(connector) as (on, venue, stack):
        await on.same()
        port = int(venue.address.partition(":")[2])
        async with on.feeds.books(connector, PAIR) as reading:
            await stack.aclose()
            while not (await reading.next()).stale:
                pass
            with pytest.raises(Unavailable, match=f"The order book of {PAIR} on {connector} is stale: "):
                await on.feeds.book(connector, PAIR, wait_seconds=0.05)
            on.floor.move(PAIR, Decimal(51_000), market=on.market)
            await stack.enter_async_context(running_venue(on.floor, port=port))
            await on.same()


@pytest.mark.parametrize("connector", CONNECTORS)
async def test_trades_prices_and_funding_are_the_venue_s(connector):
    async with heard(connector) as (on, _, _), on.feeds.trades(connector, PAIR) as trades:
        best = on.books().bids[0][0]
        waiting = asyncio.create_task(trades.next())
        async with asyncio.timeout(5):
            while not waiting.done():
                on.floor.place(
                    "alice",
                    on.market,
                    trading_pair=PAIR,
                    side=Side.SELL,
                    order_type=OrderType.MARKET,
                    amount=Decimal("0.01"),
                )
                await asyncio.sleep(0.02)
        told = (await waiting).value[0]
        assert (told.price, told.amount, told.side) == (best, Decimal("0.01"), Side.SELL)

        shown = await on.feeds.tickers(connector, [PAIR, "ETH-USDT"])
        assert readable(shown.value)[PAIR].price == best
        everything = (await on.feeds.tickers(connector)).value
        assert everything.keys() == on.floor.desk(on.market).rules.keys()
        if on.market is Market.SWAP:
            terms = (await on.feeds.funding(connector, PAIR)).value
            assert terms.rate == on.floor.desk(on.market).funding_rate
            assert terms.next_at is not None


async def test_a_stream_that_is_left_can_be_followed_again():
    async with heard("binance") as (on, _, _):
        for _ in range(3):
            await on.same()
            assert await on.feeds.restart("binance") == [PAIR]
            on.floor.move(PAIR, Decimal(57_000), market=on.market)
            await on.same()
            assert await on.feeds.end("binance", PAIR)
