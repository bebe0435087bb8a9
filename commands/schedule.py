"""What happens by the clock: which job, how often, what it does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

import msgspec
import structlog

from commands.abreast import abreast
from commands.bots.watch import BotWatch
from commands.bus import Bus, origin_of_process
from commands.portfolio import ObserveBalances
from commands.processes.accounts import reconnect
from commands.processes.archives import ArchiveWatch
from commands.processes.bots import BotKeeper
from commands.processes.orders import OrderWatch
from commands.reconciliation import Reconcile
from domain.errors import DomainError

logger = structlog.get_logger()

KEYS_KEPT = timedelta(days=30)
RECONCILED_AT_ONCE = 8
"""How many accounts on one connector are compared at once: their requests share the venue's limits with orders."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job: every so often, never two runs of it at once. `aligned` starts it on whole multiples of the interval."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]
    aligned: bool = False


def jobs(
    bus: Bus,
    watch: OrderWatch,
    *,
    observe_every: timedelta,
    reconcile_every: timedelta,
    keeper: BotKeeper,
    archives: ArchiveWatch | None = None,
) -> Sequence[Job]:
    """Return all jobs of the work part."""
    of_bots = [
        Job(name="watch_bots", every=timedelta(seconds=2), run=BotWatch(bus, bus.ports.fleet).look),
        Job(name="look_at_bots", every=timedelta(seconds=5), run=keeper.look),
    ]
    if archives is not None:
        of_bots.append(Job(name="import_archives", every=timedelta(seconds=5), run=archives.look))
    return (
        Job(name="observe_balances", every=observe_every, run=lambda: observe_all(bus), aligned=True),
        Job(name="reconcile", every=reconcile_every, run=lambda: reconcile_all(bus, within=reconcile_every)),
        Job(name="settle_orders", every=timedelta(seconds=3), run=watch.look),
        Job(name="forget_keys", every=timedelta(hours=1), run=lambda: forget_keys(bus)),
        Job(name="reconnect", every=timedelta(seconds=30), run=lambda: reconnect(bus)),
        *of_bots,
    )


async def forget_keys(bus: Bus) -> None:
    """Forget the idempotency keys that nobody will use again."""
    forgotten = await bus.ports.log.forget_keys(bus.ports.clock() - KEYS_KEPT)
    logger.info("idempotency_keys_forgotten", keys=forgotten)


async def observe_all(bus: Bus, accounts: Sequence[str] | None = None, connectors: Sequence[str] | None = None) -> int:
    """Record a snapshot of every account on every connector, or of those named; return the newest position."""
    observed = await asyncio.gather(
        *[
            observe(bus, account, connector)
            for account, connected in bus.ports.venues.accounts().items()
            for connector in sorted(connected)
            if (accounts is None or account in accounts) and (connectors is None or connector in connectors)
        ]
    )
    return max(observed, default=0)


async def observe(bus: Bus, account: str, connector: str) -> int:
    """Record a snapshot of an account; one venue that is away leaves the others their snapshots."""
    try:
        outcome = await bus.dispatch(
            ObserveBalances(account=account, connector=connector), origin_of_process("schedule", bus.ports.new_id)
        )
    except DomainError as reason:
        logger.warning("snapshot_missed", account=account, connector=connector, why=reason.message)
        return 0
    return outcome.position


async def reconcile_all(bus: Bus, *, within: timedelta) -> None:
    """Compare every account with its venues, but for those that know nothing that the log does not.

    A venue that is slow is given up after a while, for this time; the others do not wait for it.
    """
    venues = bus.ports.venues
    accounts: dict[str, list[str]] = {}
    for account, connected in venues.accounts().items():
        for connector in sorted(connected):
            accounts.setdefault(connector, []).append(account)
    await asyncio.gather(
        *[
            _reconcile_connector(bus, connector, names, within=within)
            for connector, names in accounts.items()
            if venues.exchange(connector).reconciles
        ]
    )


async def _reconcile_connector(bus: Bus, connector: str, accounts: Sequence[str], *, within: timedelta) -> None:
    try:
        async with asyncio.timeout(within.total_seconds()):
            await abreast(RECONCILED_AT_ONCE, [partial(reconcile, bus, account, connector) for account in accounts])
    except TimeoutError:
        logger.warning("reconciliation_unfinished", connector=connector, seconds=within.total_seconds())


async def reconcile(bus: Bus, account: str, connector: str) -> None:
    """Compare an account with a venue; one venue that is away leaves the others their comparison."""
    try:
        await bus.dispatch(
            Reconcile(account=account, connector=connector), origin_of_process("schedule", bus.ports.new_id)
        )
    except DomainError as reason:
        logger.warning("reconciliation_missed", account=account, connector=connector, why=reason.message)
