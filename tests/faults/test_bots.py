"""The server is killed behind each step of a bot's life: whoever comes next goes on, and does nothing a second time."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker import free_port
from tests.contract.serving import Nectar, until
from tests.engine.images import bot_image
from tests.engine.running import Engine, engine
from tests.faults.conftest import Make

STEPS = [
    "BotDeployed",
    "BotPrepared",
    "BotStarted",
    "BotStopRequested",
    "BotStopTold",
    "BotWoundDown",
    "BotStopped",
    "BotArchived",
    "BotCleared",
]
CONTROLLER = """
from hummingbot.strategy_v2.controllers.market_making_controller_base import MarketMakingControllerConfigBase


class Config(MarketMakingControllerConfigBase):
    controller_name: str = "simple"
"""
CONFIG = {
    "id": "simple",
    "controller_type": "market_making",
    "controller_name": "simple",
    "connector_name": "binance_paper_trade",
    "trading_pair": "BTC-USDT",
}
ORDER = {"instance_name": "first", "credentials_profile": "master_account", "controllers_config": ["simple"]}


@pytest.fixture
def docker() -> Iterator[Engine]:
    with engine() as started:
        yield started


def test_a_server_that_is_killed_behind_every_step_does_each_once(nectar: Make, docker: Engine):
    began = int(time.time())
    server = nectar(DOCKER_HOST=docker.url, BROKER_HOST="", BROKER_PORT=str(free_port()), BOT_STOP_TIMEOUT="15").start()
    order = {**ORDER, "image": bot_image(docker)}
    with server.client() as client:
        _saved(client.post("/scripts/v2_with_controllers", json={"content": "class V2:\n    pass\n"}))
        _saved(client.post("/controllers/market_making/simple", json={"content": CONTROLLER}))
        _saved(client.post("/controllers/configs/simple", json=CONFIG))
    bot = ""
    for step in STEPS[:-1]:
        if step == "BotDeployed":
            _begin(server, "/bot-orchestration/deploy-v2-controllers", order)
            bot = until(lambda: _deployed(server))
        if step == "BotStopRequested":
            _talks(server, bot)
            _begin(server, f"/bot-orchestration/stop-and-archive-bot/{bot}", None)
        until(lambda: step in _life(server, bot), 90)  # noqa: B023 - waited for within this round
        server.kill()
        assert len(_containers(docker, bot)) <= 1
        server.start()
    until(lambda: _life(server, bot)[-1:] == ["BotCleared"], 90)

    told = Counter(_life(server, bot))
    assert {step: told[step] for step in STEPS} == dict.fromkeys(STEPS, 1)
    assert _containers(docker, bot) == []
    assert _happened(docker, bot, began) == {"create": 1, "start": 1, "destroy": 1}
    bots = server.data / "bots"
    assert not (bots / "instances" / bot).exists()
    assert _secrets(bots) == []
    assert (bots / "archived" / bot / "data" / f"{bot}.sqlite").is_file()
    with server.client() as client:
        until(lambda: client.get("/archived-bots/").json(), 30)


def _saved(answer: httpx.Response) -> None:
    assert answer.status_code == 201, answer.text


def _begin(server: Nectar, path: str, body: object) -> None:
    """Ask for something and do not wait for the answer: it may never come."""

    def ask() -> None:
        with server.client() as client, suppress(httpx.TransportError):
            client.post(path, json=body)

    threading.Thread(target=ask, daemon=True).start()


def _events(server: Nectar, path: str) -> list[dict[str, Any]]:
    with server.client() as client:
        try:
            answer = client.get(path)
        except httpx.TransportError:
            return []
    found: list[dict[str, Any]] = answer.json()["data"] if answer.status_code == 200 else []
    return found


def _deployed(server: Nectar) -> str:
    for event in _events(server, "/audit/events?type=BotDeployed"):
        return str(event["data"]["instance"])
    return ""


def _life(server: Nectar, bot: str) -> list[str]:
    return [event["type"] for event in _events(server, f"/audit/streams/bot-{bot}")]


def _talks(server: Nectar, bot: str) -> None:
    def performing() -> bool:
        with server.client() as client:
            answer = client.get(f"/bot-orchestration/{bot}/status")
        return answer.status_code == 200 and bool(answer.json()["data"]["performance"])

    until(performing, 60)


def _containers(docker: Engine, bot: str) -> list[str]:
    client = docker.client()
    try:
        return [each.name for each in client.containers.list(all=True, filters={"label": f"nectar.instance={bot}"})]
    finally:
        client.close()


def _happened(docker: Engine, bot: str, since: int) -> dict[str, int]:
    """Return how often the bot's container was made, started and removed, by the engine's own account."""
    client = docker.client()
    try:
        told = client.api.events(
            since=since,
            until=int(time.time()) + 1,
            decode=True,
            filters={"type": "container", "event": ["create", "start", "destroy"], "label": f"nectar.instance={bot}"},
        )
        return dict(Counter(event["Action"] for event in told))
    finally:
        client.close()


def _secrets(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.parent.name == "connectors" or path.name == ".password_verification")
    ]
