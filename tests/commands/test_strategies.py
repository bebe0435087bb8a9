"""Scripts, controllers and configurations as their owner changes them, and those of running bots."""

import asyncio

import msgspec
import pytest

from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.strategies import (
    ChangeBotConfig,
    DeleteConfig,
    DeleteController,
    DeleteScript,
    SaveConfig,
    SaveController,
    SaveScript,
)
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.strategies import (
    CONFIG_BYTES,
    BotConfigChanged,
    ConfigSaved,
    ControllerDeleted,
    ControllerSaved,
    ScriptDeleted,
    ScriptSaved,
)
from tests.commands.world import World, world

STREAM = "strategy-bots-bot1-grid"
FILE = "conf/controllers/grid.yml"


def give_bot(outside: World, text: str = "a: 1\nb: 2\n") -> None:
    outside.fleet.files.instances["bot1"] = {FILE: text}


def text_of(outside: World) -> str:
    return outside.fleet.files.instances["bot1"][FILE]


async def test_a_script_has_a_version_for_each_time_it_was_changed():
    async with world() as outside:
        for source in ("a = 1", "a = 1", "a = 2"):
            await outside.do(SaveScript(name="watch", source=source))
        await outside.do(DeleteScript(name="watch"))
        assert await outside.events("strategy-scripts-watch") == [
            ScriptSaved(name="watch", source="a = 1"),
            ScriptSaved(name="watch", source="a = 2"),
            ScriptDeleted(name="watch"),
        ]
        with pytest.raises(NotFound):
            await outside.do(DeleteScript(name="watch"))


async def test_controllers_of_two_types_may_have_one_name():
    async with world() as outside:
        await outside.do(SaveController(type="generic", name="grid", source="a = 1"))
        await outside.do(SaveController(type="market_making", name="grid", source="b = 1"))
        await outside.do(DeleteController(type="generic", name="grid"))
        assert await outside.events("strategy-controllers-generic-grid") == [
            ControllerSaved(type="generic", name="grid", source="a = 1"),
            ControllerDeleted(type="generic", name="grid"),
        ]
        assert await outside.bus.ports.lookup.sources() == {"controllers/market_making/grid.py": "b = 1"}


async def test_a_configuration_is_kept_as_bots_read_it():
    async with world() as outside:
        await outside.do(SaveConfig(kind="controllers", name="grid", content={"b": [0.00001], "a": "on"}))
        await outside.do(SaveConfig(kind="controllers", name="grid", content={"a": "on", "b": [0.00001]}))
        assert await outside.events("strategy-configs-controllers-grid") == [
            ConfigSaved(
                kind="controllers",
                name="grid",
                text="a: 'on'\nb:\n- 1.0e-05\n",
                content={"b": [0.00001], "a": "on"},
            )
        ]
        with pytest.raises(NotFound):
            await outside.do(DeleteConfig(kind="scripts", name="grid"))
        await outside.do(DeleteConfig(kind="controllers", name="grid"))


async def test_a_configuration_that_is_nested_without_end_is_refused_before_it_is_written():
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"a": deep}
    async with world() as outside:
        with pytest.raises(Invalid, match="nested"):
            await outside.do(SaveConfig(kind="controllers", name="grid", content=deep))
        assert await outside.log.position() == 0


async def test_a_configuration_that_is_too_long_is_refused_before_it_is_written():
    class Never:
        """Writes nothing."""

        async def dump(self, content):
            raise AssertionError("it was written")

    async with world() as outside:
        ports = msgspec.structs.replace(outside.bus.ports, yaml=Never())
        wish = SaveConfig(kind="controllers", name="grid", content={"a": ["x"] * CONFIG_BYTES})
        with pytest.raises(Invalid, match=f"at most {CONFIG_BYTES}"):
            await Bus(ports, HANDLERS).dispatch(wish, outside.origin())


async def test_a_repeat_is_answered_as_the_first_time():
    async with world() as outside:
        first = await outside.do(SaveScript(name="watch", source="a = 1"), "key")
        await outside.do(SaveScript(name="watch", source="a = 2"))
        again = await outside.do(SaveScript(name="watch", source="a = 1"), "key")
        assert (again.repeated, again.position) == (True, first.position)
        assert len(await outside.events("strategy-scripts-watch")) == 2
        with pytest.raises(Conflict):
            await outside.do(SaveScript(name="watch", source="a = 3"), "key")


async def test_a_running_bot_s_configuration_is_changed_and_recorded():
    async with world() as outside:
        give_bot(outside)
        outcome = await outside.do(ChangeBotConfig(instance="bot1", controller="grid", changes={"b": 3, "c": None}))
        assert text_of(outside) == "a: 1\nb: 3\nc: null\n"
        assert await outside.events(STREAM) == [
            BotConfigChanged(
                instance="bot1", controller="grid", changes={"b": 3, "c": None}, text="a: 1\nb: 3\nc: null\n"
            )
        ]
        assert outcome.position == await outside.log.position()
        await outside.do(ChangeBotConfig(instance="bot1", controller="grid", changes={"b": 3}))
        assert len(await outside.events(STREAM)) == 1


async def test_two_changes_at_once_are_both_there():
    async with world() as outside:
        give_bot(outside)
        await asyncio.gather(
            *(
                outside.do(ChangeBotConfig(instance="bot1", controller="grid", changes={f"f{n}": n}), f"key{n}")
                for n in range(5)
            )
        )
        assert text_of(outside) == "a: 1\nb: 2\nf0: 0\nf1: 1\nf2: 2\nf3: 3\nf4: 4\n"
        assert len(await outside.events(STREAM)) == 5


async def test_a_bot_or_a_controller_that_is_not_there_is_named():
    async with world() as outside:
        give_bot(outside)
        for instance, controller in (("nobot", "grid"), ("bot1", "nope")):
            with pytest.raises(NotFound, match=instance):
                await outside.do(ChangeBotConfig(instance=instance, controller=controller, changes={"a": 1}))
        assert await outside.log.position() == 0


async def test_a_bot_that_would_not_see_its_file_change_is_not_said_to_have_changed():
    async with world() as outside:
        give_bot(outside)
        outside.fleet.runtime.name = "swarm"
        with pytest.raises(Invalid, match="'bot1' cannot be changed while it lives: a service of a Docker Swarm"):
            await outside.do(ChangeBotConfig(instance="bot1", controller="grid", changes={"manual_kill_switch": True}))
        assert text_of(outside) == "a: 1\nb: 2\n"
        assert await outside.log.position() == 0


async def test_what_the_bot_itself_wrote_wrongly_is_said():
    async with world() as outside:
        give_bot(outside, "a: &x 1\nb: *x\n")
        with pytest.raises(Invalid, match="'grid' has an anchor or alias in line 1"):
            await outside.do(ChangeBotConfig(instance="bot1", controller="grid", changes={"a": 1}))
        assert await outside.log.position() == 0


async def test_a_change_whose_file_was_not_written_is_made_when_it_is_asked_for_again():
    class Broken:
        """Bots' files that cannot be written, once."""

        def __init__(self, files):
            self._files = files
            self.broken = True

        def __getattr__(self, name):
            return getattr(self._files, name)

        async def write_config(self, instance, controller, text):
            if self.broken:
                self.broken = False
                raise Unavailable("The disk is full")
            await self._files.write_config(instance, controller, text)

    def through(port):
        return Broken(port) if hasattr(port, "write_config") else port

    async with world(through=through) as outside:
        give_bot(outside)
        wish = ChangeBotConfig(instance="bot1", controller="grid", changes={"a": 9})
        with pytest.raises(Unavailable):
            await outside.do(wish, "key")
        assert text_of(outside) == "a: 1\nb: 2\n"
        outcome = await outside.do(wish, "key")
        assert (outcome.repeated, text_of(outside)) == (False, "a: 9\nb: 2\n")
        assert (await outside.do(wish, "key")).repeated
        assert len(await outside.events(STREAM)) == 2
