"""Orders and their trades."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain import orders
from domain.events import Recorded
from domain.orders import (
    CancelRequested,
    Order,
    OrderExpired,
    OrderFailed,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    OrderRejected,
    Status,
    evolve,
)
from domain.values import OrderType, PositionAction, Side
from projections import paging
from projections.orders.tables import INDEXES, TABLES
from projections.orders.wire import OrderItem, Row, TradeItem, on_the_wire, trade_on_the_wire
from projections.paging import Listing
from projections.view import Connection, View, texts

__all__ = ["OPEN_ORDERS", "ORDERS", "TRADES", "VIEW", "OrderItem", "TradeItem"]

_COLUMNS = (
    "order_id, position, account, connector, trading_pair, side, order_type, amount, price, position_action, server,"
    " placed_at, updated_at, state, exchange_order_id, cancel_requested_at, filled, spent, fee_paid, fee_currency,"
    " reason"
)


def _new(order_id: str, recorded: Recorded, event: OrderPlaced | OrderObserved) -> Row:
    return Row(
        order_id=order_id,
        position=recorded.position,
        side=event.side.value,
        order_type=event.order_type.value,
        price=event.price,
        position_action=event.position_action.value,
        server=event.server if isinstance(event, OrderPlaced) else None,
        placed_at=event.placed_at if isinstance(event, OrderPlaced) else event.observed_at,
        updated_at=recorded.recorded_at,
        state=evolve(orders.NEW, event),
    )


def _take(row: Row, recorded: Recorded) -> None:
    event = recorded.event
    row.state = evolve(row.state, event)
    row.updated_at = recorded.recorded_at
    match event:
        case OrderFilled(amount=amount, price=price, fee=fee, fee_currency=currency):
            row.spent += amount * price
            row.fee_currency = row.fee_currency or currency
            if currency == row.fee_currency:
                row.fee_paid = fee if row.fee_paid is None else row.fee_paid + fee
        case OrderRejected(reason=reason) | OrderFailed(reason=reason) | OrderExpired(reason=reason):
            row.reason = reason
        case CancelRequested(requested_at=requested_at):
            row.cancel_requested_at = requested_at
        case _:
            pass
    if not row.state.cancel_requested:
        row.cancel_requested_at = None


_SEEN_AT = ("filled_at", "accepted_at", "rejected_at", "canceled_at", "expired_at", "observed_at")


def _seen_at(recorded: Recorded) -> datetime | None:
    # The venue's own time of what it told.
    return next((at for name in _SEEN_AT if (at := getattr(recorded.event, name, None)) is not None), None)


async def apply(connection: Connection, events: Sequence[Recorded]) -> None:
    """Take events into the tables: an order's row, its trades, the counts of both, and when a venue last spoke."""
    prefix = len(orders.stream_of(""))
    begun = {e.stream for e in events if e.version == 1}
    rows = await _load(connection, sorted({e.stream[prefix:] for e in events if e.stream not in begun}))
    counts = [(row.counted, -1) for row in rows.values()]
    trades: list[tuple[int, Row, OrderFilled]] = []
    seen: dict[tuple[str, str], datetime] = {}
    for recorded in events:
        order_id = recorded.stream[prefix:]
        event = recorded.event
        if isinstance(event, OrderPlaced | OrderObserved):
            rows[order_id] = _new(order_id, recorded, event)
        else:
            _take(rows[order_id], recorded)
            if isinstance(event, OrderFilled):
                trades.append((recorded.position, rows[order_id], event))
        if (at := _seen_at(recorded)) is not None:
            key = rows[order_id].state.account, rows[order_id].state.connector
            seen[key] = max(at, seen.get(key, at))
    await _put_orders(connection, list(rows.values()))
    counts += [(row.counted, 1) for row in rows.values()]
    await paging.add(connection, "order_counts", ("account", "connector", "trading_pair", "status"), counts)
    if trades:
        await _put_trades(connection, trades)
    if seen:
        await connection.execute(
            "insert into last_seen (account, connector, seen_at)"
            " select * from unnest(%s::text[], %s::text[], %s::timestamptz[]) on conflict (account, connector)"
            " do update set seen_at = greatest(last_seen.seen_at, excluded.seen_at)",
            [[account for account, _ in seen], [connector for _, connector in seen], list(seen.values())],
        )


async def _load(connection: Connection, order_ids: Sequence[str]) -> dict[str, Row]:
    if not order_ids:
        return {}
    found = await connection.execute(
        f"select {_COLUMNS} from orders where order_id = any(%s) order by position", [order_ids]
    )
    rows = {}
    async for row in found:
        (order_id, position, account, connector, pair, side, order_type, amount, price, action, server, placed_at,
         updated_at, state, exchange_id, cancel_requested_at, filled, spent, fee, currency, reason) = row  # fmt: skip
        rows[order_id] = Row(
            order_id=order_id,
            position=position,
            side=side,
            order_type=order_type,
            price=price,
            position_action=action,
            server=server,
            placed_at=placed_at,
            updated_at=updated_at,
            state=Order(
                status=Status(state),
                account=account,
                connector=connector,
                trading_pair=pair,
                amount=amount,
                filled=filled,
                exchange_order_id=exchange_id,
                cancel_requested=cancel_requested_at is not None,
            ),
            cancel_requested_at=cancel_requested_at,
            spent=spent,
            fee_paid=fee,
            fee_currency=currency,
            reason=reason,
        )
    return rows


async def _put_orders(connection: Connection, rows: Sequence[Row]) -> None:
    # What an order was placed with never changes, so an order that is there already gets only the rest.
    states = [row.state for row in rows]
    await connection.execute(
        f"insert into orders ({_COLUMNS}, status, wire) select * from unnest(%s::text[], %s::bigint[], %s::text[],"
        " %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::text[], %s::text[],"
        " %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[], %s::timestamptz[], %s::numeric[],"
        " %s::numeric[], %s::numeric[], %s::text[], %s::text[], %s::text[], %s::text[])"
        " on conflict (order_id) do update set updated_at = excluded.updated_at, state = excluded.state,"
        " exchange_order_id = excluded.exchange_order_id, cancel_requested_at = excluded.cancel_requested_at,"
        " filled = excluded.filled, spent = excluded.spent, fee_paid = excluded.fee_paid,"
        " fee_currency = excluded.fee_currency, reason = excluded.reason, status = excluded.status,"
        " wire = excluded.wire",
        [
            [row.order_id for row in rows],
            [row.position for row in rows],
            [s.account for s in states],
            [s.connector for s in states],
            texts(s.trading_pair for s in states),
            [row.side for row in rows],
            [row.order_type for row in rows],
            [s.amount for s in states],
            [row.price for row in rows],
            [row.position_action for row in rows],
            [row.server for row in rows],
            [row.placed_at for row in rows],
            [row.updated_at for row in rows],
            [s.status.value for s in states],
            texts(s.exchange_order_id for s in states),
            [row.cancel_requested_at for row in rows],
            [s.filled for s in states],
            [row.spent for row in rows],
            [row.fee_paid for row in rows],
            texts(row.fee_currency for row in rows),
            texts(row.reason for row in rows),
            [row.status for row in rows],
            [on_the_wire(row) for row in rows],
        ],
    )


async def _put_trades(connection: Connection, trades: Sequence[tuple[int, Row, OrderFilled]]) -> None:
    await connection.execute(
        "insert into trades (position, order_id, trade_id, account, connector, trading_pair, side, amount, price, fee,"
        " fee_currency, filled_at, wire) select * from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[],"
        " %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::numeric[], %s::text[],"
        " %s::timestamptz[], %s::text[])",
        [
            [position for position, _, _ in trades],
            [row.order_id for _, row, _ in trades],
            texts(trade.trade_id for _, _, trade in trades),
            [row.state.account for _, row, _ in trades],
            [row.state.connector for _, row, _ in trades],
            [row.state.trading_pair for _, row, _ in trades],
            [row.side for _, row, _ in trades],
            [trade.amount for _, _, trade in trades],
            [trade.price for _, _, trade in trades],
            [trade.fee for _, _, trade in trades],
            texts(trade.fee_currency for _, _, trade in trades),
            [trade.filled_at for _, _, trade in trades],
            [trade_on_the_wire(row, trade) for _, row, trade in trades],
        ],
    )
    await paging.add(
        connection,
        "trade_counts",
        ("account", "connector", "trading_pair", "side"),
        [((row.state.account, row.state.connector, row.state.trading_pair, row.side), 1) for _, row, _ in trades],
    )


VIEW = View(name="orders", tables=TABLES, indexes=INDEXES, handles=orders.EVENTS, apply=apply)

ORDERS = Listing(table="orders", time="placed_at", counts="order_counts")
TRADES = Listing(table="trades", time="filled_at", counts="trade_counts")
OPEN_ORDERS = Listing(
    table="orders",
    time="placed_at",
    counts="order_counts",
    item="case when cancel_requested_at is null then wire"
    """ else jsonb_set(wire::jsonb, '{status}', '"PENDING_CANCEL"')::text end""",
    only="state in ('placed', 'unknown', 'accepted')",
    only_counts="status in ('SUBMITTED', 'OPEN', 'PARTIALLY_FILLED')",
)
"""The orders that may still trade, as `orders/active` shows them."""


async def accepted(connection: Connection, *, account: str, connector: str) -> list[tuple[OrderPlaced, str, Decimal]]:
    """Return the orders that the venue has accepted and that may still trade, oldest first.

    Each with the venue's id and the base filled so far; one that we only observed has no server.
    """
    found = await connection.execute(
        f"select {_PLACED}, exchange_order_id, filled from orders where state in ('placed', 'unknown', 'accepted')"
        " and state = 'accepted' and account = %s and connector = %s order by placed_at, position",
        [account, connector],
    )
    return [(_placed(row), row[-2], row[-1]) async for row in found]


async def unanswered(connection: Connection, *, placed_before: datetime) -> list[OrderPlaced]:
    """Return the orders whose outcome is not known since before that time, oldest first."""
    found = await connection.execute(
        f"select {_PLACED} from orders where state in ('placed', 'unknown', 'accepted')"
        " and state in ('placed', 'unknown') and placed_at < %s order by placed_at, position",
        [placed_before],
    )
    return [_placed(row) async for row in found]


async def cancels_unanswered(connection: Connection, *, requested_before: datetime) -> list[str]:
    """Return the ids of orders that may still trade although a cancel was requested before that time, oldest first."""
    found = await connection.execute(
        "select order_id from orders where state in ('placed', 'unknown', 'accepted') and cancel_requested_at < %s"
        " order by placed_at, position",
        [requested_before],
    )
    return [order_id async for (order_id,) in found]


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
