"""How bots stand, as the read routes tell it."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from commands.ports import Log
from domain.bots import ArchivePlace
from projections.bots.rows import LINES, LONGEST_LINE, NEWEST_LINES
from projections.bots.standing import FEW_BOTS
from tests.projections.fleet import (
    archived,
    at,
    cleared,
    deployed,
    failed,
    heard,
    logged,
    lost,
    reported,
    returned,
    running,
    start_requested,
    started,
    stop_requested,
    stop_told,
    stopped,
    wound_down,
)
from tests.read_api.bots import Fleet, reading


@pytest.fixture
async def fleet(database_url: str, log: Log) -> AsyncIterator[Fleet]:
    async with reading(database_url, log) as opened:
        yield opened


async def test_nothing_runs_at_first(fleet: Fleet):
    assert await fleet.ask("/status") == {"status": "success", "data": {}}


async def test_a_bot_that_has_only_started_is_stopped_and_silent(fleet: Fleet):
    await fleet.told(running("b"))
    nothing: dict[str, object] = {"performance": {}, "error_logs": [], "general_logs": []}
    standing = {"status": "stopped", "recently_active": False, "source": "docker", **nothing}
    assert await fleet.ask("/status") == {"status": "success", "data": {"b": standing}}
    assert await fleet.ask("/b/status") == {"status": "success", "data": standing}


async def test_a_bot_runs_as_long_as_it_is_heard_and_is_idle_after_that(fleet: Fleet):
    await fleet.told([*running("b"), reported("b", "grid", 1.5, 10, levels=3), heard("b", 20)])
    fleet.now = at(50)
    running_now = await fleet.status("b")
    assert (running_now["status"], running_now["recently_active"]) == ("running", True)
    assert running_now["performance"] == {
        "grid": {
            "status": "running",
            "performance": {"global_pnl_quote": 1.5, "close_type_counts": {}},
            "custom_info": {"levels": 3},
        }
    }
    fleet.now = at(50.001)
    idle = await fleet.status("b")
    assert (idle["status"], idle["recently_active"]) == ("idle", False)
    assert idle["performance"] == running_now["performance"]


async def test_a_lost_bot_is_idle_before_its_time_is_over(fleet: Fleet):
    await fleet.told([*running("b"), reported("b", "grid", 1, 39), lost("b", 40)])
    fleet.now = at(41)
    assert (await fleet.status("b"))["status"] == "idle"
    await fleet.told([returned("b", 42)])
    assert (await fleet.status("b"))["status"] == "running"


async def test_figures_reach_clients_as_the_bot_wrote_them(fleet: Fleet):
    await fleet.told([*running("b"), reported("b", 'odd "\\\0é', 1e-7, 2, big=1.0e22, none=None, text="\u2028 \0")])
    fleet.now = at(3)
    answer = await fleet.client.get("/bot-orchestration/b/status")
    assert "1e-07" in answer.text
    (controller,) = json.loads(answer.text)["data"]["performance"].values()
    assert controller["custom_info"] == {"big": 1.0e22, "none": None, "text": "\u2028 \0"}


async def test_numbers_that_nobody_reads_stop_no_view(fleet: Fleet):
    stream, event = reported("b", "huge", 1)
    huge = msgspec.structs.replace(event, performance=msgspec.Raw(b'{"pnl": 1e999}'))
    empty = msgspec.structs.replace(event, controller="ended", performance=msgspec.Raw(b"{ \n}"))
    await fleet.told([*running("b"), (stream, huge), (stream, empty)])
    fleet.now = at(3)
    answer = await fleet.client.get("/bot-orchestration/b/status")
    assert '"huge":{"status":"running","performance":{"pnl": 1e999},"custom_info":{}}' in answer.text
    assert "ended" not in answer.text


async def test_a_name_of_any_kind_is_a_name(fleet: Fleet):
    odd = 'o"dd\\'
    await fleet.told(running(odd))
    assert list((await fleet.ask("/status"))["data"]) == [odd]


async def test_lines_of_the_log_are_the_newest_of_each_kind_oldest_first(fleet: Fleet):
    lines = [logged("b", f"line {n}", 2 + n / 1000) for n in range(LINES + 30)]
    await fleet.told([*running("b"), *lines, logged("b", "first", 3, level=40), logged("b", "careful", 3.1, level=30)])
    for found in (await fleet.status("b"), (await fleet.ask("/status"))["data"]["b"]):
        assert [line["msg"] for line in found["general_logs"]] == [*(f"line {n}" for n in range(31, 130)), "careful"]
        assert found["error_logs"] == [
            {
                "level_name": "ERROR",
                "msg": "first",
                "timestamp": at(3.25).timestamp(),
                "level_no": 40,
                "logger_name": "hummingbot.strategy",
            }
        ]
    assert found["general_logs"][-1]["level_no"] == 30


async def test_lines_that_are_the_same_are_all_kept(fleet: Fleet):
    """Defect 41 of the reference: it drops what is logged twice within a second."""
    await fleet.told([*running("b"), *[logged("b", "again", 2)] * 3])
    assert [line["msg"] for line in (await fleet.status("b"))["general_logs"]] == ["again"] * 3


async def test_an_endless_line_is_cut(fleet: Fleet):
    await fleet.told([*running("b"), logged("b", "x" * 1_000_000)])
    (line,) = (await fleet.status("b"))["general_logs"]
    assert line["msg"] == f"{'x' * LONGEST_LINE}… (1000000 characters)"


async def test_an_answer_about_many_bots_has_the_newest_lines_of_each(fleet: Fleet):
    names = [f"b{n}" for n in range(FEW_BOTS + 1)]
    lines = [logged(name, f"{name} line {n}") for name in names for n in range(NEWEST_LINES + 2)]
    errors = [logged(name, f"{name} error", level=40) for name in names]
    await fleet.told([*(event for name in names for event in running(name)), *lines, *errors])
    bots = (await fleet.ask("/status"))["data"]
    assert list(bots) == names
    for name, bot in bots.items():
        assert [line["msg"] for line in bot["general_logs"]] == [f"{name} line {n}" for n in range(2, NEWEST_LINES + 2)]
        assert [line["msg"] for line in bot["error_logs"]] == [f"{name} error"]
        assert len((await fleet.status(name))["general_logs"]) == NEWEST_LINES + 2
    await fleet.told([cleared("b0")])
    bots = (await fleet.ask("/status"))["data"]
    assert [len(bot["general_logs"]) for bot in bots.values()] == [NEWEST_LINES + 2] * FEW_BOTS


async def test_a_bot_that_is_put_away_is_stopping_until_it_is_gone(fleet: Fleet):
    """Defect 18 of the reference: it is not found while it stops."""
    await fleet.told([*running("b"), reported("b", "grid", 1)])
    fleet.now = at(3)
    for event in (
        stop_requested("b", archive=ArchivePlace()),
        stop_told("b"),
        reported("b", "grid", None, 60),
        wound_down("b"),
        stopped("b"),
        failed("b", "The bucket is away", 80),
        archived("b"),
    ):
        await fleet.told([event])
        assert (await fleet.status("b"))["status"] == "stopping"
        assert list((await fleet.ask("/status"))["data"]) == ["b"]
    await fleet.told([cleared("b")])
    assert await fleet.ask("/b/status", 404) == {"detail": "Bot b not found"}
    assert (await fleet.ask("/status"))["data"] == {}


async def test_a_bot_that_was_stopped_alone_is_stopped_when_its_strategy_has_ended(fleet: Fleet):
    await fleet.told([*running("b"), reported("b", "grid", 1), stop_requested("b", 3), stop_told("b", 3)])
    fleet.now = at(4)
    assert (await fleet.status("b"))["status"] == "stopping"
    await fleet.told([reported("b", "grid", None, 4), wound_down("b", 4)])
    standing = await fleet.status("b")
    assert (standing["status"], standing["performance"], standing["recently_active"]) == ("stopped", {}, True)
    await fleet.told([stop_requested("b", 5)])  # nothing is left to end
    assert (await fleet.status("b"))["status"] == "stopped"
    await fleet.told([start_requested("b", 6), started("b", 7), reported("b", "grid", 2, 8)])
    assert (await fleet.status("b"))["status"] == "running"
    await fleet.told([stopped("b", 9, exit_code=1, asked_for=False)])
    assert (await fleet.status("b"))["status"] == "stopped"
    assert list((await fleet.ask("/status"))["data"]) == ["b"]  # it can be started again


async def test_a_deployment_that_failed_is_gone_when_it_is_cleared(fleet: Fleet):
    await fleet.told([deployed("b"), failed("b"), cleared("b")])
    assert (await fleet.ask("/status"))["data"] == {}


async def test_a_bot_of_somebody_else_is_shown_while_it_is_heard(fleet: Fleet):
    await fleet.told([returned("other", 10), reported("other", "x", 1, 10)])
    fleet.now = at(11)
    shown = (await fleet.ask("/status"))["data"]["other"]
    assert (shown["status"], shown["source"], shown["recently_active"]) == ("running", "mqtt", True)
    fleet.now = at(60)
    assert (await fleet.ask("/status"))["data"] == {}
    assert (await fleet.status("other"))["status"] == "idle"


async def test_a_name_that_is_taken_anew_begins_anew(fleet: Fleet):
    before = [*running("b"), reported("b", "grid", 1), *[logged("b", f"old {n}") for n in range(150)], cleared("b", 9)]
    await fleet.told([*before, *running("b", 10), logged("b", "new", 11)])
    fleet.now = at(12)
    for standing in (await fleet.status("b"), (await fleet.ask("/status"))["data"]["b"]):
        assert [line["msg"] for line in standing["general_logs"]] == ["new"]
        assert standing["performance"] == {}


async def test_an_unknown_bot_is_not_found(fleet: Fleet):
    """Defect 26 of the reference: it answers 200 with an error inside."""
    for path in ("/nobot/status", "/nobot/history"):
        assert await fleet.ask(path, 404) == {"detail": "Bot nobot not found"}


async def test_a_bot_is_asked_for_its_history(fleet: Fleet):
    await fleet.told([*running("b"), heard("b")])
    fleet.now = at(3)
    fleet.line.appear("b")
    trades = {"status": 200, "msg": "", "trades": [{"market": "binance", "price": "147.5"}]}
    fleet.line.answers["b", "history"] = trades
    answer = await fleet.ask("/b/history", days=1, verbose="true", precision=4, timeout=2)
    assert answer["response"]["data"].pop("header")["agent"] == "commlib"
    assert answer == {"status": "success", "response": {"success": True, "data": {"data": trades}}}
    asked = {"days": 1, "verbose": True, "precision": 4, "async_backend": False}
    assert fleet.line.sent == [("b", "history", asked)]


async def test_a_bot_that_does_not_answer_is_unavailable(fleet: Fleet):
    await fleet.told(running("b"))
    assert await fleet.ask("/b/history", 503, timeout=1.5) == {"detail": "Bot b did not answer within 1.5 seconds"}
    fleet.line.connected = False
    assert "broker" in (await fleet.ask("/b/history", 503))["detail"]
    await fleet.told([stopped("b")])
    assert "does not run" in (await fleet.ask("/b/history", 503))["detail"]


async def test_a_history_cannot_be_asked_for_like_that(fleet: Fleet):
    await fleet.told(running("b"))
    for bad in ({"timeout": 0}, {"timeout": 301}, {"timeout": "nan"}, {"days": -1}, {"precision": "x"}):
        detail = (await fleet.ask("/b/history", 422, **bad))["detail"]
        assert detail[0]["loc"] == ["query", *bad]


async def test_the_broker_is_shown_with_who_was_heard(fleet: Fleet):
    await fleet.told(
        [*running("silent"), *running("talks"), heard("talks", 2), returned("other", 2), heard("other", 2)]
    )
    await fleet.told([*running("ended"), stopped("ended", 1)])
    fleet.now = at(3)
    fleet.line.appear("talks", "other")
    answer = await fleet.ask("/mqtt")
    assert answer == {
        "status": "success",
        "data": {
            "mqtt_connected": True,
            "discovered_bots": ["other", "talks"],
            "active_bots": ["silent", "talks", "other"],
            "broker_host": "localhost",
            "broker_port": 1883,
            "broker_username": None,
            "client_state": "connected",
            "problem": None,
        },
    }
    fleet.line.connected = False
    away = (await fleet.ask("/mqtt"))["data"]
    assert (away["mqtt_connected"], away["client_state"], away["problem"]) == (False, "disconnected", "it was made so")
