"""Match what closes with what it closes: average cost, FIFO, LIFO, HIFO.

A ledger is of one trading pair (or one asset, priced in another) of one account. Its position is signed: trades that
enlarge it open lots, trades against it close them, and one that goes through zero does both. Fees are no part of a
price here; who wants them in adds them (`figures`).
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush, heapreplace
from operator import itemgetter

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
    """How things stand: what is held, in base, and what was paid for it, in quote; both negative in a short position.

    By average cost `lots` has the one lot there may be, so that `OpenLots` can go on from here. By the other methods
    lots may be many, and it is empty: `OpenLots` alone has them.
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


class OpenLots:
    """The open lots of a position, all of one sign, changed in place by each trade.

    `position` and `cost` are the sums over them. A trade costs the same however many lots are open; by HIFO, it costs
    the logarithm of their number.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Begin where things stand. Raises `ValueError` where something is held whose lots are not known."""
        if ledger.position and not ledger.lots:
            raise ValueError(f"{ledger.position} is held by {ledger.method.value}, and its lots are not known")
        self._method = ledger.method
        self._lots = _Ranked() if ledger.method is Method.HIFO else _Line(newest_first=ledger.method is Method.LIFO)
        for lot in ledger.lots:
            self._lots.add(lot)
        self.position, self.cost = ledger.position, ledger.cost

    @property
    def lots(self) -> tuple[Lot, ...]:
        """The open lots, oldest first."""
        return self._lots.by_age()

    @property
    def ledger(self) -> Ledger:
        """How things stand."""
        lots = self.lots if self._method is Method.AVERAGE else ()
        return Ledger(method=self._method, lots=lots, position=self.position, cost=self.cost)

    def take(self, deal: Deal) -> tuple[Close, ...]:
        """Count a trade; return what it has closed, lot by lot."""
        if not self._lots.count or (self._lots.first.amount > 0) is not (deal.side is Side.SELL):
            self._open(deal, deal.amount)
            return ()
        left, closes, sign = deal.amount, list[Close](), 1 if self._lots.first.amount > 0 else -1
        while left and self._lots.count:
            close, rest = _closed(self._lots.first, deal, left)
            left -= close.amount
            closes.append(close)
            self._lots.put_first(rest)
        self._less(sign, closes)
        if left:
            self._open(deal, left)
        return tuple(closes)

    def _open(self, deal: Deal, amount: Decimal) -> None:
        """Open a lot of `amount`; by average cost, make it one with the lot that is there."""
        paid = amount * deal.price
        signed, spent = (amount, paid) if deal.side is Side.BUY else (-amount, -paid)
        if self._method is Method.AVERAGE and self._lots.count:
            held = self._lots.first
            one = Lot(amount=held.amount + signed, cost=held.cost + paid, opened_at=held.opened_at, name=held.name)
            self._lots.put_first(one)
        else:
            self._lots.add(Lot(amount=signed, cost=paid, opened_at=deal.at, name=deal.name))
        self.position += signed
        self.cost += spent

    def _less(self, sign: int, closes: Sequence[Close]) -> None:
        """Take what was closed off the sums; with one lot or none they are exact again."""
        if not self._lots.count:
            self.position = self.cost = ZERO
        elif self._lots.count == 1:
            self.position, self.cost = self._lots.first.amount, sign * self._lots.first.cost
        else:
            self.position -= sign * sum((close.amount for close in closes), ZERO)
            self.cost -= sign * sum((close.cost for close in closes), ZERO)


def _closed(lot: Lot, deal: Deal, left: Decimal) -> tuple[Close, Lot | None]:
    """Return what `left` of a trade closes of a lot, and what stays of it."""
    held = abs(lot.amount)
    amount = min(left, held)
    cost = lot.cost if amount == held else lot.cost * amount / held
    close = Close(
        side=deal.side,
        amount=amount,
        cost=cost,
        proceeds=amount * deal.price,
        opened_at=lot.opened_at,
        closed_at=deal.at,
        entry_name=lot.name,
        exit_name=deal.name,
    )
    if amount == held:
        return close, None
    remains = lot.amount - amount if lot.amount > 0 else lot.amount + amount
    return close, Lot(amount=remains, cost=lot.cost - cost, opened_at=lot.opened_at, name=lot.name)


class _Line:
    """Lots in a line, of which the oldest or the newest is closed first."""

    def __init__(self, *, newest_first: bool) -> None:
        self._lots = deque[Lot]()
        self._end = -1 if newest_first else 0

    @property
    def count(self) -> int:
        return len(self._lots)

    @property
    def first(self) -> Lot:
        """The lot that is closed first."""
        return self._lots[self._end]

    def add(self, lot: Lot) -> None:
        """Add a lot, the newest."""
        self._lots.append(lot)

    def put_first(self, lot: Lot | None) -> None:
        """Have another lot in the place of the first one, or none."""
        if lot is not None:
            self._lots[self._end] = lot
        elif self._end:
            self._lots.pop()
        else:
            self._lots.popleft()

    def by_age(self) -> tuple[Lot, ...]:
        return tuple(self._lots)


class _Ranked:
    """Lots of which the one that cost most (of a short position: that brought least) is closed first.

    Of those that cost the same it is the oldest.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[Decimal, int, Lot]] = []
        self._added = 0

    @property
    def count(self) -> int:
        return len(self._heap)

    @property
    def first(self) -> Lot:
        """The lot that is closed first."""
        return self._heap[0][2]

    def add(self, lot: Lot) -> None:
        """Add a lot, the newest."""
        heappush(self._heap, (_rank(lot), self._added, lot))
        self._added += 1

    def put_first(self, lot: Lot | None) -> None:
        """Have another lot, of the same age, in the place of the first one, or none."""
        if lot is None:
            heappop(self._heap)
        else:
            heapreplace(self._heap, (_rank(lot), self._heap[0][1], lot))

    def by_age(self) -> tuple[Lot, ...]:
        return tuple(lot for _, _, lot in sorted(self._heap, key=itemgetter(1)))


def _rank(lot: Lot) -> Decimal:
    return lot.price if lot.amount < 0 else -lot.price
