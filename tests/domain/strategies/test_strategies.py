"""Scripts, controllers and configurations: what may be saved, and what is the same."""

from contextlib import suppress

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from domain import strategies
from domain.errors import DomainError, Invalid, NotFound
from domain.strategies import (
    CONFIG_BYTES,
    DEPTH,
    NEW_CONFIG,
    NEW_SOURCE,
    SOURCE_BYTES,
    BotConfigChanged,
    ConfigDeleted,
    ConfigSaved,
    ControllerDeleted,
    ControllerSaved,
    ScriptDeleted,
    ScriptSaved,
    evolve_config,
    evolve_source,
)
from domain.values import Json
from tests.domain.given import Given

SCRIPT = ScriptSaved(name="watch", source="a = 1\n")
CONTROLLER = ControllerSaved(type="generic", name="grid", source="a = 1\n")
CONFIG = ConfigSaved(kind="controllers", name="grid_btc", text="leverage: 5\n", content={"leverage": 5})


def source(*events):
    return Given(NEW_SOURCE, evolve_source, events)


def config(*events):
    return Given(NEW_CONFIG, evolve_config, events)


def save_config(content, text="leverage: 5\n", name="grid_btc", kind="controllers"):
    return lambda state: strategies.save_config(state, kind, name, content, text)


def test_every_version_of_a_source_is_an_event():
    source().when(lambda s: strategies.save_script(s, "watch", "a = 1\n")).then(SCRIPT)
    newer = ScriptSaved(name="watch", source="a = 2\n")
    source(SCRIPT).when(lambda s: strategies.save_script(s, "watch", "a = 2\n")).then(newer)
    source().when(lambda s: strategies.save_controller(s, "generic", "grid", "a = 1\n")).then(CONTROLLER)


def test_a_source_that_says_the_same_is_not_saved_again():
    source(SCRIPT).when(lambda s: strategies.save_script(s, "watch", "a = 1\n")).then()
    source(CONTROLLER).when(lambda s: strategies.save_controller(s, "generic", "grid", "a = 1\n")).then()


def test_a_source_that_was_deleted_can_be_saved_again():
    deleted = ScriptDeleted(name="watch")
    source(SCRIPT, deleted).when(lambda s: strategies.save_script(s, "watch", "a = 1\n")).then(SCRIPT)


def test_what_is_there_is_deleted_once():
    source(SCRIPT).when(lambda s: strategies.delete_script(s, "watch")).then(ScriptDeleted(name="watch"))
    gone = ScriptDeleted(name="watch")
    source(SCRIPT, gone).when(lambda s: strategies.delete_script(s, "watch")).then_refused(NotFound, "Script 'watch'")
    source(CONTROLLER).when(lambda s: strategies.delete_controller(s, "generic", "grid")).then(
        ControllerDeleted(type="generic", name="grid")
    )
    source().when(lambda s: strategies.delete_controller(s, "generic", "grid")).then_refused(
        NotFound, "Controller 'grid' not found in 'generic'"
    )
    config(CONFIG).when(lambda s: strategies.delete_config(s, "controllers", "grid_btc")).then(
        ConfigDeleted(kind="controllers", name="grid_btc")
    )
    config().when(lambda s: strategies.delete_config(s, "controllers", "x")).then_refused(NotFound, "'x' not found")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.py", "a\n", "ä", "a b", ".", "a" * 101, "\0"], ids=ascii)
def test_a_name_that_is_no_name_is_refused(name):
    source().when(lambda s: strategies.save_script(s, name, "")).then_refused(Invalid, "Invalid script name")
    source().when(lambda s: strategies.save_controller(s, "generic", name, "")).then_refused(Invalid, "controller name")
    config().when(save_config({}, name=name)).then_refused(Invalid, "Invalid configuration name")


def test_a_source_has_a_bound_and_the_refusal_names_it():
    longest = "é" * (SOURCE_BYTES // 2)
    assert strategies.save_script(NEW_SOURCE, "a", longest)
    with pytest.raises(Invalid, match=f"'a' has {SOURCE_BYTES + 1} bytes of source; at most {SOURCE_BYTES}"):
        strategies.save_script(NEW_SOURCE, "a", longest + " ")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f"], ids=ascii)
def test_a_source_is_text(character):
    source().when(lambda s: strategies.save_script(s, "a", f"1\n2{character}")).then_refused(Invalid, "line 2 holds")


def test_a_source_may_be_any_text():
    odd = "\ufeff# é 😀\r\nif True:\n\tpass\f\n"
    assert strategies.save_script(NEW_SOURCE, "a", odd) == [ScriptSaved(name="a", source=odd)]


def test_half_a_surrogate_pair_is_no_text():
    source().when(lambda s: strategies.save_script(s, "a", "\ud800")).then_refused(Invalid, "surrogate")


def test_every_version_of_a_configuration_is_an_event():
    config().when(save_config({"leverage": 5})).then(CONFIG)
    config(CONFIG).when(save_config({"leverage": 5}, text="leverage: 5 # the same\n")).then()
    config(CONFIG).when(save_config({"leverage": 6}, text="leverage: 6\n")).then(
        ConfigSaved(kind="controllers", name="grid_btc", text="leverage: 6\n", content={"leverage": 6})
    )
    gone = ConfigDeleted(kind="controllers", name="grid_btc")
    config(CONFIG, gone).when(save_config({"leverage": 5})).then(CONFIG)


def test_an_empty_configuration_is_one():
    empty = ConfigSaved(kind="controllers", name="grid_btc", text="{}\n", content={})
    config().when(save_config({}, text="{}\n")).then(empty)
    config(empty).when(save_config({}, text="{}\n")).then()


def test_a_configuration_has_bounds():
    deep: object = 1
    for _ in range(DEPTH):
        deep = [deep]
    config().when(save_config({"a": deep})).then_refused(Invalid, f"more than {DEPTH} levels")
    config().when(save_config({}, text=" " * (CONFIG_BYTES + 1))).then_refused(Invalid, f"at most {CONFIG_BYTES}")


@pytest.mark.parametrize(
    "named", ["../../../config.py", "a/b.yml", "..", "", "a.yml.yml", "/etc/passwd", "a\n"], ids=ascii
)
def test_a_script_s_configuration_names_configurations_and_no_paths(named):
    content: Json = {"controllers_config": ["good.yml", named]}
    config().when(save_config(content, kind="scripts")).then_refused(Invalid, "no name of a configuration")
    # A controller may have a field of that name with a meaning of its own.
    assert strategies.save_config(NEW_CONFIG, "controllers", "a", content, "x")


@pytest.mark.parametrize("listed", [{"a": 1}, [1], 7, [["a"]]], ids=str)
def test_the_controllers_of_a_script_are_a_list_of_names(listed):
    config().when(save_config({"controllers_config": listed}, kind="scripts")).then_refused(Invalid, "list of names")


@pytest.mark.parametrize(
    ("listed", "names"),
    [(["a.yml", "b"], ["a", "b"]), ("a.yml, b", ["a", "b"]), ("", []), (None, []), ([], [])],
    ids=str,
)
def test_the_controllers_of_a_script_may_be_told_in_each_way_that_hummingbot_takes(listed, names):
    assert strategies.controllers_of({"controllers_config": listed}) == names


def test_a_bot_s_configuration_keeps_what_is_not_changed():
    assert strategies.changed("grid", {"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == {"a": 1, "b": {"d": 3}}


def test_a_bot_s_configuration_that_says_the_same_is_not_written_again():
    def change(text):
        return strategies.change_bot_config("bot1", "grid", {"a": 2}, before="a: 1\n", text=text)

    assert change("a: 1\n") == []
    assert change("a: 2\n") == [BotConfigChanged(instance="bot1", controller="grid", changes={"a": 2}, text="a: 2\n")]


@any_of(st.text(max_size=200), st.text(max_size=200))
def test_whatever_is_saved_is_saved_or_refused(name, text):
    for decision in (
        lambda: strategies.save_script(NEW_SOURCE, name, text),
        lambda: strategies.save_controller(NEW_SOURCE, "generic", name, text),
        lambda: strategies.save_config(NEW_CONFIG, "scripts", name, {text: text}, text),
    ):
        with suppress(DomainError):
            assert len(decision()) == 1
