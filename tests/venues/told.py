"""What an exchange tells, kept and folded by the rules of the log: an order here is what the log would say of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import msgspec

from domain import orders
from domain.orders import OrderFact, OrderFilled, OrderObserved, OrderPlaced
from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.reports import AccountReport
from domain.values import ZERO, PositionSide
from tests.venues.ledger import Order as Truth

T = TypeVar("T")

PATIENCE_SECONDS = 5.0


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


async def until(holds: Callable[[], T | None]) -> T:
    """Return what a condition gives once it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := holds()):
            await asyncio.sleep(0.002)
        return found


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order; `fees` by currency, `price` the average one."""

    status: str
    filled: Decimal
    price: Decimal
    fees: Mapping[str, Decimal]


class Told:
    """A sink that records every report at once, and folds the facts of orders as the log does."""

    def __init__(self) -> None:
        self.reports: list[AccountReport] = []
        self.recording = True
        self._placed: dict[str, OrderPlaced] = {}

    def __call__(self, report: AccountReport) -> asyncio.Future[int]:
        self.reports.append(report)
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.recording:
            recorded.set_result(len(self.reports))
        return recorded

    def expect(self, order: OrderPlaced) -> None:
        self._placed[order.client_order_id] = order

    def facts(self, order_id: str) -> list[OrderFact]:
        """Return all that was told of an order."""
        return [fact for report in self.reports for one, fact in report.orders if one == order_id]

    def kinds(self, order_id: str) -> list[str]:
        """Return the names of what was told of an order."""
        return [type(fact).__name__ for fact in self.facts(order_id)]

    def observed(self) -> dict[str, OrderObserved]:
        """Return the orders of others, by the venue's id."""
        return {order.exchange_order_id: order for report in self.reports for order in report.observed}

    def fold(self, order_id: str) -> tuple[orders.Order, list[OrderFilled]]:
        """Return what the log would say of an order, and its trades; a fact of an unknown order is told of nobody."""
        order = orders.NEW
        if order_id in self._placed:
            order = orders.evolve(order, self._placed[order_id])
        fills: list[OrderFilled] = []
        for report in self.reports:
            for seen in report.observed:
                if order_id == orders.observed_id(seen.account, seen.connector, seen.exchange_order_id):
                    for event in orders.observe(order, seen):
                        order = orders.evolve(order, event)
            for one, fact in report.orders:
                if one == order_id and order != orders.NEW:
                    for event in orders.record(order, fact):
                        order = orders.evolve(order, event)
                        fills += [event] if isinstance(event, OrderFilled) else []
        return order, fills

    def done(self, order_id: str) -> Done:
        """Return what became of an order."""
        order, fills = self.fold(order_id)
        spent = sum((fill.amount * fill.price for fill in fills), ZERO)
        fees: dict[str, Decimal] = {}
        for fill in fills:
            fees[fill.fee_currency] = fees.get(fill.fee_currency, ZERO) + fill.fee
        price = spent / order.filled if order.filled else ZERO
        return Done(status=order.status, filled=order.filled, price=price, fees=fees)

    def holdings(self) -> dict[str, Holding]:
        """Return the balances that were told last."""
        told = next((r.holdings for r in reversed(self.reports) if r.holdings is not None), ())
        return {holding.token: holding for holding in told}

    def positions(self) -> dict[tuple[str, PositionSide], PositionObserved]:
        """Return the positions that were told last, without those that are closed."""
        told = {(p.trading_pair, p.side): p for report in self.reports for p in report.positions}
        return {key: position for key, position in told.items() if position.amount}

    def funding(self) -> list[FundingPaid]:
        """Return every funding payment once, as the log keeps them."""
        return list({paid.funding_id: paid for report in self.reports for paid in report.funding}.values())


def all_once(facts: Sequence[OrderFact]) -> bool:
    """Whether no trade and no end is told twice."""
    trades = [fact.trade_id for fact in facts if isinstance(fact, OrderFilled)]
    ends = [fact for fact in facts if type(fact).__name__ in {"OrderCanceled", "OrderExpired", "OrderRejected"}]
    return len(set(trades)) == len(trades) and len(ends) <= 1


def done_at(truth: Truth) -> Done:
    """Return what the venue says became of an order."""
    status = {"NEW": "accepted", "PARTLY_FILLED": "accepted"}.get(truth.status, truth.status.lower())
    return Done(status=status, filled=truth.filled, price=truth.average_price, fees=truth.fees)
