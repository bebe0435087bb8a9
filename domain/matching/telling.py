"""What the venue tells of one step, collected per account so that each account's facts make one report."""

from collections import deque

import msgspec

from domain.matching.cash import Cash
from domain.matching.margin import Margin, Position
from domain.matching.working import Working
from domain.orders import OrderFact, OrderObserved
from domain.positions import FundingPaid, PositionObserved
from domain.values import PositionSide, Utc, plain

REMEMBERED = 20_000
"""Of so many orders that are over the venue still knows what became of them."""


class Member(msgspec.Struct, kw_only=True, eq=False):
    """An account on the venue: what it owns, and its open orders by client order id.

    `closing` are those of its orders that only reduce.
    """

    name: str
    ledger: Cash | Margin
    margin: Margin | None  # the ledger of a perpetual venue
    orders: dict[str, Working] = msgspec.field(default_factory=dict)
    closing: dict[str, Working] = msgspec.field(default_factory=dict)


class Facts(msgspec.Struct, kw_only=True, eq=False):
    """What happened to one account in this step. `touched` are the positions that changed."""

    orders: list[tuple[str, OrderFact]] = msgspec.field(default_factory=list)
    observed: list[OrderObserved] = msgspec.field(default_factory=list)
    funding: list[FundingPaid] = msgspec.field(default_factory=list)
    touched: dict[tuple[str, PositionSide], Position] = msgspec.field(default_factory=dict)
    settled: bool = False  # balances may have changed


class Told:
    """The facts of orders, by client order id: of all that are open and of the last that are over."""

    def __init__(self) -> None:
        """Begin with no order known."""
        self._facts: dict[str, list[OrderFact]] = {}
        self._accounts: dict[str, str] = {}
        self._over: deque[str] = deque()

    def begin(self, account: str, client_order_id: str) -> None:
        """Know an order from now on."""
        self._facts[client_order_id] = []
        self._accounts[client_order_id] = account

    def add(self, client_order_id: str, fact: OrderFact) -> None:
        """Remember a fact of an order that is known."""
        self._facts[client_order_id].append(fact)

    def end(self, client_order_id: str) -> None:
        """Remember that an order is over; the one that is over for longest may be forgotten for it."""
        self._over.append(client_order_id)
        if len(self._over) > REMEMBERED:
            self.forget(self._over.popleft())

    def forget(self, client_order_id: str) -> None:
        """Know an order no more."""
        self._facts.pop(client_order_id, None)
        self._accounts.pop(client_order_id, None)

    def of(self, account: str, client_order_id: str) -> list[tuple[str, OrderFact]] | None:
        """Return all facts of an account's order, None if it is not known."""
        if self._accounts.get(client_order_id) != account:
            return None
        return [(client_order_id, fact) for fact in self._facts[client_order_id]]


def seen(
    ledger: Margin, trading_pair: str, side: PositionSide, position: Position, *, account: str, connector: str, now: Utc
) -> PositionObserved:
    """Return a position as the venue tells it."""
    mark = ledger.mark(trading_pair, position)
    return PositionObserved(
        account=account,
        connector=connector,
        trading_pair=trading_pair,
        side=side,
        amount=plain(position.amount),
        entry_price=plain(position.entry),
        mark_price=plain(mark),
        unrealized_pnl=plain((mark - position.entry) * position.amount),
        leverage=ledger.exposures[trading_pair].leverage,
        observed_at=now,
    )
