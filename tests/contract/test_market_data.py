"""Live markets, by the published client, unmodified, and what the reference gets wrong about them."""

import pytest

from tests.contract.test_client import connected, methods

pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

CANDLES = {"get_historical_candles", "get_candles_last_days", "get_available_candle_connectors"}
PAIR = ("paper", "BTC-USDT")


async def test_every_method_of_the_client_works(server):
    called = set(CANDLES)

    async with connected(server) as client:
        router = client.market_data

        def calls(name):
            called.add(name)
            return getattr(router, name)

        assert (await calls("add_trading_pair")(*PAIR, timeout=10))["success"] is True
        book = await calls("get_order_book")(*PAIR, depth=3)
        assert (len(book["bids"]), len(book["asks"])) == (3, 3)
        assert book["bids"][0]["price"] < book["asks"][0]["price"]
        assert (book["stale"], book["age_seconds"] < 5) == (False, True)
        assert (await calls("get_price_for_volume")(*PAIR, 1, True))["result_price"] >= book["asks"][0]["price"] * 0.99
        assert (await calls("get_volume_for_price")(*PAIR, 10**6, True))["result_volume"] > 0
        assert (await calls("get_vwap_for_volume")(*PAIR, 1, False))["average_price"] > 0
        assert (await calls("get_price_for_quote_volume")(*PAIR, 1000, True))["result_price"] > 0
        assert (await calls("get_quote_volume_for_price")(*PAIR, 10**6, True))["result_quote_volume"] > 0
        assert set((await calls("get_prices")("paper", ["BTC-USDT", "ETH-BTC"]))["prices"]) == {"BTC-USDT", "ETH-BTC"}
        assert (await calls("get_funding_info")("paper_perpetual", "BTC-USDT"))["funding_rate"] == 0.0001
        tickers = await calls("get_tickers")("paper")
        assert tickers["counts"] == {"paper": len(tickers["tickers"]["paper"])}
        assert set(await router.get_tickers()) == {"tickers", "counts", "updated_at", "age_seconds", "errors"}
        rates = await calls("get_rates")(["BTC-USDT", "USDT-BTC", "BTC-SOL", "X-Y"], connector="paper")
        assert rates["rates"]["BTC-USDT"] == pytest.approx(tickers["tickers"]["paper"]["BTC-USDT"]["price"], rel=0.01)
        assert rates["rates"]["BTC-SOL"] == pytest.approx(
            1 / (await router.get_rates("SOL-BTC"))["rates"]["SOL-BTC"], rel=0.01
        )
        assert rates["rates"]["X-Y"] is None
        await calls("get_candles")(*PAIR, interval="5m", max_records=5)
        live = await calls("get_active_feeds")()
        assert "order_book_paper_BTC-USDT" in live
        candles = live["candles_paper_BTC-USDT_5m"]
        assert candles["config"] == "connector='paper' trading_pair='BTC-USDT' interval='5m' max_records=5"
        assert (candles["feed_type"], candles["stale"], candles["will_expire_in"] > 590) == ("candles", False, True)
        assert (await calls("get_market_data_settings")())["feed_timeout"] == 600
        assert (await calls("get_order_book_diagnostics")("paper"))["tracker_ready"] is True
        assert "BTC-USDT" in (await calls("restart_order_book_tracker")("paper"))["trading_pairs"]
        assert (await calls("remove_trading_pair")(*PAIR))["success"] is True
        assert (await router.remove_trading_pair(*PAIR))["success"] is False
        assert called == methods(router)


# 24
def test_the_two_questions_about_quote_are_answered(api):
    ask = {"connector_name": "paper", "trading_pair": "BTC-USDT", "is_buy": True}
    book = api.post("/market-data/order-book", json={**ask, "depth": 1000}).json()
    price = book["asks"][5]["price"]
    answer = api.post("/market-data/order-book/quote-volume-for-price", json={**ask, "price": price}).json()
    assert answer["result_quote_volume"] > 0
    answer = api.post(
        "/market-data/order-book/price-for-quote-volume", json={**ask, "quote_volume": answer["result_quote_volume"]}
    )
    assert answer.status_code == 200
    assert answer.json()["result_price"] == pytest.approx(price, rel=0.01)
