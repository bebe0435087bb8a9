import asyncio
import decimal
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from adapters.exchanges import clients, names
from adapters.exchanges.clients import NotKnown, NotSent, Refused, Repeated, Unmade, VenueClient, WrongKeys
from domain.errors import DomainError, Invalid, Unavailable
from tests.fakes.scripted_venue import KEY, SECRET, scripted_venue

ORDER = ("BTC/USDT", "limit", "buy", "0.00001", "12345.67", {"clientOrderId": "n1"})
NONE = {"makerCommission": 0, "balances": []}
ANSWERED = {
    "symbol": "BTCUSDT",
    "orderId": 12345678901234567890,
    "clientOrderId": "n1",
    "price": "0.12345678901234567890",
    "origQty": "10",
    "executedQty": "0",
    "status": "NEW",
    "type": "LIMIT",
    "side": "BUY",
    "timeInForce": "GTC",
}


@pytest.fixture
async def venue():
    async with scripted_venue() as running:
        yield running


@pytest.fixture
async def client(venue):
    made = venue.client()
    made.exchange.enableRateLimit = False
    await made.call("load_markets")
    venue.asked.clear()
    yield made
    await made.close()


async def fails(asking) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await asking
    return caught.value


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (-2010, "Account has insufficient balance for requested action.", Refused),
        (-1013, "Filter failure: NOTIONAL", Refused),
        (-2015, "Invalid API-key, IP, or permissions for action.", WrongKeys),
        (-2013, "Order does not exist.", NotKnown),
        (-2010, "Duplicate order sent.", Repeated),
    ],
    ids=["balance", "filter", "keys", "unknown", "duplicate"],
)
async def test_the_venues_no_is_told_in_its_words(venue, client, code, words, kind):
    venue.refuse(code, words)
    error = await fails(client.call("create_order", *ORDER))
    assert type(error) is kind
    assert error.message == f"{words} ({code})"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (500, -1000, "An unknown error occurred while processing the request."),
        (503, -1008, "Request throttled by system-level protection."),
        (400, -1006, "An unexpected response was received from the message bus. Execution status unknown."),
        (400, -1007, "Timeout waiting for response from backend server."),
        (408, -1, "Too slow"),
    ],
    ids=["error", "overloaded", "lost", "slow", "timeout"],
)
async def test_an_order_that_the_venue_lost_sight_of_is_not_refused(venue, client, status, code, words):
    venue.refuse(code, words, status)
    error = await fails(client.call("create_order", *ORDER))
    assert type(error) is Unavailable
    assert words in error.message


@pytest.mark.parametrize("body", ["", "<html>", "[1", '{"symbol": 5'], ids=["nothing", "page", "half", "half_object"])
async def test_an_answer_that_cannot_be_read_leaves_the_order_open(venue, client, body):
    venue.answer(200, body)
    assert type(await fails(client.call("create_order", *ORDER))) is Unavailable


async def test_a_request_that_was_read_and_not_answered_is_sent_once(venue, client):
    venue.answer(200, NONE)
    await client.call("fetch_balance")  # the connection stands, and is used again
    for method, args in (("create_order", ORDER), ("cancel_order", ("1", "BTC/USDT"))):
        venue.drop()
        error = await fails(client.call(method, *args))
        assert type(error) is Unavailable
        assert f"binance did not answer {method}" in error.message
    assert [asked[0] for asked in venue.orders()] == ["POST", "DELETE"]


async def test_an_answer_that_does_not_come_in_time_leaves_the_order_open(venue, client):
    client.exchange.timeout = 50
    venue.answer_when(asyncio.Event(), ANSWERED)
    error = await fails(client.call("create_order", *ORDER))
    assert type(error) is Unavailable
    assert "no answer within 10 s" in error.message


async def test_a_venue_that_cannot_be_reached_was_sent_nothing():
    unreachable = VenueClient(names.connector("binance"), urls={"api": {"public": "http://127.0.0.1:1/api/v3"}})
    error = await fails(unreachable.call("load_markets"))
    assert type(error) is NotSent
    assert "binance could not be reached" in error.message
    await unreachable.close()


@pytest.mark.parametrize("status", [418, 429])
async def test_while_the_venue_says_wait_nothing_leaves(venue, client, status):
    venue.refuse(-1003, "Too many requests; current limit is 6000 request weight per minute.", status, Retry_After="30")
    error = await fails(client.call("create_order", *ORDER))
    assert type(error) is Refused
    venue.asked.clear()
    for method, args in (("create_order", ORDER), ("fetch_balance", ())):
        error = await fails(client.call(method, *args))
        assert type(error) is NotSent
        assert "it told us to wait for another 30.0 s" in error.message or "another 29." in error.message
    assert not venue.asked


async def test_a_ban_holds_for_every_account_and_a_limit_for_its_own(venue, client):
    other = venue.client()
    other.share(client)
    for status, asked in ((429, 1), (418, 0)):
        venue.refuse(-1003, "Too many requests.", status, Retry_After="30")
        await fails(client.call("fetch_balance"))
        client._wait_until = 0.0
        venue.asked.clear()
        venue.answer(200, NONE)
        with suppress(NotSent):
            await other.call("fetch_balance")
        assert len(venue.asked) == asked
    await other.close()


async def test_what_was_asked_too_often_may_be_asked_again(venue, client):
    venue.refuse(-1003, "Too many requests.", 429, Retry_After="0")
    assert type(await fails(client.call("fetch_balance"))) is NotSent
    venue.answer(200, NONE)
    assert await client.call("fetch_balance")


async def test_a_date_to_wait_for_is_understood():
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    told = clients._told_wait({"retry-after": at})
    assert told is not None
    assert 95 < told <= 100
    assert clients._told_wait({"Retry-After": "soon"}) is None
    assert clients._told_wait({}) is None


async def test_without_a_time_the_wait_grows_up_to_a_bound(venue, client, monkeypatch):
    waits = []
    monkeypatch.setattr(clients, "LONGEST_GUESS_SECONDS", 4.0)
    for _ in range(4):
        venue.refuse(-1003, "Too many requests.", 429)
        await fails(client.call("fetch_balance"))
        waits.append(round(client._wait_until - time.monotonic()))
        client._wait_until = 0.0
    assert waits == [1, 2, 4, 4]


async def test_an_order_does_not_leave_after_its_deadline(venue, client):
    error = await fails(client.call("create_order", *ORDER, deadline=time.monotonic() - 1))
    assert type(error) is NotSent
    assert not venue.asked


async def test_an_order_that_waits_for_its_turn_is_given_up_at_its_deadline(venue, client):
    async def turn(_=None):
        await asyncio.Event().wait()

    client.exchange.enableRateLimit = True
    client.exchange.throttle = turn
    error = await fails(client.call("create_order", *ORDER, deadline=time.monotonic() + 0.05))
    assert type(error) is NotSent
    assert not venue.asked


async def test_an_order_waits_behind_no_question(venue, client):
    client.exchange.enableRateLimit = True
    await client.exchange.throttler(1_000_000)  # so much was asked just now
    question = asyncio.create_task(client.call("fetch_balance"))
    await asyncio.sleep(0)
    with suppress(DomainError):  # what the venue says to it is not the point
        await client.call("create_order", *ORDER, deadline=time.monotonic() + 5)
    assert [path for path in venue.asked if "order" in str(path)]
    assert not question.done()
    question.cancel()


async def test_an_order_that_has_left_is_waited_for_past_its_deadline(venue, client):
    answering = asyncio.Event()
    venue.answer_when(answering, ANSWERED)
    deadline = time.monotonic() + 0.1
    placing = asyncio.create_task(client.call("create_order", *ORDER, deadline=deadline))
    while time.monotonic() < deadline + 0.05:
        await asyncio.wait([placing], timeout=0.05)
    answering.set()
    assert (await placing)["clientOrderId"] == "n1"


async def test_a_clock_that_is_off_is_set_before_the_next_request(venue, client):
    venue.ahead_seconds = 100.0
    venue.refuse(-1021, "Timestamp for this request is outside of the recvWindow.")
    error = await fails(client.call("create_order", *ORDER))
    assert type(error) is Refused
    venue.asked.clear()
    venue.answer(200, NONE)
    await client.call("fetch_balance")
    assert [path.partition("?")[0] for _, path, _ in venue.asked] == ["/api/v3/time", "/api/v3/account"]
    sent_at = int(venue.asked[1][1].partition("timestamp=")[2].partition("&")[0])
    assert abs(sent_at / 1000 - time.time() - 100) < 10


async def test_nothing_secret_stands_in_a_message(venue, client):
    messages = []
    venue.refuse(-2015, f"Key {KEY} of {SECRET} is bad, see http://x.y/z?signature=abc and signature=def")
    messages.append(await fails(client.call("fetch_balance")))
    for spoil in (venue.drop, lambda: venue.answer(502, "<html>")):
        spoil()
        messages.append(await fails(client.call("fetch_balance")))
    for error in messages:
        assert error.__cause__ is None
        assert error.__context__ is None
        for secret in (KEY, SECRET, "abc", "def", "signature=", "timestamp="):
            assert secret not in error.message.replace("signature=***", "")


async def test_digits_stay_what_they_are(venue, client):
    venue.answer(200, ANSWERED)
    order = await client.call(
        "create_order", "BTC/USDT", "limit", "buy", "1234567.00001", "0.01", {"clientOrderId": "n1"}
    )
    assert (order["price"], order["id"]) == ("0.12345678901234567890", "12345678901234567890")
    assert "quantity=1234567.00001&price=0.01&" in venue.orders()[0][2]
    venue.answer(200, '{"balances":[{"asset":"BTC","free":0.12345678901234567890,"locked":1e-8}]}')
    balance = await client.call("fetch_balance")
    assert Decimal(balance["BTC"]["free"]) == Decimal("0.12345678901234567890")
    assert Decimal(balance["BTC"]["used"]) == Decimal("1e-8")


async def test_arithmetic_of_others_is_left_alone(venue, client):
    before = (decimal.getcontext().rounding, dict(decimal.getcontext().traps))
    venue.answer(200, ANSWERED)
    await client.call("create_order", *ORDER)
    assert (decimal.getcontext().rounding, dict(decimal.getcontext().traps)) == before


async def test_a_stream_brings_exact_numbers(venue, client):
    trade = '"e":"trade","E":1,"s":"BTCUSDT","t":7,"T":1,"m":true'
    venue.sends.put_nowait(f'{{"stream":"x",{trade},"p":0.12345678901234567890,"q":"1"}}')
    (seen,) = await client.watch("watch_trades", "BTC/USDT")
    assert seen["price"] == "0.12345678901234567890"


async def test_a_message_that_cannot_be_read_ends_the_stream(venue, client):
    venue.sends.put_nowait('{"e":"trade","s":5')
    error = await fails(client.watch("watch_trades", "BTC/USDT"))
    assert type(error) is Unavailable
    assert "a message could not be read" in error.message


async def test_a_stream_that_cannot_be_opened_says_so(venue):
    made = venue.client(spot="ws://127.0.0.1:1/ws")
    await made.call("load_markets")
    assert isinstance(await fails(made.watch("watch_trades", "BTC/USDT")), Unavailable)
    await made.close()


async def test_a_stream_that_is_closed_under_a_watcher_says_so(venue):
    made = venue.client()
    await made.call("load_markets")
    watching = asyncio.create_task(made.watch("watch_trades", "BTC/USDT"))
    while not made.exchange.clients:
        await asyncio.wait([watching], timeout=0.01)
    await made.close()
    assert isinstance(await fails(watching), Unavailable)


async def test_clients_share_markets_and_connections(venue, client):
    other = venue.client()
    other.share(client)
    assert other.exchange.markets is client.exchange.markets
    for user in (other, client):
        venue.answer(200, NONE)
        await user.call("fetch_balance")
    assert [path.partition("?")[0] for _, path, _ in venue.asked] == ["/api/v3/account"] * 2
    await other.close()
    venue.answer(200, NONE)
    await client.call("fetch_balance")


async def test_a_closed_client_sends_nothing(venue):
    made = venue.client()
    await made.close()
    await made.close()
    error = await fails(made.call("load_markets"))
    assert type(error) is NotSent
    assert not venue.asked


def test_what_a_connector_has_is_what_ccxt_has_without_what_it_lacks_here():
    binance, coinbase = (VenueClient(names.connector(name)) for name in ("binance", "coinbase_advanced_trade"))
    assert binance.has("watchOrders")
    assert not binance.has("noSuchThing")
    assert not coinbase.has("watchBalance")


@pytest.mark.parametrize("name", sorted(name for name, row in names.CONNECTORS.items() if row.exchange_id))
def test_what_a_request_costs_is_a_number(name):
    made = VenueClient(names.connector(name)).exchange
    cost = made.calculate_rate_limiter_cost(["public"], "GET", "info", {}, {"cost": 3})
    assert cost * 1 > 0
    assert made.number is str


@pytest.mark.parametrize("name", ["bybit", "mexc", "bing_x", "bitget", "gate_io", "kucoin"])
def test_no_header_names_a_broker(name):
    made = VenueClient(names.connector(name)).exchange
    headers = {"Referer": "CCXT", "source": "CCXT", "X-SOURCE-KEY": "CCXT", "X-CHANNEL-API-CODE": "x", "X-KEY": "k"}
    prepared = made.prepare_request_headers(headers)
    assert "k" in prepared.values()
    assert "ccxt" not in str(prepared).lower()
    assert "x" not in prepared.values()


@pytest.mark.parametrize("secret", ["abc", "\u2019quoted\u2019", "a b\nc"], ids=["short", "not ascii", "broken"])
async def test_keys_that_cannot_sign_send_nothing_and_are_not_shown(secret):
    keys = {"kraken_api_key": "key", "kraken_secret_key": secret}
    client = VenueClient(names.connector("kraken"), credentials=keys)
    client.exchange.set_markets([])
    try:
        refusal = await fails(client.call("fetch_balance"))
    finally:
        await client.close()
    assert isinstance(refusal, Unmade)
    assert secret not in refusal.message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"], ids=["line", "windows line", "zero"])
def test_a_key_that_breaks_its_line_is_refused_by_name(end):
    with pytest.raises(Invalid, match="binance_api_key"):
        names.check_credentials("binance", {"binance_api_key": f"key{end}", "binance_api_secret": "secret"})
