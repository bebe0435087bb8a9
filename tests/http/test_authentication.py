import base64
from urllib.parse import quote, quote_plus

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


REFUSED = [
    {"type": "websocket.accept"},
    {"type": "websocket.send", "text": '{"type":"error","message":"Authentication failed"}'},
    {"type": "websocket.close", "code": 4001, "reason": "Authentication failed"},
]


async def socket(query="", headers=(), scheme="ws", **environment):
    """Ask for a WebSocket that no route has, and return what is sent and what is left of the query."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": "/ws",
        "query_string": query.encode(),
        "headers": list(headers),
        "scheme": scheme,
        "extensions": {},
    }
    await probe_app(**environment)(scope, receive, send)
    return sent, scope["query_string"]


def token(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("query", ["", "token=", "token=x", f"token={token('admin', 'wrong')}", "tokens=x&a=1"])
async def test_a_socket_without_the_right_token_is_told_and_closed(query):
    sent, _ = await socket(query)
    assert sent == REFUSED


@pytest.mark.parametrize("password", ["admin", "?>?>", "~~~~", "pä ss:w"])
@pytest.mark.parametrize("written", [str, quote, quote_plus])
async def test_a_socket_is_let_in_by_a_token_however_it_is_written(password, written):
    sent, query = await socket(f"token={written(token('admin', password))}&depth=1", PASSWORD=password)
    assert sent != REFUSED
    assert sent[0]["type"] == "websocket.close"  # there is no such route, which only those within are told
    assert query == b"depth=1"


async def test_a_socket_is_let_in_by_a_header_whatever_the_token():
    sent, query = await socket("token=x", [(b"authorization", f"Basic {token('admin', 'admin')}".encode())])
    assert sent != REFUSED
    assert query == b""


async def test_a_foreign_page_gets_no_socket():
    known = (b"authorization", f"Basic {token('admin', 'admin')}".encode())
    sent, _ = await socket(headers=[known, (b"origin", b"https://evil.example"), (b"host", b"localhost:8000")])
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 403
    for scheme, origin in (("ws", b"http://localhost:8000"), ("wss", b"https://localhost:8000")):
        sent, _ = await socket(headers=[known, (b"origin", origin), (b"host", b"localhost:8000")], scheme=scheme)
        assert sent[0]["type"] == "websocket.close"


async def test_a_socket_at_a_path_that_cannot_be_is_refused():
    sent, _ = await socket(query="a=%00")
    assert sent[0]["status"] == 400
