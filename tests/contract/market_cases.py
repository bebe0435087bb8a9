"""The recorded answers about live markets, and the requests to ours that have to answer alike (`cases.py`).

Ours follows `paper` where the recording followed `binance`, which no test can reach.
"""

from tests.contract.cases import Case, Json, get

_PAIR: Json = {"connector_name": "paper", "trading_pair": "BTC-USDT"}
_OTHER: Json = {**_PAIR, "trading_pair": "ETH-USDT"}
_BOOK = "/market-data/order-book"
_TRACKED = ("$.tasks", "$.order_books", "$.metrics.per_pair_metrics")

MARKET_DATA = {
    "add_trading_pair__live": Case(path="/market-data/trading-pair/add", body={**_PAIR, "timeout": 5}),
    "add_trading_pair__live_again": Case(path="/market-data/trading-pair/add", body=_PAIR),
    "add_trading_pair__live_second": Case(
        path="/market-data/trading-pair/add", body={**_OTHER, "account_name": "master_account"}
    ),
    "get_active_feeds__empty": get("/market-data/active-feeds"),
    "get_active_feeds__live": get("/market-data/active-feeds", maps=("$",)),  # with candles: `test_market_data.py`
    "get_funding_info__live": Case(
        path="/market-data/funding-info", body={**_PAIR, "connector_name": "paper_perpetual"}
    ),
    "get_funding_info__spot": Case(
        path="/market-data/funding-info",
        body=_PAIR,
        words="Funding info is only available for perpetual trading pairs.",
    ),
    "get_market_data_settings": get("/market-data/settings"),
    "get_order_book__live": Case(path=_BOOK, body={**_PAIR, "depth": 5}),
    "get_order_book__live_untracked_pair": Case(path=_BOOK, body={**_PAIR, "trading_pair": "SOL-USDT", "depth": 3}),
    "get_order_book__missing": Case(path=_BOOK, body={"connector_name": "paper"}),
    "get_order_book_diagnostics": get(f"{_BOOK}/diagnostics/paper", maps=_TRACKED),
    "get_order_book_diagnostics__live": get(f"{_BOOK}/diagnostics/paper?account_name=master_account", maps=_TRACKED),
    "get_price_for_quote_volume__live": Case(
        path=f"{_BOOK}/price-for-quote-volume", body={**_PAIR, "quote_volume": 1000, "is_buy": True}, status=200
    ),
    "get_price_for_volume__live": Case(path=f"{_BOOK}/price-for-volume", body={**_PAIR, "volume": 1, "is_buy": True}),
    "get_price_for_volume__live_sell": Case(
        path=f"{_BOOK}/price-for-volume", body={**_PAIR, "volume": 1, "is_buy": False}
    ),
    "get_prices__live": Case(
        path="/market-data/prices",
        body={"connector_name": "paper", "trading_pairs": ["BTC-USDT", "ETH-USDT"]},
        maps=("$.prices",),
    ),
    "get_prices__unknown_connector": Case(
        path="/market-data/prices",
        body={"connector_name": "nope", "trading_pairs": ["BTC-USDT"]},
        status=404,
        words="Connector 'nope' not found",
    ),
    "get_quote_volume_for_price__live": Case(
        path=f"{_BOOK}/quote-volume-for-price", body={**_PAIR, "price": 10**6, "is_buy": True}, status=200
    ),
    "get_volume_for_price__live": Case(
        path=f"{_BOOK}/volume-for-price", body={**_PAIR, "price": 10**6, "is_buy": True}
    ),
    "get_vwap_for_volume__live": Case(path=f"{_BOOK}/vwap-for-volume", body={**_PAIR, "volume": 1, "is_buy": True}),
    "restart_order_book_tracker__live": Case(path=f"{_BOOK}/restart/paper?account_name=master_account"),
    "restart_order_book_tracker": Case(path=f"{_BOOK}/restart/kraken"),
    "remove_trading_pair__live": Case(path="/market-data/trading-pair/remove", body=_OTHER),
    "remove_trading_pair": Case(path="/market-data/trading-pair/remove", body={**_PAIR, "trading_pair": "ETH-BTC"}),
    "remove_trading_pair__live_not_tracked": Case(path="/market-data/trading-pair/remove", body=_OTHER),
}

_OFFLINE = "the exchange could not be reached"
_NEWER = "newer than the recording: tested with the client that calls it"
MARKET_DATA_ELSEWHERE = {
    "get_rates": _NEWER,
    "get_tickers": _NEWER,
    **dict.fromkeys(
        (
            "add_trading_pair",
            "get_funding_info",
            "get_order_book",
            "get_price_for_quote_volume",
            "get_price_for_volume",
            "get_prices",
            "get_quote_volume_for_price",
            "get_volume_for_price",
            "get_vwap_for_volume",
        ),
        _OFFLINE,
    ),
}
