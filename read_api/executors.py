"""Executors and bots, as far as clients listen to them: what runs, and how it does."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from projections.bots.standing import Standing
from projections.pool import Pool
from read_api.bots.roster import Roster

Item = Mapping[str, object]
"""Something with keys, as it stands on the wire."""


class ExecutorSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, in figures."""

    total_active: int = 0
    total_pnl_quote: float = 0.0
    total_volume_quote: float = 0.0
    by_type: Mapping[str, int] = {}
    by_connector: Mapping[str, int] = {}
    by_status: Mapping[str, int] = {}


class PerformanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What all executors have earned, or those of one controller."""

    controller_id: str | None = None
    total_executors: int = 0
    by_status: Mapping[str, int] = {}
    pnl_total_quote: float = 0.0
    unrealized_pnl_quote: float = 0.0
    global_pnl_quote: float = 0.0
    pnl_pct_avg: float = 0.0
    fees_total_quote: float = 0.0
    volume_total_quote: float = 0.0
    win_rate: float = 0.0
    sharpe_ratio: float | None = None
    by_type: Sequence[Item] = ()
    active_positions: int = 0
    position_hold_fees_quote: float = 0.0


class PositionsSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What executors that ended have left open. `total_unrealized_pnl` None where no price is known."""

    total_positions: int = 0
    total_realized_pnl: float = 0.0
    total_unrealized_pnl: float | None = None
    positions: Sequence[Item] = ()


class BotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a bot is."""

    bot_name: str
    status: str
    performance: Item | msgspec.Raw = {}
    recently_active: bool = False


class Executors(Protocol):
    """The executors and bots of this server. Everything raises `Unavailable`."""

    async def search(self, filters: Mapping[str, Any]) -> Sequence[Item]:
        """Return the executors that match."""
        ...

    async def executor(self, executor_id: str) -> Item | None:
        """Return an executor, None if there is none of that name."""
        ...

    async def logs(self, executor_id: str, *, level: str | None, limit: int) -> Sequence[Item]:
        """Return the newest lines that an executor has logged, oldest first."""
        ...

    async def summary(self) -> ExecutorSummary:
        """Return what runs, in figures."""
        ...

    async def performance(self, controller_id: str | None) -> PerformanceReport:
        """Return what all executors have earned, or those of one controller."""
        ...

    async def positions(self, controller_id: str | None) -> PositionsSummary:
        """Return what executors that ended have left open."""
        ...

    async def bots(self) -> Mapping[str, Item]:
        """Return name → status of every bot."""
        ...

    async def bot(self, bot_name: str) -> BotStatus:
        """Return the status of a bot; it is `not_found` where there is none of that name."""
        ...


class NoExecutors:
    """A server that runs none, as `Executors`."""

    async def search(self, filters: Mapping[str, Any]) -> Sequence[Item]:  # noqa: ARG002
        """Return none."""
        return ()

    async def executor(self, executor_id: str) -> Item | None:  # noqa: ARG002
        """Return none."""
        return None

    async def logs(self, executor_id: str, *, level: str | None, limit: int) -> Sequence[Item]:  # noqa: ARG002
        """Return none."""
        return ()

    async def summary(self) -> ExecutorSummary:
        """Return the figures of none."""
        return ExecutorSummary()

    async def performance(self, controller_id: str | None) -> PerformanceReport:
        """Return the figures of none."""
        return PerformanceReport(controller_id=controller_id)

    async def positions(self, controller_id: str | None) -> PositionsSummary:  # noqa: ARG002
        """Return none."""
        return PositionsSummary()

    async def bots(self) -> Mapping[str, Item]:
        """Return none."""
        return {}

    async def bot(self, bot_name: str) -> BotStatus:
        """Say that there is none."""
        return BotStatus(bot_name=bot_name, status="not_found")


class WatchedBots(NoExecutors):
    """The bots of this server, which runs no executors, as `Executors`."""

    def __init__(self, pool: Pool, roster: Roster) -> None:
        """Look at the views through `pool`, by the clock of `roster`."""
        self._pool = pool
        self._roster = roster

    async def bots(self) -> Mapping[str, Item]:
        """Return name → status of every bot, without its log."""
        async with self._pool.connection() as connection:
            found = await self._roster.all(connection, lines=False)
        return {
            bot.instance: {
                "status": bot.status,
                "source": bot.source,
                "performance": _performance(bot),
                "recently_active": bot.heard,
            }
            for bot in found
        }

    async def bot(self, bot_name: str) -> BotStatus:
        """Return the status of a bot; it is `not_found` where there is none of that name."""
        async with self._pool.connection() as connection:
            found = await self._roster.find(connection, bot_name)
        if found is None:
            return await super().bot(bot_name)
        return BotStatus(
            bot_name=bot_name, status=found.status, performance=_performance(found), recently_active=found.heard
        )


def _performance(bot: Standing) -> msgspec.Raw:
    return msgspec.Raw(bot.performance.encode())
