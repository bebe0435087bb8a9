"""What any line to the bots has to do: the fake with its scripted bots, and the real one with a bot that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from adapters.mqtt import MqttLine
from commands.bots.updates import BotIntake
from commands.ports.bots import Line
from domain.errors import NotFound, Unavailable
from tests.bots.running import bot
from tests.broker import HOST, NEEDS_MOSQUITTO, free_port, mosquitto, until
from tests.fakes.line import NO_STRATEGY, ScriptedLine

BOT = "bot-20261122-070417"
SECONDS = 20.0


def now() -> datetime:
    return datetime.now(UTC)


class Hearing(msgspec.Struct):
    """A line on which one bot is heard, and how to take the broker away."""

    line: Line
    cut: Callable[[], None]


@asynccontextmanager
async def running(port: int) -> AsyncIterator[MqttLine]:
    line = MqttLine(HOST, port, None, None, clock=now, new_id=uuid4, sink=BotIntake(uuid4))
    task = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def real(folder) -> AsyncIterator[Hearing]:
    with mosquitto() as broker:
        async with running(broker.port) as line:
            await until(lambda: line.broker().connected)
            with bot(folder, BOT, broker.port):
                await until(lambda: BOT in line.broker().bots)
                yield Hearing(line, broker.kill)


@pytest.fixture(params=["scripted", pytest.param("mqtt", marks=NEEDS_MOSQUITTO)])
async def hearing(request, tmp_path):
    if request.param == "mqtt":
        async with real(tmp_path) as hearing:
            yield hearing
    else:
        line = ScriptedLine(now)
        line.appear(BOT)
        yield Hearing(line, lambda: setattr(line, "connected", False))


async def ask(hearing: Hearing, command: str, **data: object) -> Any:
    answer = await hearing.line.command(BOT, command, data, timeout_seconds=SECONDS)
    assert answer is not None
    assert isinstance(answer["header"], dict)
    return answer["data"]


async def test_a_bot_answers_in_its_own_words(hearing):
    assert await ask(hearing, "status", async_backend=False) == {"status": 400, "msg": NO_STRATEGY, "data": ""}
    assert await ask(hearing, "stop", skip_order_cancellation=False, async_backend=True) == {"status": 200, "msg": ""}


# Defect 40 of the reference.
async def test_each_of_many_calls_at_once_has_its_own_answer(hearing):
    keys = [f"key_{n}" for n in range(50)]
    answers = await asyncio.gather(*[ask(hearing, "config", params=[[key, 1]]) for key in keys])
    assert [answer["msg"] for answer in answers] == [f"Invalid param key(s): ['{key}']" for key in keys]


async def test_silence_is_no_answer(hearing):
    assert await hearing.line.command(BOT, "no_such_command", {}, timeout_seconds=0.2) is None
    assert await hearing.line.command("somebody-else", "status", {}, timeout_seconds=0.2) is None


@pytest.mark.parametrize("name", ["a/b", "+", "#", "", "ä", "../x"])
async def test_a_name_that_no_bot_has_is_not_found(hearing, name):
    with pytest.raises(NotFound, match="not found"):
        await hearing.line.command(name, "status", {}, timeout_seconds=SECONDS)


async def test_who_was_heard_is_told_with_when(hearing):
    broker = hearing.line.broker()
    assert broker.connected
    assert not broker.why
    assert set(broker.bots) == {BOT}
    assert 0 <= (now() - broker.bots[BOT]).total_seconds() < SECONDS


async def test_without_a_broker_nothing_is_sent(hearing):
    hearing.cut()
    await until(lambda: not hearing.line.broker().connected)
    assert hearing.line.broker().why
    assert BOT in hearing.line.broker().bots
    with pytest.raises(Unavailable, match="cannot be reached"):
        await hearing.line.command(BOT, "status", {}, timeout_seconds=SECONDS)


async def test_a_broker_that_never_was_is_said():
    async with running(free_port()) as line:
        with pytest.raises(Unavailable, match="not tried yet"):
            await line.command(BOT, "status", {}, timeout_seconds=SECONDS)
        await until(lambda: "refused" in line.broker().why)
        assert not line.broker().connected
