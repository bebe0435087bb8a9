"""`X-As-Of`: each question answered as a server would have answered it then."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.archives import path_of
from tests.listening import KNOWN, listened
from tests.projections.archived import ARCHIVES
from tests.projections.fleet import FLEET
from tests.projections.given import EVERYTHING, STORY, account, balances, canceled, placed, position
from tests.projections.strategies import STRATEGIES, controller, script
from tests.strategies import GRID_STRIKE, V2_WITH_CONTROLLERS

WITH_CONFIGS = [script("watch", V2_WITH_CONTROLLERS), controller("generic", "grid", GRID_STRIKE)]
PARTS = [
    *(EVERYTHING[:3], EVERYTHING[3:30], EVERYTHING[30:]),
    *(FLEET[:12], FLEET[12:], ARCHIVES, STRATEGIES, WITH_CONFIGS),
]


class Question(NamedTuple):
    """A route as the contract names it, the path that is asked, and the body of a POST."""

    route: str
    path: str
    body: dict[str, Any] | None = None

    @property
    def asked(self) -> tuple[str, str]:
        return ("get" if self.body is None else "post", self.route)


def _archived(what: str) -> Iterable[Question]:
    for name in ("kept", "gone", "corrupt"):
        yield Question(f"/archived-bots/{{db_path}}/{what}", f"/archived-bots/{path_of(name)}/{what}")


QUESTIONS = [
    Question("/accounts", "/accounts/"),
    Question("/accounts/{account_name}/credentials", "/accounts/second/credentials"),
    Question("/trading/orders/active", "/trading/orders/active", {}),
    Question("/trading/orders/search", "/trading/orders/search", {"limit": 3}),
    Question("/trading/orders/search", "/trading/orders/search", {"status": "filled"}),
    Question("/trading/trades", "/trading/trades", {}),
    Question("/trading/positions", "/trading/positions", {}),
    Question("/trading/funding-payments", "/trading/funding-payments", {}),
    Question(
        "/trading/{account_name}/{connector_name}/position-mode",
        "/trading/master_account/paper_perpetual/position-mode",
    ),
    Question("/portfolio/state", "/portfolio/state", {}),
    Question("/portfolio/history", "/portfolio/history", {}),
    Question("/portfolio/distribution", "/portfolio/distribution", {}),
    Question("/portfolio/accounts-distribution", "/portfolio/accounts-distribution"),
    Question("/rate-oracle/config", "/rate-oracle/config"),
    Question("/scripts", "/scripts/"),
    Question("/scripts/configs", "/scripts/configs"),
    Question("/scripts/configs/{config_name}", "/scripts/configs/grid_btc"),
    Question("/scripts/{script_name}", "/scripts/watch"),
    Question("/scripts/{script_name}/config/template", "/scripts/watch/config/template"),
    Question("/controllers", "/controllers/"),
    Question("/controllers/configs", "/controllers/configs"),
    Question("/controllers/configs/{config_name}", "/controllers/configs/grid_btc"),
    Question("/controllers/{controller_type}/{controller_name}", "/controllers/generic/grid"),
    Question(
        "/controllers/{controller_type}/{controller_name}/config/template", "/controllers/generic/grid/config/template"
    ),
    Question(
        "/controllers/{controller_type}/{controller_name}/config/validate",
        "/controllers/generic/grid/config/validate",
        {"leverage": 1},
    ),
    Question("/audit/events", "/audit/events"),
    Question("/audit/events", "/audit/events?type=OrderFilled&limit=2"),
    Question("/audit/streams/{stream}", "/audit/streams/order-a"),
    Question("/audit/chain/{correlation_id}", f"/audit/chain/{STORY}?limit=500"),
    Question("/audit/reconciliation", "/audit/reconciliation"),
    Question("/archived-bots", "/archived-bots/"),
    *(question for what in ("status", "summary", "performance", "trades") for question in _archived(what)),
    *(question for what in ("orders", "positions", "executors", "controllers") for question in _archived(what)),
    Question("/analytics/performance", "/analytics/performance?group_by=connector,day"),
    Question("/analytics/equity", "/analytics/equity"),
    Question("/analytics/trades", "/analytics/trades"),
    Question("/analytics/lots", "/analytics/lots"),
    Question("/bot-orchestration/status", "/bot-orchestration/status"),
    Question("/bot-orchestration/{bot_name}/status", "/bot-orchestration/grid/status"),
    Question("/bot-orchestration/bot-runs", "/bot-orchestration/bot-runs"),
    Question("/bot-orchestration/bot-runs/stats", "/bot-orchestration/bot-runs/stats"),
    Question("/bot-orchestration/bot-runs/{bot_run_id}", f"/bot-orchestration/bot-runs/{len(EVERYTHING) + 1}"),
    *(
        Question(f"/bot-orchestration/controller-performance{end}", f"/bot-orchestration/controller-performance{end}")
        for end in ("-latest", "/latest", "-history", "/history")
    ),
]


async def answers(server, as_of=None) -> list[Any]:
    """Return status and body of every question, in their order."""
    headers = {} if as_of is None else {"X-As-Of": as_of}
    found = []
    for question in QUESTIONS:
        method = "GET" if question.body is None else "POST"
        answer = await server.client.request(method, question.path, json=question.body, headers=headers)
        body = answer.json()
        if question.route == "/trading/positions":
            for one in body["data"]:
                del one["unrealized_pnl"]  # now it is at the price of now: a test of its own
        found.append((answer.status_code, body))
    return found


def same(found: list[Any], expected: list[Any]) -> None:
    for question, one, other in zip(QUESTIONS, found, expected, strict=True):
        assert one == other, question.path


async def past_of(server, path, as_of, body=None):
    """Return the answer about a moment."""
    method = "GET" if body is None else "POST"
    return await server.client.request(method, path, json=body, headers={"X-As-Of": str(as_of)})


async def test_every_route_that_answers_from_the_views_is_asked_here(server):
    described = (await server.client.get("/openapi.json")).json()["paths"]
    reaching = {
        (method, path.rstrip("/") or "/")
        for path, operations in described.items()
        for method, operation in operations.items()
        if any(parameter["name"] == "X-As-Of" for parameter in operation.get("parameters", ()))
    }
    assert {question.asked for question in QUESTIONS} == reaching - {("get", "/audit/diff")}  # which has two moments


async def test_the_past_is_answered_as_it_was_answered_then_and_now_as_now(server):
    recorded = []
    for part in PARTS:
        end = await server.told(part)
        recorded.append((end, datetime.now(UTC), await answers(server)))
    for end, at, then in recorded:
        same(await answers(server, str(end)), then)
        same(await answers(server, at.isoformat()), then)
    for question, *seen in zip(QUESTIONS, *(then for *_, then in recorded), strict=True):
        assert any(one != seen[0] for one in seen), f"{question.path} was never told anything"


async def test_a_time_is_the_state_behind_the_last_event_recorded_at_it_or_before(server):
    first = await server.told(account())
    await server.told(account("later"))
    (later, earlier) = (await server.ask("/audit/events?type=AccountAdded"))["data"]
    at = datetime.fromisoformat(later["recorded_at"])
    answer = await past_of(server, "/accounts/", at.isoformat())
    assert (answer.json(), answer.headers["x-as-of"]) == (["master_account", "later"], str(later["position"]))
    answer = await past_of(server, "/accounts/", (at - timedelta(microseconds=1)).isoformat())
    assert (answer.json(), answer.headers["x-as-of"]) == (["master_account"], str(first))
    answer = await past_of(server, "/accounts/", earlier["recorded_at"].replace("Z", "+00:00"))
    assert answer.headers["x-as-of"] == str(earlier["position"])


async def test_what_was_then_is_marked_and_refreshed_as_it_was_recorded(server):
    end = await server.told([*account("master_account", "paper_perpetual"), position("0.5"), balances({"USDT": "5"})])
    now = await server.ask("/trading/positions", {})
    then = (await past_of(server, "/trading/positions", end, {})).json()
    assert [one["data"][0]["unrealized_pnl"] for one in (now, then)] == [5.0, 0.5]
    answer = await past_of(server, "/portfolio/state", end, {"refresh": True})
    assert answer.status_code == 200
    assert server.refreshed == []


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ("yesterday", 422, "ISO 8601"),
        ("", 422, "ISO 8601"),
        ("2026-11-22T08:00:00", 422, "with its time zone"),
        ("-1", 422, "position"),
        ("1.5", 422, "position"),
        ("1" * 19, 422, "position"),
        ("0", 400, "X-As-Of '0' is before the first event, at position 1"),
        ("2", 400, "X-As-Of '2' is beyond the end of the log, position 1"),
        ("2999-01-01T00:00:00Z", 400, "X-As-Of '2999-01-01T00:00:00Z' is in the future: it is 20"),
        ("1999-01-01T00:00:00+02:00", 400, "is before the first event, which was recorded at 20"),
        ("0001-01-01T00:00:00+14:00", 400, "X-As-Of '0001-01-01T00:00:00+14:00' is before the first event"),
        ("9999-12-31T23:59:59-14:00", 400, "is in the future"),
    ],
    ids=[
        "words",
        "nothing",
        "no zone",
        "negative",
        "a fraction",
        "too long",
        "zero",
        "beyond",
        "future",
        "before",
        "first year",
        "last year",
    ],
)
async def test_what_is_no_moment_of_the_log_is_refused(server, given, status, says):
    await server.told(account()[:1])
    answer = await past_of(server, "/accounts/", given)
    assert answer.status_code == status
    assert says in str(answer.json()["detail"])


async def test_an_empty_log_has_no_past(server):
    answer = await past_of(server, "/accounts/", 1)
    assert (answer.status_code, answer.json()["detail"]) == (400, "X-As-Of '1' cannot be shown: the log is empty")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/", None, "what is there now"),
        ("/health", None, "what is there now"),
        ("/connectors", None, "what is there now"),
        ("/market-data/tickers", None, "what is there now"),
        ("/rate-oracle/prices", None, "prices of a source"),
        ("/rate-oracle/rates", {"trading_pairs": []}, "prices of a source"),
        ("/market-data/rates", {"trading_pairs": []}, "tickers of connectors"),
        ("/bot-orchestration/mqtt", None, "a connection to the broker"),
        ("/bot-orchestration/grid/history", None, "what a bot answers"),
        ("/audit/feed", None, "the log as it grows"),
    ],
    ids=lambda given: given if isinstance(given, str) and given.startswith("/") else "",
)
async def test_what_was_never_recorded_has_no_past(server, path, body, says):
    await server.told(account())
    answer = await past_of(server, path, 1, body)
    method = "GET" if body is None else "POST"
    detail = f"{method} {path} takes no X-As-Of: it shows {says}, which the log does not hold"
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)


async def test_a_websocket_has_no_past(server):
    async with listened(server.app) as address, aiohttp.ClientSession(headers=KNOWN) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"ws://{address}/ws/executors", headers={"X-As-Of": "1"})
    assert refused.value.status == 400


async def test_only_the_views_that_are_asked_for_are_built_and_once_for_all_who_ask(server):
    end = await server.told([*account("master_account", "paper"), placed("a"), canceled("a")])
    found = await asyncio.gather(*(past_of(server, "/trading/orders/search", end, {}) for _ in range(20)))
    assert {answer.status_code for answer in found} == {200}
    assert [(one.position, one.view, one.ready) for one in server.past.standings()] == [(end, "orders", True)]
    await past_of(server, "/trading/orders/active", end, {})
    assert (await server.ask("/audit/moments"))["data"] == [
        {"position": end, "view": view, "reached": end, "ready": True} for view in ("orders", "accounts")
    ]
