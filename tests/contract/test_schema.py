"""Whatever fits the published schema, or breaks it in a way that a generator thinks of, is answered without a 5xx."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from adapters.asgi import build
from adapters.bootstrap import WRITE
from adapters.settings import Settings
from read_api.controllers import CONTROLLERS
from tests.contract.serving import CREDENTIALS, Nectar
from tests.http.app import client_of


def _document() -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        asked_for = (
            *("writes", "reads", "markets", "refresh", "rate_sources", "feeds", "candles", "readiness"),
            *("sockets", "following"),
        )
        app = build(CONTROLLERS, WRITE, dict.fromkeys(asked_for), Settings.from_environment({}))
        async with client_of(app) as client:
            document: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
            return document

    return asyncio.run(ask())


DOCUMENT = _document()
# The one route whose answer has no end is left out.
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/audit/feed")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server that nobody minds being played with."""
    started = Nectar(tmp_path_factory.mktemp("nectar") / "data")
    try:
        yield started.start()
    finally:
        started.stop()


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_server_fail(case, target):
    answer = case.call(base_url=target.url, auth=CREDENTIALS)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json().keys() == {"detail"}


def test_every_route_says_what_it_is_for_and_shows_examples():
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            answers = [body for status, body in operation["responses"].items() if status.startswith("2")]
            for body in (*answers, *([operation["requestBody"]] if "requestBody" in operation else [])):
                (content,) = body["content"].values()
                assert "example" in content or "examples" in content, (method, path)
                assert content["schema"], (method, path)


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
