"""A story of strategies, told in events."""

from domain.strategies import (
    BotConfigChanged,
    ConfigDeleted,
    ConfigSaved,
    ControllerDeleted,
    ControllerSaved,
    ControllerType,
    Kind,
    ScriptDeleted,
    ScriptSaved,
    bot_config_stream,
    config_stream,
    controller_stream,
    script_stream,
)
from tests.projections.given import Told


def script(name: str, source: str | None) -> Told:
    """Return that a script was saved, or deleted where there is no source."""
    event = ScriptDeleted(name=name) if source is None else ScriptSaved(name=name, source=source)
    return script_stream(name), event


def controller(type_: ControllerType, name: str, source: str | None) -> Told:
    """Return that a controller was saved, or deleted where there is no source."""
    stream = controller_stream(type_, name)
    if source is None:
        return stream, ControllerDeleted(type=type_, name=name)
    return stream, ControllerSaved(type=type_, name=name, source=source)


def config(kind: Kind, name: str, content: dict[str, object] | None) -> Told:
    """Return that a configuration was saved, or deleted where there is no content."""
    stream = config_stream(kind, name)
    if content is None:
        return stream, ConfigDeleted(kind=kind, name=name)
    text = "".join(f"{key}: {value}\n" for key, value in content.items())
    return stream, ConfigSaved(kind=kind, name=name, text=text, content=content)


STRATEGIES: list[Told] = [
    script("watch", "a = 1\n"),
    script("odd", "é\\N\t\"'\0"),
    controller("generic", "grid", "a = 1\n"),
    controller("market_making", "grid", "b = 1\n"),
    config("controllers", "grid_btc", {"leverage": 5, "odd": "\0\\u0000", "z": [1, {"a": None}]}),
    config("scripts", "grid_btc", {"script_file_name": "watch.py"}),
    script("watch", "a = 2\n"),
    controller("generic", "grid", None),
    config("controllers", "grid_btc", None),
    script("gone", "a = 1\n"),
    script("gone", None),
    config("controllers", "grid_btc", {"leverage": 6}),
    controller("generic", "grid", "a = 3\n"),
    (
        bot_config_stream("bot1", "grid_btc"),
        BotConfigChanged(instance="bot1", controller="grid_btc", changes={"leverage": 1}, text="leverage: 1\n"),
    ),
    config("scripts", "other", {}),
]
