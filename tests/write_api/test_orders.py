from decimal import Decimal

import pytest

from domain.orders import OrderPlaced, stream_of

LIMIT = {
    "account_name": "master_account",
    "connector_name": "paper",
    "trading_pair": "BTC-USDT",
    "trade_type": "BUY",
    "amount": 0.01,
    "order_type": "LIMIT",
    "price": 50000,
}


async def test_an_order_is_answered_when_it_is_durable(server):
    answer = await server.client.post("/trading/orders", json=LIMIT)
    assert answer.status_code == 201
    body = answer.json()
    order_id = body.pop("order_id")
    assert body == {
        "account_name": "master_account",
        "connector_name": "paper",
        "trading_pair": "BTC-USDT",
        "trade_type": "BUY",
        "amount": "0.01",
        "order_type": "LIMIT",
        "price": "50000",
        "status": "submitted",
    }
    first = (await server.world.events(stream_of(order_id)))[0]
    assert isinstance(first, OrderPlaced)
    assert first.amount == Decimal("0.01")


async def test_a_write_tells_the_position_that_the_callers_next_read_will_show(server):
    answer = await server.client.post("/trading/orders", json=LIMIT)
    position = int(answer.headers["x-position"])
    assert position > 0
    assert server.committed.last("admin") == position


async def test_an_order_that_waits_carries_the_venues_word(server):
    answer = await server.client.post("/trading/orders", json=LIMIT, headers={"Prefer": "respond-async, wait=5"})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["state"]) == ("submitted", "accepted")
    assert body["exchange_order_id"] == "1"
    assert body["reason"] is None


async def test_a_wait_of_no_seconds_tells_what_is_known(server):
    server.world.spot.mute = True
    answer = await server.client.post("/trading/orders", json=LIMIT, headers={"Prefer": "wait=0"})
    assert answer.json()["state"] in ("placed", "unknown")


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "", "ten", "9999999999"])
async def test_a_wait_out_of_bounds_places_nothing(server, wait):
    before = await server.world.log.position()
    answer = await server.client.post("/trading/orders", json=LIMIT, headers={"Prefer": f"wait={wait}"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["header", "Prefer"]
    assert await server.world.log.position() == before


async def test_a_repeat_under_one_key_is_the_first_answer_and_sends_nothing(server):
    headers = {"Idempotency-Key": "order-17"}
    first = await server.client.post("/trading/orders", json=LIMIT, headers=headers)
    await server.world.quiet()
    again = await server.client.post("/trading/orders", json=LIMIT, headers=headers)
    await server.world.quiet()
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(server.world.spot.sent) == 1


async def test_a_key_used_for_another_order_is_a_conflict(server):
    headers = {"Idempotency-Key": "order-17"}
    await server.client.post("/trading/orders", json=LIMIT, headers=headers)
    answer = await server.client.post("/trading/orders", json={**LIMIT, "amount": 0.02}, headers=headers)
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"account_name": "nobody"}, 404),
        ({"connector_name": "nope"}, 404),
        ({"trading_pair": "NOPE-USDT"}, 400),
        ({"price": None}, 400),
        ({"amount": 0.000001}, 400),
        ({"price": 0.05}, 400),
        ({"amount": -1}, 422),
        ({"amount": "NaN"}, 422),
        ({"trade_type": "HOLD"}, 422),
        ({"order_type": "STOP"}, 422),
        ({"account_name": "../x"}, 422),
        ({"account_name": "a\0b"}, 422),
        ({"trading_pair": "x" * 10_000}, 422),
    ],
)
async def test_an_order_that_cannot_be_is_refused_and_nothing_is_recorded(server, change, status):
    before = await server.world.log.position()
    answer = await server.client.post("/trading/orders", json={**LIMIT, **change})
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], list if status == 422 else str)
    assert await server.world.log.position() == before


async def test_an_account_without_credentials_cannot_trade(server):
    await server.client.post("/accounts/add-account", params={"account_name": "second"})
    answer = await server.client.post("/trading/orders", json={**LIMIT, "account_name": "second"})
    assert answer.status_code == 400
    assert "no credentials" in answer.json()["detail"]


async def test_an_order_is_canceled_once(server):
    order_id = (await server.client.post("/trading/orders", json=LIMIT)).json()["order_id"]
    await server.world.quiet()
    path = f"/trading/master_account/paper/orders/{order_id}/cancel"
    answer = await server.client.post(path)
    assert answer.status_code == 200
    assert answer.json() == {"message": f"Order cancellation initiated for {order_id}"}
    await server.world.quiet()
    again = await server.client.post(path)
    assert (again.status_code, again.json()) == (
        404,
        {"detail": f"Order '{order_id}' not found in active orders"},
    )
    assert server.world.spot.cancels == [order_id]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/trading/nobody/paper/orders/n1/cancel", 404),
        ("/trading/master_account/nope/orders/n1/cancel", 404),
        ("/trading/master_account/paper/orders/nope/cancel", 404),
        ("/trading/master_account/paper/orders/%2e%2e/cancel", 404),
        ("/trading/master_account/paper/orders/%00/cancel", 400),
        ("/trading/master_account/paper/orders/" + "x" * 10_000 + "/cancel", 414),
    ],
)
async def test_a_cancel_of_what_is_not_there(server, path, status):
    assert (await server.client.post(path)).status_code == status
