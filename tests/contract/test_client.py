"""The published Python client, unmodified, against a real server."""

import inspect
from contextlib import asynccontextmanager

import pytest
from hummingbot_api_client import HummingbotAPIClient

from tests.contract.trading import SECOND

# The client's own way of saying who it is.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

GATEWAY = {"add_gateway_wallet", "remove_gateway_wallet", "list_gateway_wallets", "set_default_gateway_wallet"}
PAPER = ("master_account", "paper")
PERPETUAL = ("master_account", "paper_perpetual")


@asynccontextmanager
async def connected(server):
    client = HummingbotAPIClient(server.url, "admin", "admin")
    await client.init()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(server, traded):
    async with connected(server) as opened:
        yield opened


def methods(router):
    return {name for name, _ in inspect.getmembers(router, inspect.iscoroutinefunction) if not name.startswith("_")}


async def test_accounts(client):
    called = GATEWAY | set()

    def calls(name):
        called.add(name)
        return getattr(client.accounts, name)

    assert (await calls("add_account")("by_client"))["account_name"] == "by_client"
    assert "by_client" in await calls("list_accounts")()
    await calls("add_credential")("by_client", "paper", {})
    assert await calls("list_account_credentials")("by_client") == ["paper"]
    await calls("delete_credential")("by_client", "paper")
    assert await client.accounts.list_account_credentials("by_client") == []
    await calls("delete_account")("by_client")
    assert "by_client" not in await client.accounts.list_accounts()
    assert called >= methods(client.accounts)


async def test_connectors(client):
    assert {"paper", "paper_perpetual"} <= set(await client.connectors.list_connectors())
    assert "binance_api_key" in await client.connectors.get_config_map("binance")
    rules = await client.connectors.get_trading_rules("paper", ["BTC-USDT"])
    assert set(rules) == {"BTC-USDT"}
    order_types = (await client.connectors.get_supported_order_types("paper"))["supported_order_types"]
    assert set(order_types) == {"LIMIT", "MARKET", "LIMIT_MAKER"}
    assert methods(client.connectors) == {
        "list_connectors",
        "get_config_map",
        "get_trading_rules",
        "get_supported_order_types",
    }


async def test_candles(client):
    assert "paper" in await client.market_data.get_available_candle_connectors()
    newest = await client.market_data.get_candles("paper", "BTC-USDT", "1m", 5)
    assert [candle["timestamp"] - newest[0]["timestamp"] for candle in newest] == [0, 60, 120, 180, 240]
    past = await client.market_data.get_historical_candles("paper", "BTC-USDT", "1h", 1_735_689_600, 1_735_776_000)
    assert len(past) == 25
    week = await client.market_data.get_candles_last_days("paper_perpetual", "ETH-USDT", 7, "4h")
    assert 42 <= len(week) <= 43
    assert week[-1].keys() == newest[-1].keys() == past[-1].keys()


async def test_a_client_that_writes_and_then_reads_sees_its_write(client):
    placed = await client.trading.place_order(
        *PAPER, trading_pair="BTC-USDT", trade_type="BUY", amount=0.001, order_type="LIMIT", price=20_000
    )
    assert placed["status"] == "submitted"
    active = await client.trading.get_active_orders(account_names=["master_account"], limit=1000)
    assert placed["order_id"] in {order["order_id"] for order in active["data"]}
    answer = await client.trading.cancel_order(*PAPER, placed["order_id"])
    assert placed["order_id"] in answer["message"]


async def test_trading(client, traded):
    found = await client.trading.search_orders(account_names=["master_account"], limit=1000)
    assert set(traded) <= {order["order_id"] for order in found["data"]}
    assert (await client.trading.get_trades(connector_names=["paper"]))["data"]
    assert (await client.trading.get_recent_trades("BTC-USDT", hours=1))["data"]
    for positions in (await client.trading.get_positions(), await client.trading.get_open_positions()):
        assert "paper_perpetual" in {position["connector_name"] for position in positions["data"]}
    assert "data" in await client.trading.get_funding_payments()
    assert (await client.trading.set_leverage(*PERPETUAL, "SOL-USDT", 3))["status"] == "success"
    mode = (await client.trading.get_position_mode(*PERPETUAL))["position_mode"]
    assert (await client.trading.set_position_mode(*PERPETUAL, mode))["status"] == "success"
    assert methods(client.trading) == {
        "place_order",
        "cancel_order",
        "get_positions",
        "get_active_orders",
        "search_orders",
        "get_trades",
        "get_funding_payments",
        "get_recent_trades",
        "get_open_positions",
        "get_position_mode",
        "set_position_mode",
        "set_leverage",
    }


async def test_portfolio(client):
    state = await client.portfolio.get_state(refresh=True)
    assert {"master_account", SECOND} <= set(state)
    assert (await client.portfolio.get_history(limit=10, interval="5m"))["data"]
    assert (await client.portfolio.get_distribution())["token_count"] > 0
    assert (await client.portfolio.get_accounts_distribution())["account_count"] >= 2
    assert await client.portfolio.get_total_value() > 0
    assert await client.portfolio.get_token_holdings("USDT")
    assert await client.portfolio.get_portfolio_summary()
    assert methods(client.portfolio) == {
        "get_state",
        "get_history",
        "get_distribution",
        "get_accounts_distribution",
        "get_total_value",
        "get_token_holdings",
        "get_portfolio_summary",
    }
