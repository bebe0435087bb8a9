"""Our bot talks as the captured ones did: the same topics, qualities of service, keys and types, the same answers."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt
import pytest
from eth_keyfile.keyfile import create_keyfile_json

from tests.bots import captures
from tests.bots.bot import ujson
from tests.bots.running import CONTROLLERS, PROGRAM, bot, write_instance
from tests.broker import NEEDS_MOSQUITTO, SECONDS, client, mosquitto, until

pytestmark = NEEDS_MOSQUITTO

BOT = "our-20261122-070417"
ENDED: dict[str, object] = {name: {} for name in CONTROLLERS}


class Ear:
    """Hears all that is said to and by the bots of a broker."""

    def __init__(self, mqtt: aiomqtt.Client) -> None:
        self.mqtt = mqtt
        self.heard: list[aiomqtt.Message] = []

    async def listen(self) -> None:
        async for message in self.mqtt.messages:
            self.heard.append(message)

    def of(self, topic: str) -> list[Any]:
        """Return what was said on a topic of the bot."""
        return [json.loads(m.payload) for m in self.heard if m.topic.value == f"hbot/{BOT}/{topic}"]

    async def ask(self, command: str, data: object, *, bare: bool = False) -> aiomqtt.Message:
        """Send a command and return the answer."""
        reply_to = f"reply/{uuid4().hex}"
        said = data if bare else {"header": {"reply_to": reply_to}, "data": data}
        await self.mqtt.publish(f"hbot/{BOT}/{command}", json.dumps(said), 1)
        await until(lambda: any(m.topic.value == reply_to for m in self.heard))
        return next(m for m in self.heard if m.topic.value == reply_to)


@asynccontextmanager
async def listening(folder: Path, **pace: str) -> AsyncIterator[Ear]:
    with mosquitto() as broker:
        async with client(broker.port) as mqtt:
            ear = Ear(mqtt)
            await mqtt.subscribe([("hbot/#", 1), ("reply/#", 1)])
            task = asyncio.create_task(ear.listen())
            with bot(folder, BOT, broker.port, **pace):
                await until(lambda: bool(ear.of("performance")))
                yield ear
            task.cancel()
            await asyncio.wait([task])


def shape(value: Any) -> Any:
    """Return keys and types: what a reader depends on."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def captured(kind: str) -> list[Any]:
    """Return what the captured headless bot said on a topic."""
    return [json.loads(m.payload) for m in captures.messages("headlessbot") if m.topic.split("/", 2)[2] == kind]


async def test_what_it_says_by_itself_looks_as_captured(tmp_path):
    async with listening(tmp_path) as ear:
        await until(lambda: len(ear.of("hb")) > 1)
        for kind in ("hb", "status_updates", "log"):
            assert shape(ear.of(kind)[0]) == shape(captured(kind)[0])
        assert ear.of("status_updates")[0] == {
            **captured("status_updates")[0],
            "timestamp": ear.of("status_updates")[0]["timestamp"],
        }
        ours = ear.of("performance")[0]
        real = captured("performance")[0]
        assert set(ours) == set(real) == set(CONTROLLERS)
        holding = next(
            c for said in captured("performance") for c in said.values() if c and c["performance"]["positions_summary"]
        )
        expected = shape(holding)
        expected["performance"]["close_type_counts"] = {"CloseType.TAKE_PROFIT": "int"}
        for name in CONTROLLERS:
            assert shape(ours[name]) == expected
        own = [m for m in ear.heard if m.topic.value.startswith(f"hbot/{BOT}/")]
        assert {(m.qos, m.retain) for m in own} == {(0, False)}
        assert {m.topic.value.split("/", 2)[2] for m in own} == {"hb", "status_updates", "log", "performance"}
        for message in own:  # As ujson writes it: without spaces, slashes escaped.
            assert message.payload == ujson(json.loads(message.payload)).encode()


@pytest.fixture
async def ear(tmp_path):
    async with listening(tmp_path) as ear:
        yield ear


async def test_it_answers_each_command_as_captured(ear):
    for case in captures.conversations("headless_running"):
        if case["response"] is None:
            continue
        answer = await ear.ask(case["command"], case["request"]["data"])
        assert (answer.qos, answer.retain) == (case["reply_qos"], False)
        ours, real = json.loads(answer.payload), case["response"]
        assert shape(ours) == shape(real), case["command"]
        if case["command"] != "history":
            assert ours["data"] == real["data"], case["command"]


async def test_it_is_silent_where_a_real_one_was(ear):
    for case in captures.conversations("headless_running"):
        if case["response"] is None:
            await ear.mqtt.publish(f"hbot/{BOT}/{case['command']}", json.dumps(case["request"]), 1)
    await ear.ask("status", {})
    assert len([m for m in ear.heard if not m.topic.value.startswith("hbot/")]) == 1


async def test_it_answers_a_stop_at_once_and_winds_down_after(tmp_path):
    async with listening(tmp_path, BOT_WIND_DOWN_SECONDS="0.5") as ear:
        assert json.loads((await ear.ask("stop", {})).payload)["data"] == {"status": 200, "msg": ""}
        assert ear.of("performance")[-1] != ENDED
        await until(lambda: ear.of("performance")[-1] == ENDED)
        reports, beats = len(ear.of("performance")), len(ear.of("hb"))
        await until(lambda: len(ear.of("hb")) > beats + 2)
        assert len(ear.of("performance")) == reports  # It beats for ever, and reports no more.
        for case in captures.conversations("headless_stop")[1:]:
            ours = json.loads((await ear.ask(case["command"], case["request"]["data"])).payload)
            assert shape(ours) == shape(case["response"])


async def test_it_answers_a_stop_that_waits_after_its_wind_down(tmp_path):
    async with listening(tmp_path, BOT_WIND_DOWN_SECONDS="0.5") as ear:
        answer = await ear.ask("stop", {"async_backend": False})
        assert json.loads(answer.payload)["data"] == {"status": 200, "msg": ""}
        assert ear.of("performance")[-1] == ENDED


async def test_it_reads_a_config_that_changes_under_it(ear, tmp_path):
    path = tmp_path / "conf" / "controllers" / f"{CONTROLLERS[0]}.yml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "manual_kill_switch": True}))
    await until(lambda: any("manual_kill_switch=True" in line["msg"] for line in ear.of("log")))
    before = ear.of("performance")[-1]
    await until(lambda: ear.of("performance")[-1][CONTROLLERS[1]] != before[CONTROLLERS[1]])
    assert ear.of("performance")[-1][CONTROLLERS[0]] == before[CONTROLLERS[0]]


async def test_it_leaves_a_database_and_logs(ear, tmp_path):
    with sqlite3.connect(tmp_path / "data" / f"{BOT}.sqlite") as database:
        fills = database.execute(
            'select market, symbol, trade_type, price from "TradeFill" order by timestamp'
        ).fetchall()
        assert len(fills) == 4
        assert fills[0] == ("binance", "SOL-USDT", "BUY", 147_579_748)
        assert {row[0] for row in database.execute('select id from "Controllers"')} == set(CONTROLLERS)
    assert "Starting networking" in (tmp_path / "logs" / f"logs_{BOT}.log").read_text()
    history = json.loads((await ear.ask("history", {"async_backend": False})).payload)["data"]["trades"]
    assert len(history) == 4


def keyfile(secret: str, password: str) -> str:
    made = create_keyfile_json(secret.encode(), password.encode(), kdf="pbkdf2", iterations=2)
    return json.dumps(made).encode().hex()


@pytest.mark.parametrize("broken", ["password", "no keyfile", "config"])
def test_it_refuses_what_it_cannot_use(tmp_path, broken):
    write_instance(tmp_path, BOT, 1)
    keys = tmp_path / "conf" / "connectors" / "binance.yml"
    keys.parent.mkdir()
    secret = "nonsense" if broken == "no keyfile" else keyfile("k" * 32, "wrong" if broken == "password" else "right")
    keys.write_text(json.dumps({"connector": "binance", "binance_api_key": secret}))
    if broken == "config":
        (tmp_path / "conf" / "controllers" / f"{CONTROLLERS[0]}.yml").unlink()
    environment = {"CONFIG_PASSWORD": "right", "SCRIPT_CONFIG": f"{BOT}.yml"}
    ended = subprocess.run(
        [sys.executable, PROGRAM], cwd=tmp_path, env=environment, capture_output=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 1
    said = {"password": b"Invalid password", "no keyfile": b"no keyfile", "config": b"FileNotFound"}[broken]
    assert said in ended.stderr
