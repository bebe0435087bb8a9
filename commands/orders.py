"""Place and cancel orders, and note what became of them.

The intent is committed first, and the send begins only after that, once: a handler that finds its idempotency key used
sends nothing. What the venue says comes back through `commands/intake.py`, the answers to our own requests included.
"""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import structlog

from commands.bus import Call, Command, Handlers, Outcome, origin_of_process
from commands.deciding import append, decide
from commands.folding import fold
from commands.ports import Exchange, Log, Write
from domain import orders
from domain.errors import Invalid, Unavailable
from domain.events import Event, Recorded
from domain.orders import NEW, CancelRejected, Order, OrderPlaced, OrderRejected, Status, evolve, stream_of
from domain.values import OrderType, PositionAction, Side, Utc

logger = structlog.get_logger()

SENT_WITHIN_SECONDS = 5.0
"""An order that takes longer to be recorded is not sent any more: the market has moved on, and by the time the venue
answers the orders process might have asked for it, and called it failed."""


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Place an order. `amount` in base, `price` in quote per base."""

    account: str
    connector: str
    trading_pair: str
    side: Side
    order_type: OrderType
    amount: Decimal
    price: Decimal | None = None
    position_action: PositionAction = PositionAction.OPEN


class CancelOrder(Command, frozen=True, kw_only=True):
    """Cancel what is left of an open order."""

    account: str
    connector: str
    client_order_id: str


class LoseOrder(Command, frozen=True, kw_only=True):
    """Note that the venue did not answer to an order that was sent."""

    client_order_id: str
    reason: str


class FailOrder(Command, frozen=True, kw_only=True):
    """Note that the venue positively does not know an order, or that it was never sent."""

    client_order_id: str
    reason: str


class RefuseCancel(Command, frozen=True, kw_only=True):
    """Note that a cancel that was asked for did not happen."""

    client_order_id: str
    reason: str


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it was recorded, its amount and price on the venue's steps."""

    order_id: str
    account: str
    connector: str
    trading_pair: str
    side: Side
    order_type: OrderType
    amount: Decimal
    price: Decimal | None


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's word on an order so far. `state` as in `domain.orders.Status`; `reason` of a rejection or failure.

    `position` is where the log stood then.
    """

    state: Status
    exchange_order_id: str | None
    reason: str | None
    position: int


async def place(command: PlaceOrder, call: Call) -> Outcome:
    """Record the intent, then have it sent; answers as soon as the intent is durable."""
    ports = call.ports
    exchange = ports.venues.connected(command.account, command.connector)
    rules = await exchange.trading_rules()
    rule = rules.get(command.trading_pair)
    if rule is None:
        raise Invalid(
            f"Trading pair '{command.trading_pair}' not supported on {command.connector}."
            f" Available pairs: {list(rules)[:20]}"
        )
    client_order_id = f"n{ports.new_id().hex}"
    events = orders.place(
        client_order_id=client_order_id,
        account=command.account,
        connector=command.connector,
        trading_pair=command.trading_pair,
        side=command.side,
        order_type=command.order_type,
        amount=command.amount,
        price=command.price,
        position_action=command.position_action,
        rule=rule,
        market_price=(await exchange.prices()).get(command.trading_pair),
        server=ports.server,
        at=ports.clock(),
    )
    placed = _placed(events)
    result = Placed(
        order_id=client_order_id,
        account=placed.account,
        connector=placed.connector,
        trading_pair=placed.trading_pair,
        side=placed.side,
        order_type=placed.order_type,
        amount=placed.amount,
        price=placed.price,
    )
    position = await append(
        ports.log,
        [Write(stream=stream_of(client_order_id), expected_version=0, events=events)],
        call.origin,
        answer=call.keep(result),
        request=call.request,
    )
    ports.spawn(_send(exchange, placed, call))
    return Outcome(result=result, position=position)


def _placed(events: Sequence[Event]) -> OrderPlaced:
    (event,) = events
    if not isinstance(event, OrderPlaced):
        raise TypeError(f"a decision to place gave {type(event).__name__}")
    return event


async def _send(exchange: Exchange, order: OrderPlaced, call: Call) -> None:
    order_id = order.client_order_id
    waited = (call.ports.clock() - order.placed_at).total_seconds()
    if waited > SENT_WITHIN_SECONDS:
        reason = f"Not sent: recording it took {waited:.1f} s, more than {SENT_WITHIN_SECONDS:g} s"
        await fail(FailOrder(client_order_id=order_id, reason=reason), _call_of_ours(call))
        return
    try:
        await exchange.place(order)
    except Invalid as unsent:
        await fail(FailOrder(client_order_id=order_id, reason=f"Not sent: {unsent.message}"), _call_of_ours(call))
    except Unavailable as silence:
        await lose(LoseOrder(client_order_id=order_id, reason=silence.message), _call_of_ours(call))


def _call_of_ours(cause: Call) -> Call:
    return Call(origin=origin_of_process("orders", cause.ports.new_id, cause.origin), ports=cause.ports)


async def cancel(command: CancelOrder, call: Call) -> Outcome:
    """Record that the order should be canceled, then ask the venue; a cancel under way is not asked for again."""
    ports = call.ports
    exchange = ports.venues.connected(command.account, command.connector)
    stream = stream_of(command.client_order_id)
    decided = await decide(
        ports.log,
        call.origin,
        stream=stream,
        new=NEW,
        evolve=evolve,
        decision=lambda order: orders.cancel(
            order,
            account=command.account,
            connector=command.connector,
            client_order_id=command.client_order_id,
            server=ports.server,
            at=ports.clock(),
        ),
        answer=call.keep(None),
        request=call.request,
    )
    if decided.events:
        ports.spawn(_send_cancel(exchange, command, decided.state.trading_pair))
    return Outcome(result=None, position=decided.position)


async def _send_cancel(exchange: Exchange, command: CancelOrder, trading_pair: str) -> None:
    try:
        await exchange.cancel(command.account, command.client_order_id, trading_pair)
    except Unavailable as silence:
        # Whether the venue heard it is not known: the orders process asks what became of the order.
        logger.warning("cancel_unanswered", order_id=command.client_order_id, why=silence.message)


async def lose(command: LoseOrder, call: Call) -> Outcome:
    """Record that the outcome of an order is not known."""
    return await _note(
        command.client_order_id, call, lambda order, at: orders.lose(order, reason=command.reason, at=at)
    )


async def fail(command: FailOrder, call: Call) -> Outcome:
    """Record that an order is not at the venue, and will not be."""
    return await _note(
        command.client_order_id, call, lambda order, at: orders.fail(order, reason=command.reason, at=at)
    )


async def refuse_cancel(command: RefuseCancel, call: Call) -> Outcome:
    """Record that an order is still what it was before its cancel was asked for."""
    return await _note(
        command.client_order_id,
        call,
        lambda order, at: orders.record(order, CancelRejected(reason=command.reason, rejected_at=at)),
    )


async def _note(client_order_id: str, call: Call, decision: Callable[[Order, Utc], list[Event]]) -> Outcome:
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=stream_of(client_order_id),
        new=NEW,
        evolve=evolve,
        decision=lambda order: decision(order, call.ports.clock()),
    )
    return Outcome(result=None, position=decided.position)


async def word(log: Log, client_order_id: str, wait_seconds: float) -> Word:
    """Return the venue's word on an order that is placed, waiting for it at most `wait_seconds`.

    Without one, or when the log cannot be asked, the state is `placed`: that is what the caller was promised.
    """
    stream = stream_of(client_order_id)
    history: Sequence[Recorded] = ()
    try:
        history = (await log.read([stream]))[stream]
        if _is_silent(history):
            async with asyncio.timeout(wait_seconds):
                async for _ in log.follow(history[-1].position):
                    history = (await log.read([stream]))[stream]
                    if not _is_silent(history):
                        break
    except (TimeoutError, Unavailable):
        pass  # what is known by now is the answer
    try:
        position = await log.position()  # what else came of the order, its balances, was committed with it
    except Unavailable:
        position = history[-1].position if history else 0
    return _word(history, position)


def _is_silent(history: Sequence[Recorded]) -> bool:
    return fold(NEW, evolve, history).status is Status.PLACED


def _word(history: Sequence[Recorded], position: int) -> Word:
    order = fold(NEW, evolve, history)
    reasons = [
        recorded.event.reason
        for recorded in history
        if isinstance(
            recorded.event, OrderRejected | orders.OrderFailed | orders.OrderOutcomeUnknown | orders.OrderExpired
        )
    ]
    return Word(
        state=Status.PLACED if order.status is Status.NEW else order.status,
        exchange_order_id=order.exchange_order_id,
        reason=reasons[-1] if reasons else None,
        position=position,
    )


HANDLERS: Handlers = {
    PlaceOrder: (place, Placed),
    CancelOrder: (cancel, None),
    LoseOrder: (lose, None),
    FailOrder: (fail, None),
    RefuseCancel: (refuse_cancel, None),
}
