from decimal import Decimal

import pytest

from domain.rates import Prices, SourcePrices
from tests.projections.given import global_token, rate_source

PRICES = Prices({"BTC-USDT": Decimal("50000.5"), "ETH-BTC": Decimal("0.05")})


async def test_the_settings_of_a_new_installation_are_the_reference_s(server):
    config = await server.ask("/rate-oracle/config")
    assert config["rate_oracle_source"] == {"name": "gate_io"}
    assert config["global_token"] == {"global_token_name": "USDT", "global_token_symbol": "$"}
    assert config["available_sources"] == await server.ask("/rate-oracle/sources")
    assert {"gate_io", "binance", "coin_gecko", "coin_cap", "kucoin", "paper"} <= set(config["available_sources"])


async def test_settings_that_were_changed_are_shown_at_once(server):
    await server.told([rate_source("binance"), global_token("EUR", "€"), rate_source("kucoin")])
    config = await server.ask("/rate-oracle/config")
    assert config["rate_oracle_source"] == {"name": "kucoin"}
    assert config["global_token"] == {"global_token_name": "EUR", "global_token_symbol": "€"}


async def test_rates_come_from_the_source_that_was_chosen_with_their_age(server):
    await server.told([rate_source("binance")])
    server.quotes.said = SourcePrices(prices=PRICES, age_seconds=1.23456)
    answer = await server.ask("/rate-oracle/rates", {"trading_pairs": ["BTC-USDT", "ETH-USDT", "USDT-BTC", "X-Y"]})
    assert answer == {
        "source": "binance",
        "quote_token": "USDT",
        "rates": {"BTC-USDT": 50000.5, "ETH-USDT": 2500.025, "USDT-BTC": 1 / 50000.5, "X-Y": None},
        "age_seconds": 1.235,
        "problem": None,
    }
    assert await server.ask("/rate-oracle/rate/ETH-USDT") == {
        "trading_pair": "ETH-USDT",
        "rate": 2500.025,
        "source": "binance",
        "quote_token": "USDT",
        "age_seconds": 1.235,
        "problem": None,
    }
    assert (await server.ask("/rate-oracle/rate-async/ETH-USDT"))["rate"] == 2500.025
    assert server.quotes.waited[2] > server.quotes.waited[1]
    assert await server.ask("/rate-oracle/prices") == {
        "source": "binance",
        "quote_token": "USDT",
        "prices_count": 2,
        "prices": {"BTC-USDT": 50000.5, "ETH-BTC": 0.05},
        "age_seconds": 1.235,
        "problem": None,
    }
    assert server.quotes.asked == ["binance"] * 4


async def test_a_source_that_is_away_is_no_error(server):
    away = {"source": "gate_io", "quote_token": "USDT", "age_seconds": None, "problem": "it is away"}
    assert await server.ask("/rate-oracle/rates", {"trading_pairs": ["BTC-USDT"]}) == {
        **away,
        "rates": {"BTC-USDT": None},
    }
    for path in ("rate", "rate-async"):
        answer = await server.ask(f"/rate-oracle/{path}/BTC-USDT")
        assert answer == {**away, "trading_pair": "BTC-USDT", "rate": None}
    assert await server.ask("/rate-oracle/prices") == {**away, "prices_count": 0, "prices": {}}


@pytest.mark.parametrize("pair", ["BTCUSDT", "BTC-", "-USDT", "A-B-C", "-"])
async def test_what_is_no_pair_is_refused_and_nothing_is_asked(server, pair):
    for path, body in (("rate/" + pair, None), ("rate-async/" + pair, None), ("rates", {"trading_pairs": [pair]})):
        answer = await server.ask(f"/rate-oracle/{path}", body, status=400)
        assert f"Invalid trading pair: '{pair}'" in answer["detail"]
    assert server.quotes.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "location"),
    [
        ({}, "missing", ["body", "trading_pairs"]),
        ({"trading_pairs": "BTC-USDT"}, "list_type", ["body", "trading_pairs"]),
        ({"trading_pairs": [1]}, "string_type", ["body", "trading_pairs", 0]),
        ({"trading_pairs": ["B C-D"]}, "string_pattern_mismatch", ["body", "trading_pairs", 0]),
        ({"trading_pairs": ["A-B"] * 1001}, "too_long", ["body", "trading_pairs"]),
    ],
    ids=["missing", "no list", "no text", "space", "too many"],
)
async def test_what_is_malformed_is_named(server, body, kind, location):
    answer = await server.ask("/rate-oracle/rates", body, status=422)
    assert (answer["detail"][0]["type"], answer["detail"][0]["loc"]) == (kind, location)


async def test_a_pair_in_the_path_has_the_bounds_of_one_in_a_body(server):
    answer = await server.ask(f"/rate-oracle/rate/{'A' * 65}-B", status=422)
    assert answer["detail"][0]["loc"] == ["path", "trading_pair"]


async def test_no_pairs_have_no_rates(server):
    assert (await server.ask("/rate-oracle/rates", {"trading_pairs": []}))["rates"] == {}
