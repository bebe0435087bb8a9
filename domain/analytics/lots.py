"""Match what closes with what it closes: average cost, FIFO, LIFO, HIFO.

A ledger is of one trading pair (or one asset, priced in another) of one account. Its position is signed: trades that
enlarge it open lots, trades against it close them, and one that goes through zero does both. Fees are no part of a
price here; who wants them in adds them (`figures`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.values import ZERO, Side


class Method(StrEnum):
    """Which of the open lots a trade closes first.

    AVERAGE: all alike, at their average price. FIFO: the oldest. LIFO: the newest. HIFO: those that cost most (of a
    short position: that brought least), so that the profit is the smallest there can be.
    """

    AVERAGE = "average"
    FIFO = "fifo"
    LIFO = "lifo"
    HIFO = "hifo"


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """One trade as a ledger sees it: `amount` in base, above zero; `price` in quote per base; `name` for who looks."""

    side: Side
    amount: Decimal
    price: Decimal
    at: datetime
    name: str = ""


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of what one trade opened: `amount` negative in a short position, `cost` what it moved, above zero.

    By average cost there is one lot at most, opened by the first trade of the position. The cost is kept, and not the
    price, so that what is rounded when a part is closed is not lost: it is closed with the rest.
    """

    amount: Decimal
    cost: Decimal
    opened_at: datetime
    name: str = ""

    @property
    def price(self) -> Decimal:
        """Quote per base."""
        return self.cost / abs(self.amount)


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a position that was closed. `amount` is above zero, `side` that of the closing trade."""

    side: Side
    amount: Decimal
    cost: Decimal  # of the opening, in quote
    proceeds: Decimal  # of the closing
    opened_at: datetime
    closed_at: datetime
    entry_name: str = ""
    exit_name: str = ""

    @property
    def pnl(self) -> Decimal:
        """Profit in quote, before fees."""
        return self.proceeds - self.cost if self.side is Side.SELL else self.cost - self.proceeds

    @property
    def entry_price(self) -> Decimal:
        """Quote per base at the opening."""
        return self.cost / self.amount


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The open lots, oldest first; all of one sign.

    `position` is what is held, in base, and `cost` what was paid for it, in quote; both negative in a short position.
    They are the sums over the lots, kept so that a trade costs the same however many lots there are.
    """

    method: Method
    lots: tuple[Lot, ...] = ()
    position: Decimal = ZERO
    cost: Decimal = ZERO

    @property
    def entry_price(self) -> Decimal | None:
        """The average price of what is held, None when nothing is."""
        return self.cost / self.position if self.position else None

    def unrealized(self, mark_price: Decimal) -> Decimal:
        """Return the profit of what is held at a price, in quote, before fees."""
        return self.position * mark_price - self.cost


def take(ledger: Ledger, deal: Deal) -> tuple[Ledger, tuple[Close, ...]]:
    """Return the ledger after a trade, and what the trade has closed, lot by lot."""
    if ledger.lots and (ledger.lots[0].amount > 0) is (deal.side is Side.SELL):
        return _against(ledger, deal)
    return _along(ledger, deal, deal.amount), ()


def _along(ledger: Ledger, deal: Deal, amount: Decimal) -> Ledger:
    """Open a lot of `amount`; by average cost, make it one with the lot that is there."""
    paid = amount * deal.price
    signed, spent = (amount, paid) if deal.side is Side.BUY else (-amount, -paid)
    lots = ledger.lots
    if ledger.method is Method.AVERAGE and lots:
        held = lots[0]
        lot = Lot(amount=held.amount + signed, cost=held.cost + paid, opened_at=held.opened_at, name=held.name)
        lots = (lot,)
    else:
        lots = (*lots, Lot(amount=signed, cost=paid, opened_at=deal.at, name=deal.name))
    return Ledger(method=ledger.method, lots=lots, position=ledger.position + signed, cost=ledger.cost + spent)


def _against(ledger: Ledger, deal: Deal) -> tuple[Ledger, tuple[Close, ...]]:
    """Close lots in the order of the method, and open one of what is left of the trade."""
    left, closes, lots = deal.amount, [], ledger.lots
    kept: dict[int, Lot] | None = None  # places of the lots that stay, made only where more than one is there
    if len(lots) > 1:
        kept = dict(enumerate(lots))
    for place in _order(ledger):
        if not left:
            break
        lot = lots[place]
        held = abs(lot.amount)
        amount = min(left, held)
        cost = lot.cost if amount == held else lot.cost * amount / held
        left -= amount
        closes.append(
            Close(
                side=deal.side,
                amount=amount,
                cost=cost,
                proceeds=amount * deal.price,
                opened_at=lot.opened_at,
                closed_at=deal.at,
                entry_name=lot.name,
                exit_name=deal.name,
            )
        )
        rest: Lot | None = None
        if amount != held:
            remains = lot.amount - amount if lot.amount > 0 else lot.amount + amount
            rest = Lot(amount=remains, cost=lot.cost - cost, opened_at=lot.opened_at, name=lot.name)
        if kept is None:
            lots = () if rest is None else (rest,)
            break
        if rest is None:
            del kept[place]
        else:
            kept[place] = rest
    if kept is not None:
        lots = tuple(kept.values())
    after = _less(ledger, lots, closes)
    return (_along(after, deal, left) if left else after), tuple(closes)


def _less(ledger: Ledger, lots: tuple[Lot, ...], closes: Sequence[Close]) -> Ledger:
    """Return a ledger after lots were closed; with one lot or none its sums are exact again."""
    if not lots:
        return Ledger(method=ledger.method)
    sign = 1 if lots[0].amount > 0 else -1
    if len(lots) == 1:
        position, cost = lots[0].amount, sign * lots[0].cost
    else:
        position = ledger.position - sign * sum((close.amount for close in closes), ZERO)
        cost = ledger.cost - sign * sum((close.cost for close in closes), ZERO)
    return Ledger(method=ledger.method, lots=lots, position=position, cost=cost)


_FIRST: Mapping[Method, Callable[[Lot], Decimal]] = {
    Method.HIFO: lambda lot: lot.price if lot.amount < 0 else -lot.price
}


def _order(ledger: Ledger) -> Iterator[int]:
    """Yield the places of the lots in the order in which they are closed."""
    places = range(len(ledger.lots))
    if ledger.method is Method.LIFO:
        yield from reversed(places)
    elif ledger.method in _FIRST:
        first = _FIRST[ledger.method]
        yield from sorted(places, key=lambda place: first(ledger.lots[place]))
    else:
        yield from places
