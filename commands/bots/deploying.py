"""Deploy bots: look at everything that they need, and record the wish. What follows is done in `steps.py`."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import decide
from commands.folding import load
from commands.ports import Ports
from commands.ports.bots import Runtime
from domain import accounts, strategies
from domain.bots import NEW, deciding, evolve, instance_name, stream_of
from domain.bots.life import Strategy
from domain.errors import Invalid, NotFound, Unavailable
from domain.strategies import Config, config_stream, controller_stream, script_stream

V2 = "v2_with_controllers"
"""The script that runs controllers."""
PULLED_WITHIN_SECONDS = 240.0
"""How long a deployment waits for its image; a registry may keep it waiting for ever."""
DRAWDOWNS = ("max_global_drawdown_quote", "max_controller_drawdown_quote")


class DeployControllers(Command, frozen=True, kw_only=True):
    """Deploy a bot that runs controllers, by their configurations. `request` is the body as it came."""

    name: str
    account: str
    image: str
    controllers: Sequence[str]
    headless: bool
    request: Mapping[str, object]


class DeployScript(Command, frozen=True, kw_only=True):
    """Deploy a bot that runs a script, with a configuration if it needs one. `request` is the body as it came."""

    name: str
    account: str
    image: str
    script: str | None
    script_config: str | None
    headless: bool
    request: Mapping[str, object]


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """The instance that is to be, and the name of its script's configuration."""

    instance: str
    script_config: str | None


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot runs. `own` is a configuration made for it alone."""

    strategy_type: Strategy
    strategy_name: str
    script_config: str | None = None
    configs: Mapping[str, str] = {}
    own: Mapping[str, object] | None = None


async def deploy_controllers(command: DeployControllers, call: Call) -> Outcome:
    """Record the wish for a bot with a script's configuration of its own that names its controllers.

    Raises `Invalid`, `NotFound` and `Conflict` for what is wrong, missing or taken, `Unavailable`.
    """
    names = [name.removesuffix(".yml") for name in command.controllers]
    await _check_source(call.ports, script_stream(V2), f"Script '{V2}'")
    texts = await _controllers(call.ports, names)
    drawdowns = {key: command.request[key] for key in DRAWDOWNS if command.request.get(key) is not None}
    own = {"script_file_name": f"{V2}.py", "controllers_config": [f"{name}.yml" for name in names], **drawdowns}
    plan = _Plan(strategy_type="controller", strategy_name=V2, configs=texts, own=own)
    return await _deploy(command, plan, call)


async def deploy_script(command: DeployScript, call: Call) -> Outcome:
    """Record the wish for a bot with a script. Raises as `deploy_controllers`."""
    script = None if command.script is None else command.script.removesuffix(".py")
    if script is not None:
        await _check_source(call.ports, script_stream(script), f"Script '{script}'")
    if command.script_config is None:
        return await _deploy(command, _Plan(strategy_type="script", strategy_name=script or "default"), call)
    name = command.script_config.removesuffix(".yml")
    config = await _config(call.ports, "scripts", name)
    named = str(config.content.get("script_file_name", "")).removesuffix(".py")
    await _check_source(call.ports, script_stream(named), f"Script '{named}' of configuration '{name}'")
    texts = await _controllers(call.ports, strategies.controllers_of(config.content))
    plan = _Plan(
        strategy_type="script",
        strategy_name=script or named,
        script_config=f"{name}.yml",
        configs={f"scripts/{name}.yml": config.text or "", **texts},
    )
    return await _deploy(command, plan, call)


async def _deploy(command: DeployControllers | DeployScript, plan: _Plan, call: Call) -> Outcome:
    ports, fleet = call.ports, call.ports.fleet
    instance_name(command.name, ports.clock())  # refuses a bad name before anything is asked for
    await _check_account(ports, command.account)
    await _have(fleet.runtime, command.image)
    at = ports.clock()
    instance = instance_name(command.name, at)
    if await fleet.files.taken(instance):
        raise deciding.taken(instance)
    script_config, configs = plan.script_config, plan.configs
    if plan.own is not None:
        script_config = f"{instance}.yml"
        configs = {f"scripts/{script_config}": await ports.yaml.dump(plan.own), **configs}
    result = Deployed(instance=instance, script_config=script_config)
    decided = await decide(
        ports.log,
        call.origin,
        stream=stream_of(instance),
        new=NEW,
        evolve=evolve,
        decision=lambda bot: deciding.deploy(
            bot,
            name=command.name,
            account=command.account,
            image=command.image,
            strategy_type=plan.strategy_type,
            strategy_name=plan.strategy_name,
            script_config=script_config,
            configs=configs,
            headless=command.headless,
            request={**command.request, "instance_name": instance, "script_config": script_config},
            at=at,
        ),
        answer=call.keep(result),
        request=call.request,
    )
    return Outcome(result=result, position=decided.position)


async def _have(runtime: Runtime, image: str) -> None:
    """Wait until instances of an image can be made. Raises as the runtime, `Unavailable` when it takes too long."""
    try:
        async with asyncio.timeout(PULLED_WITHIN_SECONDS):
            await runtime.check(image)
    except TimeoutError as late:
        raise Unavailable(
            f"Image '{image}' is not here after {PULLED_WITHIN_SECONDS:.0f} s; it is still pulled, and"
            " GET /docker/pull-status tells how that goes"
        ) from late


async def _check_account(ports: Ports, name: str) -> None:
    stream = accounts.stream_of(name)
    if not (await load(ports.log, stream, accounts.NEW, accounts.evolve)).state.exists:
        raise NotFound(f"Account '{name[:100]}' not found")


async def _check_source(ports: Ports, stream: str, what: str) -> None:
    if (await load(ports.log, stream, strategies.NEW_SOURCE, strategies.evolve_source)).state.source is None:
        raise NotFound(f"{what} not found. Save it, or copy it out of an image with 'nectar strategies import'.")


async def _controllers(ports: Ports, names: Sequence[str]) -> Mapping[str, str]:
    """Return file name below `conf/` → YAML of controllers' configurations, whose controllers are there as well.

    Raises `NotFound`, and `Invalid` for what a bot cannot tell apart: each configuration has an `id` of its own.
    """
    texts: dict[str, str] = {}
    ids: dict[str, str] = {}
    for name in names:
        if f"controllers/{name}.yml" in texts:
            raise Invalid(f"Configuration '{name}' is named twice: a bot runs each of its configurations once")
        config = await _config(ports, "controllers", name)
        id_ = config.content.get("id")
        if not isinstance(id_, str) or not id_:
            raise Invalid(f"Configuration '{name}' has no id: a bot knows its controllers by the text in that field")
        if id_ in ids:
            raise Invalid(
                f"Configurations '{ids[id_]}' and '{name}' have the same id, '{id_[:100]}': give each its own"
            )
        ids[id_] = name
        type_, controller = (str(config.content.get(key, "")) for key in ("controller_type", "controller_name"))
        what = f"Controller '{controller[:100]}' of type '{type_[:100]}', which configuration '{name}' is for,"
        await _check_source(ports, controller_stream(type_, controller), what)
        texts[f"controllers/{name}.yml"] = config.text or ""
    return texts


async def _config(ports: Ports, kind: strategies.Kind, name: str) -> Config:
    strategies.check_config_name(name)
    stream = config_stream(kind, name)
    config = (await load(ports.log, stream, strategies.NEW_CONFIG, strategies.evolve_config)).state
    if config.text is None:
        raise NotFound(f"Configuration '{name}' not found among those of {kind}")
    return config


HANDLERS: Handlers = {DeployControllers: (deploy_controllers, Deployed), DeployScript: (deploy_script, Deployed)}
