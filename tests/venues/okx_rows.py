"""OKX's rows: orders, fills, balances, positions and bills as REST and the streams write them.

All numbers are strings. Sizes are contracts on swaps, fees are negative when they were charged, and what is not there
is an empty string.
"""

from collections.abc import Iterable
from decimal import Decimal

from domain.matching.margin import MAINTENANCE
from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.values import ZERO, OrderType, PositionAction, PositionMode, PositionSide, Utc
from tests.venues.ledger import Order, Status, TimeInForce, Trade
from tests.venues.okx_answers import Row, millis
from tests.venues.okx_instruments import Instrument, text
from tests.venues.okx_venue import CANCEL_SOURCES, Venue

_FINEST = Decimal("1e-12")  # of what has no end

STATES = {
    Status.NEW: "live",
    Status.PARTLY_FILLED: "partially_filled",
    Status.FILLED: "filled",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "canceled",  # the venue has one word for both; `cancelSource` tells them apart
}


def order_row(venue: Venue, order: Order, last: Trade | None) -> Row:
    """Return an order as it stood after its `last` trade."""
    instrument = venue.instrument(order.market, order.trading_pair)
    how = venue.how(order)
    fee = -sum(order.fees.values(), ZERO)
    swap = instrument.perpetual
    return {
        "instType": instrument.kind,
        "instId": instrument.id,
        "ordId": str(order.order_id),
        "clOrdId": order.client_id,
        "tag": "",
        "px": "" if order.price is None else text(order.price),
        "sz": instrument.size(order.amount) if how is None else text(how.size),
        "tgtCcy": ("" if how is None else how.target) if order.order_type is OrderType.MARKET and not swap else "",
        "ordType": _kind(order) if how is None else how.kind,
        "side": order.side.lower(),
        "posSide": _side(order.position_side) if swap else "",
        "tdMode": "cross" if swap else "cash",
        "reduceOnly": _true(order.position_side is PositionSide.BOTH and order.action is PositionAction.CLOSE),
        "accFillSz": instrument.size(order.filled),
        "avgPx": _short(order.average_price) if order.filled else "",
        "state": STATES[order.status],
        "lever": str(venue.desk(instrument).leverage(order.account, order.trading_pair)) if swap else "",
        "fee": text(fee),
        "feeCcy": next(iter(order.fees), instrument.quote),
        "rebate": "0",
        "rebateCcy": instrument.quote,
        "pnl": "0",
        "category": "full_liquidation" if order.client_id.startswith("autoclose-") else "normal",
        "cancelSource": _cancel_source(order),
        "cancelSourceReason": order.reason,
        "stpMode": "cancel_maker",
        "uTime": millis(order.updated_at),
        "cTime": millis(order.created_at),
        **_last_fill(instrument, last),
    }


def fill_row(venue: Venue, trade: Trade) -> Row:
    """Return one fill."""
    instrument = venue.instrument(trade.market, trade.trading_pair)
    return {
        "instType": instrument.kind,
        "instId": instrument.id,
        "tradeId": str(trade.trade_id),
        "ordId": str(trade.order_id),
        "clOrdId": trade.client_id,
        "billId": str(trade.trade_id),
        "tag": "",
        "fillPx": text(trade.price),
        "fillSz": instrument.size(trade.amount),
        "side": trade.side.lower(),
        "posSide": _side(trade.position_side) if instrument.perpetual else "",
        "execType": _role(trade),
        "feeCcy": trade.fee_currency,
        "fee": text(-trade.fee),
        "fillTime": millis(trade.at),
        "ts": millis(trade.at),
    }


def balance_row(holdings: Iterable[Holding], at: Utc) -> Row:
    """Return an account's balances."""
    return {
        "uTime": millis(at),
        "totalEq": "",
        "details": [
            {
                "ccy": holding.token,
                "eq": text(holding.units),
                "cashBal": text(holding.units),
                "availBal": text(holding.available),
                "availEq": text(holding.available),
                "frozenBal": text(holding.units - holding.available),
                "ordFrozen": text(holding.units - holding.available),
                "upl": "0",
                "uTime": millis(at),
            }
            for holding in holdings
        ],
    }


def position_row(venue: Venue, instrument: Instrument, position: PositionObserved) -> Row:
    """Return a position; one in `net_mode` is signed, those of `long_short_mode` never are."""
    held = position.side is not PositionSide.BOTH
    closed = not position.amount
    size = instrument.size(abs(position.amount) if held else position.amount)
    worth = abs(position.amount) * position.mark_price
    return {
        "instType": instrument.kind,
        "instId": instrument.id,
        "posId": f"{instrument.code}{list(PositionSide).index(position.side)}",
        "posSide": _side(position.side),
        "mgnMode": "cross",
        "pos": size,
        "availPos": "" if closed else text(abs(position.amount) / instrument.contract),
        "avgPx": "" if closed else text(position.entry_price),
        "markPx": text(position.mark_price),
        "upl": "" if closed else text(position.unrealized_pnl),
        "uplRatio": "",
        "lever": str(position.leverage),
        "liqPx": "",
        "imr": "" if closed else _short(worth / position.leverage),
        "mmr": "" if closed else text(worth * MAINTENANCE),
        "mgnRatio": "",
        "notionalUsd": text(worth),
        "ccy": instrument.quote,
        "realizedPnl": "",
        "uTime": millis(position.observed_at),
        "cTime": millis(position.observed_at),
    }


def funding_row(instrument: Instrument, number: int, payment: FundingPaid) -> Row:
    """Return a funding payment as a bill."""
    units = payment.rate * payment.position_size
    return {
        "billId": str(number),
        "instType": instrument.kind,
        "instId": instrument.id,
        "ccy": payment.currency,
        "type": "8",
        "subType": "173" if payment.payment < 0 else "174",
        "balChg": text(payment.payment),
        "posBalChg": "0",
        "pnl": text(payment.payment),
        "sz": instrument.size(payment.position_size),
        "px": _short(abs(payment.payment / units)) if units else "",
        "mgnMode": "cross",
        "ts": millis(payment.paid_at),
    }


def modes(mode: PositionMode) -> str:
    """Return the venue's word for a position mode."""
    return "long_short_mode" if mode is PositionMode.HEDGE else "net_mode"


def _last_fill(instrument: Instrument, trade: Trade | None) -> Row:
    if trade is None:
        return {
            "tradeId": "",
            "fillPx": "",
            "fillSz": "0",
            "fillTime": "",
            "fillFee": "0",
            "fillFeeCcy": "",
            "execType": "",
        }
    return {
        "tradeId": str(trade.trade_id),
        "fillPx": text(trade.price),
        "fillSz": instrument.size(trade.amount),
        "fillTime": millis(trade.at),
        "fillFee": text(-trade.fee),
        "fillFeeCcy": trade.fee_currency,
        "execType": _role(trade),
    }


def _kind(order: Order) -> str:
    if order.order_type is OrderType.LIMIT and order.time_in_force is TimeInForce.AT_ONCE:
        return "ioc"
    return {OrderType.LIMIT: "limit", OrderType.MARKET: "market", OrderType.LIMIT_MAKER: "post_only"}[order.order_type]


def _cancel_source(order: Order) -> str:
    if order.status is Status.CANCELED:
        return "1"
    return CANCEL_SOURCES[order.reason] if order.status is Status.EXPIRED else ""


def _side(side: PositionSide) -> str:
    return "net" if side is PositionSide.BOTH else side.lower()


def _role(trade: Trade) -> str:
    return "M" if trade.is_maker else "T"


def _short(value: Decimal) -> str:
    return text(value.quantize(_FINEST))


def _true(value: bool) -> str:
    return "true" if value else "false"
