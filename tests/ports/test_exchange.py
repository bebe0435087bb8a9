"""The exchange's port: one suite for the paper venue, paper trade and the fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.exchanges.paper import PaperExchange
from adapters.exchanges.paper_feed import SyntheticFeed
from commands.ports import AccountMemory, Exchange, OpenOrder
from domain.errors import Invalid, Unavailable
from domain.matching.fees import Fees
from domain.orders import CancelRejected, OrderAccepted, OrderCanceled, OrderFact, OrderPlaced, OrderRejected
from domain.portfolio import Balance
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, PositionMode, Side
from tests.fakes.exchange import MemoryExchange
from tests.fakes.market import FakeMarket
from tests.fakes.paper_trade import made_paper_trade

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
STARTING = {"USDT": Decimal(100_000), "BTC": Decimal(2)}


class Told:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[AccountReport] = []

    def __call__(self, report: AccountReport) -> asyncio.Future[int]:
        self.reports.append(report)
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(len(self.reports))
        return recorded

    def facts(self) -> list[tuple[str, OrderFact]]:
        return [fact for report in self.reports for fact in report.orders]


Make = Callable[[bool], Exchange]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(params=["paper", "paper_trade", "memory"])
async def make(request: pytest.FixtureRequest, told: Told) -> AsyncIterator[Make]:
    working: list[asyncio.Task[None]] = []

    def made(perpetual: bool) -> Exchange:
        if request.param == "paper_trade":
            market = FakeMarket("BTC-USDT")
            market.book([[58_299, 5]], [[58_301, 5]])
            trading = made_paper_trade(market, clock=lambda: NOW, sink=told, perpetual=perpetual)
            working.append(asyncio.create_task(trading.run()))
            return trading
        if request.param == "memory":
            return MemoryExchange(name="venue", perpetual=perpetual, clock=lambda: NOW, sink=told, starting=STARTING)
        return PaperExchange(
            name="paper_perpetual" if perpetual else "paper",
            perpetual=perpetual,
            feed=SyntheticFeed(1),
            clock=lambda: NOW,
            sink=told,
            fees=Fees(maker=Decimal("0.001"), taker=Decimal("0.001")),
            starting=STARTING,
            tick_seconds=1.0,
        )

    yield made
    for task in working:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


def new(account: str = "main") -> AccountMemory:
    return AccountMemory(account=account, connector="paper", balances=None)


@pytest.fixture
async def exchange(make: Make, told: Told) -> Exchange:
    exchange = make(False)
    await exchange.connect(new(), {})
    told.reports.clear()
    return exchange


@pytest.fixture
async def perpetual(make: Make) -> Exchange:
    exchange = make(True)
    await exchange.connect(new(), {})
    return exchange


def placed(order_id: str = "o1", amount: str = "0.5", price: str = "20000", account: str = "main") -> OrderPlaced:
    return OrderPlaced(
        client_order_id=order_id,
        account=account,
        connector="paper",
        trading_pair="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal(amount),
        price=Decimal(price),
        position_action=PositionAction.OPEN,
        server="s",
        placed_at=NOW,
    )


async def test_a_new_account_is_told_with_its_starting_balances(make, told):
    await make(False).connect(new(), {})
    (report,) = told.reports
    assert {h.token: h.units for h in report.holdings or ()} == STARTING


async def test_a_known_account_goes_on_with_its_balances_and_nothing_is_told(make, told):
    exchange = make(False)
    balances = [Balance(token="USDT", units=Decimal("1.5"), available=Decimal("1.5"))]
    await exchange.connect(AccountMemory(account="main", connector="paper", balances=balances), {})
    assert told.reports == []
    report = await exchange.report("main")
    assert [(h.token, h.units, h.available) for h in report.holdings or ()] == [
        ("USDT", Decimal("1.5"), Decimal("1.5"))
    ]


async def test_credentials_that_the_connector_does_not_have_are_refused_by_name(make):
    exchange = make(False)
    await exchange.verify({})
    for refused in (exchange.verify({"api_key": "x"}), exchange.connect(new(), {"api_key": "x"})):
        with pytest.raises(Invalid, match="has no credential field 'api_key'"):
            await refused


async def test_an_order_is_accepted_by_the_venues_word(exchange, told):
    await exchange.place(placed())
    ((order_id, fact),) = told.facts()
    assert order_id == "o1"
    assert isinstance(fact, OrderAccepted)


async def test_an_order_beyond_the_balance_is_rejected_by_the_venues_word(exchange, told):
    await exchange.place(placed(amount="50"))
    ((_, fact),) = told.facts()
    assert isinstance(fact, OrderRejected)
    assert "Insufficient USDT balance" in fact.reason


async def test_a_cancel_is_answered(exchange, told):
    await exchange.place(placed())
    await exchange.cancel("main", "o1", "BTC-USDT")
    await exchange.cancel("main", "o1", "BTC-USDT")
    assert [type(fact) for _, fact in told.facts()] == [OrderAccepted, OrderCanceled, CancelRejected]


async def test_what_is_known_of_an_order_is_told_again(exchange, told):
    await exchange.place(placed())
    first = told.facts()
    told.reports.clear()
    assert await exchange.ask(placed()) is True
    assert told.facts() == first


async def test_an_order_that_was_never_taken_is_not_known(exchange, told):
    assert await exchange.ask(placed()) is False
    assert told.reports == []


async def test_an_order_sent_twice_is_one_order(exchange, told):
    await exchange.place(placed())
    await exchange.place(placed())
    assert len({str(fact) for _, fact in told.facts()}) == 1


async def test_nobody_can_say_anything_of_an_account_that_is_not_connected(exchange):
    with pytest.raises(Unavailable):
        await exchange.ask(placed(account="other"))
    with pytest.raises(Unavailable):
        await exchange.report("other")
    with pytest.raises(Unavailable):
        await exchange.reconcile("other")


async def test_a_report_that_was_asked_for_is_a_snapshot_and_not_told(exchange, told):
    report = await exchange.report("main")
    assert report.snapshot
    assert {h.token: h.units for h in report.holdings or ()} == STARTING
    assert told.reports == []


async def test_what_is_compared_with_the_log_is_the_whole_account_and_not_told(exchange, told):
    compared = await exchange.reconcile("main")
    assert {h.token: h.units for h in compared.holdings or ()} == STARTING
    assert told.reports == []


async def test_open_orders_are_open_again_when_an_account_comes_back(make, told):
    exchange = make(False)
    balances = [Balance(token="USDT", units=Decimal(100_000), available=Decimal(89_990))]
    memory = AccountMemory(
        account="main",
        connector="paper",
        balances=balances,
        open_orders=[OpenOrder(order=placed(), exchange_order_id="17", filled=Decimal("0.1"))],
    )
    for _ in range(2):
        await exchange.connect(memory, {})
        assert await exchange.ask(placed()) is True
        assert [fact.exchange_order_id for _, fact in told.facts() if isinstance(fact, OrderAccepted)] == ["17"]
        await exchange.disconnect("main")
        told.reports.clear()
    await exchange.connect(memory, {})
    await exchange.cancel("main", "o1", "BTC-USDT")
    assert [type(fact) for _, fact in told.facts()] == [OrderCanceled]


async def test_connecting_twice_changes_nothing(exchange, told):
    await exchange.place(placed())
    await exchange.connect(new(), {})
    assert await exchange.ask(placed()) is True


async def test_an_account_that_is_not_connected_may_be_disconnected(exchange):
    await exchange.disconnect("other")


async def test_prices_are_of_pairs_that_have_a_rule(exchange):
    await exchange.place(placed())
    rules, prices = await exchange.trading_rules(), await exchange.prices()
    assert "BTC-USDT" in set(prices) <= set(rules)
    assert all(pair == rule.trading_pair for pair, rule in rules.items())
    assert all(price > 0 for price in prices.values())


async def test_leverage_and_mode_are_for_perpetuals(exchange):
    with pytest.raises(Invalid, match="is not a perpetual connector"):
        await exchange.set_leverage("main", "BTC-USDT", 2)
    with pytest.raises(Invalid, match="is not a perpetual connector"):
        await exchange.set_mode("main", PositionMode.HEDGE)


async def test_leverage_has_bounds(perpetual):
    await perpetual.set_leverage("main", "BTC-USDT", 125)
    with pytest.raises(Invalid, match="Leverage 126 for BTC-USDT is not between 1 and 125"):
        await perpetual.set_leverage("main", "BTC-USDT", 126)


async def test_the_mode_cannot_change_with_open_orders(perpetual):
    await perpetual.set_mode("main", PositionMode.HEDGE)
    await perpetual.place(placed())
    with pytest.raises(Invalid, match="open orders or positions"):
        await perpetual.set_mode("main", PositionMode.ONEWAY)
