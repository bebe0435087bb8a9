"""The table of all commands: type → (handler, type of its result)."""

from commands import (
    accounts,
    archives,
    containers,
    orders,
    portfolio,
    positions,
    rates,
    reconciliation,
    reports,
    strategies,
)
from commands.bots import deploying, outcomes, stopping, telling, updates, watch
from commands.bus import Handlers

HANDLERS: Handlers = {
    **accounts.HANDLERS,
    **archives.HANDLERS,
    **containers.HANDLERS,
    **orders.HANDLERS,
    **portfolio.HANDLERS,
    **positions.HANDLERS,
    **rates.HANDLERS,
    **reconciliation.HANDLERS,
    **reports.HANDLERS,
    **strategies.HANDLERS,
    **deploying.HANDLERS,
    **outcomes.HANDLERS,
    **stopping.HANDLERS,
    **telling.HANDLERS,
    **updates.HANDLERS,
    **watch.HANDLERS,
}
