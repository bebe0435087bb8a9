"""Reconciliation: what a venue knows now against what the log knew, and what was wrong.

A difference is recorded beside the facts that correct the log, in one commit with them. An account that was never seen
on a connector before has nothing that could differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Literal

import msgspec

from domain import orders
from domain.events import Event
from domain.orders import Order, OrderFilled, OrderObserved
from domain.portfolio import Balance, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.values import ZERO, Utc, plain

Trigger = Literal["start", "reconnect", "schedule"]
"""Why an account was compared: it was connected, its stream had a gap, or it was time to."""


class Kind(StrEnum):
    """What differed."""

    ORDER = "order"
    TRADE = "trade"
    BALANCE = "balance"
    POSITION = "position"
    FUNDING = "funding"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each the venue was asked for."""

    orders: int = 0
    trades: int = 0
    tokens: int = 0
    positions: int = 0


class DifferenceFound(Event, frozen=True, kw_only=True):
    """The log did not know what the venue did. Stream `reconciliation-<account>-<connector>`, as for the event below.

    `subject` is the order's id, `<order id> <trade id>`, the token, `<pair> <side>` or the funding id. `ours` is what
    the log said before, empty where it knew nothing; `venue` what it says now. Amounts are plain decimals.
    """

    account: str
    connector: str
    kind: Kind
    subject: str
    ours: dict[str, str]
    venue: dict[str, str]
    found_at: Utc


class AccountReconciled(Event, frozen=True, kw_only=True):
    """An account was compared with its venue; `differences` is how many `DifferenceFound` stand right before this."""

    account: str
    connector: str
    trigger: str
    began_at: Utc
    finished_at: Utc
    compared: Compared
    differences: int


EVENTS = (DifferenceFound, AccountReconciled)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What the log said of one thing, and what it says now; fields as in `DifferenceFound`."""

    kind: Kind
    subject: str
    ours: dict[str, str]
    venue: dict[str, str]


def stream_of(account: str, connector: str) -> str:
    """Return the stream of an account's comparisons with a venue."""
    return f"reconciliation-{account}-{connector}"


def of_order(order_id: str, before: Order, facts: Sequence[Event]) -> list[Difference]:
    """Say what new facts of an order change in it: each trade that was missed, then where the order stands."""
    if not facts:
        return []
    after = reduce(orders.evolve, facts, before)
    ours, venue = _order(before), _order(after)
    for name in ("exchange_order_id", "cancel_requested"):
        was, is_now = getattr(before, name), getattr(after, name)
        if was != is_now:
            ours |= {name: _word(was)} if was else {}
            venue |= {name: _word(is_now)}
    for fact in facts:
        if isinstance(fact, OrderObserved):
            ours = {}
            venue |= {"trading_pair": fact.trading_pair, "side": fact.side.value}
    trades = [
        Difference(kind=Kind.TRADE, subject=f"{order_id} {fact.trade_id}", ours={}, venue=_trade(fact))
        for fact in facts
        if isinstance(fact, OrderFilled)
    ]
    return [*trades, Difference(kind=Kind.ORDER, subject=order_id, ours=ours, venue=venue)]


def of_balances(before: Iterable[Balance], holdings: Iterable[Holding]) -> list[Difference]:
    """Say which tokens an account has more or less of than the log said.

    What is available of a token moves with orders and, on perpetuals, with prices: by itself it is no difference.
    """
    ours = {b.token: _units(b.units, b.available) for b in before}
    venue = {h.token: _units(h.units, h.available) for h in holdings}
    nothing = _units(ZERO, ZERO)
    return [
        Difference(kind=Kind.BALANCE, subject=token, ours=was, venue=is_now)
        for token in dict.fromkeys((*ours, *venue))
        if (was := ours.get(token, nothing))["units"] != (is_now := venue.get(token, nothing))["units"]
    ]


def of_position(before: PositionObserved | None, seen: PositionObserved) -> Difference:
    """Say that a position is another one than the log said."""
    ours = {"amount": _word(ZERO)} if before is None else _position(before)
    return Difference(kind=Kind.POSITION, subject=f"{seen.trading_pair} {seen.side}", ours=ours, venue=_position(seen))


def of_funding(paid: FundingPaid) -> Difference:
    """Say that a funding payment was missed."""
    venue = {"trading_pair": paid.trading_pair, "payment": _word(paid.payment), "currency": paid.currency}
    return Difference(kind=Kind.FUNDING, subject=paid.funding_id, ours={}, venue=venue)


def conclude(
    differences: Sequence[Difference],
    *,
    account: str,
    connector: str,
    trigger: str,
    began_at: Utc,
    finished_at: Utc,
    compared: Compared,
) -> list[Event]:
    """Note what was found, and that the comparison is done."""
    found = [
        DifferenceFound(
            account=account,
            connector=connector,
            kind=difference.kind,
            subject=difference.subject,
            ours=difference.ours,
            venue=difference.venue,
            found_at=finished_at,
        )
        for difference in differences
    ]
    done = AccountReconciled(
        account=account,
        connector=connector,
        trigger=trigger,
        began_at=began_at,
        finished_at=finished_at,
        compared=compared,
        differences=len(found),
    )
    return [*found, done]


def _order(order: Order) -> dict[str, str]:
    return {"status": order.status.value, "filled": _word(order.filled), "amount": _word(order.amount)}


def _trade(trade: OrderFilled) -> dict[str, str]:
    return _words({"amount": trade.amount, "price": trade.price, "fee": trade.fee, "fee_currency": trade.fee_currency})


def _units(units: Decimal, available: Decimal) -> dict[str, str]:
    return _words({"units": units, "available": available})


def _position(seen: PositionObserved) -> dict[str, str]:
    return _words({"amount": seen.amount, "entry_price": seen.entry_price, "leverage": seen.leverage})


def _words(values: Mapping[str, object]) -> dict[str, str]:
    return {name: _word(value) for name, value in values.items()}


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{plain(value):f}" if isinstance(value, Decimal) else str(value)
