"""Live markets on the wire: what is refused and how, and that one venue's trouble is nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from adapters.asgi import build
from adapters.candles.history import CandleHistory
from adapters.candles.store import CandleStore
from adapters.market_data.feeds import Feeds
from adapters.market_data.sources import Source
from adapters.settings import Settings
from domain.errors import Unavailable
from domain.market_data import NoTicker
from domain.order_books import Book
from read_api.market_data import MarketData
from read_api.order_books import OrderBooks
from tests.fakes.feeds import QUICK, ToldSource, book, now, paper_source, running_feeds
from tests.fakes.paper_trade import until
from tests.http.app import client_of

PAIR = {"connector_name": "binance", "trading_pair": "BTC-USDT"}
BOOK = "/market-data/order-book"
QUESTIONS = {
    "price-for-volume": "volume",
    "vwap-for-volume": "volume",
    "volume-for-price": "price",
    "quote-volume-for-price": "price",
    "price-for-quote-volume": "quote_volume",
}


class Served:
    """The routes over `binance` and `kraken`, whose markets are in the test's hand, and the paper venue."""

    def __init__(self, client: httpx.AsyncClient, feeds: Feeds, sources: dict[str, ToldSource]) -> None:
        self.client = client
        self.feeds = feeds
        self.binance, self.kraken = sources["binance"], sources["kraken"]

    async def ask(self, path: str, body: object = None, status: int = 200) -> Any:
        answer = await (self.client.get(path) if body is None else self.client.post(path, json=body))
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def served(tmp_path) -> AsyncIterator[Served]:
    sources = {name: ToldSource("BTC-USDT", "ETH-USDT") for name in ("binance", "kraken")}

    def source(connector) -> Source:
        return sources.get(connector.name) or paper_source(connector)

    async with running_feeds(source, patience=QUICK) as feeds:
        candles = CandleHistory(CandleStore(tmp_path), {}, listed=[], clock=now)
        live = {"feeds": feeds, "candles": candles, "reads": None, "rate_sources": None}
        app = build([MarketData, OrderBooks], [], live, Settings.from_environment({}))
        async with client_of(app) as client:
            yield Served(client, feeds, sources)


async def test_a_book_says_when_it_was_heard_and_how_old_it_is(served):
    served.binance.say("BTC-USDT", book("99.5", 101, "0.25"))
    answer = await served.ask(BOOK, {**PAIR, "depth": 5})
    assert answer.pop("timestamp") > 1_700_000_000
    assert 0 <= answer.pop("age_seconds") < QUICK.fresh
    assert answer == {
        "trading_pair": "BTC-USDT",
        "bids": [{"price": 99.5, "amount": 0.25}],
        "asks": [{"price": 101, "amount": 0.25}],
        "stale": False,
    }


async def test_a_stale_book_is_not_answered_and_the_refusal_says_its_age(served):
    served.binance.say("BTC-USDT", book(99, 101))
    await served.ask(BOOK, PAIR)
    served.binance.reachable = False
    served.binance.say("BTC-USDT", Unavailable("the connection broke"))
    await until(lambda: served.feeds.states()[0].stale)
    answer = await served.client.post("/market-data/trading-pair/add", json={**PAIR, "timeout": 1})
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The order book of BTC-USDT on binance is stale: 1.")
    (feed,) = (await served.ask("/market-data/active-feeds")).values()
    assert (feed["stale"], feed["age_seconds"] >= 1) == (True, True)
    state = await served.ask(f"{BOOK}/diagnostics/binance")
    assert (state["tracker_ready"], state["websocket_status"]) == (False, "not_connected")
    assert state["order_books"]["BTC-USDT"]["best_bid"] == 99
    assert state["tasks"]["order_book_BTC-USDT"]["exception"] == feed["why"]


@pytest.mark.parametrize("age", ["NaN", "Infinity", "old"])
async def test_an_age_that_is_none_is_malformed(served, age):
    answer = await served.ask(f"/market-data/tickers?connectors=binance&max_age={age}", status=422)
    assert answer["detail"][0]["loc"] == ["query", "max_age"]
    answer = await served.ask("/market-data/tickers?connectors=binance&max_age=-0.5", status=400)
    assert answer["detail"] == "max_age -0.5 is below 0"
    assert served.binance.asked == []


async def test_a_price_that_cannot_be_read_is_told_beside_the_others_and_alone_is_no_answer(served):
    served.binance.no_tickers["ETH-USDT"] = NoTicker(why="'?' is not a number")
    both = {"connector_name": "binance", "trading_pairs": ["BTC-USDT", "ETH-USDT"]}
    answer = await served.ask("/market-data/prices", both)
    assert (answer["prices"], answer["errors"]) == ({"BTC-USDT": 100}, {"ETH-USDT": "'?' is not a number"})
    answer = await served.ask("/market-data/prices", {**both, "trading_pairs": ["ETH-USDT"]}, 503)
    assert answer["detail"] == "binance tells no price of ETH-USDT that can be read: '?' is not a number"
    answer = await served.ask("/market-data/tickers?connectors=binance")
    assert (set(answer["tickers"]["binance"]), answer["counts"], answer["errors"]) == ({"BTC-USDT"}, {"binance": 1}, {})


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("bad", [0, -1, "NaN", "Infinity", "1e400", None, "much"], ids=str)
async def test_an_amount_that_cannot_be_is_malformed(served, question, bad):
    field = QUESTIONS[question]
    answer = await served.ask(f"{BOOK}/{question}", {**PAIR, "is_buy": True, field: bad}, 422)
    assert answer["detail"][0]["loc"] == ["body", field]
    assert served.binance.begun == {}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("is_buy", [True, False])
async def test_an_empty_side_has_no_price_and_no_volume(served, question, is_buy):
    served.binance.say("BTC-USDT", Book(bids=(), asks=()))
    answer = await served.ask(f"{BOOK}/{question}", {**PAIR, "is_buy": is_buy, QUESTIONS[question]: "1.5"})
    assert (answer["result_price"], answer["average_price"], answer["result_volume"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BOOK, {}),
        ("/market-data/prices", {"trading_pairs": ["BTC-USDT"]}),
        ("/market-data/funding-info", {}),
        ("/market-data/trading-pair/add", {}),
        ("/market-data/trading-pair/remove", {}),
        (f"{BOOK}/restart/nope", {}),
        (f"{BOOK}/diagnostics/nope", None),
        ("/market-data/tickers?connectors=paper,nope", None),
    ],
    ids=["book", "prices", "funding", "add", "remove", "restart", "diagnostics", "tickers"],
)
async def test_an_unknown_connector_is_not_found(served, path, body):
    asked = None if body is None else {**PAIR, **body, "connector_name": "nope"}
    assert await served.ask(path, asked, 404) == {"detail": "Connector 'nope' not found"}


@pytest.mark.parametrize("pair", ["NOPE-USDT", "BTCUSDT"])
async def test_an_unknown_pair_is_not_found(served, pair):
    for path in (BOOK, "/market-data/trading-pair/add", "/market-data/funding-info"):
        answer = await served.ask(path, {**PAIR, "trading_pair": pair}, 404)
        assert f"'{pair}' not found" in answer["detail"]
    await served.ask("/market-data/prices", {"connector_name": "paper", "trading_pairs": ["BTC-USDT", pair]}, 404)
    assert served.feeds.states() == []


@pytest.mark.parametrize("depth", [0, 1001, "x"])
async def test_a_depth_out_of_bounds_is_malformed(served, depth):
    answer = await served.ask(BOOK, {**PAIR, "depth": depth}, 422)
    assert answer["detail"][0]["loc"] == ["body", "depth"]


# 6
async def test_a_connector_that_fails_takes_no_other_with_it(served):
    served.kraken.reachable = False
    answer = await served.ask("/market-data/tickers?connectors=binance,kraken&connectors=paper")
    assert answer["counts"] == {"binance": 2, "paper": 4}
    assert answer["errors"] == {"kraken": "the venue does not answer"}
    assert answer["tickers"]["binance"]["BTC-USDT"]["price"] == 100
    assert await served.ask("/market-data/tickers?connectors=kraken", status=503) == {
        "detail": "the venue does not answer"
    }
    assert (await served.ask("/market-data/tickers"))["counts"] == {"binance": 2, "paper": 4}
    asked = len(served.binance.asked)
    await served.ask("/market-data/tickers?connectors=binance")
    assert len(served.binance.asked) == asked
    await served.ask("/market-data/tickers?refresh=true")
    assert len(served.binance.asked) == asked + 1
    many = ",".join(f"c{n}" for n in range(21))
    assert "at most 20" in (await served.ask(f"/market-data/tickers?connectors={many}", status=400))["detail"]


# 29
async def test_a_venue_that_is_waited_for_holds_up_nobody(served):
    served.binance.answering.clear()
    waiting = [
        asyncio.create_task(served.ask(BOOK, PAIR)),
        asyncio.create_task(
            served.ask("/market-data/prices", {"connector_name": "binance", "trading_pairs": ["BTC-USDT"]})
        ),
    ]
    served.kraken.say("BTC-USDT", book(99, 101))
    assert (await served.ask(BOOK, {**PAIR, "connector_name": "kraken"}))["trading_pair"] == "BTC-USDT"
    await served.ask("/market-data/settings")
    assert not any(task.done() for task in waiting)
    served.binance.answering.set()
    served.binance.say("BTC-USDT", book(98, 101))
    shown, prices = await asyncio.gather(*waiting)
    assert (shown["bids"][0]["price"], prices["prices"]) == (98, {"BTC-USDT": 100})


async def test_rates_follow_from_the_tickers_of_a_connector_or_of_all(server):
    by_paper = await server.ask(
        "/market-data/rates", {"trading_pairs": ["BTC-USDT", "SOL-ETH", "X-Y"], "connector": "paper"}
    )
    tickers = (await server.ask("/market-data/tickers"))["tickers"]["paper"]
    assert by_paper["quote_token"] == "USDT"
    assert by_paper["rates"]["BTC-USDT"] == tickers["BTC-USDT"]["price"]
    assert by_paper["rates"]["SOL-ETH"] == pytest.approx(tickers["SOL-USDT"]["price"] / tickers["ETH-USDT"]["price"])
    assert by_paper["rates"]["X-Y"] is None
    pooled = await server.ask("/market-data/rates", {"trading_pairs": ["BTC-USDT"]})
    assert (pooled["connector"], pooled["rates"]["BTC-USDT"]) == (None, tickers["BTC-USDT"]["price"])
    await server.ask("/market-data/rates", {"trading_pairs": ["BTCUSDT"]}, 400)
    await server.ask("/market-data/rates", {"trading_pairs": ["BTC-USDT"], "connector": "nope"}, 404)
