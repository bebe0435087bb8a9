"""Whatever fits the published schema, or breaks it in a way that a generator thinks of, is answered without a 5xx."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, get_type_hints

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from litestar.di import Dependency

from adapters.asgi import build
from adapters.bootstrap import WRITE
from adapters.settings import Settings
from read_api.controllers import CONTROLLERS
from tests.contract.serving import CREDENTIALS, Nectar
from tests.http.app import client_of


def _dependencies(controllers: Iterable[type]) -> set[str]:
    """Return the names that routes ask to be given."""
    handlers = [
        handler for controller in controllers for handler in vars(controller).values() if hasattr(handler, "fn")
    ]
    hints = [get_type_hints(handler.fn, include_extras=True) for handler in handlers]
    given = ((name, getattr(kind, "__metadata__", ())) for hint in hints for name, kind in hint.items())
    return {name for name, marks in given if any(isinstance(mark, Dependency) for mark in marks)}


def _document() -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        given = dict.fromkeys(_dependencies((*CONTROLLERS, *WRITE)))
        app = build(CONTROLLERS, WRITE, given, Settings.from_environment({}))
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


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """A client that keeps its connection and looks for no proxy."""
    with requests.Session() as kept:
        kept.trust_env = False
        kept.auth = CREDENTIALS
        yield kept


AFTER, WAITS = "X-After-Position", "/accounts"
"""A route on which positions that the log has not reached are asked for. Each read waits a second for one, all in one
function (`read_api/settle.py`): on every route of the schema that made for most of this test's time."""
OURS = ("Authorization", "X-Schemathesis-TestCaseId")
"""Headers that are not the generator's when a request is sent."""
SENT: set[tuple[object, ...]] = set()


def is_new(case: Any) -> bool:
    """Whether a request was not sent yet: of routes with few parameters the generator makes the same one often."""
    said = sorted((name, value) for name, value in (case.headers or {}).items() if name not in OURS)
    request = (case.method, case.formatted_path, repr(case.query), repr(case.body), repr(said), repr(case.cookies))
    new = request not in SENT
    SENT.add(request)
    return new


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_server_fail(case, target, session):
    if case.path != WAITS and str((case.headers or {}).get(AFTER, "")).isdecimal():
        case.headers[AFTER] = "0"
    if not is_new(case):
        return
    answer = case.call(base_url=target.url, session=session)
    # Where these tests run there need be no Docker, and the routes about it say so.
    assert answer.status_code < 500 or (answer.status_code == 503 and "No Docker engine" in answer.text), answer.text
    # A request whose address is longer than 64 KB is no request to the web server, and never comes to the application.
    if answer.status_code >= 400 and answer.text != "Invalid HTTP request received.":
        assert answer.json().keys() == {"detail"}, answer.text


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


def _fillers(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_fillers, value.values()))
    return any(map(_fillers, value)) if isinstance(value, list) else value == "text"


@pytest.mark.parametrize("tag", ["Bot orchestration", "Controllers", "Docker", "Scripts"])
def test_who_tries_a_body_out_need_not_make_its_words_up(tag):
    bodies = {
        path: operation["requestBody"]["content"]["application/json"]
        for path, operations in DOCUMENT["paths"].items()
        for operation in operations.values()
        if operation["tags"] == [tag] and "requestBody" in operation
    }
    assert bodies
    for path, content in bodies.items():
        given = content["example"]
        assert given, path
        assert not _fillers(given), path
