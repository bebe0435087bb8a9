from decimal import Decimal

import pytest

from adapters.exchanges import names
from adapters.exchanges.markets import DECIMAL_PLACES, SIGNIFICANT_DIGITS, Markets, load, read
from domain.connectors import UNBOUNDED, TradingRule
from domain.errors import Invalid
from tests.fakes.scripted_venue import scripted_venue

BINANCE, SWAPS = names.connector("binance"), names.connector("okx_perpetual")


def market(symbol: str, **changes):
    pair, _, settle = symbol.partition(":")
    base, quote = pair.split("/")
    return {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "spot": not settle,
        "swap": bool(settle),
        "linear": settle == quote if settle else None,
        "contract": bool(settle),
        "contractSize": None,
        "active": True,
        "precision": {"amount": "0.00001000", "price": "0.01000000"},
        "limits": {"amount": {"min": "0.00001000", "max": "9000"}, "cost": {"min": "5.00000000", "max": None}},
        "info": {},
        **changes,
    }


def rule(markets: Markets, pair: str = "BTC-USDT") -> TradingRule:
    return markets.rules[pair]


def test_a_spot_market_is_told_as_hummingbot_tells_it():
    assert rule(read([market("BTC/USDT")], BINANCE)) == TradingRule(
        trading_pair="BTC-USDT",
        min_order_size=Decimal("0.00001"),
        min_price_increment=Decimal("0.01"),
        min_base_amount_increment=Decimal("0.00001"),
        min_notional_size=Decimal(5),
        buy_order_collateral_token="USDT",
        sell_order_collateral_token="USDT",
    )


def test_contracts_are_told_in_base():
    contract = market(
        "BTC/USDT:USDT",
        contractSize="0.01",
        precision={"amount": "0.1", "price": "0.1"},
        limits={"amount": {"min": "0.1", "max": None}, "cost": {"min": None, "max": None}},
    )
    markets = read([contract], SWAPS)
    assert markets.contract_size("BTC-USDT") == Decimal("0.01")
    assert (rule(markets).min_order_size, rule(markets).min_base_amount_increment) == (Decimal("0.001"),) * 2
    assert rule(markets).min_notional_size == 0
    assert markets.is_perpetual


def test_only_what_the_connector_trades_is_listed():
    found = [
        market("BTC/USDT"),
        market("OLD/USDT", active=False),
        market("BTC/USDT:USDT"),
        market("BTC/USD:BTC"),
        market("BTC/USDT:USDT-260327", swap=False, future=True),
        market("ETH/USDC:USDC"),
    ]
    assert list(read(found, BINANCE).rules) == ["BTC-USDT"]
    assert list(read(found, SWAPS).rules) == ["BTC-USDT", "ETH-USDC"]


def test_of_two_markets_for_one_pair_the_one_settled_in_the_quote_is_traded():
    markets = read([market("BTC/USD:USDC", linear=True), market("BTC/USD:USD")], SWAPS)
    assert markets.symbol("BTC-USD") == "BTC/USD:USD"
    assert markets.pair("BTC/USD:USDC") is None
    assert rule(markets, "BTC-USD").buy_order_collateral_token == "USD"


def test_pairs_and_symbols_are_each_others():
    markets = read([market("BTC/USDT"), market("ETH/BTC")], BINANCE)
    assert [markets.pair(markets.symbol(pair)) for pair in markets.rules] == list(markets.rules)
    assert markets.pair("LTC/BTC") is None
    assert markets.contract_size("ETH-BTC") == 1


@pytest.mark.parametrize("ask", [Markets.symbol, Markets.contract_size], ids=["symbol", "contract_size"])
def test_a_pair_that_is_not_traded_is_named(ask):
    with pytest.raises(Invalid, match="Trading pair 'LTC-BTC' is not traded on this connector"):
        ask(read([], BINANCE), "LTC-BTC")


@pytest.mark.parametrize(
    ("mode", "precision", "step", "tick", "digits"),
    [
        (DECIMAL_PLACES, {"amount": 3, "price": 2}, "0.001", "0.01", UNBOUNDED),
        (SIGNIFICANT_DIGITS, {"amount": 8, "price": 5}, "0", "0", Decimal(5)),
        (4, {"amount": None, "price": None}, "0", "0", UNBOUNDED),
        (4, {"amount": 1e-05, "price": "1e-8"}, "0.00001", "0.00000001", UNBOUNDED),
    ],
    ids=["places", "digits", "unknown", "steps"],
)
def test_precision_is_read_in_the_way_that_the_exchange_states_it(mode, precision, step, tick, digits):
    told = rule(read([market("BTC/USDT", precision=precision)], BINANCE, precision_mode=mode))
    assert told.min_base_amount_increment == Decimal(step)
    assert told.min_price_increment == Decimal(tick)
    assert told.max_price_significant_digits == digits


def test_hyperliquids_prices_have_five_digits_and_as_many_decimals_as_its_amounts_leave():
    found = [market("BTC/USDC:USDC", precision={"amount": "0.00001", "price": "1"}, contractSize="1")]
    told = rule(read(found, names.connector("hyperliquid_perpetual")), "BTC-USD")
    assert (told.min_price_increment, told.max_price_significant_digits) == (Decimal("0.1"), 5)


@pytest.mark.parametrize(
    ("info", "takes"),
    [
        ({}, True),
        ([], True),
        ({"orderTypes": ["LIMIT"]}, False),
        ({"orderTypes": ["limit", "market"]}, True),
        ({"limit_only": True}, False),
    ],
    ids=["silent", "list", "limit", "market", "limit_only"],
)
def test_market_orders_are_taken_unless_the_venue_says_otherwise(info, takes):
    assert rule(read([market("BTC/USDT", info=info)], BINANCE)).supports_market_orders is takes


def test_a_market_that_cannot_be_read_does_not_take_the_others_away():
    assert list(read([market("BAD/USDT", limits=None), market("BTC/USDT")], BINANCE).rules) == ["BTC-USDT"]


async def test_markets_are_asked_for_anew_each_time():
    async with scripted_venue() as venue:
        client = venue.client()
        client.exchange.enableRateLimit = False
        assert [list((await load(client, BINANCE)).rules) for _ in range(2)] == [["BTC-USDT"]] * 2
        assert sum("/exchangeInfo" in path for _, path, _ in venue.asked) == 2
        await client.close()
