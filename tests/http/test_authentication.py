import base64

import pytest

from tests.http.app import client_of, probe_app


async def test_the_right_credentials_let_in_and_name_the_user():
    async with client_of(probe_app(USERNAME="trader", PASSWORD="s3cret"), user="trader", password="s3cret") as client:
        answer = await client.get("/probe/user")
    assert (answer.status_code, answer.json()) == (200, {"user": "trader"})


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "Not authenticated"),
        ("Bearer abc", "Not authenticated"),
        ("Basic", "Not authenticated"),
        ("Basic !!!", "Not authenticated"),
        ("Basic " + base64.b64encode(b"nocolon").decode(), "Not authenticated"),
        ("Basic " + base64.b64encode(b"admin:wrong").decode(), "Incorrect username or password"),
        ("Basic " + base64.b64encode(b"other:admin").decode(), "Incorrect username or password"),
        ("Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), "Incorrect username or password"),
    ],
)
async def test_other_credentials_are_refused_as_the_contract_says(header, detail):
    async with client_of(probe_app(), user="") as client:
        answer = await client.get("/probe/", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()) == (401, {"detail": detail})
    assert answer.headers["www-authenticate"] == "Basic"


async def test_the_scheme_may_be_written_in_any_case():
    encoded = base64.b64encode(b"admin:admin").decode()
    async with client_of(probe_app(), user="") as client:
        answer = await client.get("/probe/", headers={"Authorization": f"bAsIc {encoded}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/health/"])
async def test_public_routes_need_no_credentials(path):
    async with client_of(probe_app(), user="", client="203.0.113.9") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
async def test_documentation_is_public_on_loopback_alone(path):
    app = probe_app()
    async with client_of(app, user="") as client:
        assert (await client.get(path)).status_code == 200
        behind_proxy = await client.get(path, headers={"X-Forwarded-For": "203.0.113.9"})
        assert behind_proxy.status_code == 401
    async with client_of(app, user="", client="203.0.113.9") as client:
        assert (await client.get(path)).status_code == 401
    async with client_of(app, client="203.0.113.9") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/docsx", "/openapi.jsonx", "//", "/health/../probe/", "/probe"])
async def test_a_path_that_only_looks_public_is_not(path):
    async with client_of(probe_app(), user="", client="203.0.113.9") as client:
        answer = await client.get(path)
    assert answer.status_code in (401, 200)
    assert answer.status_code == 401 or answer.json() == {"status": "running"}


async def test_a_socket_without_credentials_is_closed():
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": [], "scheme": "ws"}
    await probe_app()(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Not authenticated"}]
