"""Place and cancel orders."""

import re
from decimal import Decimal

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Amount, Body, MalformedRequest, Name, Pair
from adapters.http.problems import Problem, shown
from adapters.http.protocol import header
from adapters.http.requests import Request
from commands.orders import CancelOrder, Placed, PlaceOrder, Word
from domain.orders import Status
from domain.values import OrderType, PositionAction, Side
from write_api.writing import Done, Writes, answer, answers

LONGEST_WAIT_SECONDS = 60
_SECONDS = re.compile(r"[0-9]{1,2}")


class OrderRequest(Body, frozen=True, kw_only=True):
    """An order that is wanted. `amount` in base, `price` in quote per base (none for MARKET)."""

    account_name: Name
    connector_name: Name
    trading_pair: Pair
    trade_type: Side
    amount: Amount
    order_type: OrderType = OrderType.LIMIT
    price: Amount | None = None
    position_action: PositionAction = PositionAction.OPEN


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it was recorded, its amount and price on the venue's steps."""

    order_id: str
    account_name: str
    connector_name: str
    trading_pair: str
    trade_type: Side
    amount: Decimal
    order_type: OrderType
    price: Decimal | None
    status: str = "submitted"
    state: Status | msgspec.UnsetType = msgspec.UNSET
    exchange_order_id: str | msgspec.UnsetType | None = msgspec.UNSET
    reason: str | msgspec.UnsetType | None = msgspec.UNSET


def on_the_wire(placed: Placed, word: Word | None) -> OrderAnswer:
    """Return the answer for an order, with the venue's word where the caller waited for it."""
    order = OrderAnswer(
        order_id=placed.order_id,
        account_name=placed.account,
        connector_name=placed.connector,
        trading_pair=placed.trading_pair,
        trade_type=placed.side,
        amount=placed.amount,
        order_type=placed.order_type,
        price=placed.price,
    )
    if word is None:
        return order
    return msgspec.structs.replace(
        order, state=word.state, exchange_order_id=word.exchange_order_id, reason=word.reason
    )


def _wait_seconds(request: Request) -> float | None:
    """Return what `Prefer: wait=<seconds>` asks for, None for no such wish; other preferences are not ours."""
    for preference in (header(request.asgi, b"prefer") or b"").split(b","):
        name, _, value = preference.partition(b"=")
        if name.strip().lower() == b"wait":
            digits = value.strip().decode("latin-1")
            if _SECONDS.fullmatch(digits) is None or int(digits) > LONGEST_WAIT_SECONDS:
                raise MalformedRequest([_wrong_wait(digits)])
            return float(digits)
    return None


def _wrong_wait(given: str) -> Problem:
    msg = f"Prefer: wait should be a whole number of seconds from 0 to {LONGEST_WAIT_SECONDS}"
    ctx: dict[str, object] = {"ge": 0, "le": LONGEST_WAIT_SECONDS}
    return Problem(type="less_than_equal", loc=("header", "Prefer"), msg=msg, input=shown(given), ctx=ctx)


class Orders(Controller):
    """Orders, as a trader changes them."""

    path = "/trading"
    tags = ("Trading",)

    @post("/orders", status_code=201, summary="Place an order", responses=answers(OrderAnswer, 201))
    async def place(self, request: Request, data: JSONBody[OrderRequest], writes: NamedDependency[Writes]) -> Answer:
        """Answer `submitted` as soon as the order is durable; `Prefer: wait=<seconds>` adds the venue's word."""
        wait_seconds = _wait_seconds(request)
        command = PlaceOrder(
            account=data.account_name,
            connector=data.connector_name,
            trading_pair=data.trading_pair,
            side=data.trade_type,
            order_type=data.order_type,
            amount=data.amount,
            price=data.price,
            position_action=data.position_action,
        )
        outcome = await writes.dispatch(command, request)
        if wait_seconds is None:
            return answer(201, on_the_wire(outcome.result, None), outcome.position)
        word = await writes.word(outcome.result.order_id, wait_seconds, request)
        return answer(201, on_the_wire(outcome.result, word), max(outcome.position, word.position))

    @post(
        "/{account_name:str}/{connector_name:str}/orders/{client_order_id:str}/cancel",
        status_code=200,
        summary="Cancel an order",
        responses=answers(Done, 200),
    )
    async def cancel(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        client_order_id: FromPath[str],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Answer as soon as the wish to cancel is durable; what came of it, `orders/active` shows."""
        command = CancelOrder(account=account_name, connector=connector_name, client_order_id=client_order_id)
        outcome = await writes.dispatch(command, request)
        return answer(200, Done(message=f"Order cancellation initiated for {client_order_id}"), outcome.position)
