"""Conversations over WebSockets: what is asked, what is told, and how often."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from domain.errors import Unavailable
from domain.market_data import MarketTrade
from domain.values import Side
from read_api.sockets.conversation import MOST_SUBSCRIPTIONS
from read_api.sockets.market_data import Newest
from tests.fakes.feeds import book, now
from tests.read_api.sockets import BOOK, CANDLES, TERMS, TRADES, serving


@pytest.fixture
async def world():
    async with serving() as started:
        yield started


REFUSED: tuple[tuple[dict[str, object], str], ...] = (
    ({"action": "nope"}, "Unknown action: nope. Valid actions: subscribe, unsubscribe, ping"),
    ({"action": "x" * 1000}, f"Unknown action: {'x' * 64}. Valid actions: subscribe, unsubscribe, ping"),
    ({"action": {}}, "Unknown action: {}. Valid actions: subscribe, unsubscribe, ping"),
    ({"action": "unsubscribe"}, "unsubscribe requires 'subscription_id'"),
    ({"action": "unsubscribe", "subscription_id": "x"}, "Subscription not found: x"),
    ({"action": "unsubscribe", "subscription_id": ["x"]}, "Subscription not found: ['x']"),
    ({"action": "subscribe"}, "Invalid subscription type: None"),
    ({"action": "subscribe", "type": "nope"}, "Invalid subscription type: nope"),
    ({"action": "subscribe", "type": "candles"}, "connector and trading_pair are required"),
    ({**BOOK, "connector": "nope"}, "nope"),
    ({**BOOK, "trading_pair": "NO-PAIR"}, "NO-PAIR"),
    ({**BOOK, "connector": 7}, "connector: "),
    ({**BOOK, "connector": "../x"}, "connector: "),
    ({**BOOK, "depth": 0}, "depth: "),
    ({**BOOK, "depth": 1001}, "depth: "),
    ({**BOOK, "depth": "many", "update_interval": []}, "update_interval: "),
    ({**CANDLES, "interval": "7m"}, "interval: "),
    ({**CANDLES, "max_records": 1_000_000}, "max_records: "),
    ({**CANDLES, "trading_pair": "NO-PAIR"}, "Unknown pair NO-PAIR"),
)
GARBAGE = ("", "{", "[]", "1", '"ping"', "[" * 5000, b"\xed\xa0\x80", b"\x00")


async def test_what_cannot_be_is_refused_in_words_and_the_conversation_goes_on(world):
    async with world.listener() as client:
        for said, problem in REFUSED:
            refusal = await client.ask(**said)
            assert refusal["type"] == "error", said
            assert problem in refusal["message"], said
        assert (await client.ask(action="ping")).keys() == {"type", "timestamp"}


async def test_garbage_is_refused_in_words_and_the_conversation_goes_on(world):
    async with world.listener() as client:
        for garbage in GARBAGE:
            send = client.socket.send_bytes if isinstance(garbage, bytes) else client.socket.send_str
            await send(garbage)
            refusal = await client.hear()
            assert refusal["type"] == "error", garbage
            assert "JSON object" in refusal["message"], garbage
        assert (await client.ask(action="ping"))["type"] == "pong"


async def test_a_book_is_told_when_it_changes_and_no_oftener_than_wished(world):
    async with world.listener() as client:
        begun = await client.ask(**{**BOOK, "depth": 1, "update_interval": 0.05})
        assert begun == {
            "type": "subscribed",
            "subscription_id": "order_book_binance_BTC-USDT",
            "update_interval": 0.05,
        }
        world.source.say("BTC-USDT", book(1, 2))
        first = await client.hear()
        assert first["data"] == {"bids": [[1.0, 1.0]], "asks": [[2.0, 1.0]]}
        assert (first["missed"], first["stale"]) == (0, False)
        for bid in range(2, 8):
            world.source.say("BTC-USDT", book(bid, 10))
        newest = await client.hear()
        assert newest["data"]["bids"] == [[7.0, 1.0]]
        assert newest["missed"] == 5
        assert newest["timestamp"] - first["timestamp"] >= 0.045


async def test_an_interval_is_held_to_the_bounds_of_the_settings(world):
    async with world.listener() as client:
        for wished, held in ((0, 0.01), (-1, 0.01), (1e300, 60), (2, 2), ("0.5", 0.5), ("nan", 60)):
            assert (await client.ask(**{**BOOK, "update_interval": wished}))["update_interval"] == held, wished


async def test_a_book_that_may_have_changed_says_so_and_why(world):
    async with world.listener() as client:
        await client.ask(**BOOK)
        world.source.say("BTC-USDT", book(1, 2))
        assert not (await client.hear())["stale"]
        world.source.reachable = False
        world.source.say("BTC-USDT", Unavailable("the line was cut"))
        told = await client.hear()
        assert told["stale"]
        assert told["data"]["bids"] == [[1.0, 1.0]]
        assert told["why"]
        world.source.reachable = True
        world.source.say("BTC-USDT", book(3, 4))
        while (told := await client.hear())["stale"]:
            pass
        assert told["data"]["bids"] == [[3.0, 1.0]]


async def test_who_listens_to_a_feed_that_ends_is_told_and_may_begin_again(world):
    async with world.listener() as client:
        begun = await client.ask(**BOOK)
        await world.feeds.end("binance", "BTC-USDT")
        ended = await client.hear()
        assert ended["type"] == "error"
        assert ended["subscription_id"] == begun["subscription_id"]
        assert "has ended" in ended["message"]
        assert await client.ask(**BOOK) == begun
        world.source.say("BTC-USDT", book(1, 2))
        assert (await client.hear())["type"] == "order_book"


async def test_nobody_reads_after_unsubscribing_or_leaving(world):
    async with world.listener() as client:
        for wish, kind in ((BOOK, "order_book"), (TRADES, "trades")):
            begun = await client.ask(**wish)
            await world.readers(1, kind)
            left = await client.ask(action="unsubscribe", subscription_id=begun["subscription_id"])
            assert left == {"type": "unsubscribed", "subscription_id": begun["subscription_id"]}
            await world.readers(0, kind)
            again = await client.ask(action="unsubscribe", subscription_id=begun["subscription_id"])
            assert again["type"] == "error"
        await client.ask(**BOOK)
        await world.readers(1)
    await world.readers(0)


async def test_who_subscribes_twice_is_told_once_as_wished_last(world):
    async with world.listener() as client:
        await client.ask(**BOOK)
        again = await client.ask(**{**BOOK, "update_interval": 7})
        assert again["update_interval"] == 7
        await world.readers(1)
        world.source.say("BTC-USDT", book(1, 2))
        assert (await client.hear())["type"] == "order_book"
        assert (await client.ask(action="ping"))["type"] == "pong"


async def test_a_client_has_so_many_subscriptions_and_no_more(world):
    async with world.listener() as client:
        for number in range(MOST_SUBSCRIPTIONS):
            assert (await client.ask(**{**BOOK, "trading_pair": f"A{number}-USDT"}))["type"] == "subscribed"
        refusal = await client.ask(**BOOK)
        assert refusal["type"] == "error"
        assert str(MOST_SUBSCRIPTIONS) in refusal["message"]
        assert (await client.ask(**{**BOOK, "trading_pair": "A7-USDT"}))["type"] == "subscribed"


def trade(number, side=Side.BUY):
    return MarketTrade(trade_id=str(number), price=Decimal(number), amount=Decimal(2), side=side, traded_at=now())


async def test_trades_are_told_all_and_once(world):
    async with world.listener() as client:
        await client.ask(**TRADES)
        world.source.say_trades("BTC-USDT", [trade(1)])
        first = await client.hear()
        world.source.say_trades("BTC-USDT", [trade(2, Side.SELL), trade(3, None)])
        world.source.say_trades("BTC-USDT", [trade(4)])
        told = list(first["data"])
        while len(told) < 4:
            message = await client.hear()
            assert (message["type"], message["missed"]) == ("trades", 0)
            told += message["data"]
        assert [one["price"] for one in told] == [1.0, 2.0, 3.0, 4.0]
        assert [one["side"] for one in told] == ["buy", "sell", None, "buy"]


async def test_trades_that_were_too_many_are_counted(world):
    async with world.listener() as client:
        await client.ask(**{**TRADES, "update_interval": 0.2})
        world.source.say_trades("BTC-USDT", [trade(1)])
        await client.hear()
        world.source.say_trades("BTC-USDT", [trade(number) for number in range(1200)])
        told = await client.hear()
        assert len(told["data"]) + told["missed"] == 1200
        assert told["missed"] > 0


async def test_candles_are_told_whole_then_as_they_change_then_whole_when_one_is_new(world):
    async with world.listener() as client:
        begun = await client.ask(**CANDLES, max_records=2)
        assert world.candles.followed == [("binance", "BTC-USDT", "1m", 2)]
        assert begun["subscription_id"] == "candles_binance_BTC-USDT_1m"
        told = await client.hear()
        assert (told["type"], [one["close"] for one in told["data"]]) == ("candles", [1.0, 2.0])
        world.candles.said[-1] = (120, 2.5)
        told = await client.hear()
        assert (told["type"], told["data"]["close"]) == ("candle_update", 2.5)
        world.candles.said.append((180, 3.0))
        told = await client.hear()
        assert (told["type"], [one["close"] for one in told["data"]]) == ("candles", [2.5, 3.0])


async def test_who_waits_for_candles_of_a_silent_venue_fails_with_the_first():
    asked = []
    late = asyncio.Event()

    class Silent:
        async def latest(self, *series):
            asked.append(series)
            await late.wait()
            raise Unavailable("the venue does not answer")

    newest = Newest(Silent(), ("binance", "BTC-USDT", "1m"), 1, shared_seconds=0.25)  # type: ignore[arg-type]
    asking = [asyncio.create_task(newest()) for _ in range(5)]
    while not asked:
        await asyncio.sleep(0)
    late.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(one) for one in told] == ["the venue does not answer"] * 5
    assert len(asked) == 1


async def test_candles_go_on_when_the_venue_answers_again_and_its_silence_is_told_once(world):
    async with world.listener() as client:
        await client.ask(**CANDLES)
        await client.hear_of("candles")
        world.candles.away = True
        told = await client.hear()
        assert (told["type"], told["message"]) == ("error", "the venue does not answer")
        world.candles.said[-1] = (120, 2.5)
        world.candles.away = False
        assert (await client.hear())["type"] == "candle_update"


async def test_a_client_hears_that_the_server_is_there():
    async with serving(msgspec.structs.replace(TERMS, heartbeat_seconds=0.01)) as world, world.listener() as client:
        assert (await client.hear()).keys() == {"type", "timestamp"}
        assert (await client.hear())["type"] == "heartbeat"


async def test_what_nobody_foresaw_is_written_down_and_ends_its_conversation_alone(world, capsys):
    async with world.listener() as other, world.listener() as client:
        world.candles.broken = True
        await client.say(**CANDLES)
        closed = await client.socket.receive(timeout=20)
        assert (closed.data, closed.extra) == (4500, "Internal Server Error")
        assert (await other.ask(action="ping"))["type"] == "pong"
    written = capsys.readouterr().out
    assert "socket_failed" in written
    assert "/ws/market-data" in written
    assert "nobody foresaw this" in written
