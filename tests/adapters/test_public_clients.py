"""One public client for each connector: shared, left when nobody needs it, and closed at the end whatever happens."""

import asyncio

import pytest
from structlog.testing import capture_logs

from adapters.exchanges.names import connector
from adapters.market_data import public_clients
from adapters.market_data.public_clients import PublicClients, PublicSide
from domain.errors import Invalid, NotFound, Unavailable
from tests.fakes.market import FakeMarket, FakeMarkets
from tests.fakes.paper_trade import until

PAIR = "BTC-USDT"


class Unclosable(FakeMarket):
    """A venue whose connections do not close."""

    async def close(self) -> None:
        await super().close()
        raise OSError("the socket is gone")


@pytest.fixture
def market() -> FakeMarket:
    return FakeMarket(PAIR)


def clients_of(**markets: FakeMarket) -> PublicClients:
    return PublicClients(lambda known: markets[known.name].open, idle_seconds=0.02, sweep_seconds=0.005)


async def test_all_who_use_a_connector_share_its_client(market):
    clients = clients_of(binance=market)
    side = clients.of(connector("binance"))
    assert side is clients.of(connector("binance"))
    assert market.opened == 0

    async def use():
        async with side.lease() as (client, _):
            return client

    assert set(await asyncio.gather(*(use() for _ in range(5)))) == {market}
    assert market.opened == 1


async def test_a_client_is_left_when_nobody_has_used_it_for_a_while_and_opened_again(market):
    clients = clients_of(binance=market)
    side = clients.of(connector("binance"))
    running = asyncio.create_task(clients.run())
    async with side.lease(), side.lease():
        await asyncio.sleep(0.05)  # longer than it may be idle: it is in use
        assert market.closed == 0
    await until(lambda: market.closed == 1)
    assert not side.is_open
    await side.check(PAIR)
    assert market.opened == 2
    running.cancel()
    await asyncio.wait([running])


async def test_only_of_a_venue_that_was_asked_it_is_said_that_it_was_left(market):
    clients = clients_of(binance=market, okx=FakeMarket(PAIR))
    clients.of(connector("okx"))
    await clients.of(connector("binance")).check(PAIR)
    with capture_logs() as logs:
        await clients.close()
    assert [(line["event"], line["connector"]) for line in logs] == [("venue_left", "binance")]


async def test_a_client_that_cannot_be_closed_keeps_none_of_the_others_open(market):
    bad = Unclosable(PAIR)
    clients = clients_of(okx=bad, binance=market)
    for name in ("okx", "binance"):
        await clients.of(connector(name)).check(PAIR)
    with capture_logs() as logs:
        running = asyncio.create_task(clients.run())
        await until(lambda: market.closed)
        await clients.of(connector("okx")).check(PAIR)
        await until(lambda: bad.closed == 2)
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
    assert [line["connector"] for line in logs if line["event"] == "venue_not_closed"] == ["okx", "okx"]


async def test_at_the_end_every_client_is_closed_and_none_is_opened_any_more(market):
    clients = clients_of(okx=(bad := Unclosable(PAIR)), binance=market)
    sides = [clients.of(connector(name)) for name in ("okx", "binance")]
    for side in sides:
        await side.check(PAIR)
    async with sides[1].lease():
        await clients.close()
    assert (bad.closed, market.closed) == (1, 1)
    with pytest.raises(Unavailable, match="binance is not asked any more: this server is stopping"):
        await sides[1].check(PAIR)
    assert market.opened == 1


async def test_markets_are_loaded_anew_when_they_are_older_than_somebody_wants(market):
    side = market.side()
    async with side.lease() as (_, first):
        market.markets = FakeMarkets(PAIR, "NEW-USDT")
        async with side.lease(markets_within=60) as (_, same):
            assert same is first
        async with side.lease(markets_within=-1) as (client, newer):
            assert client is market
            assert "NEW-USDT" in newer.rules
    assert (market.opened, await side.markets()) == (1, market.markets)


async def test_a_pair_that_is_new_is_found_when_the_markets_are_old(market, monkeypatch):
    side = market.side()
    market.markets = FakeMarkets(PAIR)
    await side.check(PAIR)
    market.markets = FakeMarkets(PAIR, "NEW-USDT")
    with pytest.raises(NotFound, match="'NEW-USDT' not found on binance"):
        await side.check("NEW-USDT")
    monkeypatch.setattr(public_clients, "MARKETS_SECONDS", -1)
    await side.check("NEW-USDT")


async def test_a_venue_that_does_not_open_is_asked_again_by_the_next_one(market):
    side = market.side()
    market.reachable = False
    with pytest.raises(Unavailable, match="the venue does not answer"):
        await side.markets()
    assert not side.is_open
    market.reachable = True
    assert (await side.markets()).symbol(PAIR) == "BTC/USDT"


async def test_what_somebody_does_with_a_client_and_fails_at_is_theirs(market):
    side = PublicSide("binance", market.open)
    with pytest.raises(Invalid):
        async with side.lease() as (_, known):
            known.symbol("NOPE-USDT")
    async with side.lease() as (client, _):
        assert client is market
    assert not side.is_idle(60)
    assert side.is_idle(-1)
