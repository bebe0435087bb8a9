"""The table of all views."""

from projections import accounts, audit, orders, portfolio, positions, rates, reconciliation
from projections.view import View

VIEWS: tuple[View, ...] = (
    accounts.VIEW,
    orders.VIEW,
    positions.VIEW,
    portfolio.VIEW,
    reconciliation.VIEW,
    rates.VIEW,
    audit.VIEW,
)
