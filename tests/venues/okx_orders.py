"""An OKX order as it is asked for: what the venue reads in a request, and what it refuses to read.

Sizes are contracts on swaps. In `long_short_mode` the position side says which position an order changes, and with the
side whether it opens or closes; `reduceOnly` counts in `net_mode` alone (OKX API v5, place order).
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from domain.values import ZERO, OrderType, PositionAction, PositionMode, PositionSide, Side, round_down
from tests.venues.okx_answers import Refusal, wrong_parameter
from tests.venues.okx_instruments import Instrument

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")

TYPES = {
    "limit": OrderType.LIMIT,
    "ioc": OrderType.LIMIT,
    "post_only": OrderType.LIMIT_MAKER,
    "market": OrderType.MARKET,
    "optimal_limit_ioc": OrderType.MARKET,
}
"""What each of the venue's order types is to the engine; the rest of an `ioc` is canceled at once."""

MODES = {"net_mode": PositionMode.ONEWAY, "long_short_mode": PositionMode.HEDGE}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its request said it. `size` as the venue counts (contracts on swaps, quote if `target` says so)."""

    instrument: Instrument
    client_id: str
    side: Side
    kind: str
    size: Decimal
    price: Decimal | None
    position_side: str
    reduce_only: bool
    trade_mode: str
    target: str

    @property
    def type(self) -> OrderType:
        """What the engine calls the type."""
        return TYPES[self.kind]

    @property
    def action(self) -> PositionAction:
        """Whether the order opens or closes."""
        if self.position_side == "net":
            return PositionAction.CLOSE if self.reduce_only else PositionAction.OPEN
        opens = (self.position_side == "long") == (self.side is Side.BUY)
        return PositionAction.OPEN if opens else PositionAction.CLOSE

    @property
    def touches(self) -> PositionSide:
        """Which position the order changes."""
        return PositionSide.BOTH if self.position_side == "net" else PositionSide(self.position_side.upper())

    def amount(self, best: Decimal) -> Decimal:
        """Return the base to trade; `best` is the price at which a size in quote is spent."""
        if self.target == "quote_ccy":
            return round_down(self.size / best, self.instrument.lot)
        return self.instrument.amount(self.size)


def number(args: Mapping[str, object], name: str) -> Decimal:
    """Return a positive number of a request. Raises `Refusal`."""
    try:
        value = Decimal(str(args.get(name, "")))
    except InvalidOperation as wrong:
        raise wrong_parameter(name) from wrong
    if not value.is_finite() or value <= 0:
        raise wrong_parameter(name)
    return value


def word(args: Mapping[str, object], name: str, *allowed: str) -> str:
    """Return a word of a request, "" if it has none and that is allowed. Raises `Refusal`."""
    value = str(args.get(name) or "")
    if value not in allowed:
        raise wrong_parameter(name)
    return value


def instrument_of(args: Mapping[str, object], instruments: Mapping[str, Instrument]) -> Instrument:
    """Return the instrument that a request names. Raises `Refusal`."""
    found = instruments.get(str(args.get("instId") or ""))
    if found is None:
        raise Refusal("51001")
    return found


def asked(args: Mapping[str, object], instruments: Mapping[str, Instrument], mode: PositionMode) -> Asked:
    """Read a request for an order. Raises `Refusal`."""
    instrument = instrument_of(args, instruments)
    client_id = str(args.get("clOrdId") or "")
    if client_id and CLIENT_ID.fullmatch(client_id) is None:
        raise wrong_parameter("clOrdId")
    side = Side(word(args, "side", "buy", "sell").upper())
    kind = word(args, "ordType", *TYPES)
    trade_mode = word(args, "tdMode", "cross" if instrument.perpetual else "cash")
    if not instrument.perpetual or mode is PositionMode.ONEWAY:
        position_side = word(args, "posSide", "", "net") or "net"
    else:
        position_side = word(args, "posSide", "long", "short")
    spends = not instrument.perpetual and kind == "market" and side is Side.BUY
    target = word(args, "tgtCcy", "", "base_ccy", "quote_ccy") or ("quote_ccy" if spends else "base_ccy")
    order = Asked(
        instrument=instrument,
        client_id=client_id,
        side=side,
        kind=kind,
        size=number(args, "sz"),
        price=None if TYPES[kind] is OrderType.MARKET else number(args, "px"),
        position_side=position_side,
        reduce_only=instrument.perpetual and str(args.get("reduceOnly") or "false").lower() == "true",
        trade_mode=trade_mode,
        target=target if spends else "base_ccy",
    )
    _fits(order)
    return order


def _fits(order: Asked) -> None:
    instrument = order.instrument
    if order.price is not None and order.price % instrument.tick != ZERO:
        raise wrong_parameter("px")
    if order.target == "quote_ccy":
        return
    if order.size < instrument.least:
        raise Refusal("51020")
    if order.size % instrument.lot != ZERO:
        raise Refusal("51121")
