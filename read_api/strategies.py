"""Scripts, controllers and their configurations: what there is, what one may fill in, and what running bots have.

A configuration's fields are read out of the Python source of the strategy, which is never run.
"""

import asyncio
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, FromPath

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from adapters.http.examples import CONTROLLER_CONFIG, SCRIPT_CONFIG
from adapters.http.requests import Request
from domain.errors import NotFound
from domain.strategies import TYPES, ControllerType, Kind, controller_path, script_path
from domain.strategies.configs import ConfigClass, needed, read
from domain.strategies.templates import check, controller_template, script_template
from projections import strategies
from read_api.pages import described
from read_api.ports import BotConfigs, Yaml
from read_api.settle import Headers, Reads

_FILES_DEEP = 5
"""So many files a class may inherit over."""


class ScriptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A script."""

    name: Annotated[str, msgspec.Meta(examples=["grid"])]
    content: Annotated[str, msgspec.Meta(description="Its Python source", examples=["X = 1\n"])]


class ControllerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A controller."""

    name: Annotated[str, msgspec.Meta(examples=["pmm_simple"])]
    type: Annotated[ControllerType, msgspec.Meta(examples=["market_making"])]
    content: Annotated[str, msgspec.Meta(description="Its Python source", examples=["X = 1\n"])]


class TemplateField(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a configuration: its default, its type as Python shows it, whether it must be given."""

    default: object
    type: str
    required: bool
    prompt: str | None
    updatable: bool


_FIELD = TemplateField(default=20, type="int", required=False, prompt="The leverage of a perpetual", updatable=False)


class Valid(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a configuration is one."""

    message: str = "Configuration is valid"


class ScriptConfigItem(msgspec.Struct, frozen=True, kw_only=True):
    """A script's configuration in a list: what most clients show of it."""

    config_name: str
    script_file_name: object
    controllers_config: object
    candles_config: object
    markets: object


Content = dict[str, object]
"""A configuration: field → value."""

ControllerConfig = Annotated[
    Content, BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=CONTROLLER_CONFIG)])
]
"""A body as `JSONBody[Content]`, with an example: its schema says nothing of the fields."""


async def _paths(request: Request, reads: Reads, kind: Kind) -> tuple[list[str], Headers]:
    headers = await reads.settle(request, strategies.VIEW.name)
    async with reads.connection(request) as connection:
        return await strategies.paths(connection, kind), headers


async def _source(request: Request, reads: Reads, path: str, missing: str) -> tuple[str, Headers]:
    headers = await reads.settle(request, strategies.VIEW.name)
    async with reads.connection(request) as connection:
        found = await strategies.sources(connection, [path])
    if path not in found:
        raise NotFound(missing)
    return found[path], headers


async def _config_class(request: Request, reads: Reads, path: str, missing: str) -> tuple[ConfigClass, Headers]:
    """Return the configuration class of a strategy. Raises `NotFound` where there is no such strategy or class."""
    headers = await reads.settle(request, strategies.VIEW.name)
    wanted, sources = {path}, dict[str, str]()
    async with reads.connection(request) as connection:
        for _ in range(_FILES_DEEP):
            found = await strategies.sources(connection, sorted(wanted))
            sources |= found
            wanted = {other for source in found.values() for other in needed(source)} - sources.keys()
            if not wanted:
                break
    # Long sources take a while to be looked through.
    class_ = await asyncio.to_thread(read, path, sources) if path in sources else None
    if class_ is None:
        raise NotFound(missing)
    return class_, headers


async def _controller_class(
    request: Request, reads: Reads, type_: ControllerType, name: str
) -> tuple[ConfigClass, Headers]:
    missing = f"Controller configuration class for '{name[:100]}' not found"
    return await _config_class(request, reads, controller_path(type_, name), missing)


async def _configs(
    request: Request, reads: Reads, kind: Kind, name: str | None = None
) -> tuple[dict[str, msgspec.Raw], Headers]:
    headers = await reads.settle(request, strategies.VIEW.name)
    async with reads.connection(request) as connection:
        found = await strategies.configs(connection, kind, name)
    return {key: msgspec.Raw(content.encode()) for key, content in found.items()}, headers


async def _config(request: Request, reads: Reads, kind: Kind, name: str) -> Answer:
    found, headers = await _configs(request, reads, kind, name)
    if name not in found:
        raise NotFound(f"Configuration '{name[:100]}' not found")
    return Answer(200, bytes(found[name]), headers)


def _listed(name: str, content: Content) -> ScriptConfigItem:
    return ScriptConfigItem(
        config_name=name,
        script_file_name=content.get("script_file_name", ""),
        controllers_config=content.get("controllers_config", []),
        candles_config=content.get("candles_config", []),
        markets=content.get("markets", {}),
    )


class ScriptReads(Controller):
    """Scripts and their configurations."""

    path = "/scripts"
    tags = ("Scripts",)

    @get("/", status_code=200, summary="List the scripts", responses=described(list[str], "Names of scripts", ["grid"]))
    async def all(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the names of the scripts."""
        paths, headers = await _paths(request, reads, "scripts")
        return Answer(200, encode([path.removeprefix("scripts/").removesuffix(".py") for path in paths]), headers)

    @get(
        "/configs",
        status_code=200,
        summary="List the configurations of scripts",
        responses=described(list[ScriptConfigItem], "They", [msgspec.to_builtins(_listed("grid", SCRIPT_CONFIG))]),
    )
    async def configs(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the configurations of scripts, by name."""
        found, headers = await _configs(request, reads, "scripts")
        items = [_listed(name, msgspec.json.decode(content, type=Content)) for name, content in found.items()]
        return Answer(200, encode(items), headers)

    @get(
        "/configs/{config_name:str}",
        status_code=200,
        summary="Show a configuration of a script",
        responses=described(Content, "Field → value", SCRIPT_CONFIG),
    )
    async def config(self, request: Request, config_name: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer a configuration as it was saved last."""
        return await _config(request, reads, "scripts", config_name)

    @get(
        "/{script_name:str}",
        status_code=200,
        summary="Show a script",
        responses=described(ScriptAnswer, "It"),
    )
    async def one(self, request: Request, script_name: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer a script's source."""
        missing = f"Script '{script_name[:100]}' not found"
        source, headers = await _source(request, reads, script_path(script_name), missing)
        return Answer(200, encode(ScriptAnswer(name=script_name, content=source)), headers)

    @get(
        "/{script_name:str}/config/template",
        status_code=200,
        summary="Show what a script's configuration may hold",
        responses=described(Content, "Field → its default, null where one must be given", SCRIPT_CONFIG),
    )
    async def template(self, request: Request, script_name: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer the fields of the configuration class that the script defines; the script is read and never run."""
        missing = f"Script configuration class for '{script_name[:100]}' not found"
        found, headers = await _config_class(request, reads, script_path(script_name), missing)
        return Answer(200, encode(script_template(found)), headers)


class ControllerReads(Controller):
    """Controllers and their configurations."""

    path = "/controllers"
    tags = ("Controllers",)

    @get(
        "/",
        status_code=200,
        summary="List the controllers",
        responses=described(
            dict[str, list[str]], "Type → names of controllers", {type_: ["pmm_simple"] for type_ in TYPES}
        ),
    )
    async def all(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the names of the controllers of each type."""
        paths, headers = await _paths(request, reads, "controllers")
        names: dict[str, list[str]] = {type_: [] for type_ in TYPES}
        for path in paths:
            _, type_, file = path.split("/")
            names[type_].append(file.removesuffix(".py"))
        return Answer(200, encode(names), headers)

    @get(
        "/configs",
        status_code=200,
        summary="List the configurations of controllers",
        responses=described(list[Content], "They", [CONTROLLER_CONFIG]),
    )
    async def configs(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the configurations of controllers, by name."""
        found, headers = await _configs(request, reads, "controllers")
        return Answer(200, encode(list(found.values())), headers)

    @get(
        "/configs/{config_name:str}",
        status_code=200,
        summary="Show a configuration of a controller",
        responses=described(Content, "Field → value", CONTROLLER_CONFIG),
    )
    async def config(self, request: Request, config_name: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer a configuration as it was saved last."""
        return await _config(request, reads, "controllers", config_name)

    @get(
        "/bots/{bot_name:str}/configs",
        status_code=200,
        summary="Show the configurations that a bot has",
        responses=described(
            list[Content],
            "They, each with the name of its file in `_config_name`",
            [{**CONTROLLER_CONFIG, "_config_name": "pmm_btc"}],
        ),
    )
    async def bot_configs(
        self,
        bot_name: FromPath[str],
        bot_files: NamedDependency[BotConfigs],
        yaml: NamedDependency[Yaml],
    ) -> Answer:
        """Answer what is in the bot's own files now."""
        texts = await bot_files.configs(bot_name)
        found = [{**await yaml.load(name, text), "_config_name": name} for name, text in texts.items()]
        return Answer(200, encode(found))

    @get(
        "/{controller_type:str}/{controller_name:str}",
        status_code=200,
        summary="Show a controller",
        responses=described(ControllerAnswer, "It"),
    )
    async def one(
        self,
        request: Request,
        controller_type: FromPath[ControllerType],
        controller_name: FromPath[str],
        reads: NamedDependency[Reads],
    ) -> Answer:
        """Answer a controller's source."""
        missing = f"Controller '{controller_name[:100]}' not found in '{controller_type}'"
        path = controller_path(controller_type, controller_name)
        source, headers = await _source(request, reads, path, missing)
        shown = ControllerAnswer(name=controller_name, type=controller_type, content=source)
        return Answer(200, encode(shown), headers)

    @get(
        "/{controller_type:str}/{controller_name:str}/config/template",
        status_code=200,
        summary="Show what a controller's configuration may hold",
        responses=described(dict[str, TemplateField], "Field → what it is", {"leverage": msgspec.to_builtins(_FIELD)}),
    )
    async def template(
        self,
        request: Request,
        controller_type: FromPath[ControllerType],
        controller_name: FromPath[str],
        reads: NamedDependency[Reads],
    ) -> Answer:
        """Answer the fields of the configuration class that the file defines; the file is read and never run."""
        found, headers = await _controller_class(request, reads, controller_type, controller_name)
        return Answer(200, encode(controller_template(found)), headers)

    @post(
        "/{controller_type:str}/{controller_name:str}/config/validate",
        status_code=200,
        summary="Check a configuration of a controller",
        responses=described(Valid, "It is valid"),
    )
    async def validate(
        self,
        request: Request,
        controller_type: FromPath[ControllerType],
        controller_name: FromPath[str],
        data: ControllerConfig,
        reads: NamedDependency[Reads],
    ) -> Answer:
        """Check types, bounds and names of fields by the class that the file defines, and refuse what is wrong.

        What a validator of the class makes of a field is not known without running it: such a field passes.
        """
        found, headers = await _controller_class(request, reads, controller_type, controller_name)
        check(found, data)
        return Answer(200, encode(Valid()), headers)
