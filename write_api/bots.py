"""Deploy bots, stop them, put them away, and start them again."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Body, Name, Text
from adapters.http.requests import Request
from commands.bots.deploying import DeployControllers, DeployScript
from commands.bots.outcomes import AwaitDeployment, AwaitStart, AwaitStop, Told
from commands.bots.stopping import DeleteBotRun, StartBot, StopAndArchive, StopBot
from commands.bots.telling import TellBot
from domain.bots import LONGEST_NAME, ArchivePlace
from domain.errors import Invalid, Malformed
from write_api.writing import Writes, answer, answers

DEFAULT_IMAGE = "hummingbot/hummingbot:latest"
MOST_CONTROLLERS = 100

InstanceName = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9_-]+(?!\n)$", examples=["grid"]),
]
"""The first part of an instance's name: the time is put behind it."""

FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=104, pattern=r"^[A-Za-z0-9_-]+(\.yml|\.py)?(?!\n)$")]
"""The name of a configuration or of a script, with or without what files of it end in."""

Image = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*(?!\n)$")]
Drawdown = Annotated[float, msgspec.Meta(ge=0, lt=1e18)]
"""In quote; it goes into a configuration as it came, and nothing is reckoned with it here."""

Bucket = Annotated[str, msgspec.Meta(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]+(?!\n)$")]


class ControllersRequest(Body, frozen=True, kw_only=True):
    """A bot that is to run controllers. `script_config` is made for it, whatever the request says."""

    instance_name: InstanceName
    credentials_profile: Name
    controllers_config: list[FileName]
    max_global_drawdown_quote: Drawdown | None = None
    max_controller_drawdown_quote: Drawdown | None = None
    image: Image = DEFAULT_IMAGE
    script_config: Annotated[Text | None, msgspec.Meta(examples=[None])] = None
    headless: bool = False


class ScriptRequest(Body, frozen=True, kw_only=True):
    """A bot that is to run a script."""

    instance_name: InstanceName
    credentials_profile: Name
    image: Image = DEFAULT_IMAGE
    script: FileName | None = None
    script_config: FileName | None = None
    headless: bool = False


class StartRequest(Body, frozen=True, kw_only=True):
    """A bot that is to run again, with what it was deployed with."""

    bot_name: Text


class StopRequest(Body, frozen=True, kw_only=True):
    """A bot that is to end its strategy. With `async_backend` it answers before it has."""

    bot_name: Text
    skip_order_cancellation: bool = False
    async_backend: bool = False


class ConfigRequest(Body, frozen=True, kw_only=True):
    """Settings of a bot's client, by their names."""

    params: Annotated[Mapping[str, object], msgspec.Meta(examples=[{"log_level": "INFO"}])] = {}


class StrategyRequest(Body, frozen=True, kw_only=True):
    """A file below `conf/strategies` of a bot, without `.yml`."""

    strategy: Text


class ControllersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a bot with controllers runs."""

    success: bool = True
    message: str
    script_config_generated: str | None
    controllers_deployed: list[str]
    unique_instance_name: str


class ScriptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a bot with a script runs."""

    success: bool = True
    message: str
    unique_instance_name: str


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a wish; `status` is what the bot answered, where it did."""

    success: bool
    message: str
    status: Annotated[int | None, msgspec.Meta(examples=[200])] = None


class ResponseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says what became of a wish."""

    status: str = "success"
    response: Response


class BotSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot answered."""

    status: str = "success"
    response: object


class ArchiveDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Which bot is put away, and how."""

    input_name: str
    actual_bot_name: str
    container_name: str
    process: str


class ArchiveAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a bot will be put away."""

    status: str = "success"
    message: str
    details: ArchiveDetails


class RunDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a run is not shown any more."""

    status: str = "success"
    message: str


def as_it_came(body: Body) -> Mapping[str, object]:
    """Return what a body says, numbers as numbers, for the run to show."""
    told: Mapping[str, object] = msgspec.json.decode(msgspec.json.encode(body))
    return told


def bot_with_controllers(data: ControllersRequest) -> DeployControllers:
    """Return the bot that is wanted. Raises `Malformed` for none or too many controllers."""
    controllers = len(data.controllers_config)
    if not 1 <= controllers <= MOST_CONTROLLERS:
        few = controllers < 1
        raise Malformed(
            f"List should have at {'least 1 item' if few else f'most {MOST_CONTROLLERS} items'}, not {controllers}",
            location=("body", "controllers_config"),
            kind="too_short" if few else "too_long",
            bounds={"min_length": 1} if few else {"max_length": MOST_CONTROLLERS},
        )
    return DeployControllers(
        name=data.instance_name,
        account=data.credentials_profile,
        image=data.image,
        controllers=data.controllers_config,
        headless=data.headless,
        request=as_it_came(data),
    )


def bot_with_script(data: ScriptRequest) -> DeployScript:
    """Return the bot that is wanted."""
    return DeployScript(
        name=data.instance_name,
        account=data.credentials_profile,
        image=data.image,
        script=data.script,
        script_config=data.script_config,
        headless=data.headless,
        request=as_it_came(data),
    )


def on_the_wire(bot: str, told: Told) -> Response:
    """Return what a bot answered when it was told to stop."""
    if not told.runs:
        return Response(success=True, message=f"Bot {bot} does not run")
    if told.status is None:
        return Response(success=False, message=told.message or f"Bot {bot} was told to stop and did not answer")
    return Response(success=told.status == _OK, message=told.message, status=told.status)


_OK = 200
_PROCESS = (
    "The bot is told to stop and waited for until it is flat or its limit has passed; then its container is ended, its"
    " files are archived, and the container is removed."
)


def begun(bot: str) -> ArchiveAnswer:
    """Return that a bot will be put away, and how."""
    details = ArchiveDetails(input_name=bot, actual_bot_name=bot, container_name=bot, process=_PROCESS)
    return ArchiveAnswer(message=f"Stop and archive process started for bot {bot}", details=details)


class Bots(Controller):
    """Bots, as their owner has them run."""

    path = "/bot-orchestration"
    tags = ("Bot orchestration",)

    @post(
        "/deploy-v2-controllers",
        status_code=200,
        summary="Deploy a bot that runs controllers",
        responses=answers(ControllersAnswer, 200),
    )
    async def deploy_controllers(
        self, request: Request, data: JSONBody[ControllersRequest], writes: NamedDependency[Writes]
    ) -> Answer:
        """Deploy an instance of its own name, with the controllers' configurations as they are now."""
        deployed = (await writes.dispatch(bot_with_controllers(data), request)).result
        outcome = await writes.follow_up(AwaitDeployment(instance=deployed.instance), request)
        made = ControllersAnswer(
            message=f"Instance {deployed.instance} created successfully.",
            script_config_generated=deployed.script_config,
            controllers_deployed=data.controllers_config,
            unique_instance_name=deployed.instance,
        )
        return answer(200, made, outcome.position)

    @post(
        "/deploy-v2-script",
        status_code=200,
        summary="Deploy a bot that runs a script",
        responses=answers(ScriptAnswer, 200),
    )
    async def deploy_script(
        self, request: Request, data: JSONBody[ScriptRequest], writes: NamedDependency[Writes]
    ) -> Answer:
        """Deploy an instance of its own name, with the script's configuration as it is now."""
        instance = (await writes.dispatch(bot_with_script(data), request)).result.instance
        outcome = await writes.follow_up(AwaitDeployment(instance=instance), request)
        made = ScriptAnswer(message=f"Instance {instance} created successfully.", unique_instance_name=instance)
        return answer(200, made, outcome.position)

    @post("/start-bot", status_code=200, summary="Start a bot again", responses=answers(ResponseAnswer, 200))
    async def start(self, request: Request, data: JSONBody[StartRequest], writes: NamedDependency[Writes]) -> Answer:
        """Restart the bot's container, as its strategy starts no other way; one that runs is left alone."""
        await writes.dispatch(StartBot(instance=data.bot_name), request)
        outcome = await writes.follow_up(AwaitStart(instance=data.bot_name), request)
        message = f"The container of bot {data.bot_name} runs, and its strategy with it"
        return answer(200, ResponseAnswer(response=Response(success=True, message=message)), outcome.position)

    @post("/stop-bot", status_code=200, summary="Stop a bot", responses=answers(ResponseAnswer, 200))
    async def stop(self, request: Request, data: JSONBody[StopRequest], writes: NamedDependency[Writes]) -> Answer:
        """Tell the bot to end its strategy, and answer what it answered; its container stays."""
        command = StopBot(
            instance=data.bot_name,
            skip_order_cancellation=data.skip_order_cancellation,
            at_once=data.async_backend,
        )
        await writes.dispatch(command, request)
        outcome = await writes.follow_up(AwaitStop(instance=data.bot_name), request)
        return answer(200, ResponseAnswer(response=on_the_wire(data.bot_name, outcome.result)), outcome.position)

    @post(
        "/stop-and-archive-bot/{bot_name:str}",
        status_code=200,
        summary="Stop a bot and put it away",
        responses=answers(ArchiveAnswer, 200),
    )
    async def stop_and_archive(
        self,
        request: Request,
        bot_name: FromPath[Text],
        writes: NamedDependency[Writes],
        *,
        skip_order_cancellation: FromQuery[bool] = False,
        archive_locally: FromQuery[bool] = True,
        s3_bucket: FromQuery[Bucket | None] = None,
    ) -> Answer:
        """Begin to stop a bot, to archive its files without its keys, and to remove its container.

        It goes on in the background; the bot's run tells how far it is.
        """
        if not archive_locally and s3_bucket is None:
            raise Invalid("s3_bucket is needed where archive_locally is false")
        place = ArchivePlace(bucket=None if archive_locally else s3_bucket)
        command = StopAndArchive(instance=bot_name, skip_order_cancellation=skip_order_cancellation, archive=place)
        outcome = await writes.dispatch(command, request)
        return answer(200, begun(bot_name), outcome.position)

    @post("/{bot_name:str}/config", status_code=200, summary="Configure a bot", responses=answers(BotSaid, 200))
    async def configure(
        self,
        request: Request,
        bot_name: FromPath[Text],
        data: JSONBody[ConfigRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Give the bot's client settings, and answer what it answered."""
        told = {"params": [[key, value] for key, value in data.params.items()]}
        outcome = await writes.dispatch(TellBot(instance=bot_name, command="config", data=told), request)
        return answer(200, BotSaid(response=outcome.result), outcome.position)

    @post(
        "/{bot_name:str}/import-strategy",
        status_code=200,
        summary="Have a bot import a strategy",
        responses=answers(BotSaid, 200),
    )
    async def import_strategy(
        self,
        request: Request,
        bot_name: FromPath[Text],
        data: JSONBody[StrategyRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Have the bot import a strategy's file, and answer what it answered."""
        told = TellBot(instance=bot_name, command="import", data={"strategy": data.strategy})
        outcome = await writes.dispatch(told, request)
        return answer(200, BotSaid(response=outcome.result), outcome.position)


class BotRuns(Controller):
    """Runs, as they are taken off the list."""

    path = "/bot-orchestration/bot-runs"
    tags = ("Bot orchestration",)

    @delete("/{bot_run_id:int}", status_code=200, summary="Delete a run", responses=answers(RunDeleted, 200))
    async def delete_run(self, request: Request, bot_run_id: FromPath[int], writes: NamedDependency[Writes]) -> Answer:
        """Show a run that is over no more; its history stays in the log."""
        outcome = await writes.dispatch(DeleteBotRun(run=bot_run_id), request)
        return answer(200, RunDeleted(message=f"Bot run {bot_run_id} deleted"), outcome.position)
