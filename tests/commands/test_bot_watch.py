"""Who falls silent is lost, who is heard again has returned; each is recorded once."""

from datetime import timedelta

import msgspec
import pytest
from structlog.testing import capture_logs

from commands.bots.watch import BotWatch
from commands.ports import Write
from domain.bots import BotCleared, BotDeployed, BotLost, BotReturned, BotStarted, BotStopped, stream_of
from domain.errors import Unavailable
from domain.events import Event
from tests.commands.world import T0, World, world

PATIENCE = 30.0


@pytest.fixture
async def around():
    async with world() as running:
        yield running


@pytest.fixture
def watch(around):
    return watch_of(around)


def watch_of(around: World) -> BotWatch:
    return BotWatch(around.bus, msgspec.structs.replace(around.fleet.port(), heartbeat_seconds=PATIENCE))


async def live(around: World, instance: str, *events: Event) -> None:
    """Put events into the life of an instance, behind what is there."""
    stream = stream_of(instance)
    version = len((await around.log.read([stream]))[stream])
    await around.log.append([Write(stream=stream, expected_version=version, events=events)], around.origin())


def deployed(instance: str) -> tuple[Event, ...]:
    return (
        BotDeployed(
            instance=instance,
            account="a",
            image="i",
            strategy_type="controller",
            strategy_name="s",
            script_config=None,
            deployed_at=T0,
        ),
        BotStarted(instance=instance, runtime_id="1", started_at=T0),
    )


async def said(around: World, instance: str) -> list[str]:
    events = await around.events(stream_of(instance))
    return [type(event).__name__ for event in events if isinstance(event, BotLost | BotReturned)]


async def test_a_bot_that_nobody_deployed_is_known_when_it_is_heard(around, watch):
    around.fleet.line.appear("x")
    await watch.look()
    assert await around.events(stream_of("x")) == [BotReturned(instance="x", returned_at=T0)]
    await watch.look()
    await watch_of(around).look()  # another server's first look
    assert await said(around, "x") == ["BotReturned"]


async def test_a_bot_that_was_deployed_and_is_heard_is_nothing_new(around, watch):
    await live(around, "x", *deployed("x"))
    around.fleet.line.appear("x")
    await watch.look()
    assert await said(around, "x") == []


async def test_the_line_is_told_which_bots_were_deployed(around, watch):
    await live(around, "x", *deployed("x"))
    around.fleet.line.appear("x", "stranger")
    await watch.look()
    assert around.fleet.line.expected == {"x"}


@pytest.mark.parametrize("was_deployed", [True, False])
async def test_a_silent_bot_is_lost_once_and_returns_once(around, watch, was_deployed):
    if was_deployed:
        await live(around, "x", *deployed("x"))
    around.fleet.line.appear("x")
    heard_at = around.time()
    await watch.look()
    for _ in range(4):
        around.time.pass_(PATIENCE - 1)
        await watch.look()
    history = await around.events(stream_of("x"))
    assert history[-1] == BotLost(
        instance="x", last_heard_at=heard_at, lost_at=T0 + timedelta(seconds=2 * PATIENCE - 2)
    )
    for _ in range(2):
        around.fleet.line.appear("x")
        await watch.look()
    assert (await said(around, "x"))[-2:] == ["BotLost", "BotReturned"]
    around.time.pass_(PATIENCE + 10)
    await watch.look()
    assert (await said(around, "x"))[-3:] == ["BotLost", "BotReturned", "BotLost"]


async def test_a_bot_that_was_never_heard_is_missed_from_when_we_began_to_listen(around, watch):
    await live(around, "x", *deployed("x"))
    around.time.pass_(1000)
    await watch.look()
    around.time.pass_(PATIENCE - 1)
    await watch.look()
    assert await said(around, "x") == []
    around.time.pass_(2)
    await watch.look()
    assert await said(around, "x") == ["BotLost"]


async def test_a_bot_that_just_started_has_its_time_to_be_heard(around, watch):
    around.time.pass_(-1000)
    await watch.look()
    around.time.pass_(1000)
    await live(around, "x", *deployed("x"))  # The log's own clock begins at T0.
    around.time.pass_(PATIENCE - 5)
    await watch.look()
    assert await said(around, "x") == []
    around.time.pass_(6)
    await watch.look()
    assert await said(around, "x") == ["BotLost"]


async def test_a_bot_that_was_stopped_is_not_missed_until_it_is_started_again(around, watch):
    await live(around, "x", *deployed("x"), BotStopped(instance="x", exit_code=0, stopped_at=T0))
    for _ in range(3):
        await watch.look()
        around.time.pass_(PATIENCE + 10)
    assert await said(around, "x") == []
    await live(around, "x", BotStarted(instance="x", runtime_id="1", started_at=T0))
    await watch.look()
    assert await said(around, "x") == ["BotLost"]


async def test_a_bot_that_was_put_away_is_missed_by_nobody(around, watch):
    await live(around, "x", *deployed("x"))
    around.fleet.line.appear("x")
    await watch.look()
    ended = (BotStopped(instance="x", exit_code=0, stopped_at=T0), BotCleared(instance="x", cleared_at=T0))
    await live(around, "x", *ended)
    with capture_logs() as lines:
        for _ in range(3):
            around.time.pass_(PATIENCE + 10)
            await watch.look()
    assert await said(around, "x") == []
    assert [line["command"] for line in lines if line["event"] == "command_done"] == []


async def test_while_the_broker_is_away_nobody_is_missed(around, watch):
    await live(around, "x", *deployed("x"))
    around.fleet.line.appear("x")
    await watch.look()
    around.fleet.line.connected = False
    around.time.pass_(1000)
    await watch.look()
    around.fleet.line.connected = True
    await watch.look()
    around.time.pass_(PATIENCE - 1)
    await watch.look()
    assert await said(around, "x") == []
    around.time.pass_(2)
    await watch.look()
    assert await said(around, "x") == ["BotLost"]


async def test_what_cannot_be_recorded_is_found_with_the_next_look(around, watch):
    around.fleet.line.appear("x")
    around.log.away = Unavailable("The event log cannot be reached")
    with pytest.raises(Unavailable):
        await watch.look()
    around.log.away = None
    await watch.look()
    assert await said(around, "x") == ["BotReturned"]
