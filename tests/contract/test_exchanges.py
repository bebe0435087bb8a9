"""Real exchanges through the published client and over HTTP, on the test venue."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from hummingbot_api_client import HummingbotAPIClient

from tests.contract.comparing import differences
from tests.contract.serving import Nectar
from tests.contract.venues import Venue, running

# The client's own way of saying who it is.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

GOLDEN = Path(__file__).parent / "golden"
ACCOUNT = "master_account"
CONNECTORS = ("binance", "binance_perpetual")
WRONG = "w" * 64
SOON_SECONDS = 20


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """A venue whose prices stand."""
    with running(tmp_path_factory.mktemp("venue")) as started:
        yield started


@pytest.fixture(scope="module")
def live(venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server whose master account is connected to Binance's spot and futures, as far as it can tell."""
    environment = {"VENUE_URLS": str(venue.urls), "LOG_LEVEL": "debug"}
    server = Nectar(tmp_path_factory.mktemp("nectar") / "data", environment)
    try:
        server.start()
        with server.client() as client:
            for connector in CONNECTORS:
                path = f"/accounts/add-credential/{ACCOUNT}/{connector}"
                client.post(path, json=right(venue, connector)).raise_for_status()
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def connected(server):
    client = HummingbotAPIClient(server.url, "admin", "admin")
    await client.init()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(live):
    async with connected(live) as opened:
        yield opened


def recorded(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def right(venue, connector):
    (keys,) = venue.keys
    return {f"{connector}_api_key": keys.api_key, f"{connector}_api_secret": keys.secret}


def wrong(connector):
    return {f"{connector}_api_key": WRONG, f"{connector}_api_secret": "s" * 64}


async def soon(question, condition):
    """Return the answer to a question as soon as it is as it should be."""
    async with asyncio.timeout(SOON_SECONDS):
        while not condition(answer := await question()):
            await asyncio.sleep(0.05)
    return answer


def test_keys_that_the_exchange_refuses_are_answered_in_its_words(live):
    golden = recorded("accounts/add_credential__live_exchange_rejects_key")
    with live.client() as http:
        answer = http.post(f"/accounts/add-credential/{ACCOUNT}/binance", json=wrong("binance"))
    assert answer.status_code == golden["status"]
    assert list(differences(golden["body"], answer.json())) == []
    assert "Invalid API-key, IP, or permissions for action." in answer.json()["detail"]


@pytest.mark.parametrize("connector", CONNECTORS)
async def test_an_account_keeps_its_keys_when_others_are_refused(client, connector):
    with pytest.raises(aiohttp.ClientResponseError, match="Invalid API-key") as refused:
        await client.accounts.add_credential(ACCOUNT, connector, wrong(connector))
    assert refused.value.status == 400
    assert connector in await client.accounts.list_account_credentials(ACCOUNT)
    order = await client.trading.place_order(ACCOUNT, connector, "ETH-USDT", "BUY", 0.01, "LIMIT", 2000)
    await client.trading.cancel_order(ACCOUNT, connector, order["order_id"])


@pytest.mark.parametrize(
    ("connector", "pairs", "name", "maps"),
    [
        ("binance", ["BTC-USDT"], "get_trading_rules__live", ()),
        ("binance", None, "get_trading_rules__live_all", ("$",)),
        ("binance_perpetual", ["BTC-USDT"], "get_trading_rules__live_perpetual", ()),
    ],
    ids=["spot", "all of spot", "perpetual"],
)
async def test_trading_rules_are_the_exchanges_in_the_recorded_shape(client, connector, pairs, name, maps):
    rules = await client.connectors.get_trading_rules(connector, pairs)
    golden = recorded(f"connectors/{name}")["body"]
    assert list(differences(golden, rules, maps=maps)) == []
    steps = {"binance": (0.01, 0.00001), "binance_perpetual": (0.1, 0.001)}[connector]
    assert (rules["BTC-USDT"]["min_price_increment"], rules["BTC-USDT"]["min_base_amount_increment"]) == steps


@pytest.mark.parametrize("connector", CONNECTORS)
async def test_an_order_rests_is_seen_and_is_canceled(client, connector):
    trading = client.trading
    placed = await trading.place_order(ACCOUNT, connector, "BTC-USDT", "BUY", 0.002, "LIMIT", 50_000)
    assert placed["status"] == "submitted"

    async def active():
        page = await trading.get_active_orders(connector_names=[connector], trading_pairs=["BTC-USDT"])
        return {order["order_id"]: order for order in page["data"]}

    async def ended():
        page = await trading.search_orders(connector_names=[connector], limit=1000)
        return {order["order_id"]: order["status"] for order in page["data"]}

    order_id = placed["order_id"]
    seen = await soon(active, lambda orders: orders.get(order_id, {}).get("exchange_order_id"))
    assert (seen[order_id]["amount"], seen[order_id]["price"]) == (0.002, 50_000)
    assert order_id in (await trading.cancel_order(ACCOUNT, connector, order_id))["message"]
    await soon(ended, lambda orders: orders[order_id] == "CANCELLED")
    assert order_id not in await active()


async def test_a_fill_on_spot_is_a_trade_and_changes_the_balances(client):
    async def units():
        state = (await client.portfolio.get_state())[ACCOUNT]["binance"]
        return {token["token"]: token["units"] for token in state}

    async def trades():
        page = await client.trading.get_trades(connector_names=["binance"])
        return [trade for trade in page["data"] if trade["order_id"] == placed["order_id"]]

    before = await units()
    placed = await client.trading.place_order(ACCOUNT, "binance", "ETH-USDT", "BUY", 0.5)
    (trade,) = await soon(trades, bool)
    assert (trade["amount"], trade["trade_type"]) == (0.5, "BUY")
    after = await soon(units, lambda now: now["ETH"] != before["ETH"])
    assert after["ETH"] == pytest.approx(before["ETH"] + 0.5)
    spent = trade["amount"] * trade["price"] + trade["fee_paid"]
    assert after["USDT"] == pytest.approx(before["USDT"] - spent)


async def test_a_position_is_opened_with_its_leverage_and_closed(client):
    account = (ACCOUNT, "binance_perpetual")

    async def positions():
        page = await client.trading.get_positions(connector_names=["binance_perpetual"])
        return [position for position in page["data"] if position["amount"]]

    assert (await client.trading.set_leverage(*account, "SOL-USDT", 7))["status"] == "success"
    await client.trading.place_order(*account, "SOL-USDT", "SELL", 2)
    (position,) = await soon(positions, bool)
    assert (position["trading_pair"], position["amount"], position["leverage"]) == ("SOL-USDT", -2, 7)
    await client.trading.place_order(*account, "SOL-USDT", "BUY", 2, position_action="CLOSE")
    assert await soon(positions, lambda held: not held) == []


async def test_the_portfolio_holds_what_the_exchanges_hold(client):
    state = (await client.portfolio.get_state(refresh=True))[ACCOUNT]
    assert {"USDT", "BTC", "ETH", "SOL"} <= {token["token"] for token in state["binance"]}
    (usdt,) = [token for token in state["binance_perpetual"] if token["token"] == "USDT"]
    assert usdt["units"] == pytest.approx(100_000, rel=0.001)


def test_no_secret_is_in_an_answer_a_log_line_or_an_error(live, venue):
    (keys,) = venue.keys
    secrets = [keys.api_key, keys.secret, keys.passphrase, WRONG, "s" * 64]
    told = []
    with live.client() as http:
        for connector in CONNECTORS:
            path = f"/accounts/add-credential/{ACCOUNT}/{connector}"
            bodies = (right(venue, connector), wrong(connector), {**right(venue, connector), "more": keys.secret})
            told += [http.post(path, json=body) for body in bodies]
            told += [http.get(f"/connectors/{connector}/config-map"), http.get(f"/accounts/{ACCOUNT}/credentials")]
        told += [http.get("/audit/events?limit=1000"), http.get("/audit/reconciliation?limit=1000")]
        told += [http.get(f"/audit/streams/account-{ACCOUNT}"), http.get("/ready")]
    assert [answer.status_code for answer in told[:3]] == [201, 400, 400]
    for secret in secrets:
        assert not [answer.url for answer in told if secret in answer.text]
        assert secret not in live.output()
