import pytest

PERPETUAL = "/trading/master_account/paper_perpetual"


async def test_leverage_is_set(server):
    answer = await server.client.post(f"{PERPETUAL}/leverage", json={"trading_pair": "BTC-USDT", "leverage": 10})
    assert answer.status_code == 200
    assert answer.json() == {"status": "success", "message": "Leverage for BTC-USDT set to 10 on paper_perpetual"}
    assert int(answer.headers["x-position"]) == server.committed.last("admin")


@pytest.mark.parametrize(
    ("leverage", "kind"), [(1000, "less_than_equal"), (0, "greater_than_equal"), ("x", "int_parsing")]
)
async def test_leverage_out_of_bounds_names_the_bound(server, leverage, kind):
    body = {"trading_pair": "BTC-USDT", "leverage": leverage}
    answer = await server.client.post(f"{PERPETUAL}/leverage", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == kind


async def test_the_position_mode_is_set(server):
    answer = await server.client.post(f"{PERPETUAL}/position-mode", json={"position_mode": "HEDGE"})
    assert answer.status_code == 200
    assert answer.json() == {"status": "success", "message": "Position mode set to HEDGE on paper_perpetual"}


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("paper_perpetual/position-mode", {"position_mode": "BOTH"}, "Must be 'HEDGE' or 'ONEWAY'"),
        ("paper/position-mode", {"position_mode": "HEDGE"}, "'paper' is not a perpetual connector"),
        ("paper/leverage", {"trading_pair": "BTC-USDT", "leverage": 2}, "'paper' is not a perpetual connector"),
    ],
)
async def test_what_the_connector_cannot_do_is_refused(server, path, body, detail):
    answer = await server.client.post(f"/trading/master_account/{path}", json=body)
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


async def test_the_venues_refusal_is_told_in_its_words(server):
    server.world.perpetual.refuses_margin = "Leverage cannot change while a position is open"
    answer = await server.client.post(f"{PERPETUAL}/leverage", json={"trading_pair": "BTC-USDT", "leverage": 3})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Leverage cannot change while a position is open")


async def test_a_venue_that_does_not_answer_is_unavailable(server):
    server.world.perpetual.mute = True
    answer = await server.client.post(f"{PERPETUAL}/position-mode", json={"position_mode": "HEDGE"})
    assert answer.status_code == 503
