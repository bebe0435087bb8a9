"""The README is a promise: what it says to type is typed here, line by line."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.archives import SAMPLES, path_of
from tests.contract.serving import Nectar, until
from tests.contract.venues import COMMAND, running
from tests.engine.images import bot_image
from tests.engine.running import Engine, engine

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(section: str, *languages: str) -> list[tuple[str, str]]:
    """Return the language and the text of the blocks of a section, in their order."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, block) for language, block in found if language in languages]


def typed(
    language: str, block: str, server: Nectar, environment: dict[str, str] | None = None, folder: Path | None = None
) -> str:
    """Return what a block prints when it is typed, in a folder; it must not fail."""
    text = block.replace("http://127.0.0.1:8000", server.url).replace(
        ".venv/bin/nectar", f"{sys.executable} -m adapters"
    )
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quickstart_does_what_it_says(servers: Callable[..., Nectar]) -> None:
    server = servers()
    order, state, events = (json.loads(typed(*block, server)) for block in blocks("Trade", "bash"))
    assert (order["status"], order["state"]) == ("submitted", "filled")
    held = {token["token"]: token["units"] for token in state["master_account"]["paper"]}
    assert held["BTC"] == 2.01
    assert held["USDT"] < 100_000
    assert {event["type"] for event in events["data"]} >= {"OrderPlaced", "OrderAccepted", "OrderFilled"}

    (program,) = blocks("Trade", "python")
    resting, worth = typed(*program, server).splitlines()
    assert "'trading_pair': 'ETH-USDT'" in resting
    assert float(worth.removeprefix("worth: ")) > 100_000


def test_real_exchanges_are_traded_on_as_it_says(servers: Callable[..., Nectar], tmp_path: Path) -> None:
    section = "Trade on a real exchange"
    assert [block.strip() for _, block in blocks(section, "sh")] == [COMMAND, "VENUE_URLS=venue_urls.json make run"]
    with running(tmp_path, fixed=False) as venue:
        server = servers(VENUE_URLS=str(venue.urls))
        (keys,) = venue.keys
        environment = {"API_KEY": keys.api_key, "API_SECRET": keys.secret}
        printed = []
        for language, block in blocks(section, "bash", "python"):
            printed.append(typed(language, block, server, environment))
            if len(printed) == 2:
                environment["ORDER_ID"] = json.loads(printed[1])["order_id"]
        program, answers = printed.pop(4), [json.loads(text) for text in printed]
        added, order, active, canceled, found, on_paper, traded = answers
        assert added == on_paper == {"message": "Connector credentials added successfully."}
        assert (order["status"], order["state"]) == ("submitted", "accepted")
        assert [item["order_id"] for item in active["data"]] == [order["order_id"]]
        assert order["order_id"] in canceled["message"]
        assert "'leverage': 5" in program
        assert {run["connector_name"] for run in found["data"]} <= {"binance", "binance_perpetual"}
        assert traded["state"] == "filled"
        with server.client() as client:

            def status() -> dict[str, Any]:
                page = client.post("/trading/orders/search", json={}).raise_for_status().json()["data"]
                return {item["connector_name"]: item["status"] for item in page if item["trade_type"] == "BUY"}

            ended = {"binance": "CANCELLED", "binance_perpetual": "FILLED", "binance_paper_trade": "FILLED"}
            until(lambda: status() == ended)


def test_the_log_is_audited_and_replayed_as_it_says(servers: Callable[..., Nectar], tmp_path: Path) -> None:
    server = servers()
    assert server.data == tmp_path / "data"
    with gzip.open(SAMPLES / "synth_2ctrl_40exec.sqlite.gz") as sample:
        (tmp_path / "archive.sqlite").write_bytes(sample.read())
    environment = {**server.environment, "ARCHIVE": "archive.sqlite"}
    steps = iter(blocks("Audit and replay", "bash"))

    def next_one() -> str:
        return typed(*next(steps), server, environment, tmp_path)

    assert json.loads(next_one())["state"] == "filled"
    next_one()
    with server.client() as client:
        until(lambda: client.get(f"/archived-bots/{path_of('grid')}/performance").status_code == 200)
    assert json.loads(next_one())["summary"]["total_trades"] == 226
    rows = json.loads(next_one())["data"]
    assert {(row["account"], row["bot"]) for row in rows} == {("master_account", None), (None, "grid")}
    (lot,) = csv.DictReader(io.StringIO(next_one()))
    assert (lot["account"], lot["asset"], lot["amount"]) == ("master_account", "BTC", "0.01")
    past = json.loads(next_one())
    assert not past.get("master_account", {}).get("paper")
    exported, verified, _ = next_one(), next_one(), next_one()
    assert "signed with key" in exported
    assert "The events are as they were sealed" in verified
    assert (tmp_path / "events.jsonl").exists()
    assert next(steps, None) is None


@pytest.fixture
def docker() -> Iterator[Engine]:
    with engine() as started:
        yield started


def test_a_bot_is_run_as_it_says(servers: Callable[..., Nectar], docker: Engine) -> None:
    image, name = (block.strip() for _, block in blocks("Run a bot", "sh"))
    assert image == "export BOT_IMAGE=hummingbot/hummingbot:latest"
    assert re.fullmatch(r"export BOT=first-\d{8}-\d{6}", name)
    server = servers(DOCKER_HOST=docker.url, BOT_STOP_TIMEOUT="60")
    environment = {**server.environment, "BOT_IMAGE": bot_image(docker)}
    steps = blocks("Run a bot", "bash", "python")
    imported, valid, saved, deployed = (typed(*block, server, environment) for block in steps[:4])
    assert "pmm_simple" in imported
    assert json.loads(valid) == {"message": "Configuration is valid"}
    assert json.loads(saved) == {"message": "Configuration 'pmm_btc' saved successfully"}
    bot = environment["BOT"] = json.loads(deployed)["unique_instance_name"]
    with server.client() as client:
        until(lambda: _status(client, bot) == "running", 60)
        status, program, stopped = (typed(*block, server, environment) for block in steps[4:7])
        assert set(json.loads(status)["data"]["performance"]) == {"pmm_btc"}
        assert program.splitlines() == [f"bots: {{'{bot}': 'running'}}", "run: RUNNING DEPLOYED"]
        assert json.loads(stopped)["status"] == "success"
        until(lambda: client.get("/archived-bots/").json(), 90)
        life, archived, earned = (json.loads(typed(*block, server, environment)) for block in steps[7:])
    assert [event["type"] for event in life["data"]] == STEPS
    assert archived == [f"bots/archived/{bot}/data/{bot}.sqlite"]
    assert {row["bot"] for row in earned["data"]} == {bot}
    kept = server.data / "bots" / "archived" / bot / "conf"
    assert not list((kept / "connectors").iterdir())
    assert not (kept / ".password_verification").exists()


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


def _status(client: httpx.Client, bot: str) -> str:
    answer = client.get(f"/bot-orchestration/{bot}/status")
    return str(answer.json()["data"]["status"]) if answer.status_code == 200 else ""
