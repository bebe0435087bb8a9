"""How a venue tells us what happened on an account."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from domain.orders import OrderFact, OrderObserved
from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.reconciliation import Compared, Trigger
from domain.values import Utc


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says of one account, facts in the order in which they happened there.

    `orders` pairs our client order id with what became of that order. `observed` are orders that we did not place,
    `holdings` the whole account *after* all facts of this report (None: not told), `positions` only those that
    changed. A `snapshot` is recorded even when it holds nothing new.

    A fact of an observed order is addressed in `orders` by its `orders.observed_id`, or by the `client_order_id` of an
    `OrderObserved` in the same report.

    A report that `reconciles` is a whole comparison of the venue with the log: whatever is new in it is a difference,
    and nothing else is recorded of it. `compared` counts what was asked for (None: what is in here).

    A report that was asked for says when that `began_at`, and `holdings_at` when it was asked for the holdings (None:
    then), on the clock of `reported_at`. What the log was told of later than that is newer, and stays; each position
    has its own time for this.
    """

    account: str
    connector: str
    reported_at: Utc
    orders: Sequence[tuple[str, OrderFact]] = ()
    observed: Sequence[OrderObserved] = ()
    holdings: Sequence[Holding] | None = None
    positions: Sequence[PositionObserved] = ()
    funding: Sequence[FundingPaid] = ()
    snapshot: bool = False
    reconciles: Trigger | Literal[""] = ""
    began_at: Utc | None = None
    holdings_at: Utc | None = None
    compared: Compared | None = None

    @property
    def stands_alone(self) -> bool:
        """Whether it may not be made one with others: what came before it must be in the log to compare it with."""
        return bool(self.reconciles) or self.began_at is not None

    @property
    def owned_at(self) -> Utc:
        """When the account owned the holdings, or later."""
        return self.holdings_at or self.began_at or self.reported_at


def merge(reports: Sequence[AccountReport]) -> AccountReport:
    """Return one report that says what several reports of one account on one connector said after each other.

    None of several may be one that stands alone.
    """
    if len(reports) == 1:
        return reports[0]
    last = reports[-1]
    return AccountReport(
        account=last.account,
        connector=last.connector,
        reported_at=last.reported_at,
        orders=[fact for report in reports for fact in report.orders],
        observed=[order for report in reports for order in report.observed],
        holdings=next((report.holdings for report in reversed(reports) if report.holdings is not None), None),
        positions=list({(p.trading_pair, p.side): p for report in reports for p in report.positions}.values()),
        funding=[payment for report in reports for payment in report.funding],
        snapshot=any(report.snapshot for report in reports),
    )
