"""What one step of a market does: to orders, to what accounts have, and to the book that everybody sees."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.matching.margin import side_of
from domain.orders import OrderAccepted, OrderCanceled, OrderExpired, OrderFact, OrderFilled, OrderObserved
from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.values import ZERO, PositionMode, Side, Utc
from tests.venues.ledger import Market, Order, Status, TimeInForce, Trade


class Why(StrEnum):
    """Why the venue refuses; each dialect has its own codes and words for it."""

    FUNDS = "funds"
    WOULD_TAKE = "would_take"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    PRICE_STEP = "price_step"
    AMOUNT_STEP = "amount_step"
    NOTIONAL = "notional"
    UNKNOWN_PAIR = "unknown_pair"
    UNKNOWN_ORDER = "unknown_order"
    REPEATED_ID = "repeated_id"
    SETTING = "setting"


class Refusal(Exception):
    """What the venue does not do."""

    def __init__(self, why: Why, words: str) -> None:
        """Say why."""
        super().__init__(words)
        self.why = why


class What(StrEnum):
    """What happened to an order."""

    TAKEN = "taken"
    TRADED = "traded"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one order, and the order after it. `trade` is there when it traded."""

    what: What
    order: Order
    trade: Trade | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """All that one step did to one account. `holdings` are the tokens that changed, those that are gone with 0."""

    at: Utc
    changes: Sequence[Change] = ()
    holdings: Sequence[Holding] = ()
    positions: Sequence[PositionObserved] = ()
    funding: Sequence[tuple[int, FundingPaid]] = ()
    leverage: Mapping[str, int] = {}


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """A trade as everybody sees it."""

    trade_id: int
    trading_pair: str
    price: Decimal
    amount: Decimal
    taker: Side
    at: Utc


def after(order: Order, fact: OrderFact) -> Change | None:
    """Return what a fact of the engine makes of an order; None where it changes nothing."""
    change = msgspec.structs.replace
    match fact:
        case OrderAccepted():
            return Change(what=What.TAKEN, order=change(order, order_id=int(fact.exchange_order_id)))
        case OrderFilled():
            return _traded(order, fact)
        case OrderCanceled():
            ended = change(order, status=Status.CANCELED, updated_at=fact.canceled_at)
            return Change(what=What.CANCELED, order=ended)
        case OrderExpired():
            ended = change(order, status=Status.EXPIRED, updated_at=fact.expired_at, reason=fact.reason)
            return Change(what=What.EXPIRED, order=ended)
        case _:
            return None


def observed(order: OrderObserved, market: Market, mode: PositionMode) -> Order:
    """Return an order that the engine made itself, to liquidate a position."""
    return Order(
        order_id=int(order.exchange_order_id),
        client_id=f"autoclose-{order.exchange_order_id}",
        account=order.account,
        market=market,
        trading_pair=order.trading_pair,
        side=order.side,
        order_type=order.order_type,
        time_in_force=TimeInForce.UNTIL_CANCELED,
        amount=order.amount,
        price=order.price,
        action=order.position_action,
        position_side=side_of(mode, order.side, order.position_action),
        created_at=order.observed_at,
        updated_at=order.observed_at,
        reason=order.reason,
    )


def printed(trade: Trade) -> Print:
    """Return a trade as everybody sees it."""
    return Print(
        trade_id=trade.trade_id,
        trading_pair=trade.trading_pair,
        price=trade.price,
        amount=trade.amount,
        taker=trade.side.opposite if trade.is_maker else trade.side,
        at=trade.at,
    )


def _traded(order: Order, fact: OrderFilled) -> Change:
    filled = order.filled + fact.amount
    fees = {**order.fees, fact.fee_currency: order.fees.get(fact.fee_currency, ZERO) + fact.fee}
    order = msgspec.structs.replace(
        order,
        status=Status.FILLED if filled >= order.amount else Status.PARTLY_FILLED,
        filled=filled,
        spent=order.spent + fact.amount * fact.price,
        fees=fees,
        updated_at=fact.filled_at,
    )
    trade = Trade(
        trade_id=int(fact.trade_id),
        order_id=order.order_id,
        client_id=order.client_id,
        account=order.account,
        market=order.market,
        trading_pair=order.trading_pair,
        side=order.side,
        position_side=order.position_side,
        amount=fact.amount,
        price=fact.price,
        fee=fact.fee,
        fee_currency=fact.fee_currency,
        is_maker=fact.is_maker,
        at=fact.filled_at,
    )
    return Change(what=What.TRADED, order=order, trade=trade)
