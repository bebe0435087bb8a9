"""Recorded answers about bots: ours have their status, keys and types, but where they show a defect."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from commands.ports import Log
from domain.bots import ArchivePlace, ControllerReported, updates_of
from tests.contract.comparing import differences
from tests.projections.fleet import (
    archived,
    at,
    cleared,
    deployed,
    heard,
    logged,
    reported,
    running,
    stop_requested,
    stop_told,
    stopped,
    wound_down,
)
from tests.projections.given import Told
from tests.read_api.bots import Fleet, reading

GOLDEN = Path(__file__).parents[1] / "contract/golden/bot_orchestration"
PEER, HEADLESS, SCRIPT = "peerbot-20261122-062610", "headlessbot-20261122-063121", "scriptbot-20261122-063121"


def recorded(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return answer


def told_by(bot: str, recording: str) -> list[Told]:
    """Return what a bot told by a recorded status: figures as they are, and a line of each kind."""
    performance: Mapping[str, Any] = recorded(recording)["body"]["data"]["performance"]
    return [
        *(
            (
                updates_of(bot),
                ControllerReported(
                    instance=bot,
                    controller=controller,
                    performance=msgspec.Raw(json.dumps(said["performance"]).encode()),
                    custom_info=msgspec.Raw(json.dumps(said["custom_info"]).encode()),
                    heard_at=at(10),
                ),
            )
            for controller, said in performance.items()
        ),
        logged(bot, "Network status has changed", 10),
        logged(bot, "There was an error", 10, level=40),
    ]


STARTING = running(PEER)
LIVE = [*STARTING, *told_by(PEER, "get_bot_status__live")]
ENDING = [stop_requested(PEER, 11), stop_told(PEER, 11)]
ENDED = [
    *LIVE,
    *ENDING,
    reported(PEER, "pmm_btc", None, 12),
    reported(PEER, "boll_eth", None, 12),
    wound_down(PEER, 12),
]
PUT_AWAY = [*ENDED, stop_requested(PEER, 13, archive=ArchivePlace()), stopped(PEER, 14), archived(PEER), cleared(PEER)]
UNDER_WAY = [*LIVE, stop_requested(PEER, 13, archive=ArchivePlace()), stop_told(PEER, 14), stopped(PEER, 15)]
FLAT_OUT = [*running(HEADLESS), *told_by(HEADLESS, "get_bot_status__live_headless_running")]
THREE = [*PUT_AWAY, deployed(HEADLESS, 20), deployed(SCRIPT, 21, strategy_type="script", script_config=None)]


class Case(NamedTuple):
    """`status` and `words` are ours where the recorded answer is a defect."""

    status: int = 200
    words: str = ""


UNKNOWN = Case(404, "Bot nobot not found")
STORIES: Mapping[str, tuple[list[Told], Mapping[str, Case]]] = {
    "nothing was told": (
        [],
        {
            "bot_runs_stats__empty": Case(),
            "get_active_bots_status__none": Case(),
            "get_bot_history__raw_unknown": UNKNOWN,
            "get_bot_run__unknown": Case(404, "Bot run 999 not found"),
            "get_bot_runs__empty": Case(),
            "get_bot_status__unknown": UNKNOWN,
            "get_controller_performance_history__bad_interval": Case(422),
            "get_controller_performance_history__bad_time": Case(
                400, "Invalid datetime format: Invalid isoformat string: 'xx'"
            ),
            "get_controller_performance_history__empty": Case(),
            "get_latest_controller_performance__empty": Case(),
            "mqtt_status": Case(),
        },
    ),
    "wanted": ([deployed(PEER)], {"bot_runs_stats__live": Case()}),
    "starting": (STARTING, {"get_active_bots_status__live_starting": Case()}),
    "running": (
        LIVE,
        {
            "get_active_bots_status__live": Case(),
            "get_bot_history__live": Case(),
            "get_bot_history_verbose__live": Case(),
            "get_bot_run__live": Case(),
            "get_bot_runs__live": Case(),
            "get_bot_status__live": Case(),
            "get_controller_performance_history__live": Case(),
            "get_controller_performance_history__live_1h": Case(),
            "get_latest_controller_performance__live": Case(),
            "mqtt_status__live": Case(),
        },
    ),
    "restarted": (
        [*STARTING, *told_by(PEER, "get_bot_status__live_after_container_restart")],
        {"get_bot_status__live_after_container_restart": Case()},
    ),
    "stopping": ([*LIVE, *ENDING], {"get_bot_status__live_just_after_stop": Case()}),
    "stopped": (
        ENDED,
        {
            "get_active_bots_status__live_after_stop": Case(),
            "get_bot_history__live_when_stopped": Case(),
            "get_bot_runs__live_after_stop": Case(),
            "get_bot_status__live_after_start": Case(),
            "get_bot_status__live_after_stop": Case(),
        },
    ),
    "being put away": (UNDER_WAY, {"get_bot_status__live_archiving": Case()}),
    "put away": (PUT_AWAY, {"bot_runs_stats__live_after_archive": Case(), "get_bot_runs__live_after_archive": Case()}),
    "three": (
        THREE,
        {
            "get_bot_runs__live_by_status": Case(),
            "get_bot_runs__live_by_type": Case(),
            "get_bot_runs__live_limit1": Case(),
            "get_bot_runs__live_three": Case(),
        },
    ),
    "headless": (
        FLAT_OUT,
        {
            "get_active_bots_status__live_headless_running": Case(),
            "get_bot_history__live_headless": Case(),
            "get_bot_status__live_headless_running": Case(),
        },
    ),
    "headless, later": (
        [*running(HEADLESS), *told_by(HEADLESS, "get_bot_status__live_kill_switch")],
        {"get_bot_status__live_kill_switch": Case()},
    ),
}
NOT_SENT = {"get_bot_history__unknown"}
"""The client raises before it sends."""
STOPPING = {"get_bot_status__live_archiving", "get_bot_status__live_just_after_stop"}
"""Recorded as not found and as stopped, while the bot was stopping."""
SAME = {"status", "performance", "custom_info", "recently_active", "source", "strategy_type", "client_state"}


@pytest.fixture
async def fleet(database_url: str, log: Log) -> AsyncIterator[Fleet]:
    async with reading(database_url, log) as opened:
        opened.now = at(15)
        yield opened


def test_every_recording_has_a_case():
    reads = ("bot_runs_", "get_", "mqtt_")
    names = {file.stem for file in GOLDEN.glob("*.json") if file.name.startswith(reads)}
    assert names == NOT_SENT.union(*(cases for _, cases in STORIES.values()))


@pytest.mark.parametrize("story", STORIES)
async def test_ours_answers_as_recorded(fleet: Fleet, story: str):
    told, cases = STORIES[story]
    talking = [bot for bot in (PEER, HEADLESS) if updates_of(bot) in dict(told)]
    await fleet.told([*told, *(heard(bot, 14) for bot in talking)])
    fleet.line.appear(*talking)
    for name, case in cases.items():
        golden = recorded(name)
        for bot in talking:
            fleet.line.answers[bot, "history"] = said(golden["body"])
        answer = await fleet.client.get(golden["request"]["path"])
        assert answer.status_code == case.status, f"{name}: {answer.text}"
        body = answer.json()
        if case.words:
            assert case.words == body["detail"]
        if name in STOPPING:
            assert body["data"]["status"] == "stopping"
        elif golden["status"] == case.status:
            assert list(differences(golden["body"], body, nullable=["$.data.broker_username"])) == [], name
            assert list(unlike(golden["body"], body)) == [], name


def said(body: Any) -> Any:
    """Return what a bot said for its history, where a recorded answer has it."""
    match body:
        case {"response": {"data": {"data": data}}}:
            return data
        case _:
            return None


def unlike(golden: Any, ours: Any) -> Iterator[str]:
    """Yield what should be the same, whenever it is asked for, and is not: statuses and figures."""
    if isinstance(golden, list) and isinstance(ours, list):
        for one, other in zip(golden, ours, strict=False):  # the recorded list may have lost some
            yield from unlike(one, other)
    elif isinstance(golden, dict) and isinstance(ours, dict):
        for key in golden.keys() & ours.keys():
            if key in SAME and golden[key] != ours[key]:
                yield f"{key}: {golden[key]} recorded, {ours[key]} answered"
            elif key not in SAME and not key.endswith("_logs"):
                yield from unlike(golden[key], ours[key])
