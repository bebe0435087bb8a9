"""What ccxt says of candles, and what is made of it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

import pytest

from adapters.candles.table import candle_history
from adapters.candles.venues import LARGEST_PAGE, SMALLEST_PAGE, VenueCandles
from adapters.exchanges.clients import VenueClient
from adapters.exchanges.names import CONNECTORS, connector
from adapters.exchanges.paper_feed import SyntheticFeed
from adapters.market_data.public_clients import PublicClients, PublicSide, opener
from domain.candles import INTERVALS, Candle
from domain.connectors import TradingRule
from domain.errors import Invalid
from tests.fakes.candle_venue import Time

REAL = [name for name, known in CONNECTORS.items() if known.exchange_id and not known.sandbox]
MINUTE = INTERVALS["1m"]


class Exchange:
    """An exchange object of ccxt, as far as candles go: its rows are the venue's own."""

    def __init__(self):
        self.timeframes = {"1m": "1m", "1h": "60", "7w": "7w"}
        self.features = {
            "spot": {"fetchOHLCV": {"limit": 1500}},
            "swap": {"linear": {"fetchOHLCV": {"limit": 200}}},
        }

    def parse_ohlcv(self, raw, market=None):
        return raw[:6]


class Client:
    """A client whose venue answers with `rows`."""

    def __init__(self, rows):
        self.exchange = Exchange()
        self.rows = rows
        self.asked = []
        self.is_closed = False

    async def call(self, method, *args, **options):
        self.options = options
        self.asked.append((method, *args))
        if not isinstance(self.rows, list):
            return self.rows
        return [self.exchange.parse_ohlcv(row) if isinstance(row, list) else row for row in self.rows]

    async def close(self):
        self.is_closed = True


class Pairs:
    rules: ClassVar[Mapping[str, TradingRule]] = {}

    def symbol(self, pair):
        if pair != "BTC-USDT":
            raise Invalid(f"Trading pair '{pair}' is not traded on this connector")
        return "BTC/USDT"

    def pair(self, symbol):
        return symbol.replace("/", "-")

    def contract_size(self, pair):
        return Decimal("0.001")


def candles_of(name, rows):
    client = Client(rows)
    opened = []

    async def open_venue(already):
        opened.append(already or client)
        return client, Pairs()

    return VenueCandles(connector(name), PublicSide(name, open_venue)), client, opened


@pytest.mark.parametrize("name", REAL)
async def test_every_connector_has_candles_in_ccxt_and_some_of_our_intervals(name):
    client = VenueClient(connector(name))
    assert client.has("fetchOHLCV")
    assert set(INTERVALS) & set(client.exchange.timeframes) >= {"1m", "1h", "1d"}
    await client.close()


async def test_a_row_of_binance_has_all_ten_columns():
    row = [60_000, "10", "12", "9", "11", "3", 119_999, "33.5", 4, "1", "11.25", "0"]
    source, client, _ = candles_of("binance", [row])
    await source.begin("BTC-USDT", MINUTE)
    assert await source.candles("BTC-USDT", MINUTE, 60, 5) == [Candle(60.0, 10, 12, 9, 11, 3, 33.5, 4, 1, 11.25)]
    assert client.asked == [("fetch_ohlcv", "BTC/USDT", "1m", 60_000, 5)]


async def test_a_row_that_says_less_has_zeros():
    source, _, _ = candles_of("kraken", [[60_000, 10.0, 12.0, 9.0, 11.0, None, "1"]])
    assert await source.candles("BTC-USDT", MINUTE, 60, 5) == [Candle(60.0, 10, 12, 9, 11, 0, 0, 0, 0, 0)]


async def test_volume_in_contracts_becomes_base():
    source, _, _ = candles_of("gate_io_perpetual", [[60_000, 10, 12, 9, 11, 3000]])
    assert (await source.candles("BTC-USDT", MINUTE, 60, 5))[0].volume == 3.0


@pytest.mark.parametrize(
    "rows", [None, {"code": 1}, "busy", [], [None], [[60_000, "x", 1, 1, 1, 1]], [["1"]]], ids=repr
)
async def test_garbage_is_no_candle(rows):
    source, _, _ = candles_of("kraken", rows)
    assert await source.candles("BTC-USDT", MINUTE, 60, 5) == []


async def test_an_interval_that_a_venue_does_not_offer_is_refused_with_those_that_it_does():
    source, _, _ = candles_of("kraken", [])
    with pytest.raises(Invalid, match=r"Interval '3m' is not offered by kraken\. Its intervals: 1m, 1h$"):
        await source.begin("BTC-USDT", INTERVALS["3m"])
    with pytest.raises(Invalid, match="'X-USDT' is not traded"):
        await source.begin("X-USDT", MINUTE)


async def test_a_page_is_as_large_as_the_venue_gives_it():
    for name, page in (("binance", LARGEST_PAGE), ("binance_perpetual", 200), ("mexc", 500)):
        source, client, _ = candles_of(name, [])
        await source.begin("BTC-USDT", MINUTE)
        assert source.page == page
    source, client, _ = candles_of("binance", [])
    client.exchange.features = {}
    await source.begin("BTC-USDT", MINUTE)
    assert source.page == SMALLEST_PAGE


async def test_a_venue_is_opened_when_it_is_first_asked_and_once():
    source, client, opened = candles_of("binance", [])
    assert opened == []
    await source.begin("BTC-USDT", MINUTE)
    await source.candles("BTC-USDT", MINUTE, 60, 5)
    assert opened == [client]


async def test_a_client_that_is_opened_anew_tells_all_columns_again():
    row = [60_000, "10", "12", "9", "11", "3", 119_999, "33.5", 4, "1", "11.25", "0"]
    source, client, opened = candles_of("binance", [row])
    for _ in range(2):
        assert (await source.candles("BTC-USDT", MINUTE, 60, 5))[0].n_trades == 4
        await source._side.close()
        assert client.is_closed
        client.exchange = Exchange()
        source._prepared = None  # it would be another object, as of a venue that is opened anew
    assert len(opened) == 2


async def test_of_a_venue_that_gives_the_newest_it_is_said_where_to_end():
    source, client, _ = candles_of("dydx_v4_perpetual", [])
    await source.candles("BTC-USDT", MINUTE, 60, 5)
    assert client.options == {"params": {"until": 360_000}}


async def test_all_connectors_that_are_listed_have_candles(tmp_path):
    clients = PublicClients(opener({}))
    history = candle_history(tmp_path, feed=SyntheticFeed(1), seed=1, clients=clients, clock=Time(1.8e9))
    assert list(history.connectors()) == list(CONNECTORS)
    assert set(history._venues) == {
        *CONNECTORS,
        *(f"{c.name}_paper_trade" for c in CONNECTORS.values() if c.exchange_id),
    }
    assert history._venues["okx"] is history._venues["okx_paper_trade"]
