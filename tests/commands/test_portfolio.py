"""What venues tell is recorded in their order, once, and all of a report or nothing of it."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from commands import intake, reports
from commands.accounts import first_start
from commands.portfolio import ObserveBalances
from commands.processes.orders import OrderWatch
from commands.schedule import jobs, observe, observe_all
from domain.accounts import MASTER
from domain.errors import Unavailable
from domain.orders import (
    OrderCanceled,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    observed_id,
    stream_of,
)
from domain.portfolio import BalancesObserved, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, PositionSide, Side
from tests.commands.test_orders import placed
from tests.commands.world import T0, World, world

BALANCES = f"balances-{MASTER}-paper"
HOLDINGS = [
    Holding(token="USDT", units=Decimal(90), available=Decimal(80)),
    Holding(token="BTC", units=Decimal(1), available=Decimal(1)),
    Holding(token="SPAM", units=Decimal(1), available=Decimal(1)),
]


def report(**parts: object) -> AccountReport:
    empty = AccountReport(account=MASTER, connector="paper", reported_at=T0)
    return msgspec.structs.replace(empty, **parts)


def fill(trade_id: str, amount: str = "0.001") -> OrderFilled:
    return OrderFilled(
        trade_id=trade_id,
        amount=Decimal(amount),
        price=Decimal(50_000),
        fee=Decimal(0),
        fee_currency="USDT",
        is_maker=True,
        filled_at=T0,
    )


async def balances(w: World) -> list[BalancesObserved]:
    return [event for event in await w.events(BALANCES) if isinstance(event, BalancesObserved)]


async def test_fills_and_balances_of_a_report_are_one_commit() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        before = await w.log.position()
        await w.intake(report(orders=[(order_id, fill("t1"))], holdings=HOLDINGS))
        written = await w.log.page(before, 10)
        assert [type(r.event) for r in written] == [OrderFilled, BalancesObserved]
        assert len({r.command_id for r in written}) == 1
        story = (await w.log.read([stream_of(order_id)]))[stream_of(order_id)][0].correlation_id
        assert {r.correlation_id for r in written} == {story}


async def test_balances_are_valued_but_for_banned_tokens() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await w.intake(report(holdings=HOLDINGS))
        (observed,) = await balances(w)
        assert [(b.token, b.value, b.banned) for b in observed.balances] == [
            ("USDT", Decimal(90), False),
            ("BTC", Decimal(50_000), False),
            ("SPAM", None, True),
        ]


async def test_the_same_balances_are_recorded_once_but_a_snapshot_always() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await w.intake(report(holdings=HOLDINGS))
        await w.intake(report(holdings=HOLDINGS))
        assert len(await balances(w)) == 1
        await w.intake(report(holdings=HOLDINGS, snapshot=True))
        assert len(await balances(w)) == 2


async def test_a_trade_told_twice_counts_once() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        await w.intake(report(orders=[(order_id, fill("t1")), (order_id, fill("t1"))]))
        await w.intake(report(orders=[(order_id, fill("t1")), (order_id, fill("t2"))]))
        trades = [e for e in await w.events(stream_of(order_id)) if isinstance(e, OrderFilled)]
        assert [t.trade_id for t in trades] == ["t1", "t2"]


async def test_a_fact_of_an_order_nobody_knows_is_not_recorded() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        before = await w.log.position()
        await w.intake(report(orders=[("nope", fill("t1"))]))
        assert await w.log.position() == before


async def test_an_order_of_somebody_else_is_kept_with_its_trades() -> None:
    observed = OrderObserved(
        account=MASTER,
        connector="paper",
        trading_pair="BTC-USDT",
        exchange_order_id="77",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        amount=Decimal(1),
        price=None,
        position_action=PositionAction.CLOSE,
        observed_at=T0,
        reason="liquidation",
    )
    order_id = observed_id(MASTER, "paper", "77")
    async with world() as w:
        await first_start(w.bus.ports)
        await w.intake(report(observed=[observed], orders=[(order_id, fill("t1", "1"))]))
        assert await w.events(stream_of(order_id)) == [observed, fill("t1", "1")]


async def test_positions_and_funding_are_recorded_with_the_report() -> None:
    where = {"account": MASTER, "connector": "paper_perpetual", "trading_pair": "BTC-USDT"}
    position = PositionObserved(
        **where,
        side=PositionSide.BOTH,
        amount=Decimal(1),
        entry_price=Decimal(1),
        mark_price=Decimal(1),
        unrealized_pnl=Decimal(0),
        leverage=1,
        observed_at=T0,
    )
    funding = FundingPaid(
        **where,
        funding_id="f1",
        rate=Decimal("0.0001"),
        payment=Decimal(-1),
        currency="USDT",
        position_size=Decimal(1),
        position_side=PositionSide.LONG,
        paid_at=T0,
    )
    async with world() as w:
        await first_start(w.bus.ports)
        told = report(connector="paper_perpetual", positions=[position], funding=[funding])
        await w.intake(told)
        assert await w.events(f"position-{MASTER}-paper_perpetual-BTC-USDT") == [funding, position]


async def test_reports_that_wait_are_recorded_together_and_in_order() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        commits = w.log.commits
        last = [w.intake(report(orders=[(order_id, fill(f"t{n}"))])) for n in range(50)]
        await asyncio.gather(*last)
        trades = [e for e in await w.events(stream_of(order_id)) if isinstance(e, OrderFilled)]
        assert [t.trade_id for t in trades][:9] == [f"t{n}" for n in range(9)]
        assert w.log.commits - commits <= 2


async def test_nothing_told_is_lost_while_the_log_is_away() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        w.log.away = Unavailable("The event log cannot be reached")
        recorded = w.intake(report(orders=[(order_id, OrderCanceled(canceled_at=T0))]))
        await w.log.refused.wait()
        assert not recorded.done()
        w.log.away = None
        await recorded
        assert (await w.events(stream_of(order_id)))[-1] == OrderCanceled(canceled_at=T0)


async def test_a_stream_that_moves_meanwhile_is_decided_again() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        told = [w.intake(report(orders=[(order_id, fill(f"t{n}"))], snapshot=False)) for n in range(3)]
        await w.quiet()
        await asyncio.gather(*told)
        kinds = [type(e) for e in await w.events(stream_of(order_id))]
        assert kinds[0] is OrderPlaced
        assert kinds.count(OrderFilled) == 3


async def test_a_snapshot_is_taken_of_every_account_on_every_connector() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        position = await observe_all(w.bus)
        assert position == await w.log.position()
        assert len(await balances(w)) == 1
        assert await w.events(f"balances-{MASTER}-paper_perpetual")
        await w.do(ObserveBalances(account=MASTER, connector="paper"))
        assert len(await balances(w)) == 2


async def test_an_account_that_cannot_be_observed_leaves_the_others_their_snapshot() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        assert await observe(w.bus, "nobody", "paper") == 0


async def test_every_job_has_a_name_and_an_interval() -> None:
    from datetime import timedelta

    async with world() as w:
        watch = OrderWatch(w.bus, w.intake.drain)
        table = jobs(
            w.bus, watch, observe_every=timedelta(minutes=5), reconcile_every=timedelta(minutes=2), keeper=w.keeper
        )
        assert [job.name for job in table] == [
            "observe_balances",
            "reconcile",
            "settle_orders",
            "forget_keys",
            "reconnect",
            "watch_bots",
            "look_at_bots",
        ]
        for job in table:
            await job.run()


async def test_who_gives_up_waiting_takes_nothing_from_the_others_who_wait() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        w.log.away = Unavailable("The log is away")
        recorded = w.intake(report(holdings=HOLDINGS))
        others = asyncio.create_task(w.intake.drain())
        impatient = asyncio.create_task(w.intake.drain())
        await w.log.refused.wait()
        recorded.cancel()
        impatient.cancel()
        await asyncio.wait([impatient])
        assert not others.done()
        w.log.away = None
        await others
        assert len(await balances(w)) == 1


async def test_balances_that_cannot_be_recorded_are_not_waited_for_without_end(monkeypatch) -> None:
    monkeypatch.setattr(reports, "RECORDED_WITHIN_SECONDS", 0.01)
    async with world() as w:
        await first_start(w.bus.ports)
        w.log.away = Unavailable("The log is away")
        with pytest.raises(Unavailable, match="The balances of 'master_account' on paper were not recorded"):
            await w.do(ObserveBalances(account=MASTER, connector="paper"))
        w.log.away = None
        await w.quiet()
        assert len(await balances(w)) == 1


async def test_what_was_recorded_before_its_answer_was_lost_is_not_recorded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "RETRY_SECONDS", 0.0)
    async with world() as w:
        await first_start(w.bus.ports)
        paid = FundingPaid(
            account=MASTER,
            connector="paper",
            trading_pair="BTC-USDT",
            funding_id="f1",
            rate=Decimal("0.0001"),
            payment=Decimal(-1),
            currency="USDT",
            position_size=Decimal(1),
            position_side=PositionSide.LONG,
            paid_at=T0,
        )
        w.log.answers_lost = 1
        await w.intake(report(funding=[paid], holdings=HOLDINGS, snapshot=True))
        assert await w.events(f"position-{MASTER}-paper-BTC-USDT") == [paid]
        assert len(await balances(w)) == 1
        await w.intake(report(funding=[msgspec.structs.replace(paid, funding_id="f2")]))
        assert len(await w.events(f"position-{MASTER}-paper-BTC-USDT")) == 2
