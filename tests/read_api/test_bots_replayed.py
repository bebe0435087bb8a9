"""What real bots said, said again on a real broker, is shown as the reference showed it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from adapters.event_store import PostgresLog
from adapters.mqtt import MqttLine
from commands.bots.updates import BotIntake
from commands.bus import Bus
from commands.handlers import HANDLERS
from tests.bots import captures
from tests.bots.captures import Message
from tests.broker import HOST, NEEDS_MOSQUITTO, SECONDS, client, mosquitto, until
from tests.commands.world import world
from tests.read_api.bots import Fleet, reading

pytestmark = NEEDS_MOSQUITTO

ERROR = 40
GOLDEN = Path(__file__).parents[1] / "contract" / "golden" / "bot_orchestration"


def recorded(name: str) -> tuple[str, Any]:
    """Return the bot that a recorded answer is about, and its data."""
    answer = json.loads((GOLDEN / f"get_bot_status__{name}.json").read_text())
    return answer["request"]["path"].split("/")[2], answer["body"]["data"]


def told_by(capture: str) -> list[Message]:
    """Return what the bot of a capture published itself."""
    return [m for m in captures.messages(capture) if m.qos == 0 and "/external/" not in m.topic]


@asynccontextmanager
async def replay(database_url: str, log: PostgresLog, messages: Sequence[Message]) -> AsyncIterator[Fleet]:
    """Publish messages on a broker, and give the routes when all they told is recorded."""
    intake = BotIntake(uuid4)
    with mosquitto("max_queued_messages 0") as broker:
        line = MqttLine(HOST, broker.port, None, None, clock=lambda: datetime.now(UTC), new_id=uuid4, sink=intake)
        async with world() as around, reading(database_url, log) as fleet:
            bus = Bus(msgspec.structs.replace(around.bus.ports, log=log), HANDLERS)
            running = [asyncio.create_task(intake.run(bus)), asyncio.create_task(line.run())]
            await until(lambda: line.broker().connected)
            async with client(broker.port) as bot:
                for message in messages:
                    await bot.publish(message.topic, message.payload, message.qos)
            expected = sum(len(captures.told(message)) for message in messages)
            async with asyncio.timeout(SECONDS):
                while await log.position() < expected:
                    await intake.drain()
                    await asyncio.sleep(0.01)
            fleet.committed.note("admin", expected)
            fleet.now = datetime.now(UTC)
            try:
                yield fleet
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running)


def comparable(lines: Sequence[Any]) -> list[Any]:
    """Return lines as far as they can be the same: times in whole µs, texts without paths of libraries."""
    return [
        {**line, "timestamp": round(line["timestamp"], 6), "msg": line["msg"].partition("\n")[0]}
        for line in lines
        if "__cut__" not in line  # A recorded list is cut where it is long.
    ]


def until_shown(capture: str, golden: Any) -> list[Message]:
    """Return what was said up to the first moment at which the answer can have been given."""
    messages = told_by(capture)
    reported = {
        name: {kind: c[kind] for kind in ("performance", "custom_info")} for name, c in golden["performance"].items()
    }
    lines = comparable(golden["general_logs"] + golden["error_logs"])
    performance: Any = None
    for n, message in enumerate(messages):
        said = json.loads(message.payload)
        if message.topic.endswith("/performance"):
            performance = said
        elif message.topic.endswith("/log") and (line := comparable([said])[0]) in lines:
            lines.remove(line)
        if not lines and performance == reported:
            return messages[: n + 1]
    raise AssertionError(f"{capture} never stood so; not heard: {lines[:3]}")


@pytest.mark.parametrize(("name", "capture"), [("live_headless_running", "headlessbot"), ("live", "peerbot")])
async def test_a_running_bot_is_shown_as_the_reference_showed_it(name, capture, database_url, log):
    instance, golden = recorded(name)
    async with replay(database_url, log, until_shown(capture, golden)) as fleet:
        ours = await fleet.status(instance)
    assert golden.keys() <= ours.keys()
    assert (
        (ours["status"], ours["recently_active"]) == (golden["status"], golden["recently_active"]) == ("running", True)
    )
    assert ours["performance"] == golden["performance"]
    for kind in ("general_logs", "error_logs"):
        lines = comparable(ours[kind])
        assert [line for line in comparable(golden[kind]) if line not in lines] == []
    assert bool(ours["error_logs"]) == bool(golden["error_logs"])


async def test_a_bot_whose_strategy_has_ended_shows_no_performance(database_url, log):
    messages = told_by("headlessbot")
    instance = messages[0].topic.split("/")[1]
    async with replay(database_url, log, messages) as fleet:
        ours = await fleet.status(instance)
        everybody = (await fleet.ask("/status"))["data"]
    assert (ours["status"], ours["performance"]) == ("stopped", {})
    lines = [json.loads(m.payload) for m in messages if m.topic.endswith("/log")]
    errors = [line for line in lines if line["level_no"] >= ERROR]
    assert comparable(ours["general_logs"]) == comparable([line for line in lines if line not in errors][-100:])
    assert comparable(ours["error_logs"]) == comparable(errors)
    assert list(everybody) == [instance]
