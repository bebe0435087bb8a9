"""What the keeper of bots does when the log is away, when it looks at the wrong moment, and when nothing moves."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from commands.bots import outcomes
from commands.bots.outcomes import AwaitDeployment, AwaitStart, AwaitStop
from commands.bots.stopping import StartBot, StopAndArchive, StopBot
from commands.ports import Write
from commands.ports.bots import Instance
from domain.bots import ArchivePlace, BotDeployed, BotFailed, BotLost, BotWoundDown
from domain.errors import Conflict, Unavailable
from tests.commands.bots import NAME, controllers, desk, kinds, life, running, settled, until
from tests.commands.world import World, world
from tests.fakes.runtime import MemoryRuntime

HERE = ArchivePlace()


async def test_a_server_that_starts_without_its_log_goes_on_when_it_is_there():
    async with desk() as w:
        await w.do(controllers())
    assert (await kinds(w))[-1] == "Deployed"  # it has ended before it did anything
    w.log.reachable = False
    began = w.time.now
    async with world(w) as resumed:

        async def tried() -> bool:
            return w.time.now > began

        await until(tried)
        w.log.reachable = True
        await settled(resumed, "Prepared", "Started")


async def note(w: World, *events: BotLost) -> None:
    stream = f"bot-{NAME}"
    version = len((await w.log.read([stream]))[stream])
    await w.log.append([Write(stream=stream, expected_version=version, events=events)], w.origin())


async def test_what_moved_while_it_looked_is_left_to_the_next_look(monkeypatch):
    async with desk() as w:
        await running(w)
        seen = w.fleet.runtime.instances

        async def late() -> Mapping[str, Instance]:
            await note(w, BotLost(instance=NAME, last_heard_at=w.time(), lost_at=w.time()))
            w.fleet.runtime.crash(NAME)
            return await seen()

        monkeypatch.setattr(w.fleet.runtime, "instances", late)
        await w.keeper.look()
        assert (await kinds(w))[3:] == ["Lost"]
        monkeypatch.undo()
        await w.keeper.look()
        assert (await kinds(w))[3:] == ["Lost", "Stopped"]


async def test_a_look_without_a_runtime_changes_nothing():
    async with desk() as w:
        await running(w)
        w.fleet.runtime.reachable = False
        with pytest.raises(Unavailable):
            await w.keeper.look()
        assert len(await kinds(w)) == 3


async def test_a_log_that_goes_away_in_the_middle_is_waited_for():
    async with desk() as w:
        await running(w)
        w.log.away = Unavailable("The log is away")
        with pytest.raises(Unavailable):
            await w.do(StopAndArchive(instance=NAME, archive=HERE))
        w.log.away = None
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        w.log.away = Unavailable("The log is away")
        await w.log.refused.wait()
        w.log.away = None
        await settled(w, "Stopped", "Archived", "Cleared")
        assert (await kinds(w)).count("Archived") == 1


async def test_the_limit_holds_although_nobody_can_tell_what_a_bot_said(monkeypatch):
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = {"status": 400, "msg": "timed out"}

        async def behind(*_: object, **__: object) -> bool:
            raise Unavailable("The views are behind")

        monkeypatch.setattr(w.bus.ports.lookup, "strategy_ended", behind)
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, "WoundDown", "Stopped", "Archived", "Cleared")


async def test_a_failure_that_comes_again_and_again_is_recorded_now_and_then(monkeypatch):
    async with desk() as w:
        await running(w)
        began = w.time.now
        calls = 0

        async def never_the_same(*_: object) -> str:
            nonlocal calls
            calls += 1
            raise Unavailable(f"Request {calls} was refused")

        monkeypatch.setattr(w.fleet.files, "archive", never_the_same)
        await w.do(StopAndArchive(instance=NAME, archive=HERE))

        async def an_hour() -> bool:
            return (w.time.now - began).total_seconds() > 3600

        await until(an_hour)
        failures = [event for event in await life(w) if isinstance(event, BotFailed)]
        assert calls > 300
        assert 10 <= len(failures) <= 13


async def test_who_waits_for_what_does_not_come_is_told_that_it_is_still_tried(monkeypatch):
    for limit in ("DEPLOYED_WITHIN_SECONDS", "STARTED_WITHIN_SECONDS", "TOLD_WITHIN_SECONDS"):
        monkeypatch.setattr(outcomes, limit, 0.0)
    async with desk() as w:
        await w.do(controllers())
        with pytest.raises(Unavailable, match=f"Instance {NAME} does not run after 0 s; it is still tried"):
            await w.do(AwaitDeployment(instance=NAME))
        await settled(w, "Started")
        await w.do(StopBot(instance=NAME))
        with pytest.raises(Unavailable, match=f"Bot {NAME} could not be told to stop so far"):
            await w.do(AwaitStop(instance=NAME))
        w.fleet.line.appear(NAME)
        await settled(w, "StopTold", "WoundDown")
        w.fleet.runtime.reachable = False
        await w.do(StartBot(instance=NAME))
        with pytest.raises(Unavailable, match=f"Bot {NAME} does not run after 0 s; it is still tried"):
            await w.do(AwaitStart(instance=NAME))
        w.fleet.runtime.reachable = True
        await settled(w, "Stopped", "Started")


async def test_a_fault_in_one_bot_s_life_stops_neither_the_others_nor_itself_for_ever(monkeypatch):
    async with desk() as w:
        start = w.fleet.runtime.start
        faults = 0

        async def faulty(order: BotDeployed) -> Instance:
            nonlocal faults
            faults += 1
            if faults < 3:
                raise KeyError("State")
            return await start(order)

        monkeypatch.setattr(w.fleet.runtime, "start", faulty)
        await w.do(controllers())
        await settled(w, "Prepared", "Started")
        assert (faults, w.fleet.runtime.starts) == (3, {NAME: 1})


@pytest.mark.parametrize("kept", [True, False], ids=["container", "nothing"])
async def test_an_archive_ends_when_somebody_has_removed_the_files(kept):
    async with desk() as w:
        await running(w)
        w.fleet.files.instances.clear()
        if not kept:
            w.fleet.runtime.there.clear()
            await w.keeper.look()
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, "Failed", "StopRequested" if kept else "Cleared")
        failures = [event.reason for event in await life(w) if isinstance(event, BotFailed)]
        assert len(failures) == 1
        assert failures[0].startswith(f"Bot '{NAME}' has no files, neither as an instance nor in the archive")
        assert (NAME in w.fleet.runtime.there) is kept


async def test_a_start_is_tried_for_a_while_however_long_something_else_was_tried_before():
    async with desk() as w:
        instance = (await w.do(controllers())).result.instance
        await settled(w, "Started")
        await w.do(StopBot(instance=instance))  # it was never heard, so that it cannot be told
        began = w.time.now

        async def minutes() -> bool:
            return (w.time.now - began).total_seconds() > 300

        await until(minutes)
        w.fleet.runtime.crash(instance)
        await w.keeper.look()
        w.fleet.runtime.reachable = False
        await w.do(StartBot(instance=instance))
        began = w.time.now

        async def failed() -> bool:
            return (await kinds(w))[-1] == "Failed"

        await until(failed)
        assert 60 <= (w.time.now - began).total_seconds() < 90


async def test_a_server_that_was_away_longer_than_the_limit_still_tells_the_bot_and_waits_for_it():
    async with desk() as w:
        await running(w)
        w.fleet.line.connected = False
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
    w.fleet.line.disappear(NAME)
    w.fleet.line.connected = True
    w.time.now += timedelta(seconds=10 * w.fleet.port().wind_down_seconds)
    async with world(w) as later:
        began = later.time.now

        async def tried_in_vain() -> bool:
            return later.time.now > began + timedelta(seconds=30)

        await until(tried_in_vain)
        w.fleet.line.appear(NAME)
        await settled(later, "StopRequested", "StopTold", "WoundDown", "Stopped", "Archived", "Cleared")
        assert [command for _, command, _ in w.fleet.line.sent] == ["stop"]
        [wound_down] = [event for event in await life(later) if isinstance(event, BotWoundDown)]
        assert wound_down.by_itself


async def test_bots_of_another_runtime_are_not_taken_for_ended():
    async with desk() as w:
        await running(w)
    there = w.fleet.runtime
    w.fleet.runtime = MemoryRuntime(name="process")
    with capture_logs() as lines:
        async with world(w) as moved:
            await moved.keeper.look()
            await moved.keeper.look()
            why = f"Bot {NAME} was started by the runtime 'docker', and this server runs 'process'"
            for wish in (StartBot(instance=NAME), StopAndArchive(instance=NAME, archive=HERE)):
                with pytest.raises(Conflict, match=why):
                    await moved.do(wish)
            assert (await kinds(moved))[-1] == "Started"
            await moved.do(StopBot(instance=NAME))
            await settled(moved, "StopTold", "WoundDown")
    told = [(line["instance"], line["runtime"], line["here"]) for line in lines if line["event"] == "bot_elsewhere"]
    assert told == [(NAME, "docker", "process")]
    assert w.fleet.runtime.steps == []
    w.fleet.runtime = there
    async with world(w) as back:
        await back.keeper.look()
        await back.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(back, "Stopped", "Archived", "Cleared")
    assert there.starts == {NAME: 1}


async def test_an_archive_that_was_begun_waits_for_the_runtime_of_its_bot():
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = {"status": 400, "msg": "timed out"}
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await w.do(AwaitStop(instance=NAME))
    there = w.fleet.runtime
    w.fleet.runtime = MemoryRuntime(name="process")
    async with world(w) as moved:
        await settled(moved, "WoundDown")
        await moved.keeper.look()
        assert (await kinds(moved))[-1] == "WoundDown"
    assert w.fleet.runtime.steps == []
    w.fleet.runtime = there
    async with world(w) as back:
        await settled(back, "Stopped", "Archived", "Cleared")


class Deadly(MemoryRuntime):
    """Starts what it is told to, and the server does not live to hear of it."""

    kills = True

    async def start(self, order: BotDeployed) -> Instance:
        made = await super().start(order)
        if self.kills:
            await asyncio.Event().wait()
        return made


async def test_what_was_started_and_not_recorded_is_not_started_by_another_runtime():
    async with desk() as w:
        pass
    w.fleet.runtime = there = Deadly()

    async def begun() -> bool:
        return bool(there.starts)

    async with world(w) as killed:
        await killed.do(controllers())
        await until(begun)
    w.fleet.runtime = here = MemoryRuntime(name="process")
    async with world(w) as moved:
        await settled(moved, "Prepared")
    assert here.steps == []
    w.fleet.runtime, there.kills = there, False
    async with world(w) as back:
        await settled(back, "Started")
    assert there.starts == {NAME: 1}


async def test_bots_of_a_runtime_that_is_gone_for_good_are_judged_by_the_present_one():
    async with desk() as w:
        await running(w)
    w.fleet.runtime = MemoryRuntime(name="process")
    w.fleet.gone = frozenset({"docker"})
    async with world(w) as moved:
        await moved.keeper.look()
        assert (await kinds(moved))[-1] == "Stopped"
        await moved.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(moved, "Archived", "Cleared")
