"""The table of all commands: type → (handler, type of its result)."""

from commands import accounts, archives, orders, portfolio, positions, rates, reconciliation, reports, strategies
from commands.bots import updates, watch
from commands.bus import Handlers

HANDLERS: Handlers = {
    **accounts.HANDLERS,
    **archives.HANDLERS,
    **orders.HANDLERS,
    **portfolio.HANDLERS,
    **positions.HANDLERS,
    **rates.HANDLERS,
    **reconciliation.HANDLERS,
    **reports.HANDLERS,
    **strategies.HANDLERS,
    **updates.HANDLERS,
    **watch.HANDLERS,
}
