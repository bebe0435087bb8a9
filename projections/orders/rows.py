"""Orders and trades as clients read them, and the row that an order is while events are taken in."""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.orders import Order, OrderFilled, Status, average_price
from domain.values import ZERO
from projections.view import text

_ENDED_BY = (Status.REJECTED, Status.FAILED, Status.EXPIRED)
_STATUS = {
    Status.PLACED: "SUBMITTED",
    Status.UNKNOWN: "SUBMITTED",
    Status.ACCEPTED: "OPEN",
    Status.FILLED: "FILLED",
    Status.CANCELED: "CANCELLED",
    Status.EXPIRED: "CANCELLED",
    Status.REJECTED: "FAILED",
    Status.FAILED: "FAILED",
}
"""Our state → the contract's word; an accepted order that has filled in part is PARTIALLY_FILLED."""


class OrderItem(msgspec.Struct, frozen=True, kw_only=True):
    """An order on the wire. `amount` in base, prices in quote per base, times as ISO 8601."""

    order_id: str
    account_name: str
    connector_name: str
    trading_pair: str
    trade_type: str
    order_type: str
    amount: float
    price: float | None
    status: str
    filled_amount: float
    average_fill_price: float | None
    fee_paid: float | None
    fee_currency: str | None
    created_at: str
    updated_at: str
    exchange_order_id: str | None
    error_message: str | None


class TradeItem(msgspec.Struct, frozen=True, kw_only=True):
    """A trade on the wire. `fee_paid` in `fee_currency`, negative for a rebate.

    A venue's trade ids are unique for a pair only, so `trade_id` begins with the order's id.
    """

    trade_id: str
    order_id: str
    account_name: str
    connector_name: str
    trading_pair: str
    trade_type: str
    amount: float
    price: float
    fee_paid: float
    fee_currency: str
    timestamp: str


class OrderRow(msgspec.Struct, frozen=True):
    """A row of the table of orders, in the order of its columns."""

    order_id: str
    position: int
    account: str
    connector: str
    trading_pair: str
    side: str
    order_type: str
    amount: Decimal
    price: Decimal | None
    position_action: str
    server: str | None
    placed_at: datetime
    updated_at: datetime
    state: str
    status: str
    exchange_order_id: str | None
    cancel_requested_at: datetime | None
    filled: Decimal
    spent: Decimal
    fee_paid: Decimal | None
    fee_currency: str | None
    reason: str | None
    wire: str


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of trades."""

    position: int
    order_id: str
    trade_id: str | None
    account: str
    connector: str
    trading_pair: str
    side: str
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None
    filled_at: datetime
    wire: str


class Row(msgspec.Struct):
    """One order while events are taken in: `state` as the domain keeps it, and what the domain need not know."""

    order_id: str
    position: int
    side: str
    order_type: str
    price: Decimal | None
    position_action: str
    server: str | None
    placed_at: datetime
    updated_at: datetime
    state: Order
    cancel_requested_at: datetime | None = None
    spent: Decimal = ZERO
    fee_paid: Decimal | None = None
    fee_currency: str | None = None
    reason: str | None = None

    @property
    def status(self) -> str:
        """The contract's word for where the order stands."""
        if self.state.status is Status.ACCEPTED and self.state.filled:
            return "PARTIALLY_FILLED"
        return _STATUS[self.state.status]

    @property
    def counted(self) -> tuple[str, str, str, str]:
        """The count that the order is in."""
        return self.state.account, self.state.connector, self.state.trading_pair, self.status


_encode = msgspec.json.Encoder().encode


def on_the_wire(row: Row) -> str:
    """Return an order as clients read it. The fee is what was paid in the currency of its first fill."""
    state = row.state
    average = average_price(state.filled, row.spent)
    return _encode(
        OrderItem(
            order_id=row.order_id,
            account_name=state.account,
            connector_name=state.connector,
            trading_pair=state.trading_pair,
            trade_type=row.side,
            order_type=row.order_type,
            amount=float(state.amount),
            price=None if row.price is None else float(row.price),
            status=row.status,
            filled_amount=float(state.filled),
            average_fill_price=None if average is None else float(average),
            fee_paid=None if row.fee_paid is None else float(row.fee_paid),
            fee_currency=text(row.fee_currency),
            created_at=row.placed_at.isoformat(),
            updated_at=row.updated_at.isoformat(),
            exchange_order_id=text(state.exchange_order_id),
            error_message=text(row.reason) if state.status in _ENDED_BY else None,
        )
    ).decode()


def trade_on_the_wire(row: Row, trade: OrderFilled) -> str:
    """Return a trade as clients read it."""
    return _encode(
        TradeItem(
            trade_id=f"{row.order_id}_{trade.trade_id}",
            order_id=row.order_id,
            account_name=row.state.account,
            connector_name=row.state.connector,
            trading_pair=row.state.trading_pair,
            trade_type=row.side,
            amount=float(trade.amount),
            price=float(trade.price),
            fee_paid=float(trade.fee),
            fee_currency=trade.fee_currency,
            timestamp=trade.filled_at.isoformat(),
        )
    ).decode()


def order_row(row: Row) -> OrderRow:
    """Return an order as it is kept."""
    state = row.state
    return OrderRow(
        order_id=row.order_id,
        position=row.position,
        account=state.account,
        connector=state.connector,
        trading_pair=state.trading_pair,
        side=row.side,
        order_type=row.order_type,
        amount=state.amount,
        price=row.price,
        position_action=row.position_action,
        server=row.server,
        placed_at=row.placed_at,
        updated_at=row.updated_at,
        state=state.status.value,
        status=row.status,
        exchange_order_id=text(state.exchange_order_id),
        cancel_requested_at=row.cancel_requested_at,
        filled=state.filled,
        spent=row.spent,
        fee_paid=row.fee_paid,
        fee_currency=text(row.fee_currency),
        reason=text(row.reason),
        wire=on_the_wire(row),
    )


def loaded(kept: OrderRow) -> Row:
    """Return an order as events are taken into it; trades that are counted already do not come again."""
    return Row(
        order_id=kept.order_id,
        position=kept.position,
        side=kept.side,
        order_type=kept.order_type,
        price=kept.price,
        position_action=kept.position_action,
        server=kept.server,
        placed_at=kept.placed_at,
        updated_at=kept.updated_at,
        state=Order(
            status=Status(kept.state),
            account=kept.account,
            connector=kept.connector,
            trading_pair=kept.trading_pair,
            amount=kept.amount,
            filled=kept.filled,
            exchange_order_id=kept.exchange_order_id,
            cancel_requested=kept.cancel_requested_at is not None,
        ),
        cancel_requested_at=kept.cancel_requested_at,
        spent=kept.spent,
        fee_paid=kept.fee_paid,
        fee_currency=kept.fee_currency,
        reason=kept.reason,
    )


def trade_row(row: Row, position: int, trade: OrderFilled) -> TradeRow:
    """Return a trade of an order as it is kept."""
    return TradeRow(
        position=position,
        order_id=row.order_id,
        trade_id=text(trade.trade_id),
        account=row.state.account,
        connector=row.state.connector,
        trading_pair=row.state.trading_pair,
        side=row.side,
        amount=trade.amount,
        price=trade.price,
        fee=trade.fee,
        fee_currency=text(trade.fee_currency),
        filled_at=trade.filled_at,
        wire=trade_on_the_wire(row, trade),
    )
