"""Each lever of the venue, as ccxt's own classes come to feel it."""

import asyncio
import time
from decimal import Decimal

import ccxt.pro as ccxt
import pytest

from tests.venues.ccxt_clients import subscribed
from tests.venues.ledger import Market, Status
from tests.venues.levers import Lever, Levers, Pull

BTC = "BTC/USDT"
SWAP = "BTC/USDT:USDT"


@pytest.fixture
async def trading(spot):
    await spot.load_markets()
    return spot


def place(client, name="n1", symbol=BTC):
    return client.create_order(symbol, "limit", "buy", 0.1, 50000, {"clientOrderId": name})


def known(venue, name="n1", market=Market.SPOT):
    return venue.floor.ledger.find("alice", market, client_id=name)


async def test_a_response_that_is_lost_leaves_the_work_done(trading, venue):
    venue.levers.arm(Pull(lever=Lever.LOSE_RESPONSE, on=frozenset({"place"})))
    with pytest.raises(ccxt.NetworkError):
        await place(trading)
    assert known(venue).status is Status.NEW
    assert venue.floor.ledger.received == {"n1": 1}
    assert venue.levers.pulled == {"lose_response": 1}


async def test_an_answer_may_come_after_the_client_has_given_up(trading, venue):
    venue.levers.arm(Pull(lever=Lever.ANSWER_LATE, on=frozenset({"place"}), seconds=30))
    trading.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        await place(trading)
    assert known(venue).status is Status.NEW


async def test_work_may_be_done_after_the_client_has_given_up(trading, venue):
    venue.levers.arm(Pull(lever=Lever.WORK_LATE, on=frozenset({"place"}), seconds=0.3))
    trading.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        await place(trading)
    assert known(venue) is None
    async with asyncio.timeout(5):
        while known(venue) is None:
            await asyncio.sleep(0.01)


async def test_work_that_lay_about_for_longer_than_its_window_is_refused(trading, venue):
    trading.options["recvWindow"] = 50
    venue.levers.arm(Pull(lever=Lever.WORK_LATE, on=frozenset({"place"}), seconds=0.2))
    with pytest.raises(ccxt.InvalidNonce):
        await place(trading)
    assert known(venue) is None


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(("lever", "done"), [(Lever.FAIL_BEFORE, False), (Lever.FAIL_AFTER, True)])
async def test_a_server_error_does_not_say_whether_the_work_is_done(trading, venue, lever, done, status):
    venue.levers.arm(Pull(lever=lever, on=frozenset({"place"}), status=status))
    with pytest.raises(ccxt.NetworkError):
        await place(trading)
    assert (known(venue) is not None) is done


@pytest.mark.parametrize("status", [418, 429])
async def test_too_many_requests_are_told_to_wait(trading, venue, status):
    venue.levers.arm(Pull(lever=Lever.LIMIT_RATE, on=frozenset({"place"}), status=status, seconds=7))
    with pytest.raises(ccxt.DDoSProtection):
        await place(trading)
    assert trading.last_response_headers["Retry-After"] == "7"
    assert known(venue) is None
    assert not venue.levers.impatient
    await trading.fetch_balance()
    assert venue.levers.impatient == {"alice": 1}


async def test_an_order_is_refused_with_the_codes_that_are_asked_for(trading, venue):
    venue.levers.arm(
        Pull(lever=Lever.REJECT, on=frozenset({"place"}), code=-1013, message="Filter failure: PERCENT_PRICE"), times=2
    )
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeError, match="PERCENT_PRICE"):
            await place(trading)
    assert (await place(trading))["status"] == "open"
    assert venue.floor.ledger.received == {"n1": 3}


async def test_an_order_trades_while_its_cancel_is_under_way(trading, venue):
    for number in range(8):
        venue.levers.arm(Pull(lever=Lever.FILL_UNDER_CANCEL))
        await place(trading, f"n{number}")
        try:
            await trading.cancel_order(None, BTC, {"origClientOrderId": f"n{number}"})
        except ccxt.OrderNotFound:
            assert known(venue, f"n{number}").status is Status.FILLED
        else:
            ended = known(venue, f"n{number}")
            assert (ended.status, ended.filled) == (Status.CANCELED, Decimal("0.05"))
    ends = {known(venue, f"n{number}").status for number in range(8)}
    assert ends == {Status.FILLED, Status.CANCELED}


@pytest.mark.parametrize("skew", [5, -15])
async def test_a_clock_that_is_wrong_refuses_until_the_client_has_set_its_own(trading, venue, skew):
    venue.levers.skew_seconds = -skew
    with pytest.raises(ccxt.InvalidNonce):
        await trading.fetch_balance()
    await trading.load_time_difference()
    trading.options["adjustForTimeDifference"] = True
    assert abs(trading.options["timeDifference"] - skew * 1000) < 1000
    assert (await trading.fetch_balance())["USDT"]["total"] == 100_000


async def test_a_venue_that_is_down_breaks_what_is_open_and_whatever_comes(trading, venue):
    told = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, Market.SPOT)
    venue.levers.go_down()
    with pytest.raises(ccxt.NetworkError):
        await told
    with pytest.raises(ccxt.NetworkError):
        await place(trading)
    with pytest.raises(ccxt.NetworkError):
        await trading.watch_orders()
    assert known(venue) is None
    venue.levers.release()
    again = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, Market.SPOT)
    await place(trading)
    assert [order["clientOrderId"] for order in await again] == ["n1"]


# User streams.


async def test_a_user_stream_breaks(trading, venue):
    told = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, Market.SPOT)
    venue.levers.arm(Pull(lever=Lever.DROP_STREAM))
    await place(trading)
    with pytest.raises(ccxt.NetworkError):
        await told
    again = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, Market.SPOT)
    await place(trading, "n2")
    assert [order["clientOrderId"] for order in await again] == ["n2"]


async def test_a_user_stream_falls_silent_and_never_tells_what_it_missed(trading, venue):
    told = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, Market.SPOT)
    venue.levers.arm(Pull(lever=Lever.SILENCE_STREAM, seconds=0.2))
    begun = time.monotonic()
    await place(trading, "missed")
    async with asyncio.timeout(5):
        while time.monotonic() < begun + 0.25:
            await asyncio.sleep(0.05)
    await place(trading, "told")
    assert [order["clientOrderId"] for order in await told] == ["told"]


async def test_a_message_of_the_user_stream_comes_twice(futures, venue):
    await futures.load_markets()
    heard = hear(futures)
    told = asyncio.create_task(futures.watch_orders())
    await subscribed(venue, Market.SWAP)
    venue.levers.arm(Pull(lever=Lever.REPEAT_MESSAGE))
    await place(futures, symbol=SWAP)
    await told
    async with asyncio.timeout(5):
        while len(heard) < 2:
            await asyncio.sleep(0.01)
    assert heard[0] == heard[1]


async def test_two_messages_of_the_user_stream_change_places(futures, venue):
    await futures.load_markets()
    heard = hear(futures)
    told = asyncio.create_task(futures.watch_orders())
    await subscribed(venue, Market.SWAP)
    venue.levers.arm(Pull(lever=Lever.REORDER_MESSAGES))
    await futures.create_order(SWAP, "market", "buy", 0.1)
    await told
    async with asyncio.timeout(5):
        while len(heard) < 3:
            await asyncio.sleep(0.01)
    kinds = [message.get("o", {}).get("x", message["e"]) for message in heard]
    assert sorted(kinds[:2]) == ["ACCOUNT_UPDATE", "NEW"]
    assert kinds[0] == "NEW"


async def test_a_listen_key_expires_and_nothing_more_is_told_under_it(futures, venue):
    await futures.load_markets()
    heard = hear(futures)
    told = asyncio.create_task(futures.watch_orders())
    await subscribed(venue, Market.SWAP)
    venue.levers.arm(Pull(lever=Lever.EXPIRE_LISTEN_KEY))
    await place(futures, symbol=SWAP)
    async with asyncio.timeout(5):
        while not heard:
            await asyncio.sleep(0.01)
    assert [message["e"] for message in heard] == ["listenKeyExpired"]
    assert venue.floor.desk(Market.SWAP).followed("alice") == 0
    with pytest.raises(ccxt.ExchangeError, match="-1125"):
        await futures.fapiPrivatePutListenKey()
    told.cancel()


def hear(client):
    """Return what the client's streams tell, message by message, as it comes."""
    heard = []
    handle = client.handle_message

    def handle_message(socket, message):
        heard.append(message)
        handle(socket, message)

    client.handle_message = handle_message
    return heard


def test_the_same_seed_pulls_the_same_levers():
    def pulled(seed):
        levers = Levers(seed)
        levers.chance(Pull(lever=Lever.LOSE_RESPONSE), 0.3)
        return [levers.pull(Lever.LOSE_RESPONSE, "place") is not None for _ in range(50)]

    assert pulled(1) == pulled(1) != pulled(2)
    assert 5 < sum(pulled(1)) < 25


def test_a_lever_is_pulled_only_for_what_it_is_meant_for():
    levers = Levers()
    levers.arm(Pull(lever=Lever.FAIL_BEFORE, on=frozenset({"cancel"}), account="alice"))
    assert levers.pull(Lever.FAIL_BEFORE, "place", "alice") is None
    assert levers.pull(Lever.FAIL_BEFORE, "cancel", "bob") is None
    assert levers.pull(Lever.FAIL_BEFORE, "cancel", "alice") is not None
    assert levers.pull(Lever.FAIL_BEFORE, "cancel", "alice") is None
