"""WebSockets and the live log as clients see them: recorded conversations, the published client, a real server."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import pytest
from hummingbot_api_client import HummingbotAPIClient

from tests.contract.comparing import differences
from tests.contract.serving import Nectar, until
from tests.contract.test_client import methods
from tests.contract.test_exchanges import right
from tests.contract.venues import Venue, running

# The client's own way of saying who it is.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

GOLDEN = Path(__file__).parent / "golden/_ws"
USER, PASSWORD = "trader", "s3cret?>?>~~"
TOKEN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PAIR = ("binance", "BTC-USDT")
CONVERSATIONS = (
    "executors_ws",
    "executors_ws__no_auth",
    "market_data_ws",
    "market_data_ws__live",
    "market_data_ws__no_auth",
)
ELSEWHERE = {"executors_ws__live": "no executor runs here yet", "executors_ws__live_bots": "test_sockets_bots.py"}


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """A venue whose prices move."""
    with running(tmp_path_factory.mktemp("venue"), fixed=False) as started:
        yield started


@pytest.fixture(scope="module")
def live(venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server that writes down all it can, with a password whose token has to be escaped in an address."""
    assert {"+", "/"} & set(TOKEN)
    environment = {"VENUE_URLS": str(venue.urls), "LOG_LEVEL": "debug", "USERNAME": USER, "PASSWORD": PASSWORD}
    server = Nectar(tmp_path_factory.mktemp("nectar") / "data", environment)
    try:
        yield server.start()
    finally:
        server.stop()


@asynccontextmanager
async def opened(server, path, token=TOKEN):
    """Open a WebSocket and read its first message."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}{path}?token={token}") as socket:
        yield socket


@asynccontextmanager
async def connected(server):
    client = HummingbotAPIClient(server.url, USER, PASSWORD)
    await client.init()
    try:
        yield client
    finally:
        await client.close()


def recorded(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())["body"]


def test_every_recorded_conversation_has_a_case_or_a_reason():
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*CONVERSATIONS, *ELSEWHERE}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_ours_talks_as_recorded(name, live):
    path = "/ws/executors" if name.startswith("executors") else "/ws/market-data"
    async with opened(live, path, "x" if name.endswith("no_auth") else TOKEN) as socket:
        others: list[Any] = []
        for step in recorded(name):
            match step:
                case {"send": wish}:
                    await socket.send_json(wish)
                case {"recv": {"type": kind} as expected}:
                    heard = await heard_of(socket, kind, expected.get("subscription_id"), others)
                    assert list(differences(expected, heard)) == []
                    if kind == "error":
                        assert heard == expected
                case {"close_code": code, "extra": reason}:
                    closed = await socket.receive(timeout=10)
                    assert (closed.type, closed.data, closed.extra) == (aiohttp.WSMsgType.CLOSE, code, reason)
                case _:
                    assert step == {"recv": "(nothing)"}


async def heard_of(socket, kind, subscription_id=None, others=None):
    """Return the next message of a type, of a subscription; `others` are those that came before."""
    others = [] if others is None else others
    found = [one for one in others if (one["type"], one.get("subscription_id")) == (kind, subscription_id)]
    if found:
        others.remove(found[0])
        return found[0]
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive_json()
            if (message["type"], message.get("subscription_id")) == (kind, subscription_id):
                return message
            others.append(message)


async def test_the_clients_helper_hears_markets(live):
    async with connected(live) as client:
        called = {"ping", "unsubscribe", "receive", "close"}
        async with client.ws.market_data() as socket:
            assert len(socket.connection_id) == 8
            assert (await socket.ping())["type"] == "pong"
            book = await socket.subscribe_order_book(*PAIR, depth=3, update_interval=0.25)
            told = await socket.receive()
            assert (told["type"], told["subscription_id"]) == ("order_book", book)
            assert len(told["data"]["bids"]) == len(told["data"]["asks"]) == 3
            assert told["data"]["bids"][0][0] < told["data"]["asks"][0][0]
            await socket.close()
        async with client.ws.market_data() as socket:
            await socket.subscribe_trades(*PAIR, update_interval=0.25)
            trade = (await socket.receive())["data"][-1]
            assert (trade["price"] > 0, trade["amount"] > 0, trade["side"] in {"buy", "sell"}) == (True, True, True)
        async with client.ws.market_data() as socket:
            candles = await socket.subscribe_candles(*PAIR, interval="1m", max_records=5, update_interval=0.25)
            async for told in socket:
                assert told["subscription_id"] == candles
                if told["type"] == "candle_update":
                    break
        async with client.ws.market_data() as socket:
            with pytest.raises(RuntimeError, match="NO-PAIR"):
                await socket.subscribe_order_book("binance", "NO-PAIR")
            ended = await socket.subscribe_trades("paper", "BTC-USDT")
            await socket.unsubscribe(ended)
            with pytest.raises(RuntimeError, match="not found"):
                await socket.unsubscribe(ended)
        called |= {"subscribe_order_book", "subscribe_trades", "subscribe_candles"}
        assert called == methods(socket)


async def test_the_clients_helper_hears_that_nothing_runs(live):
    async with connected(live) as client, client.ws.executors() as socket:
        asked: dict[str, tuple[dict[str, Any], Any]] = {
            "subscribe_executors": ({"filters": {"status": "RUNNING"}}, []),
            "subscribe_executor_detail": ({"executor_id": "x"}, None),
            "subscribe_executor_summary": ({}, {"total_active": 0}),
            "subscribe_performance": ({"controller_id": "main"}, {"controller_id": "main"}),
            "subscribe_positions": ({"controller_id": "main"}, {"positions": []}),
            "subscribe_all_bots_status": ({}, {}),
        }
        for name, (arguments, expected) in asked.items():
            subscription = await getattr(socket, name)(update_interval=60, **arguments)
            told = await socket.receive()
            assert told["subscription_id"] == subscription
            data = told["data"]
            assert data | expected == data if isinstance(expected, dict) else data == expected
        assert await socket.subscribe_executor_logs("x", level="ERROR", limit=5) == "executor_logs_x"
        tested = {"ping", "unsubscribe", "receive", "close", "subscribe_executor_logs", *asked}
        assert tested == methods(socket)


# 35
async def test_no_token_reaches_a_log_line(live):
    spellings = {TOKEN, quote(TOKEN), quote(TOKEN, safe=""), TOKEN.rstrip("=")}
    for path in ("/ws/market-data", "/ws/executors", "/ws/market-data/"):
        for token in (TOKEN, quote(TOKEN, safe="")):
            async with opened(live, path, token) as socket:
                assert (await socket.receive_json(timeout=10))["type"] == "connected"
                await socket.send_str("{" + TOKEN)
                await socket.receive_json(timeout=10)
    for path in ("/ws/nothing", "/nothing", "/ws/market-data/" + "x" * 3000):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with opened(live, path):
                pass
    wrong = base64.b64encode(b"trader:almost-right").decode()
    async with opened(live, "/ws/executors", wrong) as socket:
        assert (await socket.receive_json(timeout=10))["message"] == "Authentication failed"
    async with httpx.AsyncClient(base_url=live.url) as client:
        assert (await client.get("/ws/market-data", params={"token": TOKEN})).status_code in {401, 404}
    written = until(lambda: text if (text := live.output()).count('"socket_done"') >= 10 else None)
    for secret in (*spellings, wrong, wrong.rstrip("="), PASSWORD, "almost-right", "token="):
        assert secret not in written, secret


async def test_a_fill_on_a_venues_stream_is_heard_in_the_live_log(live, venue):
    async with connected(live) as client, aiohttp.ClientSession(auth=aiohttp.BasicAuth(USER, PASSWORD)) as session:
        await client.accounts.add_credential("master_account", "binance", right(venue, "binance"))
        async with session.get(f"{live.url}/audit/feed", params={"type": "OrderFilled"}) as feed:
            order = await client.trading.place_order(
                "master_account", *PAIR, trade_type="BUY", amount=0.001, order_type="MARKET"
            )
            async with asyncio.timeout(20):
                async for line in feed.content:
                    if line.startswith(b"data:") and order["order_id"].encode() in line:
                        break
        event = json.loads(line.removeprefix(b"data:"))
        assert (event["type"], event["stream"]) == ("OrderFilled", f"order-{order['order_id']}")


async def test_a_server_stops_however_many_listen(servers):
    server = servers()
    auth = aiohttp.BasicAuth("admin", "admin")
    async with aiohttp.ClientSession(auth=auth) as session:
        feed = await session.get(f"{server.url}/audit/feed?from=1")
        socket = await session.ws_connect(f"{server.url}/ws/market-data")
        silent = await session.ws_connect(f"{server.url}/ws/executors")
        await socket.send_json(
            {"action": "subscribe", "type": "order_book", "connector": "paper", "trading_pair": "BTC-USDT"}
        )
        await heard_of(socket, "order_book", "order_book_paper_BTC-USDT")
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert b'"AccountAdded"' in await feed.read()  # to its end, which is a clean one
        while (message := await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        await stopping
        assert server.process is not None
        assert server.process.returncode == 0
        await silent.close()
    assert '"error"' not in server.output()
