"""How bots stand, the broker that they talk over, and what a bot itself answers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from adapters.http.answers import Answer
from adapters.http.as_of import never_recorded
from adapters.http.bodies import Text, encode
from adapters.http.requests import Request
from domain.errors import Unavailable
from projections.bots.rows import LogLine
from projections.bots.standing import Standing
from read_api.bots.roster import Roster
from read_api.pages import described
from read_api.ports import BotLine, Broker
from read_api.settle import Reads

Seconds = Annotated[float, msgspec.Meta(gt=0, le=300)]
Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
Precision = Annotated[int, msgspec.Meta(ge=0, le=80)]


class ControllerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller says of itself, in its own words."""

    status: str
    performance: Mapping[str, object]
    custom_info: Mapping[str, object]


class BotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a bot stands: `running`, `idle` (silent), `stopping` or `stopped`; `source` is `docker`, or `mqtt`.

    `performance` is by controller. Of the log there are the newest 100 lines and the newest 100 errors, oldest first;
    an answer about more than 20 bots has 5 of each.
    """

    status: Literal["running", "idle", "stopping", "stopped"]
    performance: Mapping[str, ControllerStatus]
    error_logs: Sequence[LogLine]
    general_logs: Sequence[LogLine]
    recently_active: bool
    source: Literal["docker", "mqtt"]


class BotAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How one bot stands."""

    status: Literal["success"]
    data: BotStatus


class BotsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How bots stand, by name."""

    status: Literal["success"]
    data: Mapping[str, BotStatus]


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """The broker and how we stand with it; `discovered_bots` were heard on it, `active_bots` run or were heard lately.

    `problem` says why we are not connected.
    """

    mqtt_connected: bool
    discovered_bots: Sequence[str]
    active_bots: Sequence[str]
    broker_host: str
    broker_port: int
    broker_username: str | None
    client_state: Literal["connected", "disconnected"]
    problem: str | None


class BrokerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand with the broker."""

    data: BrokerState
    status: Literal["success"] = "success"


class HistoryData(msgspec.Struct, frozen=True, kw_only=True):
    """A bot's whole answer: `header`, and `data` with `status`, `msg` and `trades`."""

    data: Mapping[str, object]
    success: bool = True


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot answered when it was asked for its history."""

    response: HistoryData
    status: Literal["success"] = "success"


def broker_on_the_wire(broker: Broker, standings: Sequence[Standing]) -> BrokerState:
    """Return the broker as clients read it."""
    return BrokerState(
        mqtt_connected=broker.connected,
        discovered_bots=sorted(broker.bots),
        active_bots=[standing.instance for standing in standings if standing.active],
        broker_host=broker.host,
        broker_port=broker.port,
        broker_username=broker.username,
        client_state="connected" if broker.connected else "disconnected",
        problem=None if broker.connected else broker.why,
    )


def bots_on_the_wire(standings: Sequence[Standing]) -> bytes:
    """Return the answer about bots as clients read it."""
    # Joined once: each copy of all this is a millisecond for a thousand bots.
    pieces = [piece for bot in standings for piece in (b",", encode(bot.instance), b":", bot.wire)]
    return b"".join([b'{"status":"success","data":{', *pieces[1:], b"}}"])


class BotReads(Controller):
    """Bots, as they are."""

    path = "/bot-orchestration"
    tags = ("Bot orchestration",)

    @get("/status", status_code=200, summary="Show all bots", responses=described(BotsAnswer, "They, by name"))
    async def status(self, request: Request, reads: NamedDependency[Reads], roster: NamedDependency[Roster]) -> Answer:
        """Answer how every bot stands that is deployed, or that was heard lately."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found = await roster.all(connection, at=reads.moment(request))
        return Answer(200, bots_on_the_wire(found), headers)

    @get(
        "/mqtt",
        status_code=200,
        summary="Show the broker",
        responses=described(BrokerAnswer, "It"),
        opt=never_recorded("a connection to the broker"),
    )
    async def mqtt(
        self,
        request: Request,
        reads: NamedDependency[Reads],
        roster: NamedDependency[Roster],
        bot_line: NamedDependency[BotLine],
    ) -> Answer:
        """Answer whether the broker is there, and which bots were heard on it."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found = await roster.all(connection, lines=False)
        return Answer(200, encode(BrokerAnswer(data=broker_on_the_wire(bot_line.broker(), found))), headers)

    @get("/{bot_name:str}/status", status_code=200, summary="Show a bot", responses=described(BotAnswer, "It"))
    async def bot_status(
        self, request: Request, bot_name: FromPath[Text], reads: NamedDependency[Reads], roster: NamedDependency[Roster]
    ) -> Answer:
        """Answer how a bot stands, with the newest lines of its log."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found = await roster.one(connection, bot_name, at=reads.moment(request))
        return Answer(200, b'{"status":"success","data":%b}' % found.wire, headers)

    @get(
        "/{bot_name:str}/history",
        status_code=200,
        summary="Ask a bot",
        responses=described(HistoryAnswer, "Its word"),
        opt=never_recorded("what a bot answers"),
    )
    async def bot_history(
        self,
        request: Request,
        bot_name: FromPath[Text],
        reads: NamedDependency[Reads],
        roster: NamedDependency[Roster],
        bot_line: NamedDependency[BotLine],
        *,
        days: FromQuery[Days] = 0,
        verbose: FromQuery[bool] = False,
        precision: FromQuery[Precision | None] = None,
        timeout: FromQuery[Seconds] = 30.0,  # noqa: ASYNC109 - a query parameter
    ) -> Answer:
        """Answer what a bot answers when it is asked for its trades."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            found = await roster.one(connection, bot_name)
        asked = {"days": days, "verbose": verbose, "precision": precision, "async_backend": False}
        said = await _asked(bot_line, found, asked, timeout)
        return Answer(200, encode(HistoryAnswer(response=said)), headers)


async def _asked(line: BotLine, bot: Standing, asked: Mapping[str, object], timeout_seconds: float) -> HistoryData:
    if bot.deployed and not bot.active:
        raise Unavailable(f"Bot {bot.instance} does not run, and only it knows its trades")
    said = await line.command(bot.instance, "history", asked, timeout_seconds=timeout_seconds)
    if said is None:
        raise Unavailable(f"Bot {bot.instance} did not answer within {timeout_seconds:g} seconds")
    return HistoryData(data=said)
