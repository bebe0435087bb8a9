"""What differs from a venue is corrected and recorded, in one commit."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from commands import schedule
from commands.accounts import first_start
from commands.reconciliation import Reconcile
from commands.schedule import reconcile_all
from domain.accounts import MASTER
from domain.errors import Unavailable
from domain.orders import OrderAccepted, OrderFilled, stream_of
from domain.portfolio import BalancesObserved, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.reconciliation import AccountReconciled, Compared, DifferenceFound, Kind
from domain.values import PositionSide
from tests.commands.test_orders import placed
from tests.commands.test_portfolio import HOLDINGS, fill, report
from tests.commands.world import T0, World, world

STREAM = f"reconciliation-{MASTER}-paper"
MINUTE = timedelta(minutes=1)


async def runs(w: World, stream: str = STREAM) -> list[Any]:
    return list(await w.events(stream))


async def start(w: World) -> None:
    await first_start(w.bus.ports)
    w.spot.holdings = HOLDINGS
    await w.intake(report(holdings=HOLDINGS))


async def test_an_account_that_is_as_the_log_says_is_recorded_as_compared() -> None:
    async with world() as w:
        await start(w)
        before = await w.log.position()
        await w.intake(report(holdings=HOLDINGS, reconciles="start"))
        assert [r.event for r in await w.log.page(before, 10)] == [
            AccountReconciled(
                account=MASTER,
                connector="paper",
                trigger="start",
                began_at=T0,
                finished_at=T0,
                compared=Compared(tokens=3),
                differences=0,
            )
        ]


async def test_a_missed_fill_is_corrected_and_told_in_one_commit_and_one_story() -> None:
    async with world() as w:
        await start(w)
        order_id = await placed(w)
        await w.quiet()
        before = await w.log.position()
        poorer = [HOLDINGS[0], HOLDINGS[1], msgspec.structs.replace(HOLDINGS[2], units=Decimal(3))]
        await w.intake(report(orders=[(order_id, fill("t1"))], holdings=poorer, reconciles="reconnect"))
        written = await w.log.page(before, 20)
        kinds = [OrderFilled, BalancesObserved, *[DifferenceFound] * 3, AccountReconciled]
        assert [type(r.event) for r in written] == kinds
        assert len({r.command_id for r in written}) == 1
        told: list[Any] = [r.event for r in written[2:]]
        *found, done = told
        assert [(d.kind, d.subject) for d in found] == [
            (Kind.TRADE, f"{order_id} t1"),
            (Kind.ORDER, order_id),
            (Kind.BALANCE, "SPAM"),
        ]
        assert done.differences == 3
        assert done.compared == Compared(orders=1, trades=1, tokens=3)
        story = (await w.log.read([stream_of(order_id)]))[stream_of(order_id)][0].correlation_id
        assert {r.correlation_id for r in written[:-1]} == {story}


async def test_differences_of_several_orders_are_each_in_their_own_story() -> None:
    async with world() as w:
        await start(w)
        ids = [await placed(w) for _ in range(2)]
        await w.quiet()
        await w.intake(report(orders=[(order_id, fill("t1")) for order_id in ids], reconciles="schedule"))
        stories = [(await w.log.read([stream_of(i)]))[stream_of(i)][0].correlation_id for i in ids]
        *found, done = (await w.log.read([STREAM]))[STREAM]
        assert [r.correlation_id for r in found] == [stories[0], stories[0], stories[1], stories[1]]
        assert done.correlation_id not in stories


async def test_positions_and_funding_are_compared() -> None:
    where = {"account": MASTER, "connector": "paper_perpetual", "trading_pair": "BTC-USDT"}
    held = PositionObserved(
        **where,
        side=PositionSide.BOTH,
        amount=Decimal(1),
        entry_price=Decimal(1),
        mark_price=Decimal(1),
        unrealized_pnl=Decimal(0),
        leverage=1,
        observed_at=T0,
    )
    paid = FundingPaid(
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
        told = report(connector="paper_perpetual", positions=[held], funding=[paid], holdings=HOLDINGS)
        await w.intake(told)
        gone = msgspec.structs.replace(held, amount=Decimal(0))
        late = msgspec.structs.replace(paid, funding_id="f2")
        compared = msgspec.structs.replace(
            told, positions=[gone], funding=[paid, late], reconciles="schedule", compared=Compared(orders=7)
        )
        await w.intake(compared)
        await w.intake(compared)
        assert await w.events(f"position-{MASTER}-paper_perpetual-BTC-USDT") == [paid, held, late, gone]
        stream = f"reconciliation-{MASTER}-paper_perpetual"
        *found, first, second = await runs(w, stream)
        assert [(d.kind, d.subject, d.ours.get("amount")) for d in found] == [
            (Kind.FUNDING, "f2", None),
            (Kind.POSITION, "BTC-USDT BOTH", "1"),
        ]
        assert (first.differences, second.differences, first.compared) == (2, 0, Compared(orders=7))


async def test_an_account_that_was_never_seen_before_has_nothing_that_differs() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await w.intake(report(holdings=HOLDINGS, reconciles="start"))
        (done,) = await runs(w)
        assert (done.differences, done.compared.tokens) == (0, 3)


async def test_a_comparison_is_not_made_one_with_what_was_told_around_it() -> None:
    async with world() as w:
        await start(w)
        order_id = await placed(w)
        await w.quiet()
        told = [
            w.intake(report(orders=[(order_id, fill("t1", "0.0001"))])),
            w.intake(report(orders=[(order_id, fill("t1", "0.0001"))], reconciles="schedule")),
            w.intake(report(orders=[(order_id, fill("t2", "0.0001"))], reconciles="schedule")),
            w.intake(report(orders=[(order_id, fill("t3", "0.0001"))])),
        ]
        await asyncio.gather(*told)
        found = [(e.kind, e.subject) for e in await runs(w) if isinstance(e, DifferenceFound)]
        assert found == [(Kind.TRADE, f"{order_id} t2"), (Kind.ORDER, order_id)]
        trades = [e.trade_id for e in await w.events(stream_of(order_id)) if isinstance(e, OrderFilled)]
        assert trades == ["t1", "t2", "t3"]


async def test_what_was_told_after_the_venue_was_asked_is_newer_than_its_answer() -> None:
    def later(seconds: float) -> datetime:
        return T0 + timedelta(seconds=seconds)

    async with world() as w:
        await start(w)
        newer = [msgspec.structs.replace(HOLDINGS[0], units=Decimal(70))]
        await w.intake(report(holdings=newer, reported_at=later(2)))
        stale = report(holdings=HOLDINGS, began_at=later(1), reported_at=later(3))
        for parts in ({}, {"snapshot": True}, {"reconciles": "schedule"}):
            await w.intake(msgspec.structs.replace(stale, **parts))
        assert len(await runs(w, f"balances-{MASTER}-paper")) == 2
        (done,) = await runs(w)
        assert done.differences == 0
        await w.intake(msgspec.structs.replace(stale, holdings_at=later(2.5)))
        assert len(await runs(w, f"balances-{MASTER}-paper")) == 3


async def test_a_position_that_was_told_after_the_venue_was_asked_stays() -> None:
    held = PositionObserved(
        account=MASTER,
        connector="paper_perpetual",
        trading_pair="BTC-USDT",
        side=PositionSide.BOTH,
        amount=Decimal(1),
        entry_price=Decimal(1),
        mark_price=Decimal(1),
        unrealized_pnl=Decimal(0),
        leverage=1,
        observed_at=T0 + timedelta(seconds=2),
    )
    stale = msgspec.structs.replace(held, amount=Decimal(2), observed_at=T0 + timedelta(seconds=1))
    set_back = msgspec.structs.replace(held, amount=Decimal(3), observed_at=T0 - timedelta(hours=1))
    async with world() as w:
        await first_start(w.bus.ports)
        told = report(connector="paper_perpetual", positions=[held])
        await w.intake(told)
        await w.intake(msgspec.structs.replace(told, positions=[stale], began_at=T0))
        stream = f"position-{MASTER}-paper_perpetual-BTC-USDT"
        assert await w.events(stream) == [held]
        await w.intake(msgspec.structs.replace(told, positions=[set_back], began_at=T0 - timedelta(hours=1)))
        assert await w.events(stream) == [held, set_back]


async def test_a_comparison_records_nothing_that_is_as_the_log_says() -> None:
    async with world() as w:
        await start(w)
        await w.intake(report(holdings=HOLDINGS, reconciles="schedule", snapshot=True))
        assert len(await runs(w, f"balances-{MASTER}-paper")) == 1


async def test_a_comparison_whose_answer_was_lost_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.intake.RETRY_SECONDS", 0.0)
    async with world() as w:
        await start(w)
        w.log.answers_lost = 1
        await w.intake(report(holdings=HOLDINGS[:1], reconciles="schedule"))
        *found, _ = await runs(w)
        assert [(d.kind, d.subject) for d in found] == [(Kind.BALANCE, "BTC"), (Kind.BALANCE, "SPAM")]


async def test_a_venue_is_compared_by_command() -> None:
    async with world() as w:
        await start(w)
        w.spot.mute = True
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = False
        w.spot.holds[order_id] = [OrderAccepted(exchange_order_id="1", accepted_at=T0), fill("t1")]
        w.spot.holdings = [Holding(token="USDT", units=Decimal(1), available=Decimal(1))]
        w.time.pass_(5)
        outcome = await w.do(Reconcile(account=MASTER, connector="paper", trigger="reconnect"))
        assert outcome.position == await w.log.position()
        done = (await runs(w))[-1]
        assert (done.trigger, done.began_at, done.finished_at) == ("reconnect", w.time(), w.time())
        assert done.differences == 5


async def test_a_comparison_that_is_not_recorded_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.reports.RECORDED_WITHIN_SECONDS", 0.01)
    async with world() as w:
        await start(w)
        w.log.away = Unavailable("The log is away")
        with pytest.raises(Unavailable, match="The differences of 'master_account' on paper were not recorded"):
            await w.do(Reconcile(account=MASTER, connector="paper"))
        w.log.away = None
        await w.quiet()


async def test_every_account_is_compared_but_on_venues_that_know_no_more_than_the_log() -> None:
    async with world() as w:
        await start(w)
        w.spot.reconciles = True
        await reconcile_all(w.bus, within=MINUTE)
        assert [type(e) for e in await runs(w)] == [AccountReconciled]
        assert await runs(w, f"reconciliation-{MASTER}-paper_perpetual") == []


async def test_a_venue_that_is_away_leaves_the_others_their_comparison() -> None:
    async with world() as w:
        await start(w)
        w.spot.reconciles = w.perpetual.reconciles = w.perpetual.mute = True
        await reconcile_all(w.bus, within=MINUTE)
        assert [type(e) for e in await runs(w)] == [AccountReconciled]
        assert await runs(w, f"reconciliation-{MASTER}-paper_perpetual") == []


async def test_a_venue_that_is_silent_is_given_up_and_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await start(w)
        w.spot.reconciles = w.perpetual.reconciles = True
        compare = schedule.reconcile

        async def silent(bus: object, account: str, connector: str) -> None:
            if connector == "paper_perpetual":
                await asyncio.Event().wait()
            await compare(w.bus, account, connector)

        monkeypatch.setattr(schedule, "reconcile", silent)
        await reconcile_all(w.bus, within=timedelta(seconds=0.05))
        assert [type(e) for e in await runs(w)] == [AccountReconciled]
