"""Stopping, archiving and starting again: each step follows from the bot's own word, or from a limit."""

from collections.abc import Mapping
from typing import Any

import pytest

from commands.bots import outcomes
from commands.bots.outcomes import AwaitStart, AwaitStop, Told
from commands.bots.stopping import DeleteBotRun, StartBot, StopAndArchive, StopBot
from commands.bots.telling import TellBot
from commands.ports import Write
from domain.bots import ArchivePlace, BotFailed, BotReturned, BotStopTold, BotWoundDown
from domain.errors import Invalid, NotFound, Unavailable
from tests.commands.bots import NAME, desk, kinds, life, report, running, settled, until
from tests.commands.world import World
from tests.fakes.fleet import BUCKET

HERE = ArchivePlace()
STOP = ("StopRequested", "StopTold", "WoundDown")
AWAY = (*STOP, "Stopped", "Archived", "Cleared")


def of(w: World, command: str) -> list[Mapping[str, Any]]:
    return [data for _, told, data in w.fleet.line.sent if told == command]


async def last(w: World, kind: type) -> object:
    return [event for event in await life(w) if isinstance(event, kind)][-1]


async def test_a_stop_ends_the_strategy_and_leaves_the_container():
    async with desk() as w:
        await running(w)
        await w.do(StopBot(instance=NAME))
        told = (await w.do(AwaitStop(instance=NAME))).result
        assert told == Told(status=200, message="", runs=True)
        await settled(w, *STOP)
        assert of(w, "stop") == [{"skip_order_cancellation": False, "async_backend": False}]
        assert w.fleet.runtime.there[NAME].state == "running"
        await w.do(StopBot(instance=NAME))
        assert (await kinds(w))[-1] == "WoundDown"
        assert len(of(w, "stop")) == 1


async def test_a_bot_is_put_away_step_by_step():
    async with desk() as w:
        await running(w)
        await w.do(StopAndArchive(instance=NAME, archive=HERE, skip_order_cancellation=True))
        await settled(w, *AWAY)
        assert of(w, "stop") == [{"skip_order_cancellation": True, "async_backend": False}]
        assert w.fleet.runtime.there == {}
        assert w.fleet.files.instances == {}
        (location, files) = w.fleet.files.archives.popitem()
        assert location == f"archived/{NAME}"
        assert not [path for path in files if "connectors" in path or "password" in path]
        with pytest.raises(Invalid, match=f"Bot {NAME} is archived: archived/{NAME}"):
            await w.do(StopAndArchive(instance=NAME, archive=HERE))


async def test_a_bot_is_put_away_after_a_plain_stop_without_being_told_again():
    async with desk() as w:
        await running(w)
        await w.do(StopBot(instance=NAME))
        await settled(w, *STOP)
        await w.do(StopAndArchive(instance=NAME, archive=ArchivePlace(bucket=BUCKET)))
        await settled(w, "StopRequested", "Stopped", "Archived", "Cleared")
        assert len(of(w, "stop")) == 1
        assert list(w.fleet.files.archives) == [f"s3://{BUCKET}/{NAME}.tar.gz"]


async def test_a_bot_that_answers_at_once_says_later_that_it_is_flat():
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = lambda data: {"status": 200, "msg": ""} if data["async_backend"] else None
        await report(w, b'{"volume_traded":1}')
        await w.do(StopBot(instance=NAME, at_once=True))
        await w.do(AwaitStop(instance=NAME))
        assert (await kinds(w))[-1] == "StopTold"
        w.time.pass_(1)
        await report(w, b"{}")
        await settled(w, *STOP)
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert wound_down.by_itself


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"status": 400, "msg": "Hummingbot stop timed out after 30 seconds"}, 400), (None, None)],
    ids=["time-out", "silence"],
)
async def test_a_bot_that_never_says_that_it_is_flat_is_waited_for_up_to_the_limit(answer, status):
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = lambda _: answer
        began = w.time.now
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, *AWAY)
        told, wound_down = await last(w, BotStopTold), await last(w, BotWoundDown)
        assert isinstance(told, BotStopTold)
        assert isinstance(wound_down, BotWoundDown)
        assert told.status == status
        assert not wound_down.by_itself
        waited = (wound_down.wound_down_at - began).total_seconds()
        assert w.fleet.port().wind_down_seconds <= waited < w.fleet.port().wind_down_seconds + 2


async def test_a_bot_whose_last_word_was_lost_is_asked_again_when_it_had_time_to_wind_down():
    async with desk() as w:
        await running(w)
        began = w.time.now
        await w.do(StopBot(instance=NAME, at_once=True))
        await settled(w, *STOP)
        assert [data["async_backend"] for data in of(w, "stop")] == [True, False]
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert wound_down.by_itself
        assert 40 <= (wound_down.wound_down_at - began).total_seconds() < 42


async def test_a_bot_that_ran_into_its_own_time_out_is_asked_until_it_is_flat():
    answers = iter([400, 400, 200])
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = lambda _: {"status": next(answers), "msg": ""}
        await w.do(StopAndArchive(instance=NAME, archive=HERE, skip_order_cancellation=True))
        await settled(w, *AWAY)
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert wound_down.by_itself
        assert of(w, "stop") == [{"skip_order_cancellation": True, "async_backend": False}] * 3


async def test_a_bot_that_is_to_leave_its_orders_is_not_told_to_cancel_them_by_asking_again():
    async with desk() as w:
        await running(w)
        await w.do(StopBot(instance=NAME, at_once=True, skip_order_cancellation=True))
        await settled(w, *STOP)
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert (wound_down.by_itself, len(of(w, "stop"))) == (False, 1)


async def test_a_broker_that_is_away_when_a_bot_is_to_be_asked_again_only_costs_the_limit():
    async with desk() as w:
        await running(w)

        def answer(_: object) -> None:
            w.fleet.line.connected = False

        w.fleet.line.answers[NAME, "stop"] = answer
        await w.do(StopBot(instance=NAME))
        await settled(w, *STOP)
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert not wound_down.by_itself


@pytest.mark.parametrize(
    "answer",
    [{}, {"status": "fine"}, {"status": True, "msg": 7}, {"status": 10**30}],
    ids=["empty", "text", "odd", "huge"],
)
async def test_an_answer_that_cannot_be_read_is_none(answer):
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = answer
        await w.do(StopBot(instance=NAME))
        assert (await w.do(AwaitStop(instance=NAME))).result == Told(status=None, message="", runs=True)


async def test_without_a_broker_a_plain_stop_is_refused_and_one_under_way_waits():
    async with desk() as w:
        await running(w)
        w.fleet.line.connected = False
        with pytest.raises(Unavailable, match=f"Bot {NAME} cannot be told to stop: no connection to the broker"):
            await w.do(StopBot(instance=NAME))
        assert (await kinds(w))[-1] == "Started"


async def test_a_bot_that_was_not_heard_yet_is_told_when_it_is():
    async with desk() as w:
        await running(w)
        w.fleet.line.disappear(NAME)
        began = w.time.now
        await w.do(StopBot(instance=NAME))

        async def tried() -> bool:
            return w.time.now > began

        await until(tried)
        assert of(w, "stop") == []
        w.fleet.line.appear(NAME)
        await settled(w, *STOP)
        assert len(of(w, "stop")) == 1


async def test_a_bot_that_is_never_heard_is_put_away_by_the_limit():
    async with desk() as w:
        await running(w)
        w.fleet.line.disappear(NAME)
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, *AWAY)
        told = await last(w, BotStopTold)
        assert isinstance(told, BotStopTold)
        assert (told.status, "was not heard since this server was started" in told.message) == (None, True)


async def test_a_bot_that_is_never_heard_has_a_way_out_that_is_told(monkeypatch):
    monkeypatch.setattr(outcomes, "TOLD_WITHIN_SECONDS", 0.0)
    async with desk() as w:
        await running(w)
        w.fleet.line.disappear(NAME)
        await w.do(StopBot(instance=NAME))
        way_out = (
            f"it was not heard since this server was started.* /bot-orchestration/stop-and-archive-bot/{NAME} ends"
        )
        with pytest.raises(Unavailable, match=way_out):
            await w.do(AwaitStop(instance=NAME))
        with pytest.raises(Invalid, match=f"Bot {NAME} is still stopping.* stop-and-archive-bot ends its container"):
            await w.do(StartBot(instance=NAME))
        w.fleet.line.connected = False
        with pytest.raises(Unavailable, match="no connection to the broker: it was made so; it will be told when"):
            await w.do(AwaitStop(instance=NAME))
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, *AWAY)


async def test_without_a_broker_an_archive_goes_on_by_the_limit():
    async with desk() as w:
        await running(w)
        w.fleet.line.connected = False
        began = w.time.now
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, *AWAY)
        wound_down = await last(w, BotWoundDown)
        assert isinstance(wound_down, BotWoundDown)
        assert not wound_down.by_itself
        assert (wound_down.wound_down_at - began).total_seconds() < w.fleet.port().wind_down_seconds + 15
        assert of(w, "stop") == []


async def test_an_archive_that_fails_keeps_the_container_and_says_why_until_it_is_taken():
    async with desk() as w:
        await running(w)
        await w.do(StopAndArchive(instance=NAME, archive=ArchivePlace(bucket="nope")))

        async def failed() -> bool:
            return (await kinds(w))[-1] == "Failed"

        await until(failed)
        failure = await last(w, BotFailed)
        assert isinstance(failure, BotFailed)
        assert failure.reason == "Bucket 'nope' does not exist"
        assert list(w.fleet.runtime.there) == [NAME]
        assert NAME in w.fleet.files.instances
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, "StopRequested", "Archived", "Cleared")
        assert (await kinds(w)).count("Failed") == 1


async def test_a_bot_that_exits_while_it_winds_down_is_archived_at_once():
    async with desk() as w:
        await running(w)
        w.fleet.line.answers[NAME, "stop"] = {"status": 400, "msg": "timed out"}
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await w.do(AwaitStop(instance=NAME))
        w.fleet.runtime.crash(NAME)
        await w.keeper.look()
        await settled(w, "StopTold", "Stopped", "Archived", "Cleared")


async def test_a_stopped_bot_starts_again_by_its_container():
    async with desk() as w:
        await running(w)
        await w.do(StopBot(instance=NAME))
        await settled(w, *STOP)
        await w.do(StartBot(instance=NAME))
        await w.do(AwaitStart(instance=NAME))
        await settled(w, "StartRequested", "Stopped", "Started")
        assert w.fleet.runtime.starts == {NAME: 2}
        await w.do(StartBot(instance=NAME))
        assert (await kinds(w))[-1] == "Started"
        w.fleet.line.appear(NAME)
        await w.do(StopBot(instance=NAME))
        await settled(w, *STOP)
        assert len(of(w, "stop")) == 2


async def test_a_bot_that_cannot_start_again_says_why():
    async with desk() as w:
        await running(w)
        w.fleet.runtime.crash(NAME)
        await w.keeper.look()
        w.fleet.runtime.foreign.add(NAME)
        await w.do(StartBot(instance=NAME))
        with pytest.raises(Invalid, match=f"Bot {NAME} could not be started: The name '{NAME}' is taken"):
            await w.do(AwaitStart(instance=NAME))
        w.fleet.runtime.foreign.clear()
        await w.do(StartBot(instance=NAME))
        await w.do(AwaitStart(instance=NAME))


async def test_a_restart_that_the_runtime_does_not_take_can_be_wanted_again():
    async with desk() as w:
        await running(w)
        await w.do(StopBot(instance=NAME))
        await settled(w, *STOP)
        w.fleet.runtime.reachable = False
        await w.do(StartBot(instance=NAME))
        with pytest.raises(Invalid, match=f"Bot {NAME} could not be started: No Docker engine answers"):
            await w.do(AwaitStart(instance=NAME))
        w.fleet.runtime.reachable = True
        await w.do(StartBot(instance=NAME))
        await w.do(AwaitStart(instance=NAME))
        assert w.fleet.runtime.starts == {NAME: 2}


@pytest.mark.parametrize("wish", [StartBot, StopBot, lambda instance: StopAndArchive(instance=instance, archive=HERE)])
async def test_an_unknown_bot_is_not_found(wish):
    async with desk() as w:
        with pytest.raises(NotFound, match="Bot nobot not found"):
            await w.do(wish(instance="nobot"))


async def test_a_bot_that_was_only_heard_is_told_to_stop():
    async with desk() as w:
        heard = BotReturned(instance="stray", returned_at=w.time())
        await w.log.append([Write(stream="bot-stray", expected_version=0, events=[heard])], w.origin())
        w.fleet.line.appear("stray")
        await w.do(StopBot(instance="stray"))
        await settled(w, *STOP, instance="stray")


async def test_what_happened_outside_is_found_and_recorded_once():
    async with desk() as w:
        await running(w)
        await w.keeper.look()
        w.fleet.runtime.crash(NAME, 3)
        await w.keeper.look()
        await w.keeper.look()
        assert (await kinds(w))[3:] == ["Stopped"]
        await w.fleet.runtime.start(w.fleet.runtime.orders[NAME])
        await w.keeper.look()
        await w.keeper.look()
        assert (await kinds(w))[3:] == ["Stopped", "Started"]
        del w.fleet.runtime.there[NAME]
        await w.keeper.look()
        assert (await kinds(w))[3:] == ["Stopped", "Started", "Stopped"]


async def test_the_steps_belong_to_the_story_of_the_wish():
    async with desk() as w:
        await running(w)
        wish = w.origin(actor="ann")
        await w.bus.dispatch(StopAndArchive(instance=NAME, archive=HERE), wish)
        await settled(w, *AWAY)
        history = (await w.log.read([f"bot-{NAME}"]))[f"bot-{NAME}"]
        assert {recorded.correlation_id for recorded in history[3:]} == {wish.correlation_id}
        assert [recorded.actor for recorded in history[3:]] == ["ann", *["<bots>"] * 5]


async def test_a_run_is_named_by_the_position_of_its_wish_and_deleted_when_it_is_over():
    async with desk() as w:
        await running(w)
        run = (await w.log.read([f"bot-{NAME}"]))[f"bot-{NAME}"][0].position
        with pytest.raises(Invalid, match=f"Bot run {run} is not over"):
            await w.do(DeleteBotRun(run=run))
        await w.do(StopAndArchive(instance=NAME, archive=HERE))
        await settled(w, *AWAY)
        await w.do(DeleteBotRun(run=run))
        for unknown in (run, run + 1, 0, -1, 999_999):
            with pytest.raises(NotFound, match=f"Bot run {unknown} not found"):
                await w.do(DeleteBotRun(run=unknown))


async def test_a_bot_is_told_other_things_and_its_answer_is_given():
    async with desk() as w:
        await running(w)
        told = TellBot(instance=NAME, command="config", data={"params": [["nope", 1]]})
        answer = (await w.do(told, "k")).result
        assert answer == {"changes": [], "config": {}, "status": 400, "msg": "Invalid param key(s): ['nope']"}
        assert (await w.do(told, "k")).result == answer
        assert len(of(w, "config")) == 1
        w.fleet.line.answers[NAME, "import"] = lambda _: None
        with pytest.raises(Unavailable, match=f"Bot {NAME} did not answer within 10 s"):
            await w.do(TellBot(instance=NAME, command="import", data={"strategy": "x"}))
        with pytest.raises(NotFound, match="Bot nobot not found"):
            await w.do(TellBot(instance="nobot", command="import", data={}))
