"""Paper trade: the engine on a real market that comes, goes and comes back."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from adapters.exchanges.market_feed import Patience
from adapters.exchanges.paper_trade import paper_trade
from commands.ports import AccountMemory, OpenOrder
from domain.errors import Invalid, NotFound, Unavailable
from domain.matching.fees import Fees
from domain.orders import CancelRejected, OrderRejected
from domain.portfolio import Balance
from domain.positions import PositionObserved
from domain.reports import AccountReport
from domain.values import PositionSide
from tests.fakes.market import FakeMarket
from tests.fakes.paper_trade import START, Bench, made_feeds, trading, until


@pytest.fixture
def market() -> FakeMarket:
    return FakeMarket("BTC-USDT", "ETH-USDT")


async def test_an_order_trades_with_the_levels_of_the_real_book(market):
    market.book([[99.5, 1]], [[100.1, 0.5], [100.3, 2]])
    async with trading(market) as bench:
        await bench.place()
        assert bench.fills() == [(Decimal("0.5"), Decimal("100.1")), (Decimal("0.5"), Decimal("100.3"))]
        await bench.place("b", amount="1.5")
        assert bench.fills("b") == [(Decimal("1.5"), Decimal("100.3"))]
        await bench.place("c")
        assert [type(fact).__name__ for fact in bench.facts("c")] == ["OrderAccepted", "OrderExpired"]
        assert await bench.exchange.prices() == {"BTC-USDT": Decimal("99.8")}


async def test_what_rests_fills_when_the_book_comes_to_it_and_when_others_trade_past_it(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market) as bench:
        await bench.place(amount="3", price="100")
        market.book([[98, 1]], [[99.5, 1], [100.5, 7]])
        await until(lambda: len(bench.fills()) == 1)
        bench.trade(99.9, 0.25)
        await until(lambda: len(bench.fills()) == 2)
        assert bench.fills() == [(1, 100), (Decimal("0.25"), 100)]


async def test_an_order_waits_for_the_first_book_of_its_pair_and_a_cancel_for_the_order(market):
    async with trading(market) as bench:
        placing = asyncio.create_task(bench.place(price="50"))
        again = asyncio.create_task(bench.exchange.place(bench.placed(price="50")))
        canceling = asyncio.create_task(bench.exchange.cancel("main", "a", "BTC-USDT"))
        await until(lambda: bench.followed() == {"BTC-USDT"})
        assert bench.facts() == []
        market.book([[99, 1]], [[101, 1]])
        await asyncio.gather(placing, again, canceling)
        assert {type(fact).__name__ for fact in bench.facts()} == {"OrderAccepted", "OrderCanceled"}


async def test_an_order_whose_book_does_not_come_is_rejected_in_clear_words(market):
    async with trading(market, patience=Patience(first_book=0.01)) as bench:
        await bench.place()
        (rejected,) = bench.facts()
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == "No order book of BTC-USDT came from binance within 0.01 s: nothing has come yet"


async def test_the_reason_of_a_missing_book_is_told(market):
    async with trading(market, patience=Patience(first_book=0.05, retry=0.001, longest_retry=0.001)) as bench:
        market.reachable = False
        await bench.place()
        (rejected,) = bench.facts()
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason.endswith(" s: the venue does not answer")


async def test_a_pair_that_the_venue_does_not_have_is_rejected_at_once(market):
    async with trading(market) as bench:
        await bench.exchange.trading_rules()
        await bench.place(pair="DOGE-USDT")
        (rejected,) = bench.facts()
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == "Trading pair 'DOGE-USDT' is not traded on binance_paper_trade"
        assert bench.followed() == set()


async def test_while_the_venue_is_away_orders_wait_and_after_that_they_trade(market):
    market.book([[99, 1]], [[101, 1]])
    async with trading(market) as bench:
        await bench.place(amount="3", price="100")
        market.reachable = False
        market.fail()
        await until(lambda: not bench.is_fresh())
        bench.trade(90, 5)
        await bench.exchange.cancel("main", "nothing", "BTC-USDT")
        assert bench.fills() == []
        assert isinstance(bench.facts("nothing")[0], CancelRejected)
        market.reachable = True
        market.book([[97, 1]], [[98, 2]])
        await until(bench.fills)
        assert bench.fills() == [(2, 100)]


async def test_a_perpetual_pair_is_followed_while_there_is_a_position(market):
    market.book([[99, 9]], [[101, 9]])
    async with trading(market, perpetual=True) as bench:
        await bench.exchange.set_leverage("main", "BTC-USDT", 5)
        await bench.place()
        bench.now += timedelta(hours=8)
        await until(lambda: [paid for report in bench.reports for paid in report.funding])
        assert bench.followed() == {"BTC-USDT"}


async def test_trading_rules_are_the_venues_and_asked_for_once(market):
    bench = Bench(market)
    market.reachable = False
    with pytest.raises(Unavailable, match="the venue does not answer"):
        await bench.exchange.trading_rules()
    market.reachable = True
    assert await bench.exchange.trading_rules() == market.markets.rules
    assert await bench.exchange.trading_rules() == market.markets.rules
    assert market.opened == 1


async def test_after_a_restart_orders_rest_again_and_wait_for_their_market(market):
    async with Bench(market).running() as bench:
        resting = OpenOrder(
            order=bench.placed(price="100"), exchange_order_id="17", filled=Decimal("0.25"), trade_ids=frozenset()
        )
        balances = [Balance(token="USDT", units=Decimal(1000), available=Decimal(925))]
        await bench.exchange.connect(bench.memory(balances=balances, open_orders=[resting]), {})
        assert bench.reports == []
        market.book([[99, 1]], [[99.5, 5]])
        await until(bench.fills)
        assert bench.fills() == [(Decimal("0.75"), 100)]


async def test_funding_that_was_missed_is_paid_at_the_mark_of_today(market):
    async with Bench(market, perpetual=True).running() as bench:
        held = PositionObserved(
            account="main",
            connector=bench.exchange.name,
            trading_pair="BTC-USDT",
            side=PositionSide.BOTH,
            amount=Decimal(1),
            entry_price=Decimal(100),
            mark_price=Decimal(100),
            unrealized_pnl=Decimal(0),
            leverage=1,
            observed_at=START,
        )
        balances = [Balance(token="USDT", units=Decimal(1000), available=Decimal(900))]
        memory = bench.memory(balances=balances, positions=[held], last_seen_at=START - timedelta(hours=8))
        connecting = asyncio.create_task(bench.exchange.connect(memory, {}))
        await until(lambda: bench.followed() == {"BTC-USDT"})
        assert not connecting.done()
        market.book([[199, 1]], [[201, 1]])
        await connecting
        assert [paid.payment for report in bench.reports for paid in report.funding] == [Decimal("-0.02")]


@pytest.mark.parametrize(
    ("name", "balances", "starting"),
    [
        ("binance_paper_trade", {}, "1"),
        ("okx_perpetual_paper_trade", {}, "2"),
        ("binance_paper_trade", {"binance_paper_trade": {"USDT": Decimal(3)}}, "3"),
    ],
)
async def test_an_account_begins_with_the_balances_of_its_connector_or_of_its_kind(name, balances, starting, market):
    told: list[AccountReport] = []

    def sink(report: AccountReport) -> asyncio.Future[int]:
        told.append(report)
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(1)
        return recorded

    exchange = paper_trade(
        name,
        balances={"paper": {"USDT": Decimal(1)}, "paper_perpetual": {"USDT": Decimal(2)}, **balances},
        fees=Fees(maker=Decimal(0), taker=Decimal(0)),
        tick_seconds=1.0,
        sink=sink,
        clock=lambda: START,
        feeds=made_feeds(market, clock=lambda: START),
        side=market.side(),
    )
    memory = AccountMemory(account="main", connector=name, balances=None)
    with pytest.raises(Invalid, match=f"Connector '{name}' has no credential field 'k'"):
        await exchange.connect(memory, {"k": "v"})
    await exchange.connect(memory, {})
    assert [(h.token, h.units) for h in told[0].holdings or ()] == [("USDT", Decimal(starting))]


async def test_only_a_real_connector_can_be_traded_on_paper(market):
    with pytest.raises(NotFound):
        paper_trade(
            "paper_paper_trade",
            balances={},
            fees=Fees(maker=Decimal(0), taker=Decimal(0)),
            tick_seconds=1.0,
            sink=lambda report: asyncio.get_running_loop().create_future(),
            clock=lambda: START,
            feeds=made_feeds(market, clock=lambda: START),
            side=market.side(),
        )
