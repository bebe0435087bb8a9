"""The table of all views."""

from projections import accounts, archives, audit, bots, orders, portfolio, positions, rates, reconciliation, strategies
from projections.view import View

VIEWS: tuple[View, ...] = (
    accounts.VIEW,
    orders.VIEW,
    positions.VIEW,
    portfolio.VIEW,
    reconciliation.VIEW,
    rates.VIEW,
    strategies.VIEW,
    bots.VIEW,
    archives.VIEW,
    audit.VIEW,
)
