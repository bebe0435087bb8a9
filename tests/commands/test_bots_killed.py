"""The server dies before and after everything that it does outside, and before and after every append.

The next server goes on over the same log, files and containers. However often a story is cut, it ends as if it had not
been: no container is left over or was started twice, no key stays behind, and it is archived once.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from commands.bots.outcomes import AwaitDeployment, AwaitStart
from commands.bots.stopping import StartBot, StopAndArchive, StopBot
from domain.bots import NEW, ArchivePlace, Bot, BotStarted, BotStopped, BotStopTold, BotWoundDown, evolve
from domain.errors import Invalid
from tests.commands.bots import NAME, controllers, desk, life, settled, until
from tests.commands.world import World, world

DEEDS = {"append", "start", "stop", "collect", "remove", "prepare", "shred", "discard", "archive", "command"}


class Killed(BaseException):
    """The server is no more."""


class Fate:
    """Lets everything through until a moment, counted from when it is armed; then nothing any more."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.armed = False
        self.moments: list[str] = []

    def moment(self, what: str) -> None:
        if not self.armed:
            return
        self.moments.append(what)
        if self.at is not None and len(self.moments) > self.at:
            raise Killed(what)

    def over(self, port: Any) -> Any:
        return Mortal(port, self)


class Mortal:
    """A port whose caller may die just before a deed, and just after it."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in DEEDS or not inspect.iscoroutinefunction(found):
            return found

        async def deed(*given: Any, **named: Any) -> Any:
            self._fate.moment(f"before {name}")
            done = await found(*given, **named)
            self._fate.moment(f"after {name}")
            return done

        return deed


Story = Callable[[World], Awaitable[None]]


async def bot(w: World) -> Bot:
    state = NEW
    for event in await life(w):
        state = evolve(state, event)
    return state


async def deployed(w: World) -> None:
    """Want a bot, unless it is wanted already, and see it run."""
    if not (await bot(w)).known:
        await w.do(controllers())
    await w.do(AwaitDeployment(instance=NAME))
    w.fleet.line.appear(NAME)


async def put_away(w: World) -> None:
    if not (await bot(w)).cleared:
        await deployed(w)
        await w.do(StopAndArchive(instance=NAME, archive=ArchivePlace()))
    await settled(w, "Archived", "Cleared")


async def started_again(w: World) -> None:
    await deployed(w)
    if not [event for event in await life(w) if isinstance(event, BotWoundDown)]:
        await w.do(StopBot(instance=NAME))

        async def stopped() -> bool:
            return (await bot(w)).wound_down is not None

        await until(stopped)
    if w.fleet.runtime.starts[NAME] == 1:
        await w.do(StartBot(instance=NAME))
    await w.do(AwaitStart(instance=NAME))
    await settled(w, "StartRequested", "Stopped", "Started")


async def refused(w: World) -> None:
    w.fleet.runtime.foreign.add(NAME)
    if not (await bot(w)).known:
        await w.do(controllers())
    with pytest.raises(Invalid, match="could not be deployed"):
        await w.do(AwaitDeployment(instance=NAME))
    await settled(w, "Failed", "Cleared")


async def moments_of(story: Story) -> list[str]:
    """Return the moments of a story that nobody cuts."""
    fate = Fate(None)
    async with desk(fate.over) as w:
        fate.armed = True
        await story(w)
        fate.armed = False
    return fate.moments


async def cut(story: Story, at: int) -> World:
    """Tell a story, cut at a moment and taken up by another server; return the world that it leaves."""
    fate = Fate(at)
    w = None
    try:
        async with desk(fate.over) as w:
            fate.armed = True
            await story(w)
    except* Killed:
        pass
    assert w is not None
    assert len(fate.moments) > at, "it was not cut"
    async with world(w) as resumed:
        await story(resumed)
        await resumed.keeper.look()
        return resumed


def starts_and_stops(events: list[Any]) -> str:
    return "".join("+" if isinstance(e, BotStarted) else "-" for e in events if isinstance(e, BotStarted | BotStopped))


def is_clean(w: World) -> bool:
    """Whether nothing is left of the bot but maybe its archive, which holds no key."""
    left = [path for files in w.fleet.files.archives.values() for path in files]
    return (w.fleet.runtime.there, w.fleet.files.instances) == ({}, {}) and not [
        path for path in left if "connectors" in path or "password" in path
    ]


async def test_a_bot_is_made_and_put_away_whenever_the_server_dies():
    moments = await moments_of(put_away)
    assert [moment.removeprefix("before ") for moment in moments if moment.startswith("before")] == [
        *("append", "prepare", "append", "start", "append"),
        *("append", "command", "append", "append", "stop", "append"),
        *("stop", "collect", "archive", "append", "remove", "append"),
    ]
    for at, moment in enumerate(moments):
        w = await cut(put_away, at)
        events = await life(w)
        assert is_clean(w), moment
        assert list(w.fleet.files.archives) == [f"archived/{NAME}"], moment
        assert w.fleet.runtime.starts == {NAME: 1}, moment
        assert [type(event).__name__ for event in events].count("BotArchived") == 1, moment
        assert starts_and_stops(events) == "+-", moment


async def test_a_bot_that_said_its_last_word_while_the_server_was_dead_says_it_again():
    moments = await moments_of(put_away)
    told_at = moments.index("after command")
    w = await cut(put_away, told_at)
    told, wound_down = [e for e in await life(w) if isinstance(e, BotStopTold | BotWoundDown)]
    assert isinstance(told, BotStopTold)
    assert isinstance(wound_down, BotWoundDown)
    assert (told.status, told.again, wound_down.by_itself) == (200, True, True)
    assert (wound_down.wound_down_at - told.told_at).total_seconds() < 1
    assert len(w.fleet.line.sent) == 2


async def test_a_refused_deployment_leaves_nothing_whenever_the_server_dies():
    moments = await moments_of(refused)
    assert "after discard" in moments
    for at, moment in enumerate(moments):
        w = await cut(refused, at)
        assert is_clean(w), moment
        assert w.fleet.files.archives == {}, moment
        assert w.fleet.runtime.starts == {}, moment


async def test_a_bot_is_started_again_once_whenever_the_server_dies():
    moments = await moments_of(started_again)
    for at, moment in enumerate(moments):
        w = await cut(started_again, at)
        assert w.fleet.runtime.starts == {NAME: 2}, moment
        assert w.fleet.runtime.there[NAME].state == "running", moment
        assert starts_and_stops(await life(w)) == "+-+", moment
