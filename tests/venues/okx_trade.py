"""OKX's trade endpoints: orders in, orders out, and what became of them.

A cancel is acknowledged when it is heard and worked after that: the acknowledgement says nothing of what the order
came to, the orders channel does (OKX API v5, cancel order).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import TypeVar

import msgspec
from aiohttp import web

from tests.venues.floor import Keys
from tests.venues.ledger import Market, Order, Trade
from tests.venues.okx_answers import WORDS, Refusal, Row, answer, bulk, millis, wrong_parameter
from tests.venues.okx_instruments import KINDS, Instrument
from tests.venues.okx_orders import instrument_of
from tests.venues.okx_rows import STATES, fill_row, order_row
from tests.venues.okx_venue import Venue
from tests.venues.steps import Refusal as FloorRefusal

PAGE = 100
"""At most so many rows are in one answer."""

Found = TypeVar("Found", Order, Trade)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A private request whose signature was right. `market` is whose balances it is shown, `body` a POST's JSON."""

    venue: Venue
    keys: Keys
    market: Market
    args: Mapping[str, str]
    body: object = None

    @property
    def one(self) -> Mapping[str, object]:
        """The body of a request that has one object. Raises `Refusal`."""
        if not isinstance(self.body, dict):
            raise Refusal("50014", status=400)
        return self.body

    @property
    def several(self) -> Sequence[Mapping[str, object]]:
        """The body of a request that has a list of objects. Raises `Refusal`."""
        if not isinstance(self.body, list) or not all(isinstance(each, dict) for each in self.body):
            raise Refusal("50014", status=400)
        return self.body


def place(call: Call) -> web.Response:
    """Take one order in."""
    return bulk([_placed(call, call.one)])


def place_several(call: Call) -> web.Response:
    """Take orders in, one after the other."""
    return bulk([_placed(call, args) for args in call.several])


def cancel(call: Call) -> web.Response:
    """Acknowledge a cancel."""
    return bulk([_canceled(call, call.one)])


def cancel_several(call: Call) -> web.Response:
    """Acknowledge cancels."""
    return bulk([_canceled(call, args) for args in call.several])


def details(call: Call) -> web.Response:
    """Return one order, by its id or the client's."""
    instrument = instrument_of(call.args, call.venue.instruments)
    order = call.venue.find(call.keys, instrument, call.args)
    if order is None:
        raise Refusal("51603")
    return answer(_rows(call, [order]))


def pending(call: Call) -> web.Response:
    """Return the orders that may still trade, newest first."""
    open_orders = [o for market in _markets(call) for o in call.venue.ledger.open_orders(call.keys.account, market)]
    return answer(_rows(call, _page(call, open_orders, attrgetter("order_id"))))


def history(call: Call) -> web.Response:
    """Return the orders that are over, newest first."""
    if "instType" not in call.args:
        raise Refusal("50014", status=400)
    state = call.args.get("state")
    over = [
        order
        for market in _markets(call)
        for order in call.venue.ledger.orders(call.keys.account, market)
        if not order.status.is_open and state in {None, STATES[order.status]}
    ]
    return answer(_rows(call, _page(call, over, attrgetter("order_id"))))


def fills(call: Call) -> web.Response:
    """Return trades, newest first."""
    order_id = call.args.get("ordId")
    trades = [
        trade
        for market in _markets(call)
        for trade in call.venue.ledger.trades(call.keys.account, market)
        if order_id in {None, str(trade.order_id)}
    ]
    return answer([fill_row(call.venue, trade) for trade in _page(call, trades, attrgetter("trade_id"))])


def _placed(call: Call, args: Mapping[str, object]) -> Row:
    named = {"clOrdId": str(args.get("clOrdId") or ""), "tag": str(args.get("tag") or "")}
    try:
        order = call.venue.place(call.keys, args)
    except Refusal as refused:
        return {"ordId": "", **named, "sCode": refused.code, "sMsg": refused.words}
    return {"ordId": str(order.order_id), **named, "sCode": "0", "sMsg": "Order placed"}


def _canceled(call: Call, args: Mapping[str, object]) -> Row:
    named = {"ordId": str(args.get("ordId") or ""), "clOrdId": str(args.get("clOrdId") or "")}
    try:
        instrument = instrument_of(args, call.venue.instruments)
        order = call.venue.find(call.keys, instrument, args)
    except Refusal as refused:
        return {**named, "sCode": refused.code, "sMsg": refused.words}
    if order is None or not order.status.is_open:
        return {**named, "sCode": "51400", "sMsg": WORDS["51400"]}
    asyncio.get_running_loop().call_soon(_work_cancel, call, instrument, order)
    return {"ordId": str(order.order_id), "clOrdId": order.client_id, "sCode": "0", "sMsg": ""}


def _work_cancel(call: Call, instrument: Instrument, order: Order) -> None:
    with suppress(FloorRefusal):  # it traded meanwhile; nothing is said of a cancel that came too late
        call.venue.floor.cancel(call.keys.account, instrument.market, order_id=order.order_id)


def _markets(call: Call) -> list[Market]:
    """Return the markets that a request is about: the one that it names, or all. Raises `Refusal`."""
    kind = call.args.get("instType") or ""
    if kind and kind not in {*KINDS.values(), "MARGIN", "FUTURES", "OPTION"}:
        raise wrong_parameter("instType")
    return [market for market in Market if kind in {"", KINDS[market]}]


def _rows(call: Call, orders: Sequence[Order]) -> list[Row]:
    """Return orders with the last trade of each."""
    last = {
        (market, trade.order_id): trade
        for market in {order.market for order in orders}
        for trade in call.venue.ledger.trades(call.keys.account, market)
    }
    return [order_row(call.venue, order, last.get((order.market, order.order_id))) for order in orders]


def _page(call: Call, rows: Iterable[Found], number: Callable[[Found], int]) -> list[Found]:
    """Return the newest rows that a request wants: of an instrument, between ids, between times, a page of them."""
    args = call.args
    found = [row for row in rows if args.get("instId") in {None, _instrument(call, row).id}]
    after, before = _whole(args, "after"), _whole(args, "before")
    begin, end = _whole(args, "begin"), _whole(args, "end")
    wanted = [
        row
        for row in sorted(found, key=number, reverse=True)
        if (after is None or number(row) < after)
        and (before is None or number(row) > before)
        and (begin is None or _millis(row) >= begin)
        and (end is None or _millis(row) <= end)
    ]
    return wanted[: min(PAGE, _whole(args, "limit") or PAGE)]


def _instrument(call: Call, row: Order | Trade) -> Instrument:
    return call.venue.instrument(row.market, row.trading_pair)


def _millis(row: Order | Trade) -> int:
    return int(millis(row.updated_at if isinstance(row, Order) else row.at))


def _whole(args: Mapping[str, str], name: str) -> int | None:
    """Return a whole number of a request, None if it has none. Raises `Refusal`."""
    value = args.get(name)
    if value is None:
        return None
    if not value.isdigit():
        raise wrong_parameter(name)
    return int(value)
