"""What bots tell is recorded once each, in each bot's order, many bots in one commit."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from commands.bots import updates
from commands.bots.updates import BotIntake, RecordUpdates, Updates
from commands.ports import Write
from domain.bots import BotHeard, BotLogged, BotNotified, updates_of
from domain.errors import Unavailable
from tests.commands.world import T0, World, world

SECONDS = 10.0


def line(instance: str, n: int) -> BotLogged:
    return BotLogged(instance=instance, level=20, level_name="INFO", logger="x", message=f"line {n}", heard_at=T0)


def beat(instance: str, second: int) -> BotHeard:
    return BotHeard(instance=instance, heard_at=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))


@asynccontextmanager
async def intake_of(around: World):
    intake = BotIntake(around.bus.ports.new_id)
    task = asyncio.create_task(intake.run(around.bus))
    try:
        yield intake
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def drained(intake: BotIntake) -> None:
    async with asyncio.timeout(SECONDS):
        await intake.drain()


async def append(around: World, instance: str, version: int, *events) -> None:
    await around.log.append(
        [Write(stream=updates_of(instance), expected_version=version, events=events)], around.origin()
    )


async def test_what_many_bots_tell_within_moments_is_one_commit():
    async with world() as around, intake_of(around) as intake:
        for second in range(3):
            for n in range(100):
                intake(f"b{n}", [beat(f"b{n}", second)], 30)
        await drained(intake)
        assert around.log.commits == 1
        for n in range(100):
            assert await around.events(updates_of(f"b{n}")) == [beat(f"b{n}", second) for second in range(3)]


async def test_more_than_a_batch_holds_is_several_commits_in_order():
    async with world() as around, intake_of(around) as intake:
        for n in range(1200):
            intake("x", [line("x", n)], 100)
        await drained(intake)
        assert around.log.commits == 3
        assert await around.events(updates_of("x")) == [line("x", n) for n in range(1200)]


async def test_a_batch_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(updates, "MOST_BYTES_AT_ONCE", 1000)
    async with world() as around, intake_of(around) as intake:
        for n in range(5):
            intake("x", [line("x", n)], 600)
        await drained(intake)
        assert around.log.commits == 5


async def test_all_of_one_message_is_in_one_commit(monkeypatch):
    monkeypatch.setattr(updates, "MOST_AT_ONCE", 2)
    async with world() as around, intake_of(around) as intake:
        intake("x", [line("x", n) for n in range(5)], 500)
        await drained(intake)
        assert around.log.commits == 1


async def test_a_stream_is_looked_at_once_and_its_place_remembered(monkeypatch):
    asked = []
    async with world() as around, intake_of(around) as intake:
        last = around.log.last

        async def look(streams):
            asked.append(streams)
            return await last(streams)

        monkeypatch.setattr(around.log, "last", look)
        for second in range(3):
            intake("x", [beat("x", second)], 30)
            await drained(intake)
        assert asked == [[updates_of("x")]]


async def test_it_goes_on_behind_what_a_server_before_recorded():
    async with world() as around:
        await append(around, "x", 0, beat("x", 1), beat("x", 2))
        async with intake_of(around) as intake:
            intake("x", [beat("x", 3)], 30)
            await drained(intake)
        assert await around.events(updates_of("x")) == [beat("x", second) for second in (1, 2, 3)]


async def test_what_else_is_put_into_a_stream_does_not_stop_it():
    strange = BotNotified(instance="x", message="of another server", heard_at=T0)
    async with world() as around, intake_of(around) as intake:
        intake("x", [beat("x", 1)], 30)
        await drained(intake)
        await append(around, "x", 1, strange)
        intake("x", [beat("x", 2)], 30)
        intake("y", [beat("y", 2)], 30)
        await drained(intake)
        assert await around.events(updates_of("x")) == [beat("x", 1), strange, beat("x", 2)]
        assert await around.events(updates_of("y")) == [beat("y", 2)]


@pytest.mark.parametrize("before", [0, 1])
async def test_what_was_recorded_although_the_answer_was_lost_is_recorded_once(before, monkeypatch):
    monkeypatch.setattr(updates, "RETRY_SECONDS", 0)
    async with world() as around, intake_of(around) as intake:
        for second in range(before):
            intake("x", [beat("x", second)], 30)
            await drained(intake)
        around.log.answers_lost = 1
        intake("x", [beat("x", 8)], 30)
        intake("y", [beat("y", 8)], 30)
        await drained(intake)
        intake("x", [beat("x", 9)], 30)
        await drained(intake)
        assert (await around.events(updates_of("x")))[before:] == [beat("x", 8), beat("x", 9)]
        assert await around.events(updates_of("y")) == [beat("y", 8)]


async def test_a_log_that_is_away_is_waited_for_and_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(updates, "RETRY_SECONDS", 0)
    monkeypatch.setattr(updates, "MOST_WAITING", 3)
    async with world() as around, intake_of(around) as intake:
        around.log.away = Unavailable("The event log cannot be reached")
        for n in range(2):
            intake("x", [line("x", n)], 100)
        assert not intake.full
        await asyncio.wait_for(intake.room(), SECONDS)
        intake("x", [line("x", 2)], 100)
        assert intake.full
        room = asyncio.create_task(intake.room())
        await asyncio.wait_for(around.log.refused.wait(), SECONDS)
        assert not room.done()
        around.log.away = None
        await asyncio.wait_for(room, SECONDS)
        await drained(intake)
        assert not intake.full
        assert await around.events(updates_of("x")) == [line("x", n) for n in range(3)]


async def test_what_waits_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(updates, "MOST_BYTES_WAITING", 1000)
    async with world() as around, intake_of(around) as intake:
        intake("x", [line("x", 0)], 1000)
        assert intake.full
        await asyncio.wait_for(intake.room(), SECONDS)


async def test_the_command_says_where_each_stream_stands():
    async with world() as around:
        command = RecordUpdates(
            updates=[
                Updates(instance="x", version=None, events=[beat("x", 1), beat("x", 2)]),
                Updates(instance="y", version=7, events=[beat("y", 1)]),  # wrong: it is looked up
            ]
        )
        outcome = await around.do(command)
        assert (outcome.result, outcome.position) == ({"x": 2, "y": 1}, 3)


async def test_batches_say_nothing_in_the_log_unless_somebody_looks_for_a_fault():
    async with world() as around, intake_of(around) as intake:
        with capture_logs() as lines:
            intake("x", [beat("x", 1)], 30)
            await drained(intake)
    assert {line["log_level"] for line in lines} == {"debug"}
