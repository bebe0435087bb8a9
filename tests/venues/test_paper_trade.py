"""Paper trade on the market of the test venues, by ccxt's own classes: their books, their trades, their silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.exchanges import names
from adapters.exchanges.market_feed import Patience
from adapters.exchanges.paper_trade import PaperTradeExchange, paper_trade
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients
from adapters.market_data.sources import Patience as FeedPatience
from commands.ports import AccountMemory
from domain.matching.fees import Fees
from domain.orders import OrderFilled, OrderPlaced, OrderRejected
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side
from tests.fakes.feeds import running_feeds
from tests.fakes.paper_trade import until
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.public import public_clients, sources_of
from tests.venues.serving import Venue, running_venue

PAIR = "BTC-USDT"
LISTENING = FeedPatience(pause=0.01, retry=0.01, longest_retry=0.05, leave=0.5)


def now() -> datetime:
    return datetime.now(UTC)


class Trader:
    """An account that trades on paper on a venue that is running."""

    def __init__(self, connector: str, venue: Venue, feeds: Feeds, clients: PublicClients) -> None:
        self.floor, self.address = venue.floor, venue.address
        self.market = Market.SWAP if connector.endswith("_perpetual") else Market.SPOT
        self.sold = Decimal(0)
        self.ahead = timedelta(0)  # of the true time is the clock
        self.reports: list[AccountReport] = []
        self.feeds = feeds
        self.exchange: PaperTradeExchange = paper_trade(
            f"{connector}_paper_trade",
            feeds=feeds,
            side=clients.of(names.connector(connector)),
            balances={"paper": {"USDT": Decimal(10**6)}, "paper_perpetual": {"USDT": Decimal(10**6)}},
            fees=Fees(maker=Decimal(0), taker=Decimal(0)),
            tick_seconds=0.05,
            sink=self.take,
            clock=lambda: now() + self.ahead,
            patience=Patience(first_book=5, retry=0.01, longest_retry=0.05),
        )

    def take(self, report: AccountReport) -> asyncio.Future[int]:
        self.reports.append(report)
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(1)
        return recorded

    async def place(
        self, order_id: str, amount: str, price: Decimal | None = None, pair: str = PAIR, *, closes: bool = False
    ) -> None:
        await self.exchange.place(
            OrderPlaced(
                client_order_id=order_id,
                account="main",
                connector=self.exchange.name,
                trading_pair=pair,
                side=Side.SELL if closes else Side.BUY,
                order_type=OrderType.LIMIT if price else OrderType.MARKET,
                amount=Decimal(amount),
                price=price,
                position_action=PositionAction.CLOSE if closes else PositionAction.OPEN,
                server="s",
                placed_at=now(),
            )
        )

    def sell(self, amount: str) -> Decimal:
        """Let alice sell at the market; returns how much she has sold."""
        self.floor.place(
            "alice",
            self.market,
            trading_pair=PAIR,
            side=Side.SELL,
            order_type=OrderType.MARKET,
            amount=Decimal(amount),
        )
        self.sold += Decimal(amount)
        return self.sold

    def fills(self, order_id: str) -> list[tuple[Decimal, Decimal]]:
        facts = [fact for report in self.reports for one, fact in report.orders if one == order_id]
        return [(fact.amount, fact.price) for fact in facts if isinstance(fact, OrderFilled)]


@asynccontextmanager
async def trading(connector: str) -> AsyncIterator[tuple[Trader, AsyncExitStack]]:
    """Run a venue and a paper trade connector on it; what is pushed on the stack ends the venue."""
    floor = Floor()
    floor.open_account("alice")
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(running_venue(floor))
        async with (
            public_clients(venue.urls) as clients,
            running_feeds(
                sources_of(clients, LISTENING), patience=LISTENING, timeout_seconds=0.2, cleanup_seconds=0.05
            ) as feeds,
        ):
            trader = Trader(connector, venue, feeds, clients)
            working = asyncio.create_task(trader.exchange.run())
            try:
                memory = AccountMemory(account="main", connector=trader.exchange.name, balances=None)
                await trader.exchange.connect(memory, {})
                yield trader, stack
            finally:
                working.cancel()
                await asyncio.wait([working])
                assert working.cancelled(), working.exception()
                await clients.close()


@pytest.mark.parametrize("connector", ["binance", "binance_perpetual", "okx", "okx_perpetual"])
async def test_orders_trade_with_the_book_and_the_trades_of_the_venue(connector):
    async with trading(connector) as (trader, _):
        desk = trader.floor.desk(trader.market)
        rules = await trader.exchange.trading_rules()
        assert rules[PAIR].min_base_amount_increment == desk.rules[PAIR].min_base_amount_increment
        bids, asks = desk.depth(PAIR, 5)
        await trader.place("a", "0.5")
        assert trader.fills("a") == [(min(Decimal("0.5"), asks[0][1]), asks[0][0]), (Decimal("0.1"), asks[1][0])]

        between = bids[0][0] + 1
        await trader.place("b", "0.3", between)
        assert trader.fills("b") == []
        async with asyncio.timeout(5):
            while not trader.fills("b"):  # from when its trades are heard
                trader.sell("0.01")
                await asyncio.sleep(0.02)
        trades = trader.fills("b")
        assert {price for _, price in trades} == {between}
        assert sum(amount for amount, _ in trades) <= trader.sold

        trader.floor.move(PAIR, between - 500)
        await until(lambda: sum(amount for amount, _ in trader.fills("b")) == Decimal("0.3"))
        assert {price for _, price in trader.fills("b")} == {between}


@pytest.mark.parametrize("connector", ["binance", "okx"])
async def test_a_venue_that_is_gone_fills_nothing_until_it_is_back(connector):
    async with trading(connector) as (trader, venue):
        price = trader.floor.desk(trader.market).depth(PAIR, 1)[0][0][0]
        await trader.place("a", "1", price - 500)
        await venue.aclose()
        feed = trader.exchange._market
        await until(lambda: not feed.followed[PAIR].fresh.is_set())
        trader.floor.move(PAIR, price - 1000)
        feed._patience = Patience(first_book=0.05, retry=0.01, longest_retry=0.05)
        await trader.place("b", "1")
        (rejected,) = [fact for report in trader.reports for one, fact in report.orders if one == "b"]
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason.startswith(f"No order book of {PAIR} came from {connector} within 0.05 s: ")
        assert trader.fills("a") == []
        await venue.enter_async_context(running_venue(trader.floor, port=int(trader.address.partition(":")[2])))
        await until(lambda: trader.fills("a"))
        assert {price for _, price in trader.fills("a")} == {price - 500}


@pytest.mark.parametrize("connector", ["binance", "binance_perpetual", "okx", "okx_perpetual"])
async def test_a_market_that_was_left_is_there_again_when_it_is_needed(connector):
    async with trading(connector) as (trader, _):
        feed = trader.exchange._market
        asks = trader.floor.desk(trader.market).depth("ETH-USDT", 1)[1]
        resting = trader.floor.desk(trader.market).depth(PAIR, 1)[0][0][0] - 500
        close = trader.market is Market.SWAP
        await trader.place("a", "0.1", resting)
        await trader.place("b", "0.1", pair="ETH-USDT")
        if close:
            await trader.place("c", "0.1", pair="ETH-USDT", closes=True)
        trader.ahead += timedelta(seconds=61)
        await until(lambda: set(feed.followed) == {PAIR})
        await trader.place("d", "0.1", pair="ETH-USDT")
        assert trader.fills("b") == [(Decimal("0.1"), asks[0][0])]
        assert trader.fills("d") == [(Decimal("0.1"), asks[0][0])]
        if close:
            await trader.place("e", "0.1", pair="ETH-USDT", closes=True)
        await trader.exchange.cancel("main", "a", PAIR)
        trader.ahead += timedelta(seconds=61)
        await until(lambda: not trader.feeds.states())
        await trader.place("f", "0.1")
        assert len(trader.fills("f")) == 1
