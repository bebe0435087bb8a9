"""A real market as it is heard: books and trades, streams that break, and pairs that nobody needs any more."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from adapters.exchanges.market_feed import LEVELS, MarketFeed, Patience
from tests.fakes.market import FakeMarket
from tests.fakes.paper_trade import LISTENING, START, made_feeds, trading, until

IMPATIENT = msgspec.structs.replace(LISTENING, quiet=0.005, fresh=0.02)


@pytest.fixture
def market() -> FakeMarket:
    return FakeMarket("BTC-USDT", "ETH-USDT")


async def test_a_trade_is_counted_once_and_only_with_the_side_that_took(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market) as bench:
        await bench.place(amount="3", price="100")
        bench.trade(99, 0.5, id="7")
        bench.trade(99, 0.5, id="7")
        bench.trade(99, 0.5, side=None)
        bench.trade(99, 0.5, side="buy")
        bench.trade(99, 0.25, timestamp=int(START.timestamp() * 1000))
        bench.trade(99, 0.125, timestamp=None)
        await until(lambda: len(bench.fills()) == 2)
        assert [amount for amount, _ in bench.fills()] == [Decimal("0.5"), Decimal("0.125")]


async def test_amounts_of_contracts_become_base():
    market = FakeMarket("BTC-USDT", sizes={"BTC-USDT": "0.01"})
    market.book([[99, 100]], [[101, 50]])
    async with trading(market, perpetual=True) as bench:
        await bench.place(amount="0.75")
        assert bench.fills() == [(Decimal("0.5"), 101)]
        await bench.place("b", amount="3", price="100")
        bench.trade(99, 25)
        await until(lambda: bench.fills("b"))
        assert bench.fills("b") == [(Decimal("0.25"), 100)]


async def test_a_stream_that_is_silent_is_not_believed(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market, listening=IMPATIENT) as bench:
        await bench.place(price="100")
        await until(lambda: ("fetch_order_book", "BTC/USDT") in market.asked)
        assert bench.fills() == []
        market.books["BTC/USDT"] = {"bids": [], "asks": [[100, 0.5]]}
        await until(bench.fills)
        market.reachable = False
        await until(lambda: not bench.is_fresh())


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([[101, 1]], [[101, 1]]), ([], []), ([[None, 1]], []), ([["x", 1]], []), ([[1]], []), ([["nan", 1]], [])],
    ids=["crossed", "empty", "no price", "no number", "no amount", "nan"],
)
async def test_a_book_that_cannot_be_is_none(market, bids, asks):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market, listening=IMPATIENT) as bench:
        await bench.place(price="100")
        market.book(bids, asks)
        await until(lambda: not bench.is_fresh())
        assert bench.fills() == []
        market.book([[99, 1]], [[100, 1]])
        await until(bench.fills)


async def test_a_book_without_its_trades_still_fills(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market) as bench:
        await bench.place(amount="2", price="100")
        market.fail(trades=True)
        market.trade({"id": "1", "price": "?", "amount": 1, "side": "sell", "timestamp": 1})
        market.trade({"id": "2", "price": 99, "amount": 1, "side": "sell", "timestamp": "yesterday"})
        market.book([[99, 1]], [[100, 1]])
        await until(bench.fills)
        bench.trade(99, 1)
        await until(lambda: len(bench.fills()) == 2)


@pytest.mark.parametrize(
    "without", [("watchOrderBook", "watchTrades"), ("watchOrderBook", "watchTrades", "fetchTrades")]
)
async def test_a_venue_without_streams_is_asked_again_and_again(without):
    market = FakeMarket("BTC-USDT", without=without)
    market.books["BTC/USDT"] = {"bids": [[99, 1]], "asks": [[101, 1]]}
    async with trading(market) as bench:
        await bench.place(amount="2", price="100")
        bench.now += timedelta(seconds=1)
        sold = {"id": "1", "price": 99, "amount": 1, "side": "sell", "timestamp": int(bench.now.timestamp() * 1000)}
        market.trades["BTC/USDT"] = [sold]
        if "fetchTrades" not in without:
            await until(bench.fills)
        market.books["BTC/USDT"] = {"bids": [[99, 1]], "asks": [[100, 5]]}
        await until(lambda: sum(amount for amount, _ in bench.fills()) == 2)


async def test_of_a_deep_book_the_best_levels_count(market):
    market.book([[99, 1]], [[100 + level / 100, 0.01] for level in range(LEVELS + 100)])
    async with trading(market) as bench:
        await bench.place(amount="50")
        assert len(bench.fills()) == LEVELS


async def test_nothing_is_asked_while_nobody_needs_it_and_what_is_not_needed_any_more_is_left(market):
    market.book([[99, 9]], [[101, 9]])
    market.book([[99, 9]], [[101, 9]], symbol="ETH/USDT")
    async with trading(market) as bench:
        assert (market.asked, bench.feeds.states(), bench.followed()) == ([], [], set())
        await bench.place(price="50")
        await bench.place("b", pair="ETH-USDT")
        assert bench.followed() == {"BTC-USDT", "ETH-USDT"}
        bench.now += timedelta(seconds=61)
        await until(lambda: bench.followed() == {"BTC-USDT"})
        await until(lambda: ("un_watch_trades", "ETH/USDT") in market.asked)
        assert {state.trading_pair for state in bench.feeds.states()} == {"BTC-USDT"}
        await bench.exchange.cancel("main", "a", "BTC-USDT")
        await until(lambda: not bench.feeds.states())
        assert bench.followed() == set()
        market.book([[99, 9]], [[103, 9]])
        await bench.place("c")
        await until(lambda: bench.fills("c") == [(1, 103)])


async def test_who_reads_the_book_already_shares_it_with_paper_trade(market):
    market.book([[99, 9]], [[101, 9]])
    async with trading(market) as bench, bench.feeds.books("binance", "BTC-USDT") as reading:
        book = (await reading.next()).value
        await bench.place()
        assert bench.fills() == [(1, 101)]
        assert [(s.kind, s.readers) for s in bench.feeds.states() if s.kind == "order_book"] == [("order_book", 2)]
        assert (await bench.feeds.book("binance", "BTC-USDT")).value is book


async def test_a_feed_that_somebody_ends_is_begun_again(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market) as bench:
        await bench.place(price="100")
        assert await bench.feeds.end("binance", "BTC-USDT")
        await until(lambda: not bench.is_fresh())
        market.book([[99, 1]], [[100, 1]])
        await until(bench.fills)


async def test_a_stream_that_cannot_be_ended_is_left_all_the_same():
    market = FakeMarket("BTC-USDT", "ETH-USDT", without=("unWatchTrades",))
    market.book([[99, 9]], [[101, 9]])
    market.book([[99, 9]], [[101, 9]], symbol="ETH/USDT")
    async with trading(market) as bench:
        await bench.place(price="50")
        await bench.place("b", pair="ETH-USDT")
        market.reachable = False
        bench.now += timedelta(seconds=61)
        await until(lambda: ("un_watch_order_book", "ETH/USDT") in market.asked)
        assert bench.followed() == {"BTC-USDT"}
        market.reachable = True
        market.book([[99, 9]], [[102, 9]], symbol="ETH/USDT")
        await bench.place("c", pair="ETH-USDT")
        assert bench.fills("c") == [(1, 102)]


async def test_a_pair_may_be_left_before_the_feed_runs(market):
    async def no_rules():
        return {}

    feeds = made_feeds(market, clock=lambda: START)
    feed = MarketFeed("binance", feeds, no_rules, clock=lambda: START, patience=Patience(linger=0))
    feed.follow("BTC-USDT")
    await feed.keep({"BTC-USDT"})
    assert set(feed.followed) == {"BTC-USDT"}
    await feed.keep(set())
    assert (set(feed.followed), market.opened) == (set(), 0)
    said = [news for step in feed.steps(None, START) for news in step.values()]
    assert [type(news).__name__ for news in said] == ["Away", "Away"]
