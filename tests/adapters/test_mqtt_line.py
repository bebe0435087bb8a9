"""The line to the bots on a bad day: what strangers and broken bots publish, brokers that go, a log that is away.

The number in a comment is that of a defect of the reference.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import aiomqtt
import msgspec
import pytest
from structlog.testing import capture_logs

from adapters.event_store import PostgresLog
from adapters.mqtt import MqttLine
from adapters.mqtt import line as line_module
from adapters.mqtt.line import REPLIES
from adapters.mqtt.reading import LONGEST
from adapters.private_broker import private_broker
from commands.bots import updates
from commands.bots.updates import BotIntake
from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.ports.bots import BotSink
from domain.bots import BotHeard, BotLogged, BotTalkedNonsense, updates_of
from domain.errors import Unavailable
from domain.events import Event
from tests.bots import captures
from tests.broker import HOST, NEEDS_MOSQUITTO, SECONDS, client, free_port, mosquitto, until
from tests.commands.world import world

pytestmark = NEEDS_MOSQUITTO

BEAT = b'{"ts":1795331074025267}'


class Heard:
    """A sink that keeps what it is told."""

    full = False

    def __init__(self) -> None:
        self.told: list[tuple[str, Event]] = []

    def __call__(self, instance: str, events: Sequence[Event], size: int) -> None:
        self.told += [(instance, event) for event in events]

    async def room(self) -> None:
        """Have room always."""

    def of(self, kind: type) -> list[Event]:
        return [event for _, event in self.told if isinstance(event, kind)]


@asynccontextmanager
async def running(port: int, sink: BotSink) -> AsyncIterator[MqttLine]:
    line = MqttLine(HOST, port, None, None, clock=lambda: datetime.now(UTC), new_id=uuid4, sink=sink)
    task = asyncio.create_task(line.run())
    try:
        await until(lambda: line.broker().connected or task.done())
        yield line
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


@pytest.fixture
def broker():
    with mosquitto("max_queued_messages 100000") as broker:
        yield broker


async def test_captured_messages_become_the_same_events_through_a_broker(broker):
    heard = Heard()
    expected = [(instance, msgspec.structs.replace(e, heard_at=None)) for instance, e in captures.events("uibot")]
    async with running(broker.port, heard), client(broker.port) as bot:
        for message in captures.messages("uibot"):
            await bot.publish(message.topic, message.payload, message.qos)
        await until(lambda: len(heard.told) >= len(expected))
    assert [(instance, msgspec.structs.replace(e, heard_at=None)) for instance, e in heard.told] == expected


async def test_what_is_broken_is_recorded_and_what_is_no_bot_s_is_counted(broker):
    heard = Heard()
    with capture_logs() as lines:
        async with running(broker.port, heard) as line, client(broker.port) as bot:
            for _ in range(100):
                for topic in ("hbot/a b/hb", "hbot/b.c/log", f"hbot/{'n' * 64}/hb"):
                    await bot.publish(topic, BEAT)
                await bot.publish("hbot/x/stop", b'{"header":{}}')
            for payload in (b"\x00\xff", b'{"ts":179533', b'{"msg":"' + b"x" * LONGEST + b'"}', b""):
                await bot.publish("hbot/x/log", payload)
            await bot.publish("hbot/x/hb", BEAT)
            await until(lambda: bool(heard.of(BotHeard)))
            assert set(line.broker().bots) == {"x"}
    assert [event.length for event in heard.of(BotTalkedNonsense)] == [2, 12, LONGEST + 10, 0]  # type: ignore[attr-defined]
    assert len(heard.told) == 5
    strays = [line for line in lines if line["event"] == "messages_of_no_bot"]
    assert len(strays) == 1  # of 300: they come faster than they are told
    assert strays[0]["newest_topic"] == "hbot/a b/hb"


async def test_a_retained_message_is_no_sign_of_life(broker):
    heard = Heard()
    async with client(broker.port) as stranger:
        await stranger.publish("hbot/gone/hb", BEAT, qos=1, retain=True)
    async with running(broker.port, heard) as line, client(broker.port) as bot:
        await bot.publish("hbot/here/hb", BEAT)
        await until(lambda: bool(heard.told))
        assert set(line.broker().bots) == {"here"}


async def test_an_answer_for_nobody_is_dropped_with_a_word(broker):
    with capture_logs() as lines:
        async with running(broker.port, Heard()), client(broker.port) as bot:
            await bot.publish(f"{REPLIES}/1795331074025", b'{"data":{}}')
            await until(lambda: any(line["event"] == "answer_for_nobody" for line in lines))
    assert [line["log_level"] for line in lines if line["event"] == "answer_for_nobody"] == ["debug"]


async def asked(bot: aiomqtt.Client) -> str:
    async for message in bot.messages:
        assert isinstance(message.payload, bytes)
        return str(json.loads(message.payload)["header"]["reply_to"])
    raise AssertionError


async def test_what_is_said_to_a_bot_is_what_bots_read(broker):
    async with running(broker.port, Heard()) as line, client(broker.port) as bot:
        await bot.subscribe("hbot/x/+", 1)
        call = asyncio.create_task(line.command("x", "stop", {"async_backend": True}, timeout_seconds=SECONDS))
        message = await anext(bot.messages)
        assert (message.topic.value, message.qos, message.retain) == ("hbot/x/stop", 1, False)
        assert isinstance(message.payload, bytes)
        envelope = json.loads(message.payload)
        [recorded] = [c["request"] for c in captures.conversations("headless_stop") if c["note"] == "async"]
        assert set(envelope) == set(recorded)
        assert {name: type(value) for name, value in envelope["header"].items()} == {
            name: type(value) for name, value in recorded["header"].items()
        }
        assert envelope["data"] == {"async_backend": True}
        await bot.publish(envelope["header"]["reply_to"], b'{"header":{},"data":{"status":200,"price":NaN}}', 1)
        assert await call == {"header": {}, "data": {"status": 200, "price": None}}


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"data":{"status":2', b"\xff"], ids=["empty", "list", "half", "bytes"]
)
async def test_an_answer_that_is_none_counts_as_silence(broker, payload):
    async with running(broker.port, Heard()) as line, client(broker.port) as bot:
        await bot.subscribe("hbot/x/+", 1)
        call = asyncio.create_task(line.command("x", "status", {}, timeout_seconds=SECONDS))
        reply_to = await asked(bot)
        await bot.publish(reply_to, payload, 1)
        assert await call is None
        await bot.publish(reply_to, b'{"data":{}}', 1)  # too late, and no harm


async def test_a_broker_that_comes_back_is_found_again(broker):
    heard = Heard()
    async with running(broker.port, heard) as line:
        broker.kill()
        await until(lambda: not line.broker().connected)
        assert line.broker().why == "The connection was lost"
        await until(lambda: "refused" in line.broker().why)
        broker.start()
        await until(lambda: line.broker().connected)
        assert not line.broker().why
        async with client(broker.port) as bot:
            await bot.publish("hbot/x/hb", BEAT)
            await until(lambda: len(heard.told) == 1)


async def test_a_broker_that_refuses_is_named(tmp_path):
    with mosquitto("allow_anonymous false") as broker:
        line = MqttLine(
            HOST, broker.port, "admin", "wrong", clock=lambda: datetime.now(UTC), new_id=uuid4, sink=Heard()
        )
        task = asyncio.create_task(line.run())
        await until(lambda: "authori" in line.broker().why)
        assert (line.broker().connected, line.broker().username) == (False, "admin")
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("host", ["a" * 70, "no-such-host.invalid"], ids=["long", "unknown"])
async def test_a_host_that_there_is_not_is_said(host):
    line = MqttLine(host, 1883, None, None, clock=lambda: datetime.now(UTC), new_id=uuid4, sink=Heard())
    before = line.broker().why
    task = asyncio.create_task(line.run())
    await until(lambda: line.broker().why != before or task.done())
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_the_embedded_broker_does(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("adapters.private_broker._SYSTEM_FOLDERS", "/nowhere")
    heard = Heard()
    async with (
        private_broker(tmp_path, free_port()) as embedded,
        running(embedded.port, heard) as line,
        client(embedded.port) as bot,
    ):
        assert embedded.kind == "embedded"
        await bot.subscribe("hbot/x/status", 1)
        call = asyncio.create_task(line.command("x", "status", {}, timeout_seconds=SECONDS))
        await bot.publish(await asked(bot), b'{"data":{"status":400}}', 1)
        assert await call == {"data": {"status": 400}}
        await bot.publish("hbot/x/hb", BEAT)
        await until(lambda: len(heard.told) == 1)


@asynccontextmanager
async def recording(intake: BotIntake, bus: Bus) -> AsyncIterator[None]:
    task = asyncio.create_task(intake.run(bus))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def flood(port: int, instance: str, lines: range) -> None:
    async with client(port) as bot:
        for n in lines:
            await bot.publish(f"hbot/{instance}/log", b'{"timestamp":1795331074.5,"msg":"line %d"}' % n)


async def recorded(bus: Bus, instance: str) -> list[str]:
    stream = updates_of(instance)
    history = (await bus.ports.log.read([stream]))[stream]
    return [r.event.message for r in history if isinstance(r.event, BotLogged)]


async def test_ten_thousand_lines_in_a_second_are_all_recorded_in_order(broker, log: PostgresLog):
    async with world() as around:
        bus = Bus(msgspec.structs.replace(around.bus.ports, log=log), HANDLERS)
        intake = BotIntake(uuid4)
        async with recording(intake, bus), running(broker.port, intake):
            await asyncio.gather(flood(broker.port, "a", range(10_000)), flood(broker.port, "b", range(100)))
            async with asyncio.timeout(SECONDS):
                while len(await recorded(bus, "a")) + len(await recorded(bus, "b")) < 10_100:
                    await intake.drain()
        assert await recorded(bus, "a") == [f"line {n}" for n in range(10_000)]
        assert await recorded(bus, "b") == [f"line {n}" for n in range(100)]


async def test_while_the_log_is_away_what_is_held_is_bounded_and_nothing_is_lost(broker, monkeypatch):
    monkeypatch.setattr(updates, "MOST_WAITING", 100)
    async with world() as around:
        intake = BotIntake(uuid4)
        async with recording(intake, around.bus), running(broker.port, intake) as line:
            around.log.away = Unavailable("The event log cannot be reached")
            await flood(broker.port, "x", range(2000))
            await until(lambda: not line.broker().connected)
            assert line.broker().why == "What bots told cannot be recorded at present"
            assert 100 <= intake.waiting < 200
            around.log.away = None
            async with asyncio.timeout(SECONDS):
                while len(await recorded(around.bus, "x")) < 2000:
                    await intake.drain()
                    await asyncio.sleep(0)
            await until(lambda: line.broker().connected)
        assert await recorded(around.bus, "x") == [f"line {n}" for n in range(2000)]


# 41
async def test_a_line_that_a_bot_logs_twice_is_told_twice(broker):
    heard = Heard()
    async with running(broker.port, heard), client(broker.port) as bot:
        for _ in range(2):
            await bot.publish("hbot/x/log", b'{"timestamp":1795331074.5,"msg":"again"}')
        await until(lambda: len(heard.told) >= 2)
    assert [event.message for event in heard.of(BotLogged)] == ["again", "again"]  # type: ignore[attr-defined]


async def test_of_bots_that_were_not_deployed_here_so_many_are_taken_in(broker, monkeypatch):
    monkeypatch.setattr(line_module, "MOST_STRANGERS", 2)
    heard = Heard()
    with capture_logs() as lines:
        async with running(broker.port, heard) as line, client(broker.port) as bot:

            async def told(*names: str) -> None:
                beats = [*names, "ours"]  # which is heard after all of them
                expected = sum(name == "ours" for name, *_ in heard.told) + beats.count("ours")
                for name in beats:
                    await bot.publish(f"hbot/{name}/hb", BEAT)
                await until(lambda: sum(name == "ours" for name, *_ in heard.told) == expected)

            await told("ours", "fake-1")  # nobody has said yet who was deployed
            line.expect(["ours", "quiet"])
            await told("fake-1", "fake-2", "new", "newer", "quiet")
            assert set(line.broker().bots) == {"ours", "quiet", "fake-1", "fake-2"}
            monkeypatch.setattr(line_module, "FORGOTTEN_AFTER", timedelta(0))
            await told("new")
            assert set(line.broker().bots) == {"ours", "quiet", "fake-2", "new"}
            line.expect(["ours"])
            assert set(line.broker().bots) == {"ours", "fake-2", "new"}
    told_of = [line["not_taken_in"] for line in lines if line["event"] == "too_many_unknown_bots"]
    assert told_of == ["new"]
    assert "newer" not in {name for name, *_ in heard.told}
