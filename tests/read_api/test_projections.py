"""How far each view is, as `/system/projections` and `/ready` say it."""

import msgspec
import pytest

from adapters.http.gate import Gate
from adapters.readiness import Readiness
from commands.ports import Log
from domain.views import STREAM, EventSkipped
from projections import orders
from projections.replay import rebuild
from projections.runner import Building, Progress
from projections.view import connect
from projections.views import VIEWS
from tests.http.app import client_of
from tests.projections.given import EVERYTHING, accepted, account, placed, tell
from tests.read_api.conftest import Server

PATIENCE = 10.0
CUT_AT = 30


class Cut(BaseException):
    """Ends a rebuild as the end of its process does."""


async def of(server: Server, view: str) -> dict[str, object]:
    found: dict[str, dict[str, object]] = {
        standing["view"]: standing for standing in (await server.ask("/system/projections"))["views"]
    }
    assert list(found) == [view.name for view in VIEWS]
    return found[view]


async def test_a_view_that_is_kept_here_is_live(server: Server):
    end = await server.told([*account(), placed("a")])
    assert await server.progress.reached(end, server.progress.views, PATIENCE) == 0
    assert (await server.ask("/system/projections"))["position"] == end
    assert await of(server, "orders") == {
        "view": "orders",
        "version": orders.VIEW.fingerprint[:12],
        "position": end,
        "lag": 0,
        "state": "live",
        "error": None,
        "error_position": None,
        "rebuild": None,
        "skipped": [],
    }


async def test_a_view_that_cannot_take_an_event_says_which(server: Server):
    assert await server.progress.reached(0, server.progress.views, PATIENCE) == 0
    end = await server.told([*account(), accepted("never_placed"), placed("b")])
    assert await server.progress.reached(end, ["audit"], PATIENCE) == 0
    assert await server.progress.reached(end, ["orders"], PATIENCE) > 0
    failed = await of(server, "orders")
    assert (failed["state"], failed["error_position"]) == ("failed", end - 1)
    assert (failed["position"], failed["lag"]) == (end - 2, 2)
    assert str(failed["error"]).startswith("KeyError")
    assert (await of(server, "audit"))["state"] == "live"


async def test_a_view_that_another_process_keeps_stands_by(server: Server):
    server.progress.leads(["orders"])
    assert (await of(server, "orders"))["state"] == "live"
    assert (await of(server, "audit"))["state"] == "standing by"


async def test_a_view_of_another_definition_is_being_built(server: Server, database_url: str):
    async with await connect(database_url) as connection:
        await connection.execute("update read.checkpoints set fingerprint = 'older' where view = 'rates'")
    assert (await of(server, "rates"))["state"] == "building"


async def test_what_a_view_leaves_out_is_said_with_who_decided_it(server: Server):
    event = EventSkipped(view="rates", position=7, type="T", stream="s", error="KeyError: 1", reason="Not ours")
    await server.told([(STREAM, event)])
    skipped = (await of(server, "rates"))["skipped"]
    assert (await of(server, "orders"))["skipped"] == []
    [told] = (await server.ask(f"/audit/streams/{STREAM}"))["data"]
    assert told["data"] == msgspec.to_builtins(event)
    assert skipped == [{**told["data"], "skipped_by": told["actor"], "skipped_at": told["recorded_at"]}]


async def test_a_view_that_is_being_built_is_not_answered_from_the_tables_of_another_definition(server: Server):
    await server.told([*account(), placed("a")])
    assert (await server.ask("/trading/orders/search", {}))["pagination"]["total_count"] == 1
    server.progress.moved({"orders": -1})
    server.progress.builds(["orders"], Building(250, 1000, 50.0))
    answer = await server.client.post("/trading/orders/search", json={})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    left = "250 of 1000 events are in it, about 15 seconds are left"
    assert answer.json() == {"detail": f"View 'orders' is being built: {left}"}
    assert (await server.client.get("/accounts/")).status_code == 200
    server.progress.builds(["orders"], None)
    answer = await server.client.post("/trading/orders/search", json={})
    assert (answer.status_code, answer.json()["detail"]) == (503, "View 'orders' is not built yet")
    server.progress.failed("orders", "KeyError: secret", 17)
    answer = await server.client.post("/trading/orders/search", json={})
    assert (answer.status_code, "secret" in answer.text) == (503, False)


async def test_a_rebuild_says_how_far_it_is_while_it_runs_and_after_it_was_cut_off(
    server: Server, database_url: str, log: Log
):
    end = await server.told(EVERYTHING)
    assert await server.progress.reached(end, server.progress.views, PATIENCE) == 0
    seen: list[dict[str, object]] = []

    async def apply(*given: object) -> None:
        seen.append(await of(server, "orders"))
        await orders.VIEW.apply(*given)  # type: ignore[arg-type]

    def told(position: int, *_: object) -> None:
        if position >= CUT_AT:
            raise Cut

    with pytest.raises(Cut):
        await rebuild(database_url, log, [msgspec.structs.replace(orders.VIEW, apply=apply)], told=told, span=5)
    running = seen[-1]["rebuild"]
    assert isinstance(running, dict)
    assert (running["running"], running["of"]) == (True, end)
    assert running["position"] in range(1, end)
    assert seen[-1]["state"] == "live"
    cut_off = (await of(server, "orders"))["rebuild"]
    assert isinstance(cut_off, dict)
    assert (cut_off["running"], cut_off["seconds_left"]) == (False, None)
    assert cut_off["position"] >= CUT_AT


async def test_parts_that_are_filled_side_by_side_are_one_rebuild(server: Server, database_url: str):
    async with await connect(database_url) as connection:
        await connection.execute(
            "insert into read.rebuilds (view, part, parts, fingerprint, position, total, rate)"
            " values ('orders', 0, 2, 'f', 100, 1000, 20), ('orders', 1, 2, 'f', 300, 1001, 40)"
        )
    expected = {"running": False, "position": 200, "of": 1001, "rate": 30.0, "seconds_left": None}
    assert (await of(server, "orders"))["rebuild"] == expected


async def test_it_is_said_while_the_server_starts_and_to_users_alone(server: Server):
    async with client_of(Gate(server.app, lambda: False)) as client:
        assert (await client.get("/system/projections")).status_code == 200
        assert (await client.get("/audit/events")).status_code == 503
    async with client_of(server.app, user="") as client:
        assert (await client.get("/system/projections")).status_code == 401


async def test_it_is_of_now_alone(server: Server):
    answer = await server.client.get("/system/projections", headers={"X-As-Of": "1"})
    assert answer.status_code == 400
    assert "how far the views have come" in answer.json()["detail"]


async def test_ready_says_what_is_built_and_where_a_view_stopped(log: Log):
    progress = Progress(["orders", "audit"])
    ready = Readiness(log, progress)
    ready.wait_for("Starting")
    progress.builds(["orders", "audit"], Building(250, 1000, 50.0))
    being_built = "Views are being built: orders, audit, 250 of 1000 events are in them, about 15 seconds are left"
    assert await ready() == f"Starting. {being_built}"
    ready.started = True
    assert await ready() == being_built
    progress.builds(["orders"], None)
    progress.builds(["audit"], Building(0, 1000, 0.0))
    assert await ready() == "Views are being built: audit, 0 of 1000 events are in them"
    progress.builds(["audit"], None)
    progress.moved({"orders": 0, "audit": 0})
    assert await ready() is None
    end = await tell(log, account())
    assert await ready() == f"Views are {end} events behind"
    progress.failed("orders", "ValueError: secret", 17)
    progress.failed("audit", "KeyError: secret")
    assert await ready() == "Views have stopped: orders at event 17, audit"
