"""Runs of bots, as the read routes tell them."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from commands.ports import Log
from domain.bots import ArchivePlace
from projections.bots.rows import LINES
from tests.projections.fleet import (
    archived,
    at,
    cleared,
    deployed,
    failed,
    logged,
    reported,
    run_deleted,
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


async def run_of(fleet: Fleet, bot: str) -> dict[str, object]:
    """Return the newest run of a bot."""
    run: dict[str, object] = (await fleet.ask("/bot-runs", bot_name=bot))["data"][0]
    return run


async def test_a_run_is_its_deployment(fleet: Fleet):
    await fleet.told([deployed("b", 0.25)])
    run = await run_of(fleet, "b")
    assert run == {
        "id": 1,
        "bot_name": "b",
        "instance_name": "b",
        "deployed_at": "2026-03-01T12:00:00.250000+00:00",
        "stopped_at": None,
        "strategy_type": "controller",
        "strategy_name": "v2_with_controllers",
        "config_name": "b.yml",
        "account_name": "master_account",
        "image_version": "hummingbot/hummingbot:latest",
        "deployment_status": "DEPLOYED",
        "run_status": "CREATED",
        "deployment_config": run["deployment_config"],
        "final_status": None,
        "error_message": None,
    }
    assert json.loads(str(run["deployment_config"]))["max_global_drawdown_quote"] == 500.0
    assert await fleet.ask("/bot-runs/1") == {"status": "success", "data": run}


async def test_a_run_goes_from_created_to_archived(fleet: Fleet):
    """Defects 15, 16 and 18: a run is RUNNING while it runs, and ends when the bot says so, at that very time."""
    await fleet.told([*running("b"), reported("b", "grid", 4.5)])
    assert (await run_of(fleet, "b"))["run_status"] == "RUNNING"
    assert (await fleet.ask("/bot-runs/stats"))["data"]["active_runs"] == 1
    await fleet.told([stop_requested("b", 50, archive=ArchivePlace()), stop_told("b", 51)])
    run = await run_of(fleet, "b")
    assert (run["run_status"], run["stopped_at"]) == ("RUNNING", None)
    await fleet.told([reported("b", "grid", None, 70), wound_down("b", 70.123456)])
    run = await run_of(fleet, "b")
    assert (run["run_status"], run["stopped_at"]) == ("STOPPED", "2026-03-01T12:01:10.123456+00:00")
    await fleet.told([stopped("b", 80), failed("b", "The bucket is away", 81)])
    run = await run_of(fleet, "b")
    assert (run["run_status"], run["deployment_status"]) == ("STOPPED", "DEPLOYED")
    assert run["error_message"] == "Not put away so far: The bucket is away"
    await fleet.told([archived("b", 90), cleared("b", 91)])
    run = await run_of(fleet, "b")
    assert (run["run_status"], run["deployment_status"], run["error_message"]) == ("STOPPED", "ARCHIVED", None)
    assert run["stopped_at"] == "2026-03-01T12:01:10.123456+00:00"
    assert (await fleet.ask("/bot-runs/stats"))["data"] == {
        "total_runs": 1,
        "active_runs": 0,
        "strategy_type_counts": {"controller": 1},
        "status_counts": {"STOPPED": 1},
    }


async def test_the_final_status_is_that_of_the_end(fleet: Fleet):
    before = [logged("b", f"line {n}", 2) for n in range(LINES)]
    await fleet.told([*running("b"), reported("b", "grid", 4.5, 3), reported("b", "idle", 1, 3), *before])
    ending = [reported("b", "grid", 7.25, 60), logged("b", "Boom", 61, level=40), reported("b", "grid", None, 62)]
    await fleet.told([*ending, logged("b", "bye", 63), wound_down("b", 64), logged("b", "too late", 65)])
    final = json.loads(str((await run_of(fleet, "b"))["final_status"]))
    assert final["status"] == "stopped"
    figures = {name: said["performance"]["global_pnl_quote"] for name, said in final["performance"].items()}
    assert figures == {"grid": 7.25, "idle": 1}
    assert [line["msg"] for line in final["error_logs"]] == ["Boom"]
    assert [line["msg"] for line in final["general_logs"]] == [*(f"line {n}" for n in range(1, LINES)), "bye"]


async def test_a_bot_that_ended_by_itself_failed_where_its_exit_code_says_so(fleet: Fleet):
    await fleet.told([*running("crashed"), stopped("crashed", 9, exit_code=137, asked_for=False)])
    run = await run_of(fleet, "crashed")
    assert (run["run_status"], run["stopped_at"]) == ("ERROR", "2026-03-01T12:00:09+00:00")
    assert run["error_message"] == "The bot ended with exit code 137, and nobody had stopped it"
    await fleet.told([start_requested("crashed"), started("crashed", 61)])
    run = await run_of(fleet, "crashed")
    assert (run["run_status"], run["stopped_at"], run["error_message"]) == ("RUNNING", None, None)
    assert run["final_status"] is None
    await fleet.told([*running("ended"), stopped("ended", 9, exit_code=0, asked_for=False)])
    assert (await run_of(fleet, "ended"))["run_status"] == "STOPPED"


async def test_a_strategy_that_did_not_end_in_time_runs_until_its_container_stops(fleet: Fleet):
    await fleet.told([*running("b"), stop_requested("b"), wound_down("b", 60, by_itself=False)])
    assert (await run_of(fleet, "b"))["run_status"] == "RUNNING"
    await fleet.told([stopped("b", 70)])
    run = await run_of(fleet, "b")
    assert run["stopped_at"] == "2026-03-01T12:01:10+00:00"
    assert str(run["error_message"]).startswith("The bot did not say in time that it is flat")


async def test_why_a_run_was_not_put_away_is_said_until_it_is_and_how_it_ended_stays(fleet: Fleet):
    """A step of an archive that failed may succeed; that somebody has to look for open orders is no such thing."""
    not_flat = "The bot did not say in time that it is flat: look for open orders of it"
    away = stop_requested("b", 50, archive=ArchivePlace())
    await fleet.told([*running("b"), away, wound_down("b", 60, by_itself=False), failed("b", "No engine\nanswers", 61)])
    said = (await run_of(fleet, "b"))["error_message"]
    assert said == f"{not_flat}\nNot put away so far: No engine\nanswers"
    await fleet.told([stopped("b", 70), failed("b", "No such bucket", 71)])
    assert (await run_of(fleet, "b"))["error_message"] == f"{not_flat}\nNot put away so far: No such bucket"
    await fleet.told([archived("b", 80), failed("b", "No engine answers", 81)])
    assert (await run_of(fleet, "b"))["error_message"] == f"{not_flat}\nNot put away so far: No engine answers"
    await fleet.told([cleared("b", 90)])
    run = await run_of(fleet, "b")
    assert (run["deployment_status"], run["error_message"]) == ("ARCHIVED", not_flat)


async def test_a_deployment_that_failed_says_why(fleet: Fleet):
    await fleet.told([deployed("b"), failed("b", "Image 'x' is nowhere"), cleared("b")])
    run = await run_of(fleet, "b")
    assert (run["deployment_status"], run["run_status"]) == ("FAILED", "ERROR")
    assert (run["error_message"], run["stopped_at"]) == ("Image 'x' is nowhere", None)


async def test_two_runs_of_one_name_are_two(fleet: Fleet):
    """Defect 42 of the reference: two runs of one name make it fail."""
    await fleet.told([*running("b"), stopped("b", 9), cleared("b", 10), *running("b", 20), stopped("b", 29)])
    found = await fleet.ask("/bot-runs", bot_name="b")
    assert [run["stopped_at"] for run in found["data"]] == ["2026-03-01T12:00:29+00:00", "2026-03-01T12:00:09+00:00"]
    assert found["total"] == 2


async def test_runs_are_filtered_and_counted(fleet: Fleet):
    story = [*running("a"), *running("b", 10, account="second", strategy_name="other")]
    await fleet.told([*story, deployed("c", 20, strategy_type="script"), failed("c", seconds=21)])

    async def names(**query: Any) -> list[str]:
        found = await fleet.ask("/bot-runs", **query)
        assert found["total"] == len(found["data"])
        return [run["bot_name"] for run in found["data"]]

    assert await names() == ["c", "b", "a"]
    assert await names(account_name="second") == ["b"]
    assert await names(strategy_type="script") == ["c"]
    assert await names(strategy_name="other", account_name="master_account") == []
    assert await names(run_status="RUNNING") == ["b", "a"]
    assert await names(deployment_status="FAILED") == ["c"]
    page = await fleet.ask("/bot-runs", limit=1, offset=1)
    assert [run["bot_name"] for run in page["data"]] == ["b"]
    assert (page["total"], page["limit"], page["offset"]) == (3, 1, 1)


async def test_a_run_that_was_deleted_is_shown_no_more(fleet: Fleet):
    await fleet.told([*running("a"), *running("b", 10), run_deleted("a"), stopped("a", 20)])
    assert [run["bot_name"] for run in (await fleet.ask("/bot-runs"))["data"]] == ["b"]
    assert await fleet.ask("/bot-runs/1", 404) == {"detail": "Bot run 1 not found"}
    assert (await fleet.ask("/bot-runs/stats"))["data"]["total_runs"] == 1


async def test_a_run_that_cannot_be_is_refused(fleet: Fleet):
    for path in ("/bot-runs/0", "/bot-runs/99999999999999999999"):
        await fleet.ask(path, 422)
    for bad in ({"limit": 0}, {"limit": 1001}, {"offset": -1}):
        await fleet.ask("/bot-runs", 422, **bad)


async def test_times_do_not_depend_on_where_the_database_is(fleet: Fleet):
    """Defect 15 of the reference: it is hours off where the machine's zone is not UTC."""
    await fleet.told([*running("b"), stopped("b", 3600 * 11)])
    run = await run_of(fleet, "b")
    assert run["stopped_at"] == (at(0) + timedelta(hours=11)).isoformat()
