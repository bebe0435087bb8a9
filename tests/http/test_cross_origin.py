import pytest

from tests.http.app import client_of, probe_app

DASHBOARD = "http://dashboard.example:8501"
ALLOWED = {"CORS_ALLOW_ORIGINS": DASHBOARD, "CORS_ALLOW_ORIGIN_REGEX": r"https://[a-z]+\.nectar\.example"}
WISH = {"name": "a", "amount": 1}


@pytest.mark.parametrize("origin", [DASHBOARD, "https://ui.nectar.example", "http://127.0.0.1:8000"])
async def test_an_allowed_page_may_change_things_and_read_the_answer(origin):
    async with client_of(probe_app(**ALLOWED)) as client:
        answer = await client.post("/probe/", json=WISH, headers={"Origin": origin})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == origin
    assert "X-Position" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://ui.nectar.example.evil.example"])
async def test_a_foreign_page_changes_nothing_whatever_its_credentials(origin):
    async with client_of(probe_app(**ALLOWED)) as client:
        answer = await client.post("/probe/", json=WISH, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_foreign_page_may_ask_but_not_read():
    async with client_of(probe_app(**ALLOWED)) as client:
        answer = await client.get("/probe/", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_is_answered_without_credentials():
    headers = {
        "Origin": DASHBOARD,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    async with client_of(probe_app(**ALLOWED), user="") as client:
        answer = await client.options("/probe/", headers=headers)
        foreign = await client.options("/probe/", headers={**headers, "Origin": "https://evil.example"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "authorization,idempotency-key"
    assert foreign.status_code == 401


async def test_a_refusal_can_be_read_by_an_allowed_page():
    async with client_of(probe_app(**ALLOWED), user="") as client:
        answer = await client.get("/probe/", headers={"Origin": DASHBOARD})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == DASHBOARD
