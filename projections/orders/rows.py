"""Orders and trades as clients read them, and the row that an order is while events are taken in."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from domain.orders import Order, OrderFilled, Status, average_price
from domain.values import ZERO
from projections.paging import iso, series_of
from projections.view import text

_ENDED_BY = frozenset({Status.REJECTED, Status.FAILED, Status.EXPIRED})
_ACCEPTED, _PARTIALLY_FILLED = Status.ACCEPTED, "PARTIALLY_FILLED"
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


class OrderItem(msgspec.Struct, frozen=True):
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


class TradeItem(msgspec.Struct, frozen=True):
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
    """A row of the table of orders, in the order of its columns; times are ISO 8601, made once for column and item."""

    order_id: str
    position: int
    account: str
    connector: str
    trading_pair: str
    series: int
    side: str
    order_type: str
    amount: Decimal
    price: Decimal | None
    position_action: str
    server: str | None
    placed_at: str
    updated_at: str
    state: str
    status: str
    exchange_order_id: str | None
    cancel_requested_at: str | None
    filled: Decimal
    spent: Decimal
    fee_paid: Decimal | None
    fee_currency: str | None
    reason: str | None
    wire: str


class TradeRow(msgspec.Struct, frozen=True):
    """A row of the table of trades."""

    position: int
    order_id: str
    trade_id: str | None
    account: str
    connector: str
    trading_pair: str
    series: int
    side: str
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None
    filled_at: str
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
        status = self.state.status
        return _PARTIALLY_FILLED if status is _ACCEPTED and self.state.filled else _STATUS[status]

    @property
    def counted(self) -> tuple[str, str, str, str]:
        """The count that the order is in."""
        state = self.state
        return state.account, state.connector, state.trading_pair, self.status


_encode = msgspec.json.Encoder().encode


# Fields are given in their order below: by their names it takes ten times as long, for every row of a rebuild.
def order_row(row: Row) -> OrderRow:
    """Return an order as it is kept. The fee of its item is what was paid in the currency of its first fill."""
    state, status, reason = row.state, row.status, text(row.reason)
    average = average_price(state.filled, row.spent)
    fee_currency, exchange_order_id = text(row.fee_currency), text(state.exchange_order_id)
    placed_at, updated_at = iso(row.placed_at), iso(row.updated_at)
    item = OrderItem(
        row.order_id,
        state.account,
        state.connector,
        state.trading_pair,
        row.side,
        row.order_type,
        float(state.amount),
        None if row.price is None else float(row.price),
        status,
        float(state.filled),
        None if average is None else float(average),
        None if row.fee_paid is None else float(row.fee_paid),
        fee_currency,
        placed_at,
        updated_at,
        exchange_order_id,
        reason if state.status in _ENDED_BY else None,
    )
    return OrderRow(
        row.order_id,
        row.position,
        state.account,
        state.connector,
        state.trading_pair,
        series_of(state.account, state.connector, state.trading_pair),
        row.side,
        row.order_type,
        state.amount,
        row.price,
        row.position_action,
        row.server,
        placed_at,
        updated_at,
        state.status,
        status,
        exchange_order_id,
        None if row.cancel_requested_at is None else iso(row.cancel_requested_at),
        state.filled,
        row.spent,
        row.fee_paid,
        fee_currency,
        reason,
        _encode(item).decode(),
    )


def loaded(kept: Mapping[str, Any]) -> Row:
    """Return an order as events are taken into it, from its columns; trades that are counted already come no more."""
    return Row(
        order_id=kept["order_id"],
        position=kept["position"],
        side=kept["side"],
        order_type=kept["order_type"],
        price=kept["price"],
        position_action=kept["position_action"],
        server=kept["server"],
        placed_at=kept["placed_at"],
        updated_at=kept["updated_at"],
        state=Order(
            status=Status(kept["state"]),
            account=kept["account"],
            connector=kept["connector"],
            trading_pair=kept["trading_pair"],
            amount=kept["amount"],
            filled=kept["filled"],
            exchange_order_id=kept["exchange_order_id"],
            cancel_requested=kept["cancel_requested_at"] is not None,
        ),
        cancel_requested_at=kept["cancel_requested_at"],
        spent=kept["spent"],
        fee_paid=kept["fee_paid"],
        fee_currency=kept["fee_currency"],
        reason=kept["reason"],
    )


def trade_row(row: Row, position: int, trade: OrderFilled) -> TradeRow:
    """Return a trade of an order as it is kept."""
    state, filled_at = row.state, iso(trade.filled_at)
    item = TradeItem(
        f"{row.order_id}_{trade.trade_id}",
        row.order_id,
        state.account,
        state.connector,
        state.trading_pair,
        row.side,
        float(trade.amount),
        float(trade.price),
        float(trade.fee),
        trade.fee_currency,
        filled_at,
    )
    return TradeRow(
        position,
        row.order_id,
        text(trade.trade_id),
        state.account,
        state.connector,
        state.trading_pair,
        series_of(state.account, state.connector, state.trading_pair),
        row.side,
        trade.amount,
        trade.price,
        trade.fee,
        text(trade.fee_currency),
        filled_at,
        _encode(item).decode(),
    )
