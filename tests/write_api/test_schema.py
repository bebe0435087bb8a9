"""Whatever fits the published schema, or breaks it in a way that a generator thinks of, is answered without a 5xx."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any, cast

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.settings import Settings
from commands.accounts import first_start
from commands.orders import word
from tests.commands.world import world
from tests.http.app import client_of
from write_api.accounts import Accounts
from write_api.orders import Orders
from write_api.positions import Positions
from write_api.writing import Writes

ROUTES = (Accounts, Orders, Positions)
CREDENTIALS = ("admin", "admin")


async def _serve(listener: socket.socket, started: list[uvicorn.Server]) -> None:
    async with world() as outside:
        await first_start(outside.bus.ports)
        writes = Writes(outside.bus, Committed(), partial(word, outside.log))
        app = build([], ROUTES, {"writes": writes}, Settings.from_environment({}))
        server = uvicorn.Server(uvicorn.Config(cast("str", app), log_config=None, access_log=False))
        started.append(server)
        await server.serve(sockets=[listener])
        await outside.quiet()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the write routes on a free port, from a thread of their own."""
    started: list[uvicorn.Server] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=lambda: asyncio.run(_serve(listener, started)))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        started[0].should_exit = True
        thread.join()


def _document() -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        app = build([], ROUTES, {"writes": None}, Settings.from_environment({}))
        async with client_of(app) as client:
            document: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
            return document

    return asyncio.run(ask())


schema = schemathesis.openapi.from_dict(_document())


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_server_fail(case, url):
    answer = case.call(base_url=url, auth=CREDENTIALS)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json().keys() == {"detail"}
