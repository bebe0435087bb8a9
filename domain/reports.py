"""How a venue tells us what happened on an account."""

from collections.abc import Sequence

import msgspec

from domain.orders import OrderFact, OrderObserved
from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.values import Utc


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says of one account, facts in the order in which they happened there.

    `orders` pairs our client order id with what became of that order. `observed` are orders that we did not place,
    `holdings` the whole account *after* all facts of this report (None: not told), `positions` only those that
    changed. A `snapshot` is recorded even when it holds nothing new.
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


def merge(reports: Sequence[AccountReport]) -> AccountReport:
    """Return one report that says what several reports of one account on one connector said after each other."""
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
