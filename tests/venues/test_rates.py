"""Rates by the prices of the test venue, through ccxt's own classes."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal

import msgspec
import pytest

from adapters.exchanges import names
from adapters.market_data.public_clients import PublicClients, opener
from adapters.rate_sources.exchanges import ExchangePrices
from adapters.rate_sources.polling import Patience, PolledSources
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.public import public_clients
from tests.venues.serving import running_venue


def middles(floor, market):
    return {pair: (quote.bid + quote.ask) / 2 for pair, quote in floor.desk(market).quotes.items()}


@pytest.mark.parametrize("without", [frozenset(), frozenset({"fetchTickers"})], ids=["all at once", "one by one"])
async def test_prices_are_the_middle_of_each_market(venue, without):
    async with public_clients(venue.urls) as clients:
        binance = msgspec.structs.replace(names.connector("binance"), without=without)
        assert await ExchangePrices(clients.of(binance)).prices() == middles(venue.floor, Market.SPOT)


async def test_perpetuals_have_prices_too(venue):
    async with public_clients(venue.urls) as clients:
        prices = await ExchangePrices(clients.of(names.connector("binance_perpetual"))).prices()
    assert prices
    assert prices.keys() == venue.floor.desk(Market.SWAP).rules.keys()


async def test_rates_follow_the_venue_and_outlive_it_with_their_age(monkeypatch):
    monkeypatch.setattr(ExchangePrices, "every_seconds", 0.01)
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[object, object, None]) -> None:
        tasks.append(asyncio.create_task(work))

    floor = Floor(seed=1)
    async with running_venue(floor) as venue:
        clients = PublicClients(opener(venue.urls))
        side = clients.of(names.connector("binance"))
        async with side.lease() as (client, _):
            client.exchange.enableRateLimit = False
        sources = PolledSources(lambda _: ExchangePrices(side), spawn=spawn, patience=Patience(retry=0.01))
        said = await sources.prices("binance", wait_seconds=10)
        assert said.prices.rate("BTC", "USDT") == middles(floor, Market.SPOT)["BTC-USDT"]
        assert said.prices.rate("ETH", "BTC") is not None
        floor.move("BTC-USDT", Decimal(70_000), market=Market.SPOT)
        wanted = middles(floor, Market.SPOT)["BTC-USDT"]
        async with asyncio.timeout(10):
            while said.prices.rate("BTC", "USDT") != wanted:
                await asyncio.sleep(0.01)
                said = await sources.prices("binance", wait_seconds=0)
    async with asyncio.timeout(10):
        while said.problem is None:
            await asyncio.sleep(0.01)
            said = await sources.prices("binance", wait_seconds=0)
    assert said.prices.rate("BTC", "USDT") == wanted
    assert said.age_seconds is not None
    assert said.age_seconds > 0
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await clients.close()
