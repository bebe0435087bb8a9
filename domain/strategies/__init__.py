"""Strategies: scripts and controllers, which are Python source that bots run, and the configurations made for them.

Every version is an event. A script's name is that of its file; controllers are kept by type, and two types may have one
of the same name; the configurations of scripts and those of controllers are two sets of names.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.values import Json

Kind = Literal["scripts", "controllers"]
"""Whose configuration it is; also the folder of it below `conf/`."""

ControllerType = Literal["directional_trading", "market_making", "generic"]
TYPES: tuple[ControllerType, ...] = ("directional_trading", "market_making", "generic")

SOURCE_BYTES = 1_000_000
CONFIG_BYTES = 100_000
DEPTH = 20
"""How deeply lists and objects in a configuration may be nested."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class ScriptSaved(Event, frozen=True, kw_only=True):
    """A script was written, or written anew."""

    name: str
    source: str


class ScriptDeleted(Event, frozen=True, kw_only=True):
    """A script is not there for new bots any more."""

    name: str


class ControllerSaved(Event, frozen=True, kw_only=True):
    """A controller was written, or written anew."""

    type: ControllerType
    name: str
    source: str


class ControllerDeleted(Event, frozen=True, kw_only=True):
    """A controller is not there for new bots any more."""

    type: ControllerType
    name: str


class ConfigSaved(Event, frozen=True, kw_only=True):
    """A configuration was written, or written anew. `text` is the YAML that bots are given, `content` says the same."""

    kind: Kind
    name: str
    text: str
    content: Mapping[str, object]


class ConfigDeleted(Event, frozen=True, kw_only=True):
    """A configuration is not there for new bots any more."""

    kind: Kind
    name: str


class BotConfigChanged(Event, frozen=True, kw_only=True):
    """Somebody changed a controller's configuration under a bot. Recorded before the bot's file is written.

    `changes` is what was asked for, `text` the whole YAML that the bot has from then on.
    """

    instance: str
    controller: str
    changes: Mapping[str, object]
    text: str


EVENTS = (
    ScriptSaved,
    ScriptDeleted,
    ControllerSaved,
    ControllerDeleted,
    ConfigSaved,
    ConfigDeleted,
    BotConfigChanged,
)


def script_stream(name: str) -> str:
    """Return the stream of a script."""
    return f"strategy-scripts-{name}"


def controller_stream(type_: str, name: str) -> str:
    """Return the stream of a controller; no type has a hyphen, so none is taken for another."""
    return f"strategy-controllers-{type_}-{name}"


def config_stream(kind: Kind, name: str) -> str:
    """Return the stream of a configuration."""
    return f"strategy-configs-{kind}-{name}"


def bot_config_stream(instance: str, controller: str) -> str:
    """Return the stream of the changes to one configuration of a bot."""
    return f"strategy-bots-{instance}-{controller}"


def script_path(name: str) -> str:
    """Return where a script stands, below `bots/`."""
    return f"scripts/{name}.py"


def controller_path(type_: str, name: str) -> str:
    """Return where a controller stands, below `bots/`."""
    return f"controllers/{type_}/{name}.py"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A script or a controller as its stream tells; `source` is None where there is none (any more)."""

    source: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as its stream tells; `text` is None where there is none (any more)."""

    text: str | None = None
    content: Mapping[str, object] = {}


NEW_SOURCE = Source()
NEW_CONFIG = Config()


def evolve_source(_: Source, event: Event) -> Source:
    """Return a script or controller after an event."""
    match event:
        case ScriptSaved(source=source) | ControllerSaved(source=source):
            return Source(source=source)
        case _:
            return NEW_SOURCE


def evolve_config(_: Config, event: Event) -> Config:
    """Return a configuration after an event."""
    match event:
        case ConfigSaved(text=text, content=content):
            return Config(text=text, content=content)
        case _:
            return NEW_CONFIG


def save_script(state: Source, name: str, source: str) -> list[Event]:
    """Save a script; one that says the same is not saved again. Raises `Invalid`."""
    _check_name("script", name)
    _check_source("Script", name, source)
    return [] if state.source == source else [ScriptSaved(name=name, source=source)]


def delete_script(state: Source, name: str) -> list[Event]:
    """Delete a script. Raises `NotFound`."""
    if state.source is None:
        raise NotFound(f"Script '{name[:100]}' not found")
    return [ScriptDeleted(name=name)]


def save_controller(state: Source, type_: ControllerType, name: str, source: str) -> list[Event]:
    """Save a controller; one that says the same is not saved again. Raises `Invalid`."""
    _check_name("controller", name)
    _check_source("Controller", name, source)
    return [] if state.source == source else [ControllerSaved(type=type_, name=name, source=source)]


def delete_controller(state: Source, type_: ControllerType, name: str) -> list[Event]:
    """Delete a controller. Raises `NotFound`."""
    if state.source is None:
        raise NotFound(f"Controller '{name[:100]}' not found in '{type_}'")
    return [ControllerDeleted(type=type_, name=name)]


def save_config(state: Config, kind: Kind, name: str, content: Json, text: str) -> list[Event]:
    """Save a configuration; one that says the same is not saved again. Raises `Invalid`."""
    check_config_name(name)
    check_config(kind, name, content)
    check_config_text(name, text)
    if state.text is not None and state.content == content:
        return []
    return [ConfigSaved(kind=kind, name=name, text=text, content=content)]


def delete_config(state: Config, kind: Kind, name: str) -> list[Event]:
    """Delete a configuration. Raises `NotFound`."""
    if state.text is None:
        raise NotFound(f"Configuration '{name[:100]}' not found")
    return [ConfigDeleted(kind=kind, name=name)]


def changed(controller: str, before: Json, changes: Json) -> Json:
    """Return a configuration of a bot after some of its fields were changed. Raises `Invalid`."""
    after = {**before, **changes}
    check_config("controllers", controller, after)
    return after


def change_bot_config(instance: str, controller: str, changes: Json, *, before: str, text: str) -> list[Event]:
    """Change the text of a bot's configuration; nothing is to be done where it says that already. Raises `Invalid`."""
    check_config_text(controller, text)
    if text == before:
        return []
    return [BotConfigChanged(instance=instance, controller=controller, changes=changes, text=text)]


def check_config_name(name: str) -> None:
    """Refuse what is no name of a configuration. Raises `Invalid`."""
    _check_name("configuration", name)


def check_config_text(name: str, text: str) -> None:
    """Refuse a configuration that is too long. Raises `Invalid`."""
    length = len(text.encode())
    if length > CONFIG_BYTES:
        raise Invalid(f"Configuration '{name}' has {length} bytes of YAML; at most {CONFIG_BYTES} are allowed")


def check_config(kind: Kind, name: str, content: Json) -> None:
    """Refuse a configuration that no bot may be given, before it is written out. Raises `Invalid`."""
    _check_depth(name, content)
    length = len(msgspec.json.encode(content))
    if length > CONFIG_BYTES:
        raise Invalid(f"Configuration '{name[:100]}' has {length} bytes; at most {CONFIG_BYTES} are allowed")
    if kind == "scripts":
        for listed in controllers_of(content):
            if _NAME.fullmatch(listed) is None:
                raise Invalid(
                    f"Configuration '{name}' names '{listed[:100]}' in controllers_config, which is no name of a"
                    " configuration: only letters, numbers, underscores and hyphens are allowed"
                )


def controllers_of(content: Mapping[str, object]) -> list[str]:
    """Return the configurations of controllers that a script's configuration names, without `.yml`.

    Raises `Invalid` where they are no list of texts.
    """
    listed = content.get("controllers_config")
    if listed is None or listed == "":
        return []
    names = [part.strip() for part in listed.split(",")] if isinstance(listed, str) else listed
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise Invalid("controllers_config should be a list of names of controller configurations")
    return [name.removesuffix(".yml") for name in names]


def _check_name(kind: str, name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"Invalid {kind} name: '{name[:100]}'. Only letters, numbers, underscores and hyphens are allowed,"
            " at most 100 of them."
        )


def _check_source(kind: str, name: str, source: str) -> None:
    if _SURROGATE.search(source) is not None:
        raise Invalid(f"{kind} '{name}' is no text: it holds half a surrogate pair")
    length = len(source.encode())
    if length > SOURCE_BYTES:
        raise Invalid(f"{kind} '{name}' has {length} bytes of source; at most {SOURCE_BYTES} are allowed")
    if (found := _CONTROL.search(source)) is not None:
        line = source.count("\n", 0, found.start()) + 1
        raise Invalid(f"{kind} '{name}' is no text: line {line} holds the control character {ord(found[0])}")


def _check_depth(name: str, content: Json) -> None:
    level: list[object] = [content]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise Invalid(f"Configuration '{name}' is nested more than {DEPTH} levels deep")


def _inside(value: object) -> list[object]:
    match value:
        case dict():
            return list(value.values())
        case list() | tuple():
            return list(value)
        case _:
            return []
