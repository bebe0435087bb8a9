"""What the reference gets wrong and we promise to get right: a test for each known defect that these routes touch.

The number in a comment is the defect's.
"""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from commands.accounts import first_start
from commands.orders import PlaceOrder
from commands.reports import RecordReport
from domain.orders import OrderFilled
from domain.reports import AccountReport
from domain.values import OrderType, Side
from tests.commands.world import T0, world
from tests.contract.serving import Nectar, answered_while, until
from tests.contract.trading import SECOND, found, order, place, settled

BASIC = {"Authorization": "Basic YWRtaW46YWRtaW4="}
FAR = {"order_type": "LIMIT", "price": 20_000, "amount": 0.001}


def pages(client, path, body):
    """Return the pages of a list, each a list of items, following cursors to the end."""
    read, cursor = [], None
    while True:
        page = client.post(path, json={**body, "cursor": cursor}).raise_for_status().json()
        read.append(page["data"])
        cursor = page["pagination"]["next_cursor"]
        assert (cursor is not None) == page["pagination"]["has_more"]
        if cursor is None:
            return read, page["pagination"]["total_count"]


# 1
def test_every_fill_of_many_orders_at_once_is_recorded(api):
    with ThreadPoolExecutor(16) as at_once:
        ids = set(at_once.map(lambda _: place(api, amount=0.001), range(200)))
    assert len(ids) == 200

    def all_filled():
        orders = {item["order_id"]: item for page in pages(api, *SEARCH)[0] for item in page}
        return orders if all(orders[order_id]["status"] == "FILLED" for order_id in ids) else None

    orders = until(all_filled, 60)
    filled: dict[str, float] = {}
    for page in pages(api, "/trading/trades", {"limit": 1000})[0]:
        for trade in page:
            filled[trade["order_id"]] = filled.get(trade["order_id"], 0) + trade["amount"]
    assert {order_id: pytest.approx(filled[order_id]) for order_id in ids} == dict.fromkeys(ids, 0.001)
    assert all(orders[order_id]["filled_amount"] == pytest.approx(0.001) for order_id in ids)


SEARCH = ("/trading/orders/search", {"limit": 1000})


# 2, 5, 33
def test_after_a_kill_every_acknowledged_order_and_balance_is_there_at_once(servers):
    server = servers()
    with server.client() as client:
        place(client)
        ids = {client.post("/trading/orders", json=order(**FAR)).json()["order_id"] for _ in range(10)}
        server.kill()
    server.start()
    with server.client() as client:
        orders = {item["order_id"]: item for page in pages(client, *SEARCH)[0] for item in page}
        assert ids <= orders.keys()
        assert len(orders) == 11
        state = client.post("/portfolio/state", json={}).json()["master_account"]
        assert {balance["token"] for balance in state["paper"]} >= {"USDT", "BTC"}
        assert state["paper_perpetual"]
        until(lambda: all(found(client, order_id)["status"] in ("OPEN", "FAILED") for order_id in ids))
    assert _resident_megabytes(server.process.pid) < 200


def _resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


# 4
def test_a_filtered_read_changes_nothing_for_the_next_one(api, traded):
    before = api.post("/portfolio/state", json={}).json()
    filtered = api.post("/portfolio/state", json={"connector_names": ["paper"]}).json()
    after = api.post("/portfolio/state", json={}).json()
    assert set(filtered["master_account"]) == {"paper"}
    assert set(before["master_account"]) == set(after["master_account"]) == {"paper", "paper_perpetual"}


# 6
def test_an_open_order_is_active_at_once(api):
    order_id = place(api, **FAR)
    active = {item["order_id"] for page in pages(api, "/trading/orders/active", {"limit": 1000})[0] for item in page}
    assert order_id in active


# 7
@pytest.mark.parametrize(("path", "key"), [("/trading/orders/search", "order_id"), ("/trading/trades", "trade_id")])
def test_cursors_neither_repeat_nor_skip(api, traded, path, key):
    for order_id in [place(api, amount=0.001) for _ in range(12)]:
        settled(api, order_id, "FILLED")
    for body in ({}, {"trading_pairs": ["BTC-USDT", "ETH-USDT"]}):
        read, total = pages(api, path, {**body, "limit": 7})
        keys = [item[key] for page in read for item in page]
        assert len(keys) == len(set(keys)) == total
        assert {len(page) for page in read[:-1]} == {7}


# 12
def test_the_distribution_of_two_accounts_is_their_sum(api, traded):
    both = api.post("/portfolio/distribution", json={"account_names": ["master_account", SECOND]}).json()
    usdt = next(entry for entry in both["distribution"] if entry["token"] == "USDT")
    assert set(usdt["accounts"]) == {"master_account", SECOND}
    assert usdt["total_units"] == pytest.approx(sum(account["units"] for account in usdt["accounts"].values()))


# 14
def test_a_rejected_order_keeps_its_identity(api, traded):
    item = found(api, traded.rejected)
    assert (item["status"], item["trading_pair"], item["trade_type"]) == ("FAILED", "BTC-USDT", "BUY")
    assert (item["order_type"], item["amount"], item["price"]) == ("LIMIT", 100_000, 20_000)
    assert item["error_message"]


# 14
def test_the_average_price_is_that_of_all_fills(api):
    order_id = place(api, amount=1)
    item = settled(api, order_id, "FILLED")
    fills = [
        trade
        for page in pages(api, "/trading/trades", {"limit": 1000})[0]
        for trade in page
        if trade["order_id"] == order_id
    ]
    spent = sum(Decimal(str(fill["amount"])) * Decimal(str(fill["price"])) for fill in fills)
    assert item["average_fill_price"] == pytest.approx(float(spent / Decimal(str(item["filled_amount"]))))
    assert item["fee_paid"] == pytest.approx(sum(fill["fee_paid"] for fill in fills))


# 22
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/trading/orders", b'{"amount": -1}'),
        ("/trading/orders", b'{"amount": "NaN", "price": 1e400}'),
        ("/trading/orders", b"\xff\xfe"),
        ("/trading/orders", b'{"account_name": "\\u0000"}'),
        ("/portfolio/history", b'{"interval": "7m"}'),
        ("/trading/orders/search", b'{"limit": "many", "cursor": "nonsense"}'),
        ("/trading/orders/search", b'{"start_time": 99999999999999999999}'),
    ],
)
def test_bad_input_is_refused_and_the_connection_stays_open(server, path, body):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    socket = connection.sock
    for _ in range(2):
        connection.request("POST", path, body, {**BASIC, "Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 422, answer.read()
        assert b'"loc":["body"' in answer.read()
        assert connection.sock is socket
    connection.close()


# 25
def test_a_connector_that_nobody_knows_has_no_config_map(api):
    answer = api.get("/connectors/nope/config-map")
    assert answer.status_code == 404
    assert "nope" in answer.json()["detail"]


# 27
@pytest.mark.parametrize(
    ("change", "status", "words"),
    [({"connector_name": "nope"}, 404, "nope"), ({"account_name": "keyless"}, 400, "credentials")],
)
def test_an_order_that_no_venue_can_take_is_the_callers_mistake(api, change, status, words):
    api.post("/accounts/add-account", params={"account_name": "keyless"})
    answer = api.post("/trading/orders", json=order(**change))
    assert answer.status_code == status
    assert words in answer.json()["detail"]


# 29
def test_slow_work_does_not_freeze_the_server(server):
    def store(number):
        with server.client() as client:
            client.post("/accounts/add-credential/master_account/paper", json={}).raise_for_status()
            client.post("/portfolio/history", json={"interval": "1d", "limit": 1000}).raise_for_status()
            wanted = {"connector_name": "paper", "trading_pair": "SOL-USDT", "interval": "1m"}
            times = {"start_time": 60_000 * number, "end_time": 60_000 * (number + 1)}
            client.post("/market-data/historical-candles", json={**wanted, **times}).raise_for_status()
            return number

    assert answered_while(server, store, 8) > 4 * (3 * 8)


# 30
def test_history_has_one_state_for_each_interval(api, traded):
    for _ in range(3):
        api.post("/portfolio/state", json={"refresh": True}).raise_for_status()
    history = api.post("/portfolio/history", json={"interval": "1d", "limit": 100}).json()
    times = [point["timestamp"] for point in history["data"]]
    assert 1 <= len(times) == len(set(times)) <= 2


# 32
def test_a_page_is_what_was_asked_for_however_much_there_is(api, traded):
    whole = api.post("/trading/trades", json={"limit": 1000}).json()
    first = api.post("/trading/trades", json={"limit": 2}).json()
    assert first["data"] == whole["data"][:2]
    assert first["pagination"]["total_count"] == whole["pagination"]["total_count"]


# 46
async def test_a_fill_told_twice_does_not_lose_what_came_with_it():
    async with world() as outside:
        await first_start(outside.bus.ports)
        placed = await outside.do(
            PlaceOrder(
                account="master_account",
                connector="paper",
                trading_pair="BTC-USDT",
                side=Side.BUY,
                order_type=OrderType.LIMIT,
                amount=Decimal(2),
                price=Decimal(50_000),
            )
        )
        await outside.quiet()
        order_id = placed.result.order_id

        def fill(trade_id):
            return OrderFilled(
                trade_id=trade_id,
                amount=Decimal(1),
                price=Decimal(50_000),
                fee=Decimal(0),
                fee_currency="USDT",
                is_maker=True,
                filled_at=T0,
            )

        for trades in (["t1"], ["t1", "t2"]):
            report = AccountReport(
                account="master_account",
                connector="paper",
                reported_at=T0,
                orders=[(order_id, fill(trade)) for trade in trades],
            )
            await outside.do(RecordReport(report=report))
        events = await outside.events(f"order-{order_id}")
    assert [event.trade_id for event in events if isinstance(event, OrderFilled)] == ["t1", "t2"]


# 48
def test_of_two_servers_on_one_log_one_trades_and_records_each_order_once(servers, database_url, tmp_path):
    first = servers("first", DATABASE_URL=database_url)
    second = Nectar(tmp_path / "second", {"DATABASE_URL": database_url}).launch()
    try:
        until(partial(_stands_by, second))
        with first.client() as one, second.client() as two:
            assert two.post("/trading/orders", json=order(**FAR)).status_code == 503
            ids = [one.post("/trading/orders", json=order(**FAR)).json()["order_id"] for _ in range(5)]
            assert len(until(partial(_all_open, one, ids))) == len(set(ids)) == 5
    finally:
        second.stop()


def _stands_by(server):
    try:
        answer = httpx.get(f"{server.url}/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 503 and "Standing by" in answer.json()["detail"]


def _all_open(client, ids):
    orders = [item for page in pages(client, *SEARCH)[0] for item in page]
    return orders if {item["order_id"] for item in orders if item["status"] == "OPEN"} == set(ids) else None
