"""Recorded answers to wishes about bots: ours have their status, keys and types, but where they show a defect."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from commands.strategies import SaveConfig
from tests.commands.bots import ACCOUNT, NAME, PMM, settled
from tests.contract.comparing import differences
from tests.write_api.test_bots import CONTROLLERS, DEPLOY, server

GOLDEN = Path(__file__).parents[1] / "contract/golden/bot_orchestration"
RECORDED_BOT = "peerbot-20261122-062610"


class Case(NamedTuple):
    """`status` is ours where the recorded one is a defect, with `words` in the refusal."""

    status: int = 200
    words: str = ""


CASES = {
    "delete_bot_run__unknown": Case(404, "Bot run 999 not found"),
    "deploy_v2_controllers__bad_name": Case(422),
    "deploy_v2_controllers__live": Case(),
    "deploy_v2_controllers__live_headless": Case(),
    "deploy_v2_controllers__missing_image": Case(400, "hummingbot/hummingbot:missing"),
    "deploy_v2_controllers__unknown_account": Case(404, "Account 'noaccount' not found"),
    "deploy_v2_script__live": Case(),
    "deploy_v2_script__unknown_account": Case(404, "Account 'noaccount' not found"),
    "start_bot__live": Case(),
    "start_bot__missing_field": Case(422),
    "start_bot__unknown": Case(404, "Bot nobot not found"),
    "stop_and_archive_bot__live": Case(),
    "stop_and_archive_bot__unknown": Case(404, "Bot nobot not found"),
    "stop_bot__live": Case(),
    "stop_bot__unknown": Case(404, "Bot nobot not found"),
}

__all__ = ["server"]


def test_every_recording_has_a_case():
    writes = ("delete_", "deploy_", "start_", "stop_")
    assert {file.stem for file in GOLDEN.glob("*.json") if file.name.startswith(writes)} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
async def test_ours_answers_as_recorded(server, name):
    case = CASES[name]
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    for config in ("boll_eth", "pmm_spot_sol", "pmm_perp_btc"):
        await server.world.do(SaveConfig(kind="controllers", name=config, content={**PMM, "id": config}))
    request: dict[str, Any] = golden["request"]
    if RECORDED_BOT in json.dumps(request):
        (await server.client.post(DEPLOY, json=CONTROLLERS)).raise_for_status()
        server.world.fleet.line.appear(NAME)
    asked = ours(request)
    answer = await server.client.request(asked["method"], asked["path"], json=asked["json"])
    assert answer.status_code == case.status, answer.text
    body = answer.json()
    if case.words:
        assert case.words in body["detail"]
    if case.status == 200 or golden["status"] == case.status:
        assert list(differences(golden["body"], body)) == []
    if name == "stop_and_archive_bot__live":
        await settled(server.world, "Archived", "Cleared")


def ours(request: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded request with our bot and account for the recorded ones."""
    text = json.dumps(request).replace(RECORDED_BOT, NAME)
    for recorded in ("master_account", "acc2"):
        text = text.replace(f'"{recorded}"', f'"{ACCOUNT}"')
    asked: dict[str, Any] = msgspec.json.decode(text)
    return asked
