"""Orders as a Binance-like venue takes them: what both markets have in common."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from domain.values import ZERO, OrderType, PositionAction, Side, Utc, round_down
from tests.venues.binance_gate import Ask, Denied
from tests.venues.binance_words import milliseconds
from tests.venues.ledger import Market, Order, TimeInForce, Trade

_LEGAL = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_MOST_ORDERS = 1000
_MOST_TRADES = 1000
_LONGEST = {Market.SPOT: timedelta(days=1), Market.SWAP: timedelta(days=7)}
T = TypeVar("T", Order, Trade)


def taken(ask: Ask, *, action: PositionAction = PositionAction.OPEN) -> Order:
    """Take an order in as it was asked for. Raises `Denied` and `Refusal`."""
    pair = ask.pair()
    order_type, time_in_force = _kind(ask)
    client_id = ask.params.get("newClientOrderId", "")
    if client_id and re.fullmatch(_LEGAL, client_id) is None:
        raise Denied(-1100, f"Illegal characters found in parameter 'newClientOrderId'; legal range is '{_LEGAL}'.")
    side = Side(ask.text("side"))
    if order_type is OrderType.MARKET and "quoteOrderQty" in ask.params:
        amount = _bought_for(ask, pair, side, ask.decimal("quoteOrderQty"))
    else:
        amount = ask.decimal("quantity")
    return ask.floor.place(
        ask.account,
        ask.market,
        client_id=client_id,
        trading_pair=pair,
        side=side,
        order_type=order_type,
        amount=amount,
        price=None if order_type is OrderType.MARKET else ask.decimal("price"),
        action=action,
        time_in_force=time_in_force,
    )


def canceled(ask: Ask) -> Order:
    """Cancel the order that was named. Raises `Denied` and `Refusal`."""
    pair = ask.pair()
    order_id, client_id = _names(ask)
    known = ask.floor.ledger.find(ask.account, ask.market, order_id=order_id, client_id=client_id)
    if known is not None and known.trading_pair != pair:
        raise Denied(-2011, "Unknown order sent.")
    return ask.floor.cancel(ask.account, ask.market, order_id=order_id, client_id=client_id)


def asked_for(ask: Ask) -> Order:
    """Return the order that was named. Raises `Denied`."""
    pair = ask.pair()
    order_id, client_id = _names(ask)
    order = ask.floor.ledger.find(ask.account, ask.market, order_id=order_id, client_id=client_id)
    if order is None or order.trading_pair != pair:
        raise Denied(-2013, "Order does not exist.")
    return order


def open_ones(ask: Ask) -> list[Order]:
    """Return the open orders, of one symbol or of all."""
    return ask.floor.ledger.open_orders(ask.account, ask.market, ask.pair_if_any())


def all_orders(ask: Ask) -> Sequence[Order]:
    """Return the orders of one symbol, oldest first: from `orderId` on, or of a time, or the last ones."""
    orders = ask.floor.ledger.orders(ask.account, ask.market, ask.pair())
    first = ask.number("orderId")
    if first is not None:
        return [order for order in orders if order.order_id >= first][: _limit(ask, _MOST_ORDERS)]
    return _between(ask, orders, lambda order: order.created_at, _MOST_ORDERS)


def trades(ask: Ask) -> Sequence[Trade]:
    """Return the trades of one symbol, oldest first: from `fromId` on, of an order, of a time, or the last ones."""
    found = ask.floor.ledger.trades(ask.account, ask.market, ask.pair())
    order_id, first = ask.number("orderId"), ask.number("fromId")
    if order_id is not None:
        found = [trade for trade in found if trade.order_id == order_id]
    if first is not None:
        return [trade for trade in found if trade.trade_id >= first][: _limit(ask, _MOST_TRADES)]
    return _between(ask, found, lambda trade: trade.at, _MOST_TRADES)


def _between(ask: Ask, found: Sequence[T], when: Callable[[T], Utc], most: int) -> Sequence[T]:
    """Return what lies in the time that was asked for: with a beginning the oldest of it, else the newest."""
    since, until, limit = ask.number("startTime"), ask.number("endTime"), _limit(ask, most)
    longest = _LONGEST[ask.market]
    if since is not None and until is not None and timedelta(milliseconds=until - since) > longest:
        raise Denied(-1127, f"More than {longest // timedelta(hours=1)} hours between startTime and endTime.")
    chosen = [
        each
        for each in found
        if (since is None or milliseconds(when(each)) >= since) and (until is None or milliseconds(when(each)) <= until)
    ]
    return chosen[:limit] if since is not None else chosen[-limit:]


def _limit(ask: Ask, most: int) -> int:
    return min(ask.number("limit") or 500, most)


def _names(ask: Ask) -> tuple[int | None, str | None]:
    order_id, client_id = ask.number("orderId"), ask.params.get("origClientOrderId")
    if order_id is None and not client_id:
        raise Denied(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return order_id, client_id


def _kind(ask: Ask) -> tuple[OrderType, TimeInForce]:
    word = ask.text("type")
    if word == "LIMIT":
        force = ask.text("timeInForce")
        if force == "GTX":
            return OrderType.LIMIT_MAKER, TimeInForce.MAKER
        if force in {"GTC", "IOC"}:
            return OrderType.LIMIT, TimeInForce(force)
        raise Denied(-1115, "Invalid timeInForce.")
    if word == "MARKET":
        return OrderType.MARKET, TimeInForce.UNTIL_CANCELED
    if word == "LIMIT_MAKER":
        return OrderType.LIMIT_MAKER, TimeInForce.UNTIL_CANCELED
    raise Denied(-1116, "Invalid orderType.")


def _bought_for(ask: Ask, pair: str, side: Side, cost: Decimal) -> Decimal:
    """Return how much base is to be had for an amount of quote, rounded down to the pair's step."""
    bids, asks = ask.desk.depth(pair, 1000)
    amount = ZERO
    for price, there in asks if side is Side.BUY else bids:
        share = min(there, cost / price)
        amount += share
        cost -= share * price
        if share < there:
            break
    return round_down(amount, ask.desk.rules[pair].min_base_amount_increment)
