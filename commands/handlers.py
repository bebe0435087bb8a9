"""The table of all commands: type → (handler, type of its result)."""

from commands import accounts, orders, portfolio, positions, rates, reconciliation, reports
from commands.bus import Handlers

HANDLERS: Handlers = {
    **accounts.HANDLERS,
    **orders.HANDLERS,
    **portfolio.HANDLERS,
    **positions.HANDLERS,
    **rates.HANDLERS,
    **reconciliation.HANDLERS,
    **reports.HANDLERS,
}
