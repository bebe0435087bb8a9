"""The paper venue as an exchange: its ticks, its clock and what it tells."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from adapters.exchanges.paper import PaperExchange
from adapters.exchanges.paper_feed import RULES, Record, RecordedFeed, SyntheticFeed
from commands.ports import AccountMemory, OpenOrder
from domain.matching.depth import Quote
from domain.matching.fees import Fees
from domain.orders import OrderAccepted, OrderFilled, OrderPlaced
from domain.portfolio import Balance
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side

START = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Bench:
    """A paper exchange whose BTC-USDT goes through `prices`, one each second; `now` is its clock."""

    def __init__(self, *prices: str, perpetual: bool = False, tick_seconds: float = 1.0) -> None:
        self.now = START
        self.reports: list[AccountReport] = []
        self.news = asyncio.Event()
        self.recorded: asyncio.Future[int] | None = None  # None: what is told is recorded at once
        quotes = [Quote(bid=Decimal(p), ask=Decimal(p) + 1, bid_size=Decimal(1), ask_size=Decimal(1)) for p in prices]
        records = [Record(second * 1_000_000, quote) for second, quote in enumerate(quotes)]
        self.exchange = PaperExchange(
            name="paper_perpetual" if perpetual else "paper",
            perpetual=perpetual,
            feed=RecordedFeed(RULES["BTC-USDT"], records, start=START, pause=10**12, rest=SyntheticFeed(1)),
            clock=lambda: self.now,
            sink=self.take,
            fees=Fees(maker=Decimal(0), taker=Decimal(0)),
            starting={"USDT": Decimal(50_000)},
            tick_seconds=tick_seconds,
        )

    def take(self, report: AccountReport) -> asyncio.Future[int]:
        self.reports.append(report)
        self.news.set()
        if self.recorded is not None:
            return self.recorded
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(0)
        return recorded

    async def connect(self, memory: AccountMemory | None = None) -> None:
        await self.exchange.connect(memory or AccountMemory(account="main", connector="paper", balances=None), {})

    async def place(self, order_id: str, side: Side, amount: str, price: str | None = None) -> OrderPlaced:
        placed = OrderPlaced(
            client_order_id=order_id,
            account="main",
            connector=self.exchange.name,
            trading_pair="BTC-USDT",
            side=side,
            order_type=OrderType.LIMIT if price else OrderType.MARKET,
            amount=Decimal(amount),
            price=Decimal(price) if price else None,
            position_action=PositionAction.OPEN,
            server="s",
            placed_at=self.now,
        )
        await self.exchange.place(placed)
        return placed

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)
        self.exchange.tick()

    def trades(self) -> list[OrderFilled]:
        return [fact for report in self.reports for _, fact in report.orders if isinstance(fact, OrderFilled)]


async def test_an_account_is_connected_when_its_first_balances_are_recorded():
    bench = Bench("100")
    bench.recorded = asyncio.get_running_loop().create_future()
    connecting = asyncio.create_task(bench.connect())
    await bench.news.wait()
    assert not connecting.done()
    bench.recorded.set_result(1)
    await connecting


async def test_prices_are_there_before_the_first_tick():
    assert (await Bench("100").exchange.prices())["BTC-USDT"] == Decimal("100.5")


async def test_prices_of_one_answer_do_not_change_later():
    bench = Bench("100", "200")
    prices = await bench.exchange.prices()
    bench.tick()
    assert prices["BTC-USDT"] == Decimal("100.5")
    assert (await bench.exchange.prices())["BTC-USDT"] == Decimal("200.5")


async def test_a_resting_order_fills_when_the_market_comes_to_it():
    bench = Bench("100", "95", "89")
    await bench.connect()
    await bench.place("a", Side.BUY, "0.5", "90")
    bench.tick()
    assert bench.trades() == []
    bench.tick()
    assert [(trade.amount, trade.price) for trade in bench.trades()] == [(Decimal("0.5"), 90)]


async def test_no_quote_between_two_ticks_is_missed():
    bench = Bench("100", "89", "100")
    await bench.connect()
    await bench.place("a", Side.BUY, "0.5", "90")
    bench.tick(2)
    assert len(bench.trades()) == 1


async def test_a_fill_and_the_balances_after_it_are_told_together():
    bench = Bench("100")
    await bench.connect()
    await bench.place("a", Side.BUY, "0.5")
    report = bench.reports[-1]
    assert [type(fact).__name__ for _, fact in report.orders] == ["OrderAccepted", "OrderFilled"]
    assert {h.token: h.units for h in report.holdings or ()} == {"USDT": Decimal("49949.5"), "BTC": Decimal("0.5")}


async def test_a_clock_that_goes_back_stops_the_market_not_the_venue():
    bench = Bench("100", "200", "300")
    await bench.connect()
    bench.tick(1)
    bench.tick(-3600)
    assert (await bench.exchange.prices())["BTC-USDT"] == Decimal("200.5")
    await bench.place("a", Side.BUY, "0.5")
    assert bench.trades()[0].filled_at == START + timedelta(seconds=1)
    bench.tick(3601)
    assert (await bench.exchange.prices())["BTC-USDT"] == Decimal("300.5")


async def test_the_venue_ticks_by_itself_while_it_runs():
    bench = Bench("100", "89", tick_seconds=0.001)
    await bench.connect()
    await bench.place("a", Side.BUY, "0.5", "90")
    bench.news.clear()
    bench.now += timedelta(seconds=1)
    running = asyncio.create_task(bench.exchange.run())
    async with asyncio.timeout(5):
        await bench.news.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(bench.trades()) == 1


async def test_after_a_restart_the_account_is_where_it_was_and_missed_funding_is_paid():
    before = Bench("100", perpetual=True)
    await before.connect()
    await before.place("a", Side.BUY, "1")
    resting = await before.place("b", Side.BUY, "2", "50")
    last = before.reports[-1]
    accepted = last.orders[0][1]
    assert isinstance(accepted, OrderAccepted)
    number = accepted.exchange_order_id
    after = Bench("100", perpetual=True)
    after.now = START + timedelta(hours=8)
    memory = AccountMemory(
        account="main",
        connector="paper_perpetual",
        balances=[Balance(token=h.token, units=h.units, available=h.available) for h in last.holdings or ()],
        open_orders=[OpenOrder(order=resting, exchange_order_id=number, filled=Decimal(0))],
        positions=[position for report in before.reports for position in report.positions],
        last_seen_at=before.now,
    )
    await after.connect(memory)
    (report,) = after.reports
    assert [(paid.payment, paid.paid_at.hour) for paid in report.funding] == [(Decimal("-0.01005"), 16)]
    now = await after.exchange.report("main")
    (holding,) = now.holdings or ()
    assert (holding.units, holding.available) == (Decimal("49999.98995"), Decimal("49798.98995"))
    assert msgspec.structs.asdict(now.positions[0])["amount"] == 1
    await after.exchange.set_leverage("main", "BTC-USDT", 5)
    assert after.reports[-1].positions[0].leverage == 5


async def test_what_a_crash_left_out_of_the_log_is_told_when_the_account_comes_back():
    bench = Bench("100", perpetual=True)
    resting = await bench.place("a", Side.BUY, "2", "50")
    bench.reports.clear()
    memory = AccountMemory(
        account="main",
        connector="paper_perpetual",
        balances=[Balance(token="USDT", units=Decimal(1000), available=Decimal(990))],
        open_orders=[OpenOrder(order=resting, exchange_order_id="17", filled=Decimal(0))],
        leverage={"BTC-USDT": 5},
    )
    await bench.connect(memory)
    (report,) = bench.reports
    assert [(h.units, h.available) for h in report.holdings or ()] == [(1000, 980)]
    assert not report.snapshot
