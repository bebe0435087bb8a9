"""Items of archives as they go over the wire (hummingbot-api `utils/hummingbot_database_reader.py`@ee7ce5c)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

import msgspec

from domain.analytics.figures import SEPARATOR, Step
from domain.archives import Controller, Executor, Order, Position, Trade
from domain.values import ZERO

Wire = dict[str, object]

ENCODER = msgspec.json.Encoder(decimal_format="number")
"""Writes exact numbers as JSON has them: making floats of many first would cost more than all the rest."""

SHORT = Context(prec=17)
"""As many digits as a reader's floats tell apart."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def market(name: str) -> tuple[str, str]:
    """Return connector and pair of a market's name."""
    connector, _, pair = name.partition(SEPARATOR)
    return connector, pair


def milliseconds(at: datetime) -> int:
    """Return a time as a bot has it in trades, orders and positions."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def seconds(at: datetime) -> float:
    """Return a time as a bot has it in executors and controllers."""
    return (at - _EPOCH) / timedelta(seconds=1)


def number(value: Decimal | None) -> float | None:
    """Return a number as JSON has it."""
    return None if value is None else float(value)


class _Orders(msgspec.Struct, frozen=True):
    order_ids: list[str | None] | None = None
    order_id: str | None = None


def orders_of(custom_info: str) -> Sequence[str]:
    """Return the orders that an executor names as its own; none where its text is of another form."""
    try:
        named = msgspec.json.decode(custom_info, type=_Orders)
    except msgspec.DecodeError:  # a bare NaN, or what a later Hummingbot writes: the controller is not known then
        return ()
    return [order for order in (*(named.order_ids or ()), named.order_id) if order]


class TradeItem(msgspec.Struct, frozen=True):
    """A trade, as it goes over the wire."""

    config_file_path: str
    strategy: str
    connector_name: str
    trading_pair: str
    base_asset: str
    quote_asset: str
    timestamp: int
    order_id: str
    trade_type: str
    order_type: str
    price: Decimal
    amount: Decimal
    leverage: int
    trade_fee: Decimal | None
    trade_fee_in_quote: Decimal | None
    exchange_trade_id: str
    position: str | None
    cum_fees_in_quote: Decimal


def trade(told: Trade, cum_fees: Decimal) -> TradeItem:
    """Return a trade; `cum_fees` are the fees on its pair up to it, itself included."""
    base, _, quote = told.trading_pair.partition("-")
    return TradeItem(
        told.config,
        told.strategy,
        told.connector,
        told.trading_pair,
        base,
        quote,
        milliseconds(told.at),
        told.order_id,
        told.side,
        told.order_type,
        told.price,
        told.amount,
        told.leverage,
        told.fee,
        told.fee,
        told.trade_id,
        told.position,
        cum_fees,
    )


def order(told: Order) -> Wire:
    """Return an order."""
    base, _, quote = told.trading_pair.partition("-")
    return {
        "id": told.order_id,
        "config_file_path": told.config,
        "strategy": told.strategy,
        "connector_name": told.connector,
        "trading_pair": told.trading_pair,
        "base_asset": base,
        "quote_asset": quote,
        "creation_timestamp": milliseconds(told.created_at),
        "order_type": told.order_type,
        "amount": float(told.amount),
        "leverage": told.leverage,
        "price": float(told.price),
        "last_status": told.status,
        "last_update_timestamp": milliseconds(told.updated_at),
        "exchange_order_id": told.exchange_order_id,
        "position": told.position,
    }


def executor(told: Executor) -> Wire:
    """Return an executor."""
    return {
        "id": told.executor_id,
        "timestamp": seconds(told.created_at),
        "type": told.kind,
        "close_type": told.close_type,
        "close_timestamp": None if told.closed_at is None else int(seconds(told.closed_at)),
        "status": told.status,
        "config": told.config,
        "net_pnl_pct": number(told.net_pnl_pct),
        "net_pnl_quote": number(told.net_pnl),
        "cum_fees_quote": number(told.fees),
        "filled_amount_quote": number(told.filled),
        "is_active": int(told.is_active),
        "is_trading": int(told.is_trading),
        "custom_info": told.custom_info,
        "controller_id": told.controller,
    }


def controller(told: Controller) -> Wire:
    """Return a controller."""
    return {
        "id": told.controller,
        "controller_id": told.number,
        "timestamp": seconds(told.at),
        "type": told.kind,
        "config": told.config,
    }


def position(told: Position) -> Wire:
    """Return a position."""
    return {
        "id": told.position_id,
        "controller_id": told.controller,
        "connector_name": told.connector,
        "side": told.side,
        "trading_pair": told.trading_pair,
        "timestamp": milliseconds(told.at),
        "volume_traded_quote": float(told.volume),
        "amount": float(told.amount),
        "breakeven_price": float(told.entry_price),
        "unrealized_pnl_quote": float(told.unrealized_pnl),
        "realized_pnl_quote": float(told.realized_pnl),
        "cum_fees_quote": float(told.fees),
    }


class StepItem(msgspec.Struct, frozen=True):
    """How things stood after a trade, as it goes over the wire."""

    timestamp: int
    price: Decimal
    amount: Decimal
    trade_type: str
    trading_pair: str
    connector_name: str
    buy_avg_price: Decimal
    buy_volume: Decimal
    sell_avg_price: Decimal
    sell_volume: Decimal
    net_position: Decimal
    realized_trade_pnl_pct: Decimal
    realized_trade_pnl_quote: Decimal
    unrealized_trade_pnl_pct: Decimal
    unrealized_trade_pnl_quote: Decimal
    fees_quote: Decimal | None
    net_pnl_quote: Decimal
    volume_quote: Decimal
    cum_volume_quote: Decimal


def step(told: Step) -> StepItem:
    """Return how things stood on its market after a trade, fees of all trades up to it taken off `net_pnl_quote`."""
    fill, after = told.fill, told.market
    cost, position = after.ledger.cost, after.ledger.position
    unrealized = position * after.price - cost
    connector, pair = fill.market
    short = SHORT.plus
    divide = SHORT.divide
    return StepItem(
        milliseconds(fill.at),
        fill.price,
        fill.amount,
        fill.side.value,
        pair,
        connector,
        divide(after.paid, after.bought) if after.bought else ZERO,
        after.bought,
        divide(after.received, after.sold) if after.sold else ZERO,
        after.sold,
        position,
        divide(after.realized, after.closed_cost) if after.closed_cost else ZERO,
        short(after.realized),
        divide(unrealized, abs(cost)) if cost else ZERO,
        short(unrealized),
        fill.fee,
        short(after.realized + unrealized - after.fees),
        short(fill.notional),
        short(after.volume),
    )
