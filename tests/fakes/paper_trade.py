"""A paper trade connector on a market that the test holds in its hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from adapters.exchanges.market_feed import MarketFeed, Patience
from adapters.exchanges.paper_trade import PaperTradeExchange
from commands.ports import AccountMemory, Clock, Sink
from domain.matching.fees import Fees
from domain.orders import OrderFact, OrderFilled, OrderPlaced
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side
from tests.fakes.market import FakeMarket

START = datetime(2026, 11, 22, 9, tzinfo=UTC)
STARTING = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
QUICK = Patience(first_book=5, quiet=5, pause=0, poll=0.001, retry=0.001, longest_retry=0.002, linger=60)


def made_paper_trade(
    market: FakeMarket, *, clock: Clock, sink: Sink, perpetual: bool = False, patience: Patience = QUICK
) -> PaperTradeExchange:
    """Return a paper trade connector on a market that a test holds in its hand; it works while `run` does."""
    return PaperTradeExchange(
        name="binance_perpetual_paper_trade" if perpetual else "binance_paper_trade",
        perpetual=perpetual,
        feed=MarketFeed("binance", market.open, clock=clock, patience=patience),
        clock=clock,
        sink=sink,
        fees=Fees(maker=Decimal(0), taker=Decimal(0)),
        starting=STARTING,
        tick_seconds=0.001,
    )


class Bench:
    """A paper trade connector with its market; `now` is the clock, and whatever is told wakes who waits."""

    def __init__(self, market: FakeMarket, *, perpetual: bool = False, patience: Patience = QUICK) -> None:
        self.now = START
        self.market = market
        self.reports: list[AccountReport] = []
        self.exchange = made_paper_trade(
            market, clock=lambda: self.now, sink=self.take, perpetual=perpetual, patience=patience
        )

    def take(self, report: AccountReport) -> asyncio.Future[int]:
        self.reports.append(report)
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(len(self.reports))
        return recorded

    def memory(self, **more: Any) -> AccountMemory:
        return AccountMemory(account="main", connector=self.exchange.name, **{"balances": None, **more})

    def placed(
        self, order_id: str = "a", side: Side = Side.BUY, amount: str = "1", price: str | None = None, pair="BTC-USDT"
    ) -> OrderPlaced:
        return OrderPlaced(
            client_order_id=order_id,
            account="main",
            connector=self.exchange.name,
            trading_pair=pair,
            side=side,
            order_type=OrderType.LIMIT if price else OrderType.MARKET,
            amount=Decimal(amount),
            price=Decimal(price) if price else None,
            position_action=PositionAction.OPEN,
            server="s",
            placed_at=self.now,
        )

    async def place(self, *args: Any, **more: Any) -> OrderPlaced:
        placed = self.placed(*args, **more)
        await self.exchange.place(placed)
        return placed

    def facts(self, order_id: str = "a") -> list[OrderFact]:
        return [fact for report in self.reports for one, fact in report.orders if one == order_id]

    def fills(self, order_id: str = "a") -> list[tuple[Decimal, Decimal]]:
        return [(fact.amount, fact.price) for fact in self.facts(order_id) if isinstance(fact, OrderFilled)]

    def followed(self) -> set[str]:
        return set(self.exchange._market.followed)

    def trade(self, price: float, amount: float, side: str | None = "sell", *, after: float = 1, **more: Any) -> None:
        """Let others trade now, `after` seconds later than before."""
        self.now += timedelta(seconds=after)
        said = {"id": None, "price": price, "amount": amount, "side": side, **more}
        self.market.trade({"timestamp": int(self.now.timestamp() * 1000), **said})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        task = asyncio.create_task(self.exchange.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()


async def until(holds: Callable[[], object]) -> None:
    """Return when something holds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


@asynccontextmanager
async def trading(market: FakeMarket, *, perpetual: bool = False, patience: Patience = QUICK) -> AsyncIterator[Bench]:
    """Run a connector with an account on it."""
    async with Bench(market, perpetual=perpetual, patience=patience).running() as bench:
        await bench.exchange.connect(bench.memory(), {})
        yield bench
