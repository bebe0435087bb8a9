"""The paper venue as an exchange: the matching engine, driven by a feed and a clock, its reports told to the sink.

It is wholly offline and its only memory is the log: an order that was never accepted is unknown to it after a restart.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
import structlog

from adapters.exchanges.names import check_credentials
from adapters.exchanges.paper_feed import Feed
from commands.ports import AccountMemory, Clock, Sink
from domain.connectors import TradingRule
from domain.errors import Unavailable
from domain.matching.depth import Quote, ladder
from domain.matching.engine import Engine, Standing
from domain.matching.fees import Fees
from domain.matching.floor import Terms
from domain.orders import OrderPlaced
from domain.portfolio import Balance, Holding
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode

logger = structlog.get_logger()

_RECORDED_SECONDS = 3.0


class PaperExchange:
    """One paper connector. `starting` are the units of tokens that an account begins with."""

    order_types: Sequence[OrderType] = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
    settles_within_seconds = 0.0
    reconciles = False

    def __init__(
        self,
        *,
        name: str,
        perpetual: bool,
        feed: Feed,
        clock: Clock,
        sink: Sink,
        fees: Fees,
        starting: Mapping[str, Decimal],
        tick_seconds: float,
    ) -> None:
        """Begin with the market as it stands and no account."""
        self.name = name
        self.perpetual = perpetual
        self._feed = feed
        self._clock = clock
        self._sink = sink
        self._starting = starting
        self._tick_seconds = tick_seconds
        self._ticked_at: datetime | None = None
        self._engine = Engine(Terms(connector=name, perpetual=perpetual, rules=feed.rules, fees=fees), clock())
        self.tick()

    async def run(self) -> None:
        """Tick until canceled."""
        while True:
            await asyncio.sleep(self._tick_seconds)
            self.tick()

    def tick(self) -> None:
        """Take in all that is new of the market by now."""
        now, rules = self._clock(), self._feed.rules
        for step in self._feed.steps(self._ticked_at, now):
            market = {
                pair: ladder(news, rules[pair]) if isinstance(news, Quote) else news for pair, news in step.items()
            }
            self._tell(self._engine.tick(market, now))
        self._ticked_at = now if self._ticked_at is None else max(now, self._ticked_at)

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair."""
        return self._feed.rules

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the mid price of every pair at the last tick."""
        return dict(self._engine.marks)

    async def verify(self, credentials: Mapping[str, object]) -> None:
        """Check the fields alone: the paper venue has no keys. Raises `Invalid`."""
        check_credentials(self.name, credentials)

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        """Let an account trade, from its starting balances or from where the log saw it last.

        What differs from the log then is told: a crash can come between a leverage and the note that it was set.
        Returns when that is recorded. Raises `Invalid`, and `Unavailable` when it is not recorded in time.
        """
        check_credentials(self.name, credentials)
        standing = Standing(
            units=self._starting if memory.balances is None else {b.token: b.units for b in memory.balances},
            orders=[
                (resting.order, resting.exchange_order_id, resting.filled)
                for resting in memory.open_orders
                if isinstance(resting.order, OrderPlaced)
            ],
            positions=memory.positions,
            leverage=memory.leverage,
            mode=memory.mode,
            seen_at=memory.last_seen_at,
        )
        reports = self._engine.join(memory.account, standing, self._clock(), tell=memory.balances is None)
        if not reports:
            present = self._present(memory.account)
            if _amounts(memory.balances or ()) != _amounts(present.holdings or ()):
                reports = [msgspec.structs.replace(present, snapshot=False)]
        await self._recorded(reports)
        logger.info("account_connected", account=memory.account, connector=self.name, open_orders=len(standing.orders))

    async def disconnect(self, account: str) -> None:
        """Forget an account; its open orders are in the log and rest again when it comes back."""
        self._engine.leave(account)

    async def place(self, order: OrderPlaced) -> None:
        """Place an order."""
        self._tell(self._engine.place(order, self._clock()))

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:  # noqa: ARG002 - the id is enough
        """Cancel an order."""
        self._tell(self._engine.cancel(account, client_order_id, self._clock()))

    async def ask(self, order: OrderPlaced) -> bool:
        """Tell again all that is known of an order; False if nothing is. Raises `Unavailable` without its account."""
        self._present(order.account)
        report = self._engine.recall(order.account, order.client_order_id)
        if report is not None:
            self._tell([report])
        return report is not None

    async def report(self, account: str) -> AccountReport:
        """Return balances and positions as they are. Raises `Unavailable` for an account that is not connected."""
        return self._present(account)

    async def reconcile(self, account: str) -> AccountReport:
        """Return what `report` does: there is nothing else that the log does not know."""
        return self._present(account)

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Set the leverage, and return when what it did to the margin is recorded.

        Raises `Invalid`, and `Unavailable` when it is not recorded in time.
        """
        await self._recorded(self._engine.set_leverage(account, trading_pair, leverage, self._clock()))

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        """Set the position mode. Raises `Invalid`."""
        self._engine.set_mode(account, mode)

    def _present(self, account: str) -> AccountReport:
        report = self._engine.report(account)
        if report is None:
            raise Unavailable(f"Account '{account}' is not connected to {self.name}")
        return report

    async def _recorded(self, reports: Sequence[AccountReport]) -> None:
        """Tell reports and wait until they are recorded. Raises `Unavailable` when that takes too long."""
        try:
            async with asyncio.timeout(_RECORDED_SECONDS):
                await asyncio.gather(*(self._sink(report) for report in reports))
        except TimeoutError as late:
            raise Unavailable(f"What {self.name} told was not recorded within {_RECORDED_SECONDS:g} s") from late

    def _tell(self, reports: Sequence[AccountReport]) -> None:
        for report in reports:
            _ = self._sink(report)


def _amounts(tokens: Iterable[Balance | Holding]) -> dict[str, tuple[Decimal, Decimal]]:
    return {token.token: (token.units, token.available) for token in tokens}
