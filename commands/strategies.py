"""Save and delete scripts, controllers and their configurations, and change those of a running bot."""

from collections.abc import Callable, Mapping

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import append, decide
from commands.ports import Write
from domain import strategies
from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.strategies import (
    NEW_CONFIG,
    NEW_SOURCE,
    Config,
    ControllerType,
    Kind,
    Source,
    bot_config_stream,
    config_stream,
    controller_stream,
    evolve_config,
    evolve_source,
    script_stream,
)


class SaveScript(Command, frozen=True, kw_only=True):
    """Save a script, a new one or a new version."""

    name: str
    source: str


class DeleteScript(Command, frozen=True, kw_only=True):
    """Delete a script."""

    name: str


class SaveController(Command, frozen=True, kw_only=True):
    """Save a controller, a new one or a new version."""

    type: ControllerType
    name: str
    source: str


class DeleteController(Command, frozen=True, kw_only=True):
    """Delete a controller."""

    type: ControllerType
    name: str


class SaveConfig(Command, frozen=True, kw_only=True):
    """Save a configuration, a new one or a new version."""

    kind: Kind
    name: str
    content: Mapping[str, object]


class DeleteConfig(Command, frozen=True, kw_only=True):
    """Delete a configuration."""

    kind: Kind
    name: str


class ChangeBotConfig(Command, frozen=True, kw_only=True):
    """Change fields in the configuration of one of a bot's controllers; the bot takes them in within seconds."""

    instance: str
    controller: str
    changes: Mapping[str, object]


async def save_script(command: SaveScript, call: Call) -> Outcome:
    """Save a script."""
    return await _change_source(
        call,
        script_stream(command.name),
        lambda state: strategies.save_script(state, command.name, command.source),
    )


async def delete_script(command: DeleteScript, call: Call) -> Outcome:
    """Delete a script."""
    return await _change_source(
        call, script_stream(command.name), lambda state: strategies.delete_script(state, command.name)
    )


async def save_controller(command: SaveController, call: Call) -> Outcome:
    """Save a controller."""
    return await _change_source(
        call,
        controller_stream(command.type, command.name),
        lambda state: strategies.save_controller(state, command.type, command.name, command.source),
    )


async def delete_controller(command: DeleteController, call: Call) -> Outcome:
    """Delete a controller."""
    return await _change_source(
        call,
        controller_stream(command.type, command.name),
        lambda state: strategies.delete_controller(state, command.type, command.name),
    )


async def save_config(command: SaveConfig, call: Call) -> Outcome:
    """Save a configuration, as JSON says it and as YAML."""
    content = dict(command.content)
    strategies.check_config(command.kind, command.name, content)  # before it is written out
    text = await call.ports.yaml.dump(content)
    return await _change_config(
        call, command, lambda state: strategies.save_config(state, command.kind, command.name, content, text)
    )


async def delete_config(command: DeleteConfig, call: Call) -> Outcome:
    """Delete a configuration."""
    return await _change_config(
        call, command, lambda state: strategies.delete_config(state, command.kind, command.name)
    )


async def _change_source(call: Call, stream: str, decision: Callable[[Source], list[Event]]) -> Outcome:
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=stream,
        new=NEW_SOURCE,
        evolve=evolve_source,
        decision=decision,
        answer=call.keep(None),
        request=call.request,
    )
    return Outcome(result=None, position=decided.position)


async def _change_config(
    call: Call, command: SaveConfig | DeleteConfig, decision: Callable[[Config], list[Event]]
) -> Outcome:
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=config_stream(command.kind, command.name),
        new=NEW_CONFIG,
        evolve=evolve_config,
        decision=decision,
        answer=call.keep(None),
        request=call.request,
    )
    return Outcome(result=None, position=decided.position)


async def change_bot_config(command: ChangeBotConfig, call: Call) -> Outcome:
    """Record the change, then write the bot's file; a repeat counts as one only when both are done.

    Whoever asks again after a crash between the two finds the old text in the file, so it is recorded and written.
    Raises `NotFound`, and `Invalid` where the bot would not see its file change.
    """
    fleet, stream = call.ports.fleet, bot_config_stream(command.instance, command.controller)
    async with call.ports.turns(stream):  # no other change may read the file before this one has written it
        texts = await fleet.files.configs(command.instance)
        if command.controller not in texts:
            raise NotFound(
                f"Controller configuration '{command.controller[:100]}' not found for bot '{command.instance[:100]}'"
            )
        if fleet.runtime.name == "swarm":  # Its services have their files from the Swarm, which never changes them.
            raise Invalid(
                f"The configurations of bot '{command.instance[:100]}' cannot be changed while it lives: a service of a"
                " Docker Swarm keeps those that it was deployed with. Save the configuration and deploy another bot"
            )
        before, changes = texts[command.controller], dict(command.changes)
        now = await call.ports.yaml.load(command.controller, before)
        text = await call.ports.yaml.dump(strategies.changed(command.controller, now, changes))
        events = strategies.change_bot_config(command.instance, command.controller, changes, before=before, text=text)
        last = (await call.ports.log.last([stream]))[stream]
        version = 0 if last is None else last.version
        if events:
            write = Write(stream=stream, expected_version=version, events=events)
            await append(call.ports.log, [write], call.plain())
            await fleet.files.write_config(command.instance, command.controller, text)
        done = Write(stream=stream, expected_version=version + len(events), events=[])
        position = await append(call.ports.log, [done], call.origin, answer=call.keep(None), request=call.request)
    return Outcome(result=None, position=position)


HANDLERS: Handlers = {
    SaveScript: (save_script, None),
    DeleteScript: (delete_script, None),
    SaveController: (save_controller, None),
    DeleteController: (delete_controller, None),
    SaveConfig: (save_config, None),
    DeleteConfig: (delete_config, None),
    ChangeBotConfig: (change_bot_config, None),
}
