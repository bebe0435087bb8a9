"""Binance's words for what the venue has: symbols, times, digits, and an order's status and type."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.matching.floor import SELF_TRADE
from domain.values import OrderType, Utc, plain, split_pair
from tests.venues.ledger import Market, Order, Status, TimeInForce

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STATUS: Mapping[Status, str] = {
    Status.NEW: "NEW",
    Status.PARTLY_FILLED: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELED: "CANCELED",
    Status.EXPIRED: "EXPIRED",
}


def symbol_of(trading_pair: str) -> str:
    """Return `BTCUSDT` of `BTC-USDT`."""
    return "".join(split_pair(trading_pair))


def milliseconds(at: Utc) -> int:
    """Return a time as Binance tells it: since 1970, rounded down."""
    return (at - _EPOCH) // _MILLISECOND


def digits(value: Decimal | None) -> str:
    """Return a number as Binance tells it: a string, without an exponent. None is 0."""
    return f"{plain(value):f}" if value is not None else "0"


def status_of(order: Order) -> str:
    """Return an order's status."""
    if order.status is Status.EXPIRED and order.reason == SELF_TRADE:
        return "EXPIRED_IN_MATCH"
    return _STATUS[order.status]


def type_of(order: Order) -> str:
    """Return an order's type: on futures an order that must be a maker is a LIMIT order with a time in force."""
    if order.order_type is OrderType.LIMIT_MAKER and order.market is Market.SWAP:
        return "LIMIT"
    return str(order.order_type)


def time_in_force_of(order: Order) -> str:
    """Return for how long an order rests."""
    if order.order_type is OrderType.LIMIT_MAKER:
        return str(TimeInForce.MAKER if order.market is Market.SWAP else TimeInForce.UNTIL_CANCELED)
    return str(order.time_in_force)
