"""A paper trade connector on a market that the test holds in its hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from adapters.exchanges.market_feed import MarketFeed, Patience
from adapters.exchanges.names import Connector
from adapters.exchanges.paper_trade import PaperTradeExchange
from adapters.market_data.ccxt_source import CcxtSource
from adapters.market_data.feeds import Feeds
from adapters.market_data.sources import Patience as FeedPatience
from commands.ports import AccountMemory, Clock, Sink
from domain.connectors import TradingRule
from domain.matching.fees import Fees
from domain.orders import OrderFact, OrderFilled, OrderPlaced
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side
from tests.fakes.market import FakeMarket

START = datetime(2026, 11, 22, 9, tzinfo=UTC)
STARTING = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
QUICK = Patience(first_book=5, retry=0.001, longest_retry=0.002, linger=60)
LISTENING = FeedPatience(
    quiet=5, fresh=10, pause=0, poll=0.001, retry=0.001, longest_retry=0.002, leave=0.05, sweep=0.001
)


def made_feeds(market: FakeMarket, *, clock: Clock, patience: FeedPatience = LISTENING) -> Feeds:
    """Return feeds of a market that a test holds in its hand; they are live while `run` runs."""

    def source(connector: Connector) -> CcxtSource:
        return CcxtSource(connector, market.side(connector.name), clock=clock, patience=patience)

    return Feeds(source, clock=clock, timeout_seconds=0.01, cleanup_seconds=0.005, patience=patience)


def made_paper_trade(
    market: FakeMarket, feeds: Feeds, *, clock: Clock, sink: Sink, perpetual: bool = False, patience: Patience = QUICK
) -> PaperTradeExchange:
    """Return a paper trade connector on the feeds of a market; it works while `run` does."""
    side = market.side()

    async def load_rules() -> Mapping[str, TradingRule]:
        return (await side.markets()).rules

    return PaperTradeExchange(
        name="binance_perpetual_paper_trade" if perpetual else "binance_paper_trade",
        perpetual=perpetual,
        feed=MarketFeed("binance", feeds, load_rules, clock=clock, patience=patience),
        clock=clock,
        sink=sink,
        fees=Fees(maker=Decimal(0), taker=Decimal(0)),
        starting=STARTING,
        tick_seconds=0.001,
    )


class Bench:
    """A paper trade connector with its market; `now` is the clock, and whatever is told wakes who waits."""

    def __init__(
        self,
        market: FakeMarket,
        *,
        perpetual: bool = False,
        patience: Patience = QUICK,
        listening: FeedPatience = LISTENING,
    ) -> None:
        self.now = START
        self.market = market
        self.feeds = made_feeds(market, clock=lambda: self.now, patience=listening)
        self.reports: list[AccountReport] = []
        self.exchange = made_paper_trade(
            market, self.feeds, clock=lambda: self.now, sink=self.take, perpetual=perpetual, patience=patience
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

    def is_fresh(self, trading_pair: str = "BTC-USDT") -> bool:
        return self.exchange._market.followed[trading_pair].fresh.is_set()

    def heard(self, kind: str, trading_pair: str = "BTC-USDT") -> bool:
        """Whether there is a feed that hears a market."""
        return any(s.kind == kind and s.trading_pair == trading_pair and not s.stale for s in self.feeds.states())

    def trade(self, price: float, amount: float, side: str | None = "sell", *, after: float = 1, **more: Any) -> None:
        """Let others trade now, `after` seconds later than before."""
        self.now += timedelta(seconds=after)
        said = {"id": None, "price": price, "amount": amount, "side": side, **more}
        self.market.trade({"timestamp": int(self.now.timestamp() * 1000), **said})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        tasks = [asyncio.create_task(self.feeds.run()), asyncio.create_task(self.exchange.run())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                assert task.cancelled(), task.exception()


async def until(holds: Callable[[], object]) -> None:
    """Return when something holds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


@asynccontextmanager
async def trading(
    market: FakeMarket,
    *,
    perpetual: bool = False,
    patience: Patience = QUICK,
    listening: FeedPatience = LISTENING,
) -> AsyncIterator[Bench]:
    """Run a connector with an account on it."""
    async with Bench(market, perpetual=perpetual, patience=patience, listening=listening).running() as bench:
        await bench.exchange.connect(bench.memory(), {})
        yield bench
