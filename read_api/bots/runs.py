"""Runs of bots: every deployment, how it goes or went."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from adapters.http.answers import Answer
from adapters.http.bodies import PageSize, Text, encode
from adapters.http.requests import Request
from domain.errors import NotFound
from projections.bots import runs
from projections.bots.rows import RunRow
from projections.bots.runs import RunStats
from read_api.pages import described
from read_api.settle import Reads

RunId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class RunItem(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment. `deployment_config` is the request and `final_status` the bot's status at its end, as JSON text.

    `strategy_type` is `controller` or `script`, `deployment_status` DEPLOYED, ARCHIVED or FAILED, and `run_status`
    CREATED, RUNNING, STOPPED or ERROR.
    """

    id: int
    bot_name: str
    instance_name: str
    deployed_at: str
    stopped_at: str | None
    strategy_type: str
    strategy_name: str
    config_name: str | None
    account_name: str
    image_version: str
    deployment_status: str
    run_status: str
    deployment_config: str
    final_status: str | None
    error_message: str | None


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    data: RunItem
    status: Literal["success"] = "success"


class RunsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first; `total` match in all."""

    data: Sequence[RunItem]
    total: int
    limit: int
    offset: int
    status: Literal["success"] = "success"


class StatsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, counted."""

    data: RunStats
    status: Literal["success"] = "success"


def on_the_wire(row: RunRow) -> RunItem:
    """Return a run as clients read it."""
    return RunItem(
        id=row.id,
        bot_name=row.instance,
        instance_name=row.instance,
        deployed_at=row.deployed_at.isoformat(),
        stopped_at=None if row.stopped_at is None else row.stopped_at.isoformat(),
        strategy_type=row.strategy_type,
        strategy_name=row.strategy_name,
        config_name=row.config_name,
        account_name=row.account,
        image_version=row.image,
        deployment_status=row.deployment_status,
        run_status=row.run_status,
        deployment_config=row.deployment_config,
        final_status=row.final_status,
        error_message=row.error_message,
    )


class RunReads(Controller):
    """Runs of bots."""

    path = "/bot-orchestration/bot-runs"
    tags = ("Bot orchestration",)

    @get(status_code=200, summary="List the runs", responses=described(RunsAnswer, "Runs, newest first"))
    async def bot_runs(
        self,
        request: Request,
        reads: NamedDependency[Reads],
        *,
        bot_name: FromQuery[Text | None] = None,
        account_name: FromQuery[Text | None] = None,
        strategy_type: FromQuery[Text | None] = None,
        strategy_name: FromQuery[Text | None] = None,
        run_status: FromQuery[Text | None] = None,
        deployment_status: FromQuery[Text | None] = None,
        limit: FromQuery[PageSize] = 100,
        offset: FromQuery[Offset] = 0,
    ) -> Answer:
        """Answer the runs that match, newest first."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found, total = await runs.runs(
                connection,
                limit=limit,
                offset=offset,
                instance=bot_name,
                account=account_name,
                strategy_type=strategy_type,
                strategy_name=strategy_name,
                run_status=run_status,
                deployment_status=deployment_status,
            )
        items = [on_the_wire(row) for row in found]
        return Answer(200, encode(RunsAnswer(data=items, total=total, limit=limit, offset=offset)), headers)

    @get("/stats", status_code=200, summary="Count the runs", responses=described(StatsAnswer, "Counts"))
    async def run_stats(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer how many runs there are of each kind."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            return Answer(200, encode(StatsAnswer(data=await runs.stats(connection))), headers)

    @get("/{bot_run_id:int}", status_code=200, summary="Show a run", responses=described(RunAnswer, "The run"))
    async def bot_run(self, request: Request, bot_run_id: FromPath[RunId], reads: NamedDependency[Reads]) -> Answer:
        """Answer a run."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found = await runs.run(connection, bot_run_id)
        if found is None:
            raise NotFound(f"Bot run {bot_run_id} not found")
        return Answer(200, encode(RunAnswer(data=on_the_wire(found))), headers)
