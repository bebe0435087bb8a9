"""Items of archives as they go over the wire (hummingbot-api `utils/hummingbot_database_reader.py`@ee7ce5c)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from domain.analytics.figures import SEPARATOR, Step
from domain.archives import Controller, Executor, Order, Position, Trade

Wire = dict[str, object]

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


def trade(told: Trade, cum_fees: Decimal) -> Wire:
    """Return a trade; `cum_fees` are the fees on its pair up to it, itself included."""
    base, _, quote = told.trading_pair.partition("-")
    return {
        "config_file_path": told.config,
        "strategy": told.strategy,
        "connector_name": told.connector,
        "trading_pair": told.trading_pair,
        "base_asset": base,
        "quote_asset": quote,
        "timestamp": milliseconds(told.at),
        "order_id": told.order_id,
        "trade_type": told.side,
        "order_type": told.order_type,
        "price": float(told.price),
        "amount": float(told.amount),
        "leverage": told.leverage,
        "trade_fee": number(told.fee),
        "trade_fee_in_quote": number(told.fee),
        "exchange_trade_id": told.trade_id,
        "position": told.position,
        "cum_fees_in_quote": float(cum_fees),
    }


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


def step(told: Step) -> Wire:
    """Return how things stood on its market after a trade, fees of all trades up to it taken off `net_pnl_quote`."""
    fill, after = told.fill, told.market
    held = abs(after.ledger.cost)
    connector, pair = fill.market
    return {
        "timestamp": milliseconds(fill.at),
        "price": float(fill.price),
        "amount": float(fill.amount),
        "trade_type": fill.side.value,
        "trading_pair": pair,
        "connector_name": connector,
        "buy_avg_price": float(after.paid / after.bought) if after.bought else 0.0,
        "buy_volume": float(after.bought),
        "sell_avg_price": float(after.received / after.sold) if after.sold else 0.0,
        "sell_volume": float(after.sold),
        "net_position": float(after.ledger.position),
        "realized_trade_pnl_pct": float(after.realized / after.closed_cost) if after.closed_cost else 0.0,
        "realized_trade_pnl_quote": float(after.realized),
        "unrealized_trade_pnl_pct": float(after.unrealized / held) if held else 0.0,
        "unrealized_trade_pnl_quote": float(after.unrealized),
        "fees_quote": float(fill.fee) if fill.fee is not None else None,
        "net_pnl_quote": float(after.net),
        "volume_quote": float(fill.notional),
        "cum_volume_quote": float(after.volume),
    }
