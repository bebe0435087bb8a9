"""Every recorded answer of these areas, and the request to ours that has to answer alike.

Ours trades on `paper` where the recording traded on `binance`. A status differs from the recorded one only where the
recording shows a defect.
"""

from typing import Any

import msgspec

Json = dict[str, Any]

STATE_MAPS = ("$", "$.*")
# An order without a price, a fill or a word of its venue.
ORDER_NULLS = tuple(
    f"$.data[].{key}"
    for key in ("price", "average_fill_price", "fee_paid", "fee_currency", "exchange_order_id", "error_message")
)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A request to ours. `status` is None where the recorded one is right; `words` must be in a refusal's `detail`."""

    path: str
    method: str = "POST"
    body: Json | None = None
    status: int | None = None
    maps: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()
    words: str = ""


def get(path: str, **more: Any) -> Case:
    """Return a case that only asks."""
    return Case(method="GET", path=path, **more)


ORDER: Json = {
    "account_name": "master_account",
    "connector_name": "paper",
    "trading_pair": "BTC-USDT",
    "trade_type": "BUY",
    "amount": 0.001,
    "order_type": "LIMIT",
    "position_action": "OPEN",
    "price": 20_000,
}
MARKET = {**{key: value for key, value in ORDER.items() if key != "price"}, "order_type": "MARKET"}
PERPETUAL = {**MARKET, "connector_name": "paper_perpetual"}
PAGE = {"limit": 50}
MARGIN = "/trading/master_account/paper_perpetual"

ACCOUNTS = {
    "add_account": Case(path="/accounts/add-account?account_name=golden_acc"),
    "add_account__live": Case(path="/accounts/add-account?account_name=golden_acc2"),
    "add_account__exists": Case(
        path="/accounts/add-account?account_name=master_account", words="Account already exists"
    ),
    "add_account__bad_name": Case(path="/accounts/add-account?account_name=bad/name", words="bad/name"),
    "add_account__missing_param": Case(path="/accounts/add-account"),
    "add_credential__live": Case(path="/accounts/add-credential/master_account/paper", body={}),
    "add_credential__live_perpetual": Case(path="/accounts/add-credential/master_account/paper_perpetual", body={}),
    "add_credential__unknown_account": Case(path="/accounts/add-credential/nobody/paper", body={}, words="nobody"),
    "add_credential__unknown_connector": Case(
        path="/accounts/add-credential/master_account/nope_exchange", body={"a": "b"}, words="nope_exchange"
    ),
    "add_credential__wrong_field": Case(
        path="/accounts/add-credential/master_account/binance", body={"wrong_field": "x"}, words="wrong_field"
    ),
    "delete_account": Case(path="/accounts/delete-account?account_name=to_delete"),
    "delete_account__master": Case(path="/accounts/delete-account?account_name=master_account"),
    "delete_account__unknown": Case(path="/accounts/delete-account?account_name=nobody", words="nobody"),
    "delete_credential": Case(path="/accounts/delete-credential/to_delete/paper"),
    "delete_credential__unknown_account": Case(path="/accounts/delete-credential/nobody/paper"),
    "list_account_credentials": get("/accounts/empty/credentials"),
    "list_account_credentials__after_failed_add": get("/accounts/empty/credentials"),
    "list_account_credentials__live": get("/accounts/master_account/credentials"),
    "list_account_credentials__unknown_account": get("/accounts/nobody/credentials", words="nobody"),
    "list_accounts": get("/accounts/"),
    "list_accounts__live": get("/accounts/"),
    "list_accounts__two": get("/accounts/"),
}
CONNECTORS = {
    "get_config_map": get("/connectors/binance/config-map"),
    **{
        f"get_config_map__{name}": get(f"/connectors/{name}/config-map")
        for name in ("binance_perpetual", "coinbase_advanced_trade", "hyperliquid_perpetual", "kucoin", "okx")
    },
    "get_config_map__unknown": get("/connectors/nope/config-map", status=404, words="nope"),
    "get_supported_order_types": get("/connectors/paper/order-types"),
    "get_supported_order_types__live": get("/connectors/paper_perpetual/order-types"),
    "get_supported_order_types__unknown": get("/connectors/nope/order-types", words="nope"),
    "get_trading_rules__live": get("/connectors/paper/trading-rules?trading_pairs=BTC-USDT"),
    "get_trading_rules__live_all": get("/connectors/paper/trading-rules", maps=("$",)),
    "get_trading_rules__live_perpetual": get("/connectors/paper_perpetual/trading-rules?trading_pairs=BTC-USDT"),
    "get_trading_rules__unknown": get("/connectors/nope/trading-rules", words="nope"),
    "list_connectors": get("/connectors/"),
}
_ACCOUNTS_MAPS = ("$.distribution[].connectors",)
_TOKEN_MAPS = ("$.distribution[].accounts", "$.distribution[].accounts.*.connectors")
_HISTORY_MAPS = ("$.data[].state", "$.data[].state.*")
PORTFOLIO = {
    "get_accounts_distribution": get("/portfolio/accounts-distribution"),
    "get_accounts_distribution__live": get("/portfolio/accounts-distribution", maps=_ACCOUNTS_MAPS),
    "get_distribution": Case(path="/portfolio/distribution", body={}),
    "get_distribution__live": Case(path="/portfolio/distribution", body={}, maps=_TOKEN_MAPS),
    "get_distribution__live_connector": Case(
        path="/portfolio/distribution", body={"connector_names": ["paper"]}, maps=_TOKEN_MAPS
    ),
    "get_distribution__live_one_account": Case(
        path="/portfolio/distribution", body={"account_names": ["acc2"]}, maps=_TOKEN_MAPS
    ),
    "get_distribution__unknown_account": Case(path="/portfolio/distribution", body={"account_names": ["nobody"]}),
    "get_history": Case(path="/portfolio/history", body={"limit": 100}),
    "get_history__live": Case(path="/portfolio/history", body={"limit": 100}),
    "get_history__live_1h": Case(path="/portfolio/history", body={"limit": 100, "interval": "1h"}),
    "get_history__live_second": Case(path="/portfolio/history", body={"limit": 100}, maps=_HISTORY_MAPS),
    "get_history__bad_interval": Case(path="/portfolio/history", body={"limit": 100, "interval": "7m"}, status=422),
    "get_state": Case(path="/portfolio/state", body={}),
    "get_state__live": Case(path="/portfolio/state", body={}, maps=STATE_MAPS),
    "get_state__live_after_perp": Case(path="/portfolio/state", body={}, maps=STATE_MAPS),
    "get_state__live_before_connector_filter": Case(path="/portfolio/state", body={}, maps=STATE_MAPS),
    "get_state__live_connector_filter": Case(
        path="/portfolio/state", body={"connector_names": ["paper"]}, maps=STATE_MAPS
    ),
    "get_state__live_after_connector_filter": Case(path="/portfolio/state", body={}, maps=STATE_MAPS),
    "get_state__live_one_account": Case(path="/portfolio/state", body={"account_names": ["acc2"]}, maps=STATE_MAPS),
    "get_state__live_refresh": Case(path="/portfolio/state", body={"refresh": True}, maps=STATE_MAPS),
    "get_state__live_restored_by_refresh": Case(path="/portfolio/state", body={"refresh": True}, maps=STATE_MAPS),
    "get_state__live_unknown_account": Case(path="/portfolio/state", body={"account_names": ["nobody"]}),
    "get_state__refresh": Case(path="/portfolio/state", body={"refresh": True}),
}
TRADING = {
    "cancel_order": Case(path="/trading/master_account/paper/orders/nope/cancel", status=404, words="nope"),
    "cancel_order__live": Case(path="/trading/master_account/paper/orders/{fresh}/cancel"),
    "cancel_order__live_again": Case(path="/trading/master_account/paper/orders/{canceled}/cancel", words="{canceled}"),
    "cancel_order__unknown_account": Case(path="/trading/nobody/paper/orders/nope/cancel", words="nobody"),
    **{
        name: Case(path="/trading/orders/active", body=PAGE, nullable=ORDER_NULLS)
        for name in ("get_active_orders", "get_active_orders__live", "get_active_orders__live_after_cancel")
    },
    "get_active_orders__live_hidden_by_nan": Case(path="/trading/orders/active", body=PAGE),
    **{
        f"get_funding_payments__{name}": Case(path="/trading/funding-payments", body=PAGE)
        for name in ("empty", "live", "live_second")
    },
    **{
        name: Case(path="/trading/positions", body=PAGE)
        for name in (
            "get_open_positions__empty",
            "get_open_positions__live",
            "get_positions__empty",
            "get_positions__live",
            "get_positions__live_second",
        )
    },
    "get_position_mode": get(f"{MARGIN}/position-mode", status=200),
    "get_position_mode__live": get(f"{MARGIN}/position-mode"),
    **{
        name: Case(path="/trading/trades", body={**PAGE, "trading_pairs": ["BTC-USDT"]})
        for name in ("get_recent_trades__empty", "get_recent_trades__live")
    },
    "get_trades__empty": Case(path="/trading/trades", body=PAGE),
    "get_trades__live": Case(path="/trading/trades", body=PAGE),
    "get_trades__live_sell": Case(path="/trading/trades", body={**PAGE, "trade_types": ["SELL"]}),
    "place_order__bad_order_type": Case(path="/trading/orders", body={**ORDER, "order_type": "STOP"}),
    "place_order__bad_side": Case(path="/trading/orders", body={**ORDER, "trade_type": "HOLD"}),
    "place_order__live": Case(path="/trading/orders", body=ORDER),
    "place_order__live_below_min_notional": Case(
        path="/trading/orders", body={**ORDER, "amount": 1e-05, "price": 100}, words="below minimum notional size"
    ),
    "place_order__live_exchange_rejects": Case(path="/trading/orders", body={**ORDER, "amount": 100_000}),
    "place_order__live_limit_without_price": Case(
        path="/trading/orders", body={**MARKET, "order_type": "LIMIT"}, words="Price is required"
    ),
    "place_order__live_maker": Case(path="/trading/orders", body={**ORDER, "order_type": "LIMIT_MAKER"}),
    "place_order__live_market": Case(path="/trading/orders", body=MARKET),
    "place_order__live_marketable": Case(path="/trading/orders", body={**ORDER, "trade_type": "SELL"}),
    "place_order__live_perp_open": Case(path="/trading/orders", body=PERPETUAL),
    "place_order__live_perp_close": Case(
        path="/trading/orders", body={**PERPETUAL, "trade_type": "SELL", "position_action": "CLOSE"}
    ),
    "place_order__live_unknown_pair": Case(
        path="/trading/orders", body={**ORDER, "trading_pair": "NOPE-USDT"}, words="'NOPE-USDT' not supported on paper"
    ),
    "place_order__missing_fields": Case(path="/trading/orders", body={"account_name": "master_account"}),
    "place_order__negative_amount": Case(path="/trading/orders", body={**ORDER, "amount": -1}, status=422),
    "place_order__no_credentials": Case(
        path="/trading/orders", body={**ORDER, "account_name": "empty"}, status=400, words="credentials"
    ),
    "place_order__unknown_account": Case(
        path="/trading/orders", body={**ORDER, "account_name": "nobody"}, words="Account 'nobody' not found"
    ),
    "place_order__unknown_connector": Case(
        path="/trading/orders", body={**ORDER, "connector_name": "nope"}, status=404, words="nope"
    ),
    "search_orders__empty": Case(path="/trading/orders/search", body={**PAGE, "account_names": ["nobody"]}),
    "search_orders__limit_too_big": Case(path="/trading/orders/search", body={"limit": 5000}),
    "search_orders__live": Case(path="/trading/orders/search", body=PAGE, nullable=ORDER_NULLS),
    "search_orders__live_failed": Case(
        path="/trading/orders/search", body={**PAGE, "status": "FAILED"}, nullable=ORDER_NULLS
    ),
    "search_orders__live_open": Case(
        path="/trading/orders/search", body={**PAGE, "status": "OPEN"}, nullable=ORDER_NULLS
    ),
    "search_orders__live_page1": Case(path="/trading/orders/search", body={"limit": 2}, nullable=ORDER_NULLS),
    "search_orders__live_page2": Case(path="/trading/orders/search", body={"limit": 2}, nullable=ORDER_NULLS),
    "search_orders__live_unknown_account": Case(
        path="/trading/orders/search", body={**PAGE, "account_names": ["nobody"]}
    ),
    "set_leverage": Case(path=f"{MARGIN}/leverage", body={"trading_pair": "ETH-USDT", "leverage": 5}, status=200),
    "set_leverage__live": Case(path=f"{MARGIN}/leverage", body={"trading_pair": "ETH-USDT", "leverage": 10}),
    "set_leverage__live_spot": Case(
        path="/trading/master_account/paper/leverage",
        body={"trading_pair": "BTC-USDT", "leverage": 10},
        words="not a perpetual connector",
    ),
    "set_leverage__too_big": Case(path=f"{MARGIN}/leverage", body={"trading_pair": "BTC-USDT", "leverage": 1000}),
    "set_position_mode": Case(path=f"{MARGIN}/position-mode", body={"position_mode": "ONEWAY"}, status=200),
    "set_position_mode__bad": Case(
        path=f"{MARGIN}/position-mode", body={"position_mode": "BOTH"}, words="Must be 'HEDGE' or 'ONEWAY'"
    ),
    "set_position_mode__live": Case(path=f"{MARGIN}/position-mode", body={"position_mode": "ONEWAY"}),
    "set_position_mode__live_hedge": Case(
        path="/trading/hedger/paper_perpetual/position-mode", body={"position_mode": "HEDGE"}
    ),
    "set_position_mode__live_spot": Case(
        path="/trading/master_account/paper/position-mode",
        body={"position_mode": "HEDGE"},
        words="not a perpetual connector",
    ),
}
_RATES = {"trading_pairs": ["BTC-USDT", "ETH-BTC", "X-Y"]}
_TOKEN = {"global_token_name": "USDT", "global_token_symbol": "$"}
RATES = {
    "get_config": get("/rate-oracle/config"),
    "get_prices": get("/rate-oracle/prices"),
    "get_prices__live": get("/rate-oracle/prices", maps=("$.prices",)),
    "get_rate": get("/rate-oracle/rate/BTC-USDT"),
    "get_rate__live": get("/rate-oracle/rate/BTC-USDT"),
    "get_rate_async": get("/rate-oracle/rate-async/BTC-USDT"),
    "get_rate_async__live": get("/rate-oracle/rate-async/BTC-USDT"),
    "get_rates": Case(path="/rate-oracle/rates", body={"trading_pairs": ["BTC-USDT", "X-Y"]}),
    "get_rates__live": Case(path="/rate-oracle/rates", body=_RATES),
    "get_rates__missing": Case(path="/rate-oracle/rates", body={}),
    "get_sources": get("/rate-oracle/sources"),
    "update_config": Case(
        method="PUT",
        path="/rate-oracle/config",
        body={"rate_oracle_source": {"name": "paper"}, "global_token": _TOKEN},
    ),
    "update_config__bad_source": Case(
        method="PUT",
        path="/rate-oracle/config",
        body={"rate_oracle_source": {"name": "nope"}},
        words="Invalid rate oracle source: nope. Available sources: [",
    ),
    "update_config__empty": Case(method="PUT", path="/rate-oracle/config", body={}),
}
_CANDLES: Json = {"connector_name": "paper", "trading_pair": "BTC-USDT", "interval": "1m", "max_records": 5}
_PAST: Json = {"connector_name": "paper", "trading_pair": "BTC-USDT", "interval": "1m"}
CANDLES = {
    "get_available_candle_connectors": get("/market-data/available-candle-connectors"),
    "get_candles__live": Case(path="/market-data/candles", body=_CANDLES),
    "get_candles__bad_pair": Case(
        path="/market-data/candles", body={**_CANDLES, "trading_pair": "BTCUSDT"}, words="BTCUSDT"
    ),
    "get_candles__live_unknown_pair": Case(
        path="/market-data/candles", body={**_CANDLES, "trading_pair": "NOPE-USDT"}, words="Trading pair 'NOPE-USDT'"
    ),
    "get_candles__unknown_connector": Case(
        path="/market-data/candles",
        body={**_CANDLES, "connector_name": "nope"},
        words="Unsupported connector 'nope'. Available connectors: [",
    ),
    "get_historical_candles__live": Case(
        path="/market-data/historical-candles",
        body={**_PAST, "start_time": 1_795_327_790, "end_time": 1_795_328_270},
    ),
    "get_candles_last_days__live": Case(
        path="/market-data/historical-candles",
        body={**_PAST, "interval": "4h", "start_time": 1_795_242_000, "end_time": 1_795_328_400},
    ),
}
CASES = {
    f"{area}/{name}": case
    for area, cases in (
        ("accounts", ACCOUNTS),
        ("connectors", CONNECTORS),
        ("market_data", CANDLES),
        ("portfolio", PORTFOLIO),
        ("rate_oracle", RATES),
        ("trading", TRADING),
    )
    for name, case in cases.items()
}

_GATEWAY = "wallets are the Gateway's"
_OFFLINE = "the exchange could not be reached"
ELSEWHERE = {
    "accounts/add_gateway_wallet": _GATEWAY,
    "accounts/list_gateway_wallets": _GATEWAY,
    "accounts/remove_gateway_wallet": _GATEWAY,
    "accounts/set_default_gateway_wallet": _GATEWAY,
    "accounts/add_credential": _OFFLINE,
    "accounts/add_credential__live_exchange_rejects_key": "tested with a venue that has keys to reject",
    "connectors/get_trading_rules": _OFFLINE,
    **{f"market_data/{name}": _OFFLINE for name in ("get_candles", "get_historical_candles", "get_candles_last_days")},
    "portfolio/get_distribution__live_two_accounts": "a defect; the shape is that of get_distribution__live",
    **{
        f"portfolio/get_{name}{case}": "several calls: tested with the client that makes them"
        for name in ("portfolio_summary", "token_holdings", "total_value")
        for case in ("", "__live")
    },
}
"""Recordings that no case stands for, and why."""
