"""Set leverage and position mode on perpetual connectors."""

from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Body, Pair, Text
from adapters.http.requests import Request
from commands.positions import SetLeverage, SetPositionMode
from write_api.writing import Writes, answer, answers


class LeverageRequest(Body, frozen=True, kw_only=True):
    """The leverage to trade a pair at."""

    trading_pair: Pair
    leverage: Annotated[int, msgspec.Meta(ge=1, le=125)]


class PositionModeRequest(Body, frozen=True, kw_only=True):
    """The mode to keep positions in: `HEDGE` or `ONEWAY`."""

    position_mode: Text


class MarginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that the venue has taken it."""

    status: str = "success"
    message: str


class Positions(Controller):
    """Positions, as a trader changes how they are kept."""

    path = "/trading"
    tags = ("Trading",)

    @post(
        "/{account_name:str}/{connector_name:str}/leverage",
        status_code=200,
        summary="Set the leverage of a pair",
        responses=answers(MarginAnswer, 200),
    )
    async def set_leverage(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        data: JSONBody[LeverageRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Answer when the venue has taken it."""
        command = SetLeverage(
            account=account_name,
            connector=connector_name,
            trading_pair=data.trading_pair,
            leverage=data.leverage,
        )
        outcome = await writes.dispatch(command, request)
        message = f"Leverage for {data.trading_pair} set to {data.leverage} on {connector_name}"
        return answer(200, MarginAnswer(message=message), outcome.position)

    @post(
        "/{account_name:str}/{connector_name:str}/position-mode",
        status_code=200,
        summary="Set the position mode",
        responses=answers(MarginAnswer, 200),
    )
    async def set_mode(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        data: JSONBody[PositionModeRequest],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Answer when the venue has taken it."""
        command = SetPositionMode(account=account_name, connector=connector_name, mode=data.position_mode)
        outcome = await writes.dispatch(command, request)
        message = f"Position mode set to {data.position_mode} on {connector_name}"
        return answer(200, MarginAnswer(message=message), outcome.position)
