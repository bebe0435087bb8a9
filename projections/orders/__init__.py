"""Orders and their trades."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, LiteralString

from domain import orders
from domain.events import Event, Recorded
from domain.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFailed,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    OrderRejected,
    evolve,
)
from domain.values import OrderType, PositionAction, Side
from projections import paging
from projections.accounts import CONNECTED
from projections.orders.rows import OrderItem, OrderRow, Row, TradeItem, TradeRow, loaded, order_row, trade_row
from projections.orders.tables import INDEXES, TABLES
from projections.paging import Listing
from projections.view import Changes, Connection, View

__all__ = ["OPEN_ORDERS", "ORDERS", "TRADES", "VIEW", "OrderItem", "TradeItem"]


def _new(order_id: str, recorded: Recorded, event: OrderPlaced | OrderObserved) -> Row:
    return Row(
        order_id=order_id,
        position=recorded.position,
        side=event.side,
        order_type=event.order_type,
        price=event.price,
        position_action=event.position_action,
        server=event.server if isinstance(event, OrderPlaced) else None,
        placed_at=event.placed_at if isinstance(event, OrderPlaced) else event.observed_at,
        updated_at=recorded.recorded_at,
        state=evolve(orders.NEW, event),
    )


def _take(row: Row, recorded: Recorded) -> None:
    event = recorded.event
    state = row.state = evolve(row.state, event)
    row.updated_at = recorded.recorded_at
    match event:
        case OrderFilled():
            row.spent += event.amount * event.price
            row.fee_currency = row.fee_currency or event.fee_currency
            if event.fee_currency == row.fee_currency:
                row.fee_paid = event.fee if row.fee_paid is None else row.fee_paid + event.fee
        case OrderRejected() | OrderFailed() | OrderExpired():
            row.reason = event.reason
        case CancelRequested():
            row.cancel_requested_at = event.requested_at
        case _:
            pass
    if not state.cancel_requested:
        row.cancel_requested_at = None


_SEEN_AT: dict[type[Event], Callable[[Any], datetime]] = {
    OrderAccepted: attrgetter("accepted_at"),
    OrderRejected: attrgetter("rejected_at"),
    OrderFilled: attrgetter("filled_at"),
    CancelRejected: attrgetter("rejected_at"),
    OrderCanceled: attrgetter("canceled_at"),
    OrderExpired: attrgetter("expired_at"),
    OrderObserved: attrgetter("observed_at"),
}
"""Where the events that a venue told have its own time."""


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: an order's row, its trades, the counts of both, and when a venue last spoke."""
    prefix = len(orders.stream_of(""))
    begun = {e.stream for e in events if e.version == 1}
    rows = await _load(changes, sorted({e.stream[prefix:] for e in events if e.stream not in begun}))
    known = set(rows)
    counts = [(row.counted, -1) for row in rows.values()]
    trades: list[TradeRow] = []
    seen: dict[tuple[str, str], datetime] = {}
    for recorded in events:
        order_id = recorded.stream[prefix:]
        event = recorded.event
        if isinstance(event, (OrderPlaced, OrderObserved)):  # a union would be made anew for each event
            row = rows[order_id] = _new(order_id, recorded, event)
        else:
            row = rows[order_id]
            _take(row, recorded)
            if isinstance(event, OrderFilled):
                trades.append(trade_row(row, recorded.position, event))
        if (told_at := _SEEN_AT.get(type(event))) is not None:
            at, key = told_at(event), (row.state.account, row.state.connector)
            if key not in seen or at > seen[key]:
                seen[key] = at
    if known:
        await changes.put("orders", [order_row(rows[order_id]) for order_id in known], _CHANGED)
    if new := [order_row(row) for order_id, row in rows.items() if order_id not in known]:
        await changes.add("orders", new)
    counts += [(row.counted, 1) for row in rows.values()]
    await paging.add(changes, "order_counts", ("account", "connector", "trading_pair", "status"), counts)
    if trades:
        await changes.add("trades", trades)
        counts = [((trade.account, trade.connector, trade.trading_pair, trade.side), 1) for trade in trades]
        await paging.add(changes, "trade_counts", ("account", "connector", "trading_pair", "side"), counts)
    if seen:
        await changes.put(
            "last_seen",
            [{"account": account, "connector": connector, "seen_at": at} for (account, connector), at in seen.items()],
            "on conflict (account, connector) do update set seen_at = greatest(last_seen.seen_at, excluded.seen_at)",
        )


# What an order was placed with never changes.
_CHANGED: LiteralString = (
    "on conflict (order_id) do update set updated_at = excluded.updated_at, state = excluded.state,"
    " exchange_order_id = excluded.exchange_order_id, cancel_requested_at = excluded.cancel_requested_at,"
    " filled = excluded.filled, spent = excluded.spent, fee_paid = excluded.fee_paid,"
    " fee_currency = excluded.fee_currency, reason = excluded.reason, status = excluded.status, wire = excluded.wire"
)


async def _load(changes: Changes, order_ids: Sequence[str]) -> dict[str, Row]:
    if not order_ids:
        return {}
    columns = ", ".join(OrderRow.__struct_fields__)
    found = await changes.rows(f"select {columns} from orders where order_id = any(%s) order by position", [order_ids])
    return {row[0]: loaded(dict(zip(OrderRow.__struct_fields__, row, strict=True))) for row in found}


VIEW = View(
    name="orders", tables=TABLES, indexes=INDEXES, handles=orders.EVENTS, apply=apply, by_stream=True, revision=2
)

ORDERS = Listing(table="orders", time="placed_at", counts="order_counts", in_series=True)
TRADES = Listing(table="trades", time="filled_at", counts="trade_counts", in_series=True)
OPEN_ORDERS = Listing(
    table="orders",
    time="placed_at",
    counts="order_counts",
    item="case when cancel_requested_at is null then wire"
    """ else jsonb_set(wire::jsonb, '{status}', '"PENDING_CANCEL"')::text end""",
    only=f"state in ('placed', 'unknown', 'accepted') and {CONNECTED}",
    only_counts=f"status in ('SUBMITTED', 'OPEN', 'PARTIALLY_FILLED') and {CONNECTED}",
)
"""The orders that may still trade, as `orders/active` shows them; those of accounts that are not connected any more
cannot be followed, and stand in `ORDERS` alone."""


async def accepted(
    connection: Connection, *, account: str, connector: str
) -> list[tuple[OrderPlaced | OrderObserved, str, Decimal, list[str]]]:
    """Return the orders that the venue has accepted and that may still trade, oldest first.

    Each with the venue's id, the base filled so far and the ids of the trades that it was filled by.
    """
    return await _traded(
        connection,
        "state in ('placed', 'unknown', 'accepted') and state = 'accepted' and account = %s and connector = %s",
        [account, connector],
    )


async def ended(
    connection: Connection, *, account: str, connector: str, traded_since: datetime
) -> list[tuple[OrderPlaced | OrderObserved, str, Decimal, list[str]]]:
    """Return the orders that traded since a time and can trade no more, as `accepted` does."""
    return await _traded(
        connection,
        "order_id in (select order_id from trades where account = %s and connector = %s and filled_at >= %s)"
        " and state in ('filled', 'canceled', 'expired') and exchange_order_id is not null",
        [account, connector, traded_since],
    )


async def _traded(
    connection: Connection, condition: str, values: Sequence[object]
) -> list[tuple[OrderPlaced | OrderObserved, str, Decimal, list[str]]]:
    found = await connection.execute(
        f"select {_PLACED}, server is null, exchange_order_id, filled,"
        " array(select trade_id from trades t where t.order_id = orders.order_id order by t.position)"
        f" from orders where {condition} order by placed_at, position",
        values,
    )
    rows = await found.fetchall()
    return [
        (_observed(_placed(row), number) if somebody_elses else _placed(row), number, filled, trade_ids)
        for *row, somebody_elses, number, filled, trade_ids in rows
    ]


async def pairs(connection: Connection, *, account: str, connector: str) -> list[str]:
    """Return every pair that an account had an order in on a connector."""
    found = await connection.execute(
        "select distinct trading_pair from order_counts where account = %s and connector = %s order by trading_pair",
        [account, connector],
    )
    return [pair async for (pair,) in found]


async def unanswered(connection: Connection, *, placed_before: datetime) -> list[OrderPlaced]:
    """Return the orders whose outcome is not known since before that time, oldest first."""
    found = await connection.execute(
        f"select {_PLACED} from orders where state in ('placed', 'unknown', 'accepted')"
        " and state in ('placed', 'unknown') and placed_at < %s order by placed_at, position",
        [placed_before],
    )
    return [_placed(row) async for row in found]


async def cancels_unanswered(connection: Connection, *, requested_before: datetime) -> list[OrderPlaced]:
    """Return the orders that may still trade although a cancel was requested before that time, oldest first."""
    found = await connection.execute(
        f"select {_PLACED} from orders where state in ('placed', 'unknown', 'accepted') and cancel_requested_at < %s"
        " order by placed_at, position",
        [requested_before],
    )
    return [_placed(row) async for row in found]


async def last_seen(connection: Connection, *, account: str, connector: str) -> datetime | None:
    """Return the venue's time of the newest fact about an order there, None before any."""
    found = await connection.execute(
        "select seen_at from last_seen where account = %s and connector = %s", [account, connector]
    )
    row = await found.fetchone()
    return None if row is None else row[0]


_PLACED = (
    "order_id, account, connector, trading_pair, side, order_type, amount, price, position_action,"
    " coalesce(server, ''), placed_at"
)


def _placed(row: Sequence[Any]) -> OrderPlaced:
    order_id, account, connector, pair, side, order_type, amount, price, action, server, placed_at, *_ = row
    return OrderPlaced(
        client_order_id=order_id,
        account=account,
        connector=connector,
        trading_pair=pair,
        side=Side(side),
        order_type=OrderType(order_type),
        amount=amount,
        price=price,
        position_action=PositionAction(action),
        server=server,
        placed_at=placed_at,
    )


def _observed(order: OrderPlaced, exchange_order_id: str) -> OrderObserved:
    return OrderObserved(
        account=order.account,
        connector=order.connector,
        trading_pair=order.trading_pair,
        exchange_order_id=exchange_order_id,
        side=order.side,
        order_type=order.order_type,
        amount=order.amount,
        price=order.price,
        position_action=order.position_action,
        observed_at=order.placed_at,
    )
