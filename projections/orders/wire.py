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
    """A trade on the wire. `fee_paid` in `fee_currency`, negative for a rebate."""

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
            trade_id=trade.trade_id,
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
