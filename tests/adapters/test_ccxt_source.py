"""What ccxt says of a market becomes ours: exact, in base, and refused where it cannot be."""

from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from adapters.exchanges.names import connector
from adapters.market_data import public_clients
from adapters.market_data.ccxt_source import REMEMBERED, CcxtSource
from adapters.market_data.sources import Patience
from domain.errors import Invalid, NotFound, Unavailable
from domain.market_data import NoTicker, readable
from domain.values import Side
from tests.fakes.market import FakeMarket, FakeMarkets

D = Decimal
PAIR = "BTC-USDT"
QUICK = Patience(quiet=0.01, pause=0, poll=0.001, leave=0.05)


def source(market: FakeMarket, name: str = "binance") -> CcxtSource:
    return CcxtSource(connector(name), market.side(name), clock=lambda: datetime.now(UTC), patience=QUICK)


async def first_book(market: FakeMarket, name: str = "binance"):
    async with aclosing(source(market, name).books(PAIR)) as books:
        return (await anext(books))()


async def test_numbers_are_those_that_the_venue_wrote():
    market = FakeMarket(PAIR)
    market.book([[0.1 + 0.2, 1e-8], [0.3, 5]], [[58249.99, 0.00042]])
    book = await first_book(market)
    assert book.bids == ((D("0.30000000000000004"), D("1e-8")), (D("0.3"), D(5)))
    assert book.asks[0] == (D("58249.99"), D("0.00042"))
    assert (book.bids[:1], len(book.asks), book.mid) == (((D("0.30000000000000004"), D("1e-8")),), 1, book.mid)


async def test_amounts_of_contracts_become_base():
    market = FakeMarket(PAIR, sizes={PAIR: "0.01"})
    market.book([[99, 100]], [[101, 50]])
    book = await first_book(market, "okx_perpetual")
    assert (book.bids, book.asks) == (((D(99), D(1)),), ((D(101), D("0.5")),))


async def test_orders_at_one_price_are_one_level_and_order_is_made_where_there_is_none():
    market = FakeMarket(PAIR)
    market.book([[99, 1], [99, 2], [98, 1], [98.5, 1]], [[103, 1], [101, 1], [102, 0]])
    book = await first_book(market)
    assert book.bids == ((D(99), D(3)), (D("98.5"), D(1)), (D(98), D(1)))
    assert book.asks == ((D(101), D(1)), (D(103), D(1)))


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([[99, None]], []),
        ([["x", 1]], []),
        ([[99]], []),
        ([[99, float("nan")]], []),
        ([[99, 1], [float("inf"), 1]], []),
        ([[-1, 1]], []),
        ([[99, -1]], []),
        ([[99, 1], [98, 1], [102, 1]], [[101, 1]]),
    ],
    ids=["no amount", "no number", "no level", "nan", "inf", "negative price", "negative amount", "crossed inside"],
)
async def test_what_is_no_book_is_refused_when_it_is_looked_at(bids, asks):
    market = FakeMarket(PAIR)
    market.book(bids, asks)
    with pytest.raises(Unavailable, match=r"its (order book|best bid)"):
        await first_book(market)


async def test_a_book_that_stays_crossed_is_left_and_asked_for_anew():
    market = FakeMarket(PAIR)
    market.book([[101, 1]], [[101, 1]])
    with pytest.raises(Unavailable, match=r"its best prices cross for more than 0\.01 s"):
        await first_book(market)
    assert ("un_watch_order_book", "BTC/USDT") in market.asked


async def test_a_book_without_sides_is_refused():
    market = FakeMarket(PAIR)
    market._stream("watch_order_book", "BTC/USDT").put_nowait({"bids": []})
    with pytest.raises(Unavailable, match="its order book cannot be read"):
        await first_book(market)


async def test_a_stream_that_is_silent_is_asked_for_and_one_that_there_is_not_is_polled():
    for without in ((), ("watchOrderBook",)):
        market = FakeMarket(PAIR, without=without)
        market.books["BTC/USDT"] = {"bids": [[99, 1]], "asks": []}
        async with aclosing(source(market).books(PAIR)) as books:
            for _ in range(3):
                assert (await anext(books))().bids == ((D(99), D(1)),)
        assert market.asked.count(("fetch_order_book", "BTC/USDT")) == 3
        assert (("un_watch_order_book", "BTC/USDT") in market.asked) == (not without)


async def test_a_stream_that_broke_is_not_left_as_well():
    market = FakeMarket(PAIR)
    market.fail()
    with pytest.raises(Unavailable, match="the connection broke"):
        await first_book(market)
    assert market.asked == []


async def test_each_trade_is_told_once():
    market = FakeMarket(PAIR, sizes={PAIR: "0.1"})
    raw = {"id": "7", "timestamp": 1_700_000_000_500, "price": 99.5, "amount": 3, "side": "sell"}
    market.trade(raw, raw, {**raw, "id": "8", "side": None, "timestamp": None})
    async with aclosing(source(market).trades(PAIR)) as trades:
        told, second = await anext(trades)
    assert (told.trade_id, told.price, told.amount, told.side) == ("7", D("99.5"), D("0.3"), Side.SELL)
    assert told.traded_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)
    assert (second.trade_id, second.side) == ("8", None)


async def test_old_trades_are_forgotten_for_new_ones():
    market = FakeMarket(PAIR)
    raw = {"timestamp": 1_700_000_000_000, "price": 99, "amount": 1, "side": "buy"}
    market.trade(*({**raw, "id": str(number)} for number in range(REMEMBERED + 1)))
    market.trade({**raw, "id": "2"}, {**raw, "id": "0"}, {**raw, "id": "last"})
    async with aclosing(source(market).trades(PAIR)) as trades:
        assert len(await anext(trades)) == REMEMBERED + 1
        assert [trade.trade_id for trade in await anext(trades)] == ["0", "last"]


async def test_trades_that_are_asked_for_begin_with_the_first_new_one():
    market = FakeMarket(PAIR, without=("watchTrades",))
    raw = {"id": "1", "timestamp": 1_700_000_000_000, "price": 99, "amount": 1, "side": "buy"}
    market.trades["BTC/USDT"] = [raw]
    async with aclosing(source(market).trades(PAIR)) as trades:
        assert await anext(trades) == []
        assert await anext(trades) == []
        market.trades["BTC/USDT"] = [raw, {**raw, "id": "2"}]
        assert [trade.trade_id for trade in await anext(trades)] == ["2"]


async def test_a_pair_that_is_not_traded_is_not_found():
    with pytest.raises(NotFound, match="Trading pair 'NOPE-USDT' not found on binance"):
        await source(FakeMarket(PAIR)).check("NOPE-USDT")


async def test_a_pair_that_is_new_is_found_when_the_markets_are_old(monkeypatch):
    market = FakeMarket(PAIR)
    heard = source(market)
    await heard.check(PAIR)
    market.markets = FakeMarkets(PAIR, "NEW-USDT")
    with pytest.raises(NotFound):
        await heard.check("NEW-USDT")
    monkeypatch.setattr(public_clients, "MARKETS_SECONDS", -1)
    await heard.check("NEW-USDT")
    with pytest.raises(NotFound):
        await heard.check("NOPE-USDT")


async def test_a_venue_that_tells_no_tickers_at_once_says_so():
    market = FakeMarket(PAIR, "ETH-USDT", without=("fetchTickers",))
    market.books |= {
        "BTC/USDT": {"last": 100.5, "baseVolume": 3, "quoteVolume": None, "timestamp": 1_700_000_000_000},
        "ETH/USDT": {"last": None, "bid": None, "ask": 9},
    }
    heard = source(market)
    tickers = readable(await heard.tickers([PAIR, "ETH-USDT"]))
    assert tickers.keys() == {PAIR}
    assert (tickers[PAIR].price, tickers[PAIR].base_volume, tickers[PAIR].quote_volume) == (D("100.5"), 3, None)
    with pytest.raises(Invalid, match="does not tell the prices of all pairs at once"):
        await heard.tickers(None)
    market = FakeMarket(*(f"T{n}-USDT" for n in range(21)), without=("fetchTickers",))
    with pytest.raises(Invalid, match="at most 20 pairs"):
        await source(market).tickers([f"T{n}-USDT" for n in range(21)])


async def test_a_ticker_that_cannot_be_read_is_left_out_of_all_and_told_of_a_pair_that_was_asked_for():
    market = FakeMarket(PAIR, "ETH-USDT", "SOL-USDT", "OLD-USDT")
    good = {"last": 100.5, "timestamp": 1_700_000_000_000}
    told = {
        "BTC/USDT": good,
        "ETH/USDT": {**good, "last": "?"},
        "SOL/USDT": [1],
        "OLD/USDT": {"last": None},
        "X/USDT": good,
    }
    heard = source(market)
    market.tickers = told
    with capture_logs() as logs:
        tickers = await heard.tickers(None)
    assert readable(tickers).keys() == {PAIR}
    assert tickers["ETH-USDT"] == NoTicker(why="'?' is not a number")
    assert tickers["SOL-USDT"] == NoTicker(why="what is told of it is no ticker")
    assert "OLD-USDT" not in tickers
    (line,) = logs
    assert (line["event"], line["count"], line["pairs"]) == ("tickers_unreadable", 2, ["ETH-USDT", "SOL-USDT"])
    for odd in ({**good, "timestamp": "now"}, {**good, "baseVolume": "inf"}, {**good, "last": -1}):
        market.tickers = {"BTC/USDT": odd}
        assert readable(await heard.tickers([PAIR])) == {}


async def test_of_pairs_that_are_asked_for_one_by_one_the_refused_ones_are_told():
    market = FakeMarket(PAIR, "ETH-USDT", without=("fetchTickers",))
    market.books = {"BTC/USDT": {"last": 100.5}}
    tickers = await source(market).tickers([PAIR, "ETH-USDT"])
    assert tickers["ETH-USDT"] == NoTicker(why="it has no such book")
    assert readable(tickers).keys() == {PAIR}
    with pytest.raises(Unavailable, match="it has no such book"):
        await source(market).tickers(["ETH-USDT"])


async def test_a_venue_that_tells_no_trades_is_asked_for_none():
    market = FakeMarket(PAIR, without=("watchTrades", "fetchTrades"))
    with pytest.raises(Invalid, match="binance does not tell the trades of others"):
        async with aclosing(source(market).trades(PAIR)) as trades:
            await anext(trades)
    assert market.asked == []


async def test_terms_of_funding_are_what_the_venue_says():
    market = FakeMarket(PAIR)
    market.books["BTC/USDT"] = {"fundingRate": 0.0001, "fundingTimestamp": 1_700_000_000_000, "markPrice": 58232.46}
    terms = await source(market, "binance_perpetual").funding(PAIR)
    assert (terms.rate, terms.mark_price, terms.index_price) == (D("0.0001"), D("58232.46"), None)
    assert terms.next_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    market.books["BTC/USDT"] = {"fundingRate": None, "nextFundingTimestamp": "soon"}
    with pytest.raises(Unavailable, match="says a time that is none: 'soon'"):
        await source(market, "binance_perpetual").funding(PAIR)
    with pytest.raises(Invalid, match="does not tell what is paid"):
        await source(FakeMarket(PAIR, without=("fetchFundingRate",))).funding(PAIR)
