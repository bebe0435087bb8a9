"""Feeds: one subscription for all who read the same, its age, its end, and what a venue does to it."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from adapters.market_data.feed import REMEMBERED
from domain.errors import Invalid, NotFound, Unavailable
from domain.market_data import MarketTrade, readable
from domain.values import Side
from tests.fakes.feeds import QUICK, ToldSource, book, running_feeds
from tests.fakes.paper_trade import until

PAIR = "BTC-USDT"
KEY = ("order_book", PAIR)
PATIENT = msgspec.structs.replace(QUICK, fresh=5)


def trade(number: int) -> MarketTrade:
    return MarketTrade(
        trade_id=str(number),
        price=Decimal(100),
        amount=Decimal(number),
        side=Side.BUY,
        traded_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def source() -> ToldSource:
    return ToldSource(PAIR, "ETH-USDT")


async def test_all_readers_share_one_subscription_and_one_book(source):
    async with running_feeds(lambda _: source) as feeds, AsyncExitStack() as stack:
        source.say(PAIR, book(99, 101))
        shown = [await feeds.book("binance", PAIR) for _ in range(3)]
        readings = [await stack.enter_async_context(feeds.books("binance", PAIR)) for _ in range(5)]
        shown += [await reading.next() for reading in readings]
        assert {id(one.value) for one in shown} == {id(shown[0].value)}
        assert source.begun == {KEY: 1}
        (state,) = feeds.states()
        assert (state.readers, state.stale, state.heard) == (5, False, 1)


async def test_paper_trade_reads_the_real_market_s_feed(source):
    async with running_feeds(lambda _: source) as feeds:
        source.say(PAIR, book(99, 101))
        shown = await feeds.book("binance_paper_trade", PAIR)
        assert shown.value == (await feeds.book("binance", PAIR)).value
        assert source.begun == {KEY: 1}
        assert (feeds.market_of("binance_paper_trade"), feeds.market_of("paper")) == ("binance", "paper")


async def test_a_reader_that_does_not_look_is_shown_the_newest_and_told_what_it_missed(source):
    async with running_feeds(lambda _: source) as feeds, feeds.books("binance", PAIR) as reading:
        source.say(PAIR, book(99, 101))
        assert (await reading.next()).missed == 0
        for n in range(4):
            source.say(PAIR, book(50 + n, 101))
        await until(lambda: feeds.states()[0].heard == 5)
        shown = await reading.next()
        assert (shown.value, shown.missed) == (book(53, 101), 3)


async def test_a_book_is_waited_for_and_then_its_absence_is_told(source):
    async with running_feeds(lambda _: source) as feeds:
        asking = asyncio.create_task(feeds.book("binance", PAIR))
        await until(lambda: source.subscribed.get(KEY))
        source.say(PAIR, book(99, 101))
        assert (await asking).value == book(99, 101)
        with pytest.raises(Unavailable) as refused:
            await feeds.book("binance", "ETH-USDT", wait_seconds=0.01)
        assert refused.value.message == (
            "The order book of ETH-USDT on binance has not come within 0.01 s: nothing has come yet"
        )


async def test_what_is_not_there_is_not_found(source):
    async with running_feeds(lambda _: source) as feeds:
        with pytest.raises(NotFound, match="'NOPE-USDT' not found"):
            await feeds.book("binance", "NOPE-USDT")
        with pytest.raises(NotFound, match="'nope'"):
            await feeds.book("nope", PAIR)
        with pytest.raises(NotFound, match="'nope'"):
            await feeds.restart("nope")
        assert feeds.states() == []
        assert await feeds.end("binance", PAIR) is False


async def test_a_stream_that_breaks_makes_its_book_stale_until_it_is_back(source):
    async with running_feeds(lambda _: source) as feeds, feeds.books("binance", PAIR) as reading:
        source.say(PAIR, book(99, 101))
        assert not (await reading.next()).stale
        source.reachable = False
        source.say(PAIR, Unavailable("the connection broke"))
        shown = await reading.next()
        assert (shown.value, shown.stale, shown.why) == (book(99, 101), True, "the connection broke")
        with pytest.raises(
            Unavailable, match=r"The order book of BTC-USDT on binance is stale: 0\.\d s old: the venue"
        ):
            await feeds.book("binance", PAIR, wait_seconds=0.02)
        glance = feeds.glance("binance", PAIR)
        assert glance is not None
        assert glance.stale
        source.reachable = True
        source.say(PAIR, book(98, 101))
        assert (await feeds.book("binance", PAIR)).value == book(98, 101)
        assert feeds.states()[0].began == 2


async def test_a_book_that_is_silent_for_too_long_is_stale_and_its_readers_are_told(source):
    async with running_feeds(lambda _: source) as feeds, feeds.books("binance", PAIR) as reading:
        source.say(PAIR, book(99, 101))
        await reading.next()
        shown = await reading.next()
        assert shown.stale
        assert shown.age_seconds >= QUICK.fresh
        assert shown.why.startswith("nothing was heard for 0.2 s")


@pytest.mark.parametrize("fault", [Unavailable("garbage"), KeyError("bids")], ids=["refused", "unforeseen"])
async def test_what_one_pair_is_sent_disturbs_no_other(source, fault):
    async with running_feeds(lambda _: source, patience=PATIENT) as feeds:
        source.say(PAIR, book(99, 101))
        source.say("ETH-USDT", book(9, 10))
        await feeds.book("binance", PAIR)
        other = await feeds.book("binance", "ETH-USDT")
        source.say(PAIR, fault)
        await until(lambda: source.begun[KEY] == 2)
        assert (await feeds.book("binance", "ETH-USDT")).value is other.value
        source.say(PAIR, book(97, 101))
        assert (await feeds.book("binance", PAIR)).value == book(97, 101)


async def test_news_that_is_no_book_when_it_is_looked_at_begins_the_feed_anew(source):
    def garbage():
        raise Unavailable("its order book cannot be read")

    async with running_feeds(lambda _: source) as feeds, feeds.books("binance", PAIR) as reading:
        source.say(PAIR, book(99, 101))
        await reading.next()
        source.say(PAIR, garbage)
        shown = await reading.next()
        assert (shown.value, shown.stale, shown.why) == (book(99, 101), True, "its order book cannot be read")
        source.say(PAIR, book(98, 101))
        assert (await reading.next()).value == book(98, 101)
        assert (source.begun[KEY], source.subscribed[KEY], feeds.states()[0].unreadable) == (2, 1, 1)


async def test_a_feed_ends_when_nobody_has_read_it_for_a_while(source):
    async with running_feeds(lambda _: source, timeout_seconds=0.03, cleanup_seconds=0.01) as feeds:
        source.say(PAIR, book(99, 101))
        source.say("ETH-USDT", book(9, 10))
        async with feeds.books("binance", PAIR) as reading:
            await reading.next()
            await feeds.book("binance", "ETH-USDT")
            await until(lambda: len(feeds.states()) == 1)
            assert source.subscribed[KEY] == 1
        await until(lambda: not source.subscribed[KEY])
        assert feeds.states() == []
        source.say(PAIR, book(98, 101))
        assert (await feeds.book("binance", PAIR)).value == book(98, 101)


async def test_readers_of_a_feed_that_is_ended_are_told(source):
    async with running_feeds(lambda _: source) as feeds, feeds.books("binance", PAIR) as reading:
        source.say(PAIR, book(99, 101))
        await reading.next()
        waiting = asyncio.create_task(reading.next())
        asked = asyncio.create_task(feeds.book("binance", "ETH-USDT"))
        await until(lambda: len(feeds.states()) == 2)
        assert await feeds.end("binance", PAIR)
        assert await feeds.end("binance", "ETH-USDT")
        for told in (waiting, asked):
            with pytest.raises(Unavailable, match="it was asked to"):
                await told
        assert source.subscribed[KEY] == 0


async def test_a_restart_leaves_the_subscription_before_it_begins_a_new_one(source):
    async with running_feeds(lambda _: source) as feeds:
        source.say(PAIR, book(99, 101))
        await feeds.book("binance", PAIR)
        assert await feeds.restart("binance") == [PAIR]
        assert feeds.states()[0].stale
        source.say(PAIR, book(98, 101))
        assert (await feeds.book("binance", PAIR)).value == book(98, 101)
        assert (source.begun[KEY], source.subscribed[KEY]) == (2, 1)
        assert await feeds.restart("okx") == []


async def test_there_are_no_more_feeds_than_the_server_keeps(source):
    async with running_feeds(lambda _: source, most=1) as feeds:
        source.say(PAIR, book(99, 101))
        await feeds.book("binance", PAIR)
        with pytest.raises(Unavailable, match="1 market data feeds are running, as many as this server keeps"):
            await feeds.book("binance", "ETH-USDT")
        assert await feeds.end("binance", PAIR)
        source.say("ETH-USDT", book(9, 10))
        await feeds.book("binance", "ETH-USDT")


async def test_trades_are_read_from_now_on_each_once(source):
    async with running_feeds(lambda _: source) as feeds, AsyncExitStack() as stack:
        early = await stack.enter_async_context(feeds.trades("binance", PAIR))
        source.say_trades(PAIR, [trade(1), trade(2)])
        assert [one.trade_id for one in (await early.next()).value] == ["1", "2"]
        late = await stack.enter_async_context(feeds.trades("binance", PAIR))
        source.say_trades(PAIR, [trade(3)])
        source.say_trades(PAIR, [trade(4)])
        await until(lambda: feeds.states()[0].heard == 4)
        for reading in (early, late):
            assert [one.trade_id for one in (await reading.next()).value] == ["3", "4"]
        source.say_trades(PAIR, [trade(n) for n in range(5, 5 + REMEMBERED + 7)])
        shown = await early.next()
        assert (len(shown.value), shown.missed, shown.value[-1].trade_id) == (REMEMBERED, 7, str(REMEMBERED + 11))
        source.say_trades(PAIR, Unavailable("the connection broke"))
        shown = await early.next()
        assert (shown.value, shown.stale) == ((), True)


async def test_a_question_is_asked_once_for_all_who_ask_it_and_again_when_it_is_old(source):
    async with running_feeds(lambda _: source) as feeds:
        source.answering.clear()
        asking = [asyncio.create_task(feeds.tickers("binance", [PAIR])) for _ in range(5)]
        await until(lambda: source.asked)
        source.answering.set()
        assert {readable((await one).value)[PAIR].price for one in asking} == {100}
        assert source.asked == [[PAIR]]
        source.price = Decimal(101)
        assert readable((await feeds.tickers("binance", [PAIR])).value)[PAIR].price == 100
        fresh = await feeds.tickers("binance", [PAIR, "ETH-USDT"], max_age_seconds=0)
        assert {ticker.price for ticker in readable(fresh.value).values()} == {101}
        assert feeds.collected() == {}
        assert set((await feeds.tickers("binance")).value) == {PAIR, "ETH-USDT"}
        assert set(feeds.collected()) == {"binance"}
        asked = len(source.asked)
        await feeds.tickers("binance", max_age_seconds=60)
        await feeds.tickers("binance", ["ETH-USDT"], max_age_seconds=60)
        assert len(source.asked) == asked
        with pytest.raises(NotFound):
            await feeds.tickers("binance", ["NOPE-USDT"])


async def test_who_waits_for_a_question_that_fails_fails_with_it(source):
    async with running_feeds(lambda _: source) as feeds:
        source.answering.clear()
        source.reachable = True
        asking = [asyncio.create_task(feeds.tickers("binance", [PAIR])) for _ in range(5)]
        await until(lambda: source.asked)
        source.reachable = False
        source.answering.set()
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert {str(one) for one in told} == {"the venue does not answer"}
        assert source.asked == [[PAIR]]
        source.reachable = True
        assert set((await feeds.tickers("binance", [PAIR])).value) == {PAIR}


async def test_a_venue_that_tells_no_book_again_and_again_is_asked_less_and_less(source):
    def unreadable():
        source.say(PAIR, unreadable)
        raise Unavailable("its order book cannot be read")

    slow = msgspec.structs.replace(QUICK, first=0.3, retry=0.05, longest_retry=10)
    async with running_feeds(lambda _: source, patience=slow) as feeds:
        source.say(PAIR, unreadable)
        with pytest.raises(Unavailable, match="cannot be read"):
            await feeds.book("binance", PAIR)
        assert source.begun[KEY] <= 4  # at once, then 0.05 s, 0.1 s and 0.2 s after that


async def test_two_restarts_in_a_row_leave_the_first_subscription_before_they_begin(source):
    async with running_feeds(lambda _: source) as feeds:
        source.say(PAIR, book(99, 101))
        await feeds.book("binance", PAIR)
        left = source.leaving = asyncio.Event()
        await feeds.restart("binance")
        await asyncio.sleep(0)
        await feeds.restart("binance")
        await feeds.restart("binance")
        source.say(PAIR, book(98, 102))
        await until(lambda: source.is_leaving)
        for _ in range(20):  # rounds of the loop, in which a subscription that does not wait would begin
            await asyncio.sleep(0)
        begun = dict(source.begun)
        left.set()
        assert begun == {KEY: 1}
        assert (await feeds.book("binance", PAIR)).value == book(98, 102)
        assert source.most == 1


async def test_a_feed_is_not_begun_anew_while_its_subscription_is_being_left(source):
    async with running_feeds(lambda _: source) as feeds:
        source.say(PAIR, book(99, 101))
        await feeds.book("binance", PAIR)
        left = source.leaving = asyncio.Event()
        ending = asyncio.create_task(feeds.end("binance", PAIR))
        await until(lambda: source.is_leaving)
        asking = asyncio.create_task(feeds.book("binance", PAIR))
        for _ in range(20):  # rounds of the loop, in which one that does not wait would begin
            await asyncio.sleep(0)
        assert (source.begun, feeds.states()) == ({KEY: 1}, [])
        left.set()
        assert await ending
        source.say(PAIR, book(98, 102))
        assert (await asking).value == book(98, 102)
        assert (source.begun, source.most) == ({KEY: 2}, 1)


async def test_funding_is_a_perpetual_s(source):
    async with running_feeds(lambda _: source) as feeds:
        assert (await feeds.funding("binance_perpetual", PAIR)).value.rate == Decimal("0.0001")
        await feeds.funding("binance_perpetual", PAIR)
        assert source.asked == [PAIR]
        source.perpetual = False
        with pytest.raises(Invalid, match="only available for perpetual"):
            await feeds.funding("binance_perpetual", PAIR)


async def test_feeds_that_do_not_run_are_unavailable(source):
    async with running_feeds(lambda _: source) as feeds:
        pass
    with pytest.raises(Unavailable, match="not running"):
        await feeds.book("binance", PAIR)
