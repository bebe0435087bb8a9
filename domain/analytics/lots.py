"""Match what closes with what it closes: average cost, FIFO, LIFO, HIFO.

A ledger is of one trading pair (or one asset, priced in another) of one account. Its position is signed: trades that
enlarge it open lots, trades against it close them, and one that goes through zero does both. Fees are no part of a
price here; who wants them in adds them (`figures`).
"""

from collections.abc import Callable, Iterator, Mapping
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
    """The open lots, oldest first; all of one sign."""

    method: Method
    lots: tuple[Lot, ...] = ()

    @property
    def position(self) -> Decimal:
        """What is held, in base; negative in a short position."""
        return sum((lot.amount for lot in self.lots), ZERO)

    @property
    def cost(self) -> Decimal:
        """What was paid for what is held, in quote; negative in a short position."""
        return sum((lot.cost if lot.amount > 0 else -lot.cost for lot in self.lots), ZERO)

    @property
    def entry_price(self) -> Decimal | None:
        """The average price of what is held, None when nothing is."""
        position = self.position
        return self.cost / position if position else None

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
    signed = amount if deal.side is Side.BUY else -amount
    lot = Lot(amount=signed, cost=amount * deal.price, opened_at=deal.at, name=deal.name)
    if ledger.method is not Method.AVERAGE or not ledger.lots:
        return msgspec.structs.replace(ledger, lots=(*ledger.lots, lot))
    (held,) = ledger.lots
    one = msgspec.structs.replace(held, amount=held.amount + signed, cost=held.cost + lot.cost)
    return msgspec.structs.replace(ledger, lots=(one,))


def _against(ledger: Ledger, deal: Deal) -> tuple[Ledger, tuple[Close, ...]]:
    """Close lots in the order of the method, and open one of what is left of the trade."""
    left, closes, kept = deal.amount, [], dict(enumerate(ledger.lots))
    for place in _order(ledger):
        if not left:
            break
        lot = kept[place]
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
        if amount == held:
            del kept[place]
        else:
            rest = lot.amount - amount if lot.amount > 0 else lot.amount + amount
            kept[place] = msgspec.structs.replace(lot, amount=rest, cost=lot.cost - cost)
    after = msgspec.structs.replace(ledger, lots=tuple(kept.values()))
    return (_along(after, deal, left) if left else after), tuple(closes)


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
