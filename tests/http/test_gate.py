import pytest

from adapters.http.gate import Gate


async def sent(scope, *, is_open):
    messages = []

    async def app(_scope, _receive, send):
        await send({"type": "let in"})

    async def send(message):
        messages.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    await Gate(app, lambda: is_open)({"headers": [], **scope}, receive, send)
    return messages


@pytest.mark.parametrize(("kind", "prefix"), [("http", "http"), ("websocket", "websocket.http")])
async def test_nobody_is_let_in_before_all_is_ready(kind, prefix):
    scope = {"type": kind, "path": "/ws/market-data"}
    start, body = await sent(scope, is_open=False)
    assert (start["type"], start["status"]) == (f"{prefix}.response.start", 503)
    assert (b"retry-after", b"1") in start["headers"]
    assert body["type"] == f"{prefix}.response.body"
    assert await sent(scope, is_open=True) == [{"type": "let in"}]


@pytest.mark.parametrize("scope", [{"type": "http", "path": "/ready"}, {"type": "lifespan"}])
async def test_what_needs_nothing_is_always_let_in(scope):
    assert await sent(scope, is_open=False) == [{"type": "let in"}]
