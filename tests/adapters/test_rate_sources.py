"""Sources of rates: what each is asked, and what of its answer counts as a price."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from aiohttp import ClientTimeout, web
from structlog.testing import capture_logs

from adapters.exchanges.clients import Refused, VenueClient
from adapters.exchanges.names import connector
from adapters.market_data.public_clients import PublicClients, opener
from adapters.rate_sources import listings
from adapters.rate_sources.exchanges import ExchangePrices, PaperPrices
from adapters.rate_sources.reading import middle, price
from adapters.rate_sources.table import make
from domain.errors import NotFound, Unavailable
from domain.rates import SOURCES
from tests.commands.world import ScriptedExchange, Time
from tests.fakes.market import FakeMarket


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ("1.50", "1.50"),
        (0.1, "0.1"),
        (7, "7"),
        (1e-7, "1E-7"),
        (None, None),
        ("", None),
        ("x", None),
        (0, None),
        ("-1", None),
        ("NaN", None),
        (float("inf"), None),
        ("1e400", None),
        ("1e-400", None),
        ([], None),
        (True, None),
    ],
)
def test_a_price_is_exact_or_none_at_all(told, value):
    assert price(told) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("bid", "ask", "value"),
    [("1", "2", "1.5"), ("1", "1", "1"), ("2", "1", None), (None, "1", None), ("1", "0", None), (0.1, 0.3, "0.2")],
)
def test_the_middle_is_between_bid_and_ask(bid, ask, value):
    assert middle(bid, ask) == (None if value is None else Decimal(value))


def made(name, urls=None, key=None):
    return make(
        name,
        exchange=lambda name: ScriptedExchange(name, Time()),
        side=PublicClients(opener({})).of,
        urls={name: urls} if urls else {},
        coin_cap_key=key,
    )


@pytest.mark.parametrize("name", SOURCES)
async def test_every_source_that_may_be_chosen_is_there_and_can_tell_prices(name):
    source = made(name)
    assert source.every_seconds > 0
    if isinstance(source, ExchangePrices):
        client = VenueClient(connector(name))
        assert client.has("fetchTickers") or client.has("fetchTicker")
        await client.close()
    await source.close()


async def test_of_an_exchange_s_tickers_the_unreadable_ones_are_left_out():
    market = FakeMarket("BTC-USDT", "ETH-USDT", "SOL-USDT", "OLD-USDT", "ADA-USDT")
    market.tickers = {
        "BTC/USDT": {"symbol": "BTC/USDT", "bid": 99, "ask": 101},
        "ETH/USDT": {"symbol": "ETH/USDT", "last": "?"},
        "SOL/USDT": None,
        "OLD/USDT": {"symbol": "OLD/USDT", "last": None},
        "X/USDT": {"symbol": None, "last": 1},
        "Y/USDT": {"last": 1},
        "ADA/USDT": {"symbol": "ADA/USDT", "bid": 3, "ask": 2, "last": 2.5},
    }
    with capture_logs() as logs:
        assert await ExchangePrices(market.side()).prices() == {"BTC-USDT": 100, "ADA-USDT": Decimal("2.5")}
    (line,) = logs
    assert (line["event"], line["connector"], line["pairs"]) == ("tickers_unreadable", "binance", ["ETH-USDT", "None"])


async def test_an_exchange_that_refuses_one_pair_tells_the_others():
    market = FakeMarket("BTC-USDT", "ETH-USDT", without=("fetchTickers",))
    market.books = {"BTC/USDT": Refused("halted"), "ETH/USDT": {"symbol": "ETH/USDT", "last": 2}}
    assert await ExchangePrices(market.side()).prices() == {"ETH-USDT": 2}


def test_no_other_source_is_there():
    with pytest.raises(NotFound, match="nope"):
        made("nope")


async def test_the_paper_venue_tells_its_own_prices():
    exchange = ScriptedExchange("paper", Time())
    source = PaperPrices(exchange)
    assert await source.prices() == await exchange.prices()
    assert await source.prices()


class Listing:
    """A site on loopback that answers what a test puts in, page after page."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: list[web.Response] = []
        self.asked: list[web.Request] = []
        self.silent = False

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.silent:
            await asyncio.Event().wait()
        if not self.pages:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return self.pages.pop(0)

    def say(self, content: object, status: int = 200) -> None:
        self.pages.append(
            web.Response(status=status, text=content)
            if isinstance(content, str)
            else web.json_response(content, status=status)
        )


@pytest.fixture
async def listing() -> AsyncIterator[Listing]:
    site = Listing()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    site.url = f"http://{host}:{port}"
    yield site
    await runner.cleanup()


async def test_coin_gecko_is_asked_for_the_largest_coins_in_dollars(listing):
    source = made("coin_gecko", {"api": f"{listing.url}/api/v3/"})
    largest = [{"symbol": "btc", "current_price": 50000.25}, {"symbol": "usdt", "current_price": 1.0001}]
    listing.say([*largest, {"symbol": "dead", "current_price": None}])
    listing.say([{"symbol": "BTC", "current_price": 1}, {"symbol": "a-b", "current_price": 1}, {"symbol": "usd"}])
    prices = await source.prices()
    assert prices == {"BTC-USD": Decimal("50000.25"), "USDT-USD": Decimal("1.0001")}
    assert [request.path for request in listing.asked] == ["/api/v3/coins/markets"] * 2
    assert [dict(request.query)["page"] for request in listing.asked] == ["1", "2"]
    assert listing.asked[0].query["vs_currency"] == "usd"
    await source.close()


async def test_of_a_site_s_coins_the_unreadable_ones_are_left_out(listing):
    source = made("coin_gecko", {"api": listing.url})
    listing.say('[{"symbol": "btc", "current_price": 50000.123456789012345}, {"symbol": "x", "current_price": "?"}]')
    listing.say([{"symbol": None, "current_price": 1}, None, {"symbol": "eth", "current_price": "3000"}])
    with capture_logs() as logs:
        prices = await source.prices()
    assert prices == {"BTC-USD": Decimal("50000.123456789012345"), "ETH-USD": 3000}
    assert [(line["event"], line["source"], line["count"]) for line in logs] == [("coins_unreadable", "coin_gecko", 3)]
    await source.close()


async def test_coin_cap_is_asked_with_the_key(listing):
    source = made("coin_cap", {"api": listing.url}, key="the-key")
    listing.say({"data": [{"symbol": "BTC", "priceUsd": "50000.123456789012345"}, {"symbol": "X", "priceUsd": None}]})
    assert await source.prices() == {"BTC-USD": Decimal("50000.123456789012345")}
    assert (listing.asked[0].path, listing.asked[0].headers["Authorization"]) == ("/assets", "Bearer the-key")
    await source.close()


@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        ("slow down", 429, "coin_cap answered HTTP 429"),
        ({"error": "no key"}, 403, "coin_cap answered HTTP 403"),
        ("", 302, "coin_cap answered HTTP 302"),
        ("<html>", 200, "coin_cap answered what cannot be read"),
        ({"data": [{"symbol": 7}]}, 200, "coin_cap answered what cannot be read"),
        ({}, 200, "coin_cap answered what cannot be read"),
        (None, 200, "coin_cap could not be reached"),
    ],
    ids=["limit", "key", "redirect", "page", "type", "nothing", "dropped"],
)
async def test_a_site_that_does_not_tell_is_away_and_the_key_is_never_shown(listing, content, status, why):
    source = made("coin_cap", {"api": listing.url}, key="the-key")
    if content is not None:
        listing.say(content, status)
    with pytest.raises(Unavailable, match=why) as caught:
        await source.prices()
    assert "the-key" not in str(caught.value)
    await source.close()


async def test_a_site_that_hangs_is_not_waited_for(listing, monkeypatch):
    monkeypatch.setattr(listings, "_PATIENCE", ClientTimeout(total=0.01))
    listing.silent = True
    source = made("coin_gecko", {"api": listing.url})
    with pytest.raises(Unavailable, match="coin_gecko did not answer"):
        await source.prices()
    await source.close()
