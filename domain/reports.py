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


def merge(first: AccountReport, second: AccountReport) -> AccountReport:
    """Return one report that says what two reports of one account said after each other."""
    positions = {(p.trading_pair, p.side): p for p in (*first.positions, *second.positions)}
    return AccountReport(
        account=first.account,
        connector=first.connector,
        reported_at=second.reported_at,
        orders=[*first.orders, *second.orders],
        observed=[*first.observed, *second.observed],
        holdings=first.holdings if second.holdings is None else second.holdings,
        positions=list(positions.values()),
        funding=[*first.funding, *second.funding],
        snapshot=first.snapshot or second.snapshot,
    )
