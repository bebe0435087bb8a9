"""What happens by the clock: which job, how often, what it does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from commands.bus import Bus, origin_of_process
from commands.portfolio import ObserveBalances
from commands.processes.accounts import reconnect
from commands.processes.orders import OrderWatch
from domain.errors import DomainError

logger = structlog.get_logger()

KEYS_KEPT = timedelta(days=30)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job: every so often, never two runs of it at once. `aligned` starts it on whole multiples of the interval."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]
    aligned: bool = False


def jobs(bus: Bus, watch: OrderWatch, *, observe_every: timedelta) -> Sequence[Job]:
    """Return all jobs of the work part."""
    return (
        Job(name="observe_balances", every=observe_every, run=lambda: observe_all(bus), aligned=True),
        Job(name="settle_orders", every=timedelta(seconds=3), run=watch.look),
        Job(name="forget_keys", every=timedelta(hours=1), run=lambda: forget_keys(bus)),
        Job(name="reconnect", every=timedelta(seconds=30), run=lambda: reconnect(bus.ports)),
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
