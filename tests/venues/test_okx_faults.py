"""Keys, clocks and levers at the OKX venue, as ccxt's own `okx` takes them."""

import asyncio
from decimal import Decimal

import aiohttp
import ccxt.pro
import pytest

from domain.values import ZERO
from tests.venues.ledger import Market, Status
from tests.venues.levers import Lever, Pull
from tests.venues.okx_trader import OURS, SPOT, rows, told, trading


@pytest.fixture
async def alice():
    async with trading() as trader:
        yield trader


def place(client):
    return client.create_order(SPOT, "limit", "buy", 0.01, 59_000, {"clientOrderId": OURS})


# Who is believed.


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("apiKey", "50111"), ("secret", "50113"), ("password", "50105")],
)
async def test_wrong_keys_open_nothing(alice, wrong, code):
    stranger = alice.client("okx", **{wrong: "nobody's"})

    with pytest.raises(ccxt.pro.AuthenticationError, match=code):
        await stranger.fetch_accounts()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("apiKey", "60005"), ("secret", "60007"), ("password", "60024")],
)
async def test_wrong_keys_are_told_nothing(alice, wrong, code):
    stranger = alice.client("okx", **{wrong: "nobody's"})
    stranger.markets = await alice.spot.load_markets()

    with pytest.raises(ccxt.pro.AuthenticationError, match=code):
        await stranger.watch_orders()


async def test_keys_that_were_revoked_open_nothing_and_are_told_nothing(alice):
    placed = await place(alice.spot)
    watching = asyncio.create_task(alice.spot.watch_orders())
    await alice.listening(1)
    alice.floor.revoke("alice")

    with pytest.raises(ccxt.pro.AuthenticationError, match="50111"):
        await alice.spot.fetch_balance()
    alice.floor.cancel("alice", Market.SPOT, order_id=int(placed["id"]))
    with pytest.raises(ccxt.pro.NetworkError):
        await watching


async def test_a_clock_may_be_half_a_minute_off(alice):
    alice.levers.skew_seconds = 25
    await alice.spot.fetch_balance()
    alice.levers.skew_seconds = 40
    with pytest.raises(ccxt.pro.InvalidNonce, match="50102"):
        await alice.spot.fetch_balance()
    with pytest.raises(ccxt.pro.InvalidNonce, match="60006"):
        await alice.spot.watch_orders()

    await alice.spot.load_time_difference()

    await alice.spot.fetch_balance()


# What goes wrong with a request.


@pytest.mark.parametrize(
    ("pull", "error", "taken"),
    [
        (Pull(lever=Lever.LOSE_RESPONSE), ccxt.pro.NetworkError, True),
        (Pull(lever=Lever.FAIL_BEFORE), ccxt.pro.ExchangeNotAvailable, False),
        (Pull(lever=Lever.FAIL_AFTER, code="50004"), ccxt.pro.RequestTimeout, True),
        (Pull(lever=Lever.LIMIT_RATE, status=429), ccxt.pro.RateLimitExceeded, False),
        (Pull(lever=Lever.REJECT, code="51008"), ccxt.pro.InsufficientFunds, False),
        (Pull(lever=Lever.REJECT, code="50001"), ccxt.pro.OnMaintenance, False),
        (Pull(lever=Lever.ANSWER_LATE, seconds=60), ccxt.pro.RequestTimeout, True),
        (Pull(lever=Lever.WORK_LATE, seconds=60), ccxt.pro.RequestTimeout, False),
    ],
    ids=lambda value: str(value.lever) if isinstance(value, Pull) else None,
)
async def test_what_goes_wrong_while_placing(alice, pull, error, taken):
    await alice.spot.load_markets()
    alice.spot.timeout = 200
    alice.levers.arm(pull)

    with pytest.raises(error):
        await place(alice.spot)

    assert alice.ledger.received[OURS] == 1
    assert bool(alice.ledger.all_orders()) is taken
    assert alice.levers.pulled == {pull.lever: 1}
    if pull.lever is Lever.LIMIT_RATE:
        assert alice.spot.last_response_headers["Retry-After"] == "1"


async def test_an_order_trades_while_its_cancel_is_under_way(alice):
    placed = await place(alice.spot)
    alice.levers.arm(Pull(lever=Lever.FILL_UNDER_CANCEL))

    await alice.spot.cancel_order(placed["id"], SPOT)

    order = await alice.spot.fetch_order(placed["id"], SPOT)
    assert Decimal(order["filled"]) > ZERO
    assert alice.order(placed["id"]).status in {Status.FILLED, Status.CANCELED}


# What goes wrong with a stream.


async def test_a_stream_breaks(alice):
    watching = asyncio.create_task(alice.spot.watch_orders())
    await alice.listening(1)
    alice.levers.arm(Pull(lever=Lever.DROP_STREAM))
    await place(alice.spot)

    with pytest.raises(ccxt.pro.NetworkError):
        await watching
    again = asyncio.create_task(told(alice.spot.watch_orders, lambda order: order["status"] == "canceled"))
    await alice.listening(1)
    await alice.spot.cancel_order(None, SPOT, {"clientOrderId": OURS})
    assert (await again)[-1]["clientOrderId"] == OURS


async def test_a_stream_falls_silent(alice):
    watching = asyncio.create_task(alice.spot.watch_orders())
    await alice.listening(1)
    alice.levers.arm(Pull(lever=Lever.SILENCE_STREAM, seconds=600))

    await place(alice.spot)

    assert (await alice.spot.fetch_order(None, SPOT, {"clientOrderId": OURS}))["status"] == "open"
    assert not watching.done()
    watching.cancel()


@pytest.mark.parametrize(
    ("lever", "states"),
    [
        (None, ["live", "partially_filled", "filled"]),
        (Lever.REPEAT_MESSAGE, ["live", "live", "partially_filled", "filled"]),
        (Lever.REORDER_MESSAGES, ["partially_filled", "live", "filled"]),
    ],
)
async def test_a_stream_repeats_itself_or_mixes_things_up(alice, lever, states):
    async with alice.socket() as ws:
        await ws.send_json({"op": "subscribe", "args": [{"channel": "orders", "instType": "SPOT"}]})
        assert (await ws.receive_json())["event"] == "subscribe"
        if lever is not None:
            alice.levers.arm(Pull(lever=lever))

        await alice.spot.create_order(SPOT, "market", "buy", 0.5)

        assert [row["state"] for row in await rows(ws, len(states))] == states


async def test_ccxt_counts_a_repeated_trade_once(alice):
    watching = asyncio.create_task(told(alice.spot.watch_my_trades, lambda trade: trade["amount"] == "0.1"))
    await alice.listening(1)
    alice.levers.arm(Pull(lever=Lever.REPEAT_MESSAGE), times=3)

    await alice.spot.create_order(SPOT, "market", "buy", 0.5)

    assert {trade["id"] for trade in await watching} == {t["id"] for t in await alice.spot.fetch_my_trades(SPOT)}


# What a socket does not understand.


async def test_a_ping_is_a_word(alice):
    async with alice.socket() as ws:
        await ws.send_str("ping")
        assert await ws.receive_str() == "pong"


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("private", {"op": "dance", "args": [{}]}, "60012"),
        ("private", {"op": "subscribe"}, "60012"),
        ("private", {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]}, "60018"),
        ("public", {"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}, "60018"),
        ("public", {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-EUR"}]}, "60018"),
        ("public", {"op": "login", "args": [{}]}, "60012"),
    ],
)
async def test_what_is_not_understood_is_an_error(alice, path, message, code):
    async with alice.socket(path) as ws:
        await ws.send_json(message)
        answer = await ws.receive_json()
    assert (answer["event"], answer["code"]) == ("error", code)


async def test_nobody_is_told_without_keys(alice):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{alice.spot.urls['api']['ws']}/private") as ws:
        await ws.send_json({"op": "subscribe", "args": [{"channel": "account"}]})
        assert (await ws.receive_json())["code"] == "60011"
