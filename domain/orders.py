"""Orders: from the intent to the venue's last word.

The intent is recorded before anything is sent, and only the venue's own word makes an outcome. Until there is one the
order is *placed* or *unknown*, and nothing is sent a second time.

```
            ┌─────────────► rejected | failed
  placed ───┤                          ┌──► filled
     │      └──► accepted ─── fills ───┼──► canceled
     └──► unknown ──┘ ▲                └──► expired
                      └── a fill or an acceptance counts in every state: facts may come late
```
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.connectors import TradingRule
from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.values import ZERO, Ids, OrderType, PositionAction, Side, Utc, keep_digits, plain, round_down


class OrderPlaced(Event, frozen=True, kw_only=True):
    """We want this order, and `server` will send it once. Stream `order-<client_order_id>`, as for the events below.

    `amount` in base, `price` in quote per base (None for MARKET).
    """

    client_order_id: str
    account: str
    connector: str
    trading_pair: str
    side: Side
    order_type: OrderType
    amount: Decimal
    price: Decimal | None
    position_action: PositionAction
    server: str
    placed_at: Utc


class OrderAccepted(Event, frozen=True, kw_only=True):
    """The venue has the order in its book, or had it there before it filled."""

    exchange_order_id: str
    accepted_at: Utc


class OrderRejected(Event, frozen=True, kw_only=True):
    """The venue refused the order, in its own words."""

    reason: str
    rejected_at: Utc


class OrderOutcomeUnknown(Event, frozen=True, kw_only=True):
    """We sent the order and did not hear what became of it; the venue will be asked until it is known."""

    reason: str
    noticed_at: Utc


class OrderFailed(Event, frozen=True, kw_only=True):
    """The venue does not know the order; `reason` holds the evidence."""

    reason: str
    failed_at: Utc


class OrderFilled(Event, frozen=True, kw_only=True):
    """One trade of an order, as the venue reported it. `amount` in base, `price` in quote per base."""

    trade_id: str  # unique per venue and pair; a repeat is ignored
    amount: Decimal
    price: Decimal
    fee: Decimal  # in fee_currency; negative is a rebate
    fee_currency: str
    is_maker: bool
    filled_at: Utc  # venue clock
    exchange_order_id: str | None = None


class CancelRequested(Event, frozen=True, kw_only=True):
    """We want the order canceled, and `server` will ask the venue."""

    server: str
    requested_at: Utc


class CancelRejected(Event, frozen=True, kw_only=True):
    """The venue did not cancel, in its own words; the order is what it was."""

    reason: str
    rejected_at: Utc


class OrderCanceled(Event, frozen=True, kw_only=True):
    """The venue took the rest of the order out of its book because somebody asked."""

    canceled_at: Utc


class OrderExpired(Event, frozen=True, kw_only=True):
    """The venue ended the order by its own rules (no depth left for a MARKET order, self-trade prevention)."""

    reason: str
    expired_at: Utc


class OrderObserved(Event, frozen=True, kw_only=True):
    """An order found at the venue that we did not place (a liquidation, another program with the same keys).

    Stream `order-<account>-<connector>-<exchange_order_id>`; its later facts are recorded there as for an order of
    ours.
    """

    account: str
    connector: str
    trading_pair: str
    exchange_order_id: str
    side: Side
    order_type: OrderType
    amount: Decimal
    price: Decimal | None
    position_action: PositionAction
    observed_at: Utc
    reason: str = ""
    client_order_id: str | None = None  # the id it bears at the venue, where that could be one of ours


EVENTS = (
    OrderPlaced,
    OrderAccepted,
    OrderRejected,
    OrderOutcomeUnknown,
    OrderFailed,
    OrderFilled,
    CancelRequested,
    CancelRejected,
    OrderCanceled,
    OrderExpired,
    OrderObserved,
)

OrderFact = OrderAccepted | OrderRejected | OrderFilled | CancelRejected | OrderCanceled | OrderExpired
"""What a venue itself can say of an order."""


class Status(StrEnum):
    """Where an order stands, see the picture above."""

    NEW = "new"
    PLACED = "placed"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FAILED = "failed"


OPEN = frozenset({Status.PLACED, Status.UNKNOWN, Status.ACCEPTED})
"""The statuses of an order that may still trade."""

_NOT_ACCEPTED = frozenset({Status.PLACED, Status.UNKNOWN, Status.REJECTED, Status.FAILED})
"""Those in which the venue's book is not known to have held it: a fill or an acceptance says that it did."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions need to know of an order. `filled` in base, `trade_ids` those counted already."""

    status: Status = Status.NEW
    account: str = ""
    connector: str = ""
    trading_pair: str = ""
    amount: Decimal = ZERO
    filled: Decimal = ZERO
    exchange_order_id: str | None = None
    cancel_requested: bool = False
    trade_ids: Ids = Ids()

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status in OPEN


NEW = Order()


def stream_of(client_order_id: str) -> str:
    """Return the stream of an order that we placed."""
    return f"order-{client_order_id}"


def observed_id(account: str, connector: str, exchange_order_id: str) -> str:
    """Return the id under which we keep an order that we did not place."""
    return f"{account}-{connector}-{exchange_order_id}"


def evolve(state: Order, event: Event) -> Order:
    """Return the order after one more event; every fact of the venue is taken as it comes."""
    change = msgspec.structs.replace
    match event:
        case OrderPlaced():
            return Order(
                status=Status.PLACED,
                account=event.account,
                connector=event.connector,
                trading_pair=event.trading_pair,
                amount=event.amount,
            )
        case OrderObserved():
            return Order(
                status=Status.ACCEPTED,
                account=event.account,
                connector=event.connector,
                trading_pair=event.trading_pair,
                amount=event.amount,
                exchange_order_id=event.exchange_order_id,
            )
        case OrderAccepted(exchange_order_id=exchange_order_id):
            return change(
                state,
                status=Status.ACCEPTED if state.status in _NOT_ACCEPTED else state.status,
                exchange_order_id=exchange_order_id,
            )
        case OrderFilled():
            return _filled(state, event)
        case OrderRejected() if state.is_open or state.status is Status.FAILED:
            return change(state, status=Status.REJECTED, cancel_requested=False)
        case OrderOutcomeUnknown() if state.status is Status.PLACED:
            return change(state, status=Status.UNKNOWN)
        case OrderFailed() if state.is_open:
            return change(state, status=Status.FAILED, cancel_requested=False)
        case CancelRequested():
            return change(state, cancel_requested=True)
        case CancelRejected():
            return change(state, cancel_requested=False)
        case OrderCanceled() if state.status is not Status.FILLED:
            return change(state, status=Status.CANCELED, cancel_requested=False)
        case OrderExpired() if state.status is not Status.FILLED:
            return change(state, status=Status.EXPIRED, cancel_requested=False)
        case _:
            return state


def _filled(state: Order, trade: OrderFilled) -> Order:
    filled = state.filled + trade.amount
    late = state.status in _NOT_ACCEPTED
    status = Status.FILLED if filled >= state.amount else Status.ACCEPTED if late else state.status
    return msgspec.structs.replace(
        state,
        status=status,
        filled=filled,
        exchange_order_id=state.exchange_order_id or trade.exchange_order_id,
        cancel_requested=state.cancel_requested and status is not Status.FILLED,
        trade_ids=state.trade_ids.plus(trade.trade_id),
    )


def place(
    *,
    client_order_id: str,
    account: str,
    connector: str,
    trading_pair: str,
    side: Side,
    order_type: OrderType,
    amount: Decimal,
    price: Decimal | None,
    position_action: PositionAction,
    rule: TradingRule,
    market_price: Decimal | None,
    server: str,
    at: Utc,
) -> list[Event]:
    """Decide to place an order, its amount and price rounded down to the venue's steps.

    `market_price` (quote per base, None when not known) values a MARKET order for the notional rule. Raises `Invalid`
    when the order is outside the trading rule.
    """
    if order_type is OrderType.MARKET:
        price = None
        if not rule.supports_market_orders:
            raise Invalid(f"Trading pair {trading_pair} does not support MARKET orders on {connector}")
    elif price is None:
        raise Invalid("Price is required for LIMIT and LIMIT_MAKER orders")
    elif not rule.supports_limit_orders:
        raise Invalid(f"Trading pair {trading_pair} does not support {order_type} orders on {connector}")
    else:
        rounded = round_down(price, rule.min_price_increment)
        if rounded:
            rounded = keep_digits(rounded, rule.max_price_significant_digits)
        if not rounded:
            raise Invalid(
                f"Order price {plain(price):f} is below minimum price increment {plain(rule.min_price_increment):f}"
                f" for {trading_pair}"
            )
        price = rounded
    quantized = round_down(amount, rule.min_base_amount_increment)
    if quantized < rule.min_order_size or not quantized:
        raise Invalid(
            f"Order amount {plain(amount):f} is below minimum order size {plain(rule.min_order_size):f}"
            f" for {trading_pair}"
        )
    if quantized > rule.max_order_size:
        raise Invalid(
            f"Order amount {plain(amount):f} is above maximum order size {plain(rule.max_order_size):f}"
            f" for {trading_pair}"
        )
    worth = price if price is not None else market_price
    closes = position_action is PositionAction.CLOSE  # venues let a position smaller than the minimum be closed
    if worth is not None and not closes and quantized * worth < rule.min_notional_size:
        raise Invalid(
            f"Order notional value {plain(quantized * worth):f} is below minimum notional size"
            f" {plain(rule.min_notional_size):f} for {trading_pair}."
            " Increase the amount or price to meet the minimum requirement."
        )
    return [
        OrderPlaced(
            client_order_id=client_order_id,
            account=account,
            connector=connector,
            trading_pair=trading_pair,
            side=side,
            order_type=order_type,
            amount=quantized,
            price=price,
            position_action=position_action,
            server=server,
            placed_at=at,
        )
    ]


def record(state: Order, fact: OrderFact) -> list[Event]:
    """Take a fact that the venue told; what is known already, or says nothing new, gives `[]`."""
    known = fact.trade_id in state.trade_ids if isinstance(fact, OrderFilled) else evolve(state, fact) == state
    return [] if known else [fact]


def lose(state: Order, *, reason: str, at: Utc) -> list[Event]:
    """Note that the venue did not answer; an outcome that came meanwhile stands."""
    return [OrderOutcomeUnknown(reason=reason, noticed_at=at)] if state.status is Status.PLACED else []


def fail(state: Order, *, reason: str, at: Utc) -> list[Event]:
    """Note that the venue positively does not know the order; an outcome that came meanwhile stands."""
    waiting = state.status in (Status.PLACED, Status.UNKNOWN)
    return [OrderFailed(reason=reason, failed_at=at)] if waiting else []


def cancel(state: Order, *, account: str, connector: str, client_order_id: str, server: str, at: Utc) -> list[Event]:
    """Decide to cancel; a cancel that is under way is not asked for again.

    Raises `NotFound` for an order that is not open, or not this account's on this connector.
    """
    if not state.is_open or state.account != account or state.connector != connector:
        raise NotFound(f"Order '{client_order_id}' not found in active orders")
    return [] if state.cancel_requested else [CancelRequested(server=server, requested_at=at)]


def observe(state: Order, order: OrderObserved) -> list[Event]:
    """Note an order that somebody else placed; one that is known gives `[]`."""
    return [order] if state.status is Status.NEW else []


def average_price(filled: Decimal, spent: Decimal) -> Decimal | None:
    """Return the volume-weighted price of fills, quote per base. `spent` is the sum of amount times price."""
    return spent / filled if filled else None
