"""Save and delete scripts, controllers and their configurations, and change those of a running bot."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, FromPath, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Body
from adapters.http.examples import CONTROLLER_CONFIG, SCRIPT_CONFIG
from adapters.http.requests import Request
from commands.strategies import (
    ChangeBotConfig,
    DeleteConfig,
    DeleteController,
    DeleteScript,
    SaveConfig,
    SaveController,
    SaveScript,
)
from domain.errors import Invalid
from domain.strategies import ControllerType, Kind
from write_api.writing import Done, Writes, answer, answers

StrategyName = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+(?!\n)$")]
"""The name of a script, a controller or a configuration: safe in files and streams."""

Content = dict[str, object]
"""A configuration: field → value."""


def _body(example: Content) -> BodyKwarg:
    return BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=example)])


ScriptConfig = Annotated[Content, _body(SCRIPT_CONFIG)]
ControllerConfig = Annotated[Content, _body(CONTROLLER_CONFIG)]
Changes = Annotated[Content, _body({"total_amount_quote": 500})]
"""Bodies as `JSONBody[Content]`, each with an example: their schema says nothing of the fields."""


class ScriptRequest(Body, frozen=True, kw_only=True):
    """A script."""

    content: Annotated[str, msgspec.Meta(description="Its Python source", examples=["X = 1\n"])]


class ControllerRequest(Body, frozen=True, kw_only=True):
    """A controller. `type`, where given, is the one in the path."""

    content: Annotated[str, msgspec.Meta(description="Its Python source", examples=["X = 1\n"])]
    type: ControllerType | None = None


async def _save_config(kind: Kind, name: str, content: Content, writes: Writes, request: Request) -> Answer:
    outcome = await writes.dispatch(SaveConfig(kind=kind, name=name, content=content), request)
    return answer(201, Done(message=f"Configuration '{name}' saved successfully"), outcome.position)


async def _delete_config(kind: Kind, name: str, writes: Writes, request: Request) -> Answer:
    outcome = await writes.dispatch(DeleteConfig(kind=kind, name=name), request)
    return answer(200, Done(message=f"Configuration '{name}' deleted successfully"), outcome.position)


class Scripts(Controller):
    """Scripts and their configurations, as their owner changes them."""

    path = "/scripts"
    tags = ("Scripts",)

    @post("/{script_name:str}", status_code=201, summary="Save a script", responses=answers(Done, 201))
    async def save(
        self,
        request: Request,
        script_name: FromPath[StrategyName],
        data: JSONBody[ScriptRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Save a script, a new one or a new version; bots that are deployed from now on get it."""
        outcome = await writes.dispatch(SaveScript(name=script_name, source=data.content), request)
        return answer(201, Done(message=f"Script '{script_name}' saved successfully"), outcome.position)

    @delete("/{script_name:str}", status_code=200, summary="Delete a script", responses=answers(Done, 200))
    async def remove(
        self, request: Request, script_name: FromPath[StrategyName], writes: NamedDependency[Writes]
    ) -> Answer:
        """Delete a script; its history stays."""
        outcome = await writes.dispatch(DeleteScript(name=script_name), request)
        return answer(200, Done(message=f"Script '{script_name}' deleted successfully"), outcome.position)

    @post(
        "/configs/{config_name:str}",
        status_code=201,
        summary="Save a configuration of a script",
        responses=answers(Done, 201),
    )
    async def save_config(
        self,
        request: Request,
        config_name: FromPath[StrategyName],
        data: ScriptConfig,
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Save a configuration, a new one or a new version."""
        return await _save_config("scripts", config_name, data, writes, request)

    @delete(
        "/configs/{config_name:str}",
        status_code=200,
        summary="Delete a configuration of a script",
        responses=answers(Done, 200),
    )
    async def remove_config(
        self, request: Request, config_name: FromPath[StrategyName], writes: NamedDependency[Writes]
    ) -> Answer:
        """Delete a configuration; its history stays."""
        return await _delete_config("scripts", config_name, writes, request)


class Controllers(Controller):
    """Controllers and their configurations, as their owner changes them."""

    path = "/controllers"
    tags = ("Controllers",)

    @post(
        "/{controller_type:str}/{controller_name:str}",
        status_code=201,
        summary="Save a controller",
        responses=answers(Done, 201),
    )
    async def save(
        self,
        request: Request,
        controller_type: FromPath[ControllerType],
        controller_name: FromPath[StrategyName],
        data: JSONBody[ControllerRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Save a controller, a new one or a new version; bots that are deployed from now on get it."""
        if data.type not in (None, controller_type):
            raise Invalid(f"Controller type mismatch: URL has '{controller_type}', body has '{data.type}'")
        command = SaveController(type=controller_type, name=controller_name, source=data.content)
        outcome = await writes.dispatch(command, request)
        message = f"Controller '{controller_name}' saved successfully in '{controller_type}'"
        return answer(201, Done(message=message), outcome.position)

    @delete(
        "/{controller_type:str}/{controller_name:str}",
        status_code=200,
        summary="Delete a controller",
        responses=answers(Done, 200),
    )
    async def remove(
        self,
        request: Request,
        controller_type: FromPath[ControllerType],
        controller_name: FromPath[StrategyName],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Delete a controller; its history stays."""
        outcome = await writes.dispatch(DeleteController(type=controller_type, name=controller_name), request)
        message = f"Controller '{controller_name}' deleted successfully from '{controller_type}'"
        return answer(200, Done(message=message), outcome.position)

    @post(
        "/configs/{config_name:str}",
        status_code=201,
        summary="Save a configuration of a controller",
        responses=answers(Done, 201),
    )
    async def save_config(
        self,
        request: Request,
        config_name: FromPath[StrategyName],
        data: ControllerConfig,
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Save a configuration, a new one or a new version."""
        return await _save_config("controllers", config_name, data, writes, request)

    @delete(
        "/configs/{config_name:str}",
        status_code=200,
        summary="Delete a configuration of a controller",
        responses=answers(Done, 200),
    )
    async def remove_config(
        self, request: Request, config_name: FromPath[StrategyName], writes: NamedDependency[Writes]
    ) -> Answer:
        """Delete a configuration; its history stays."""
        return await _delete_config("controllers", config_name, writes, request)

    @post(
        "/bots/{bot_name:str}/{controller_name:str}/config",
        status_code=200,
        summary="Change a configuration of a running bot",
        responses=answers(Done, 200),
    )
    async def change_bot_config(
        self,
        request: Request,
        bot_name: FromPath[StrategyName],
        controller_name: FromPath[StrategyName],
        data: Changes,
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Change the given fields in a bot's own file; the bot takes them in within seconds."""
        command = ChangeBotConfig(instance=bot_name, controller=controller_name, changes=data)
        outcome = await writes.dispatch(command, request)
        message = f"Controller configuration for bot '{bot_name}' updated successfully"
        return answer(200, Done(message=message), outcome.position)
