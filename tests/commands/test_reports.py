"""Whose facts a report tells: an order of ours, or one that somebody else placed; and when it is recorded."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from commands import intake
from commands.accounts import first_start
from commands.folding import EVERY
from domain.accounts import MASTER
from domain.events import Recorded
from domain.orders import OrderAccepted, OrderFilled, OrderObserved, OrderPlaced, observed_id, stream_of
from domain.portfolio import Holding
from domain.positions import PositionObserved
from domain.values import OrderType, PositionAction, PositionSide, Side
from tests.commands.test_orders import placed
from tests.commands.test_portfolio import HOLDINGS, fill, report
from tests.commands.world import T0, world
from tests.fakes.log import MemoryLog

OBSERVED = OrderObserved(
    account=MASTER,
    connector="paper",
    trading_pair="BTC-USDT",
    exchange_order_id="77",
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    amount=Decimal(1),
    price=Decimal(50_000),
    position_action=PositionAction.OPEN,
    observed_at=T0,
)
THEIRS = stream_of(observed_id(MASTER, "paper", "77"))


async def test_an_observed_order_that_bears_the_id_of_one_of_ours_is_that_one() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        ours = msgspec.structs.replace(OBSERVED, client_order_id=order_id)
        await w.intake(report(observed=[ours], orders=[(order_id, fill("t1"))]))
        assert [type(e) for e in await w.events(stream_of(order_id))] == [OrderPlaced, OrderAccepted, OrderFilled]
        assert await w.events(THEIRS) == []


async def test_an_observed_order_with_an_id_that_nobody_gave_is_kept_with_its_facts() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        made_up = msgspec.structs.replace(OBSERVED, client_order_id="nope")
        for _ in range(2):
            await w.intake(report(observed=[made_up], orders=[("nope", fill("t1", "0.4"))]))
        await w.intake(report(observed=[made_up], orders=[("nope", fill("t2", "0.6"))]))
        assert await w.events(THEIRS) == [made_up, fill("t1", "0.4"), fill("t2", "0.6")]
        assert await w.events(stream_of("nope")) == []


async def test_an_id_of_ours_on_an_order_of_another_account_is_no_order_of_ours() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        history = await w.events(stream_of(order_id))
        other = msgspec.structs.replace(OBSERVED, account="other", client_order_id=order_id)
        await w.intake(report(account="other", observed=[other], orders=[(order_id, fill("t1"))]))
        assert await w.events(stream_of(order_id)) == history
        assert await w.events(stream_of(observed_id("other", "paper", "77"))) == [other, fill("t1")]


async def test_a_position_that_is_told_again_is_recorded_for_a_snapshot_alone() -> None:
    held = PositionObserved(
        account=MASTER,
        connector="paper_perpetual",
        trading_pair="BTC-USDT",
        side=PositionSide.LONG,
        amount=Decimal(1),
        entry_price=Decimal(1),
        mark_price=Decimal(1),
        unrealized_pnl=Decimal(0),
        leverage=1,
        observed_at=T0,
    )
    dearer = msgspec.structs.replace(held, mark_price=Decimal(2), unrealized_pnl=Decimal(1))
    short = msgspec.structs.replace(held, side=PositionSide.SHORT, amount=Decimal(-1))
    async with world() as w:
        await first_start(w.bus.ports)
        for positions in ([held], [dearer], [short], [dearer, short]):
            await w.intake(report(connector="paper_perpetual", positions=positions))
        stream = f"position-{MASTER}-paper_perpetual-BTC-USDT"
        assert await w.events(stream) == [held, short]
        await w.intake(report(connector="paper_perpetual", positions=[dearer, short], snapshot=True))
        assert await w.events(stream) == [held, short, dearer, short]


async def test_what_is_told_between_two_beats_is_recorded_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BEAT_SECONDS", 0.2)
    async with world() as w:
        await first_start(w.bus.ports)
        first = await w.intake(report(holdings=HOLDINGS))  # at once
        told = []
        for units in (Decimal(2), Decimal(3)):
            told.append(w.intake(report(holdings=[Holding(token="BTC", units=units, available=units)])))
            for _ in range(50):  # more turns of the loop than it takes to record a report
                await asyncio.sleep(0)
        assert await asyncio.gather(*told) == [first + 1, first + 1]


async def test_facts_of_an_order_take_one_look_at_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        looks: list[str] = []

        async def read(streams: Sequence[str]) -> dict[str, list[Recorded]]:
            looks.extend(streams)
            return await MemoryLog.read(w.log, streams)

        async def last(streams: Sequence[str]) -> dict[str, Recorded | None]:
            looks.extend(streams)
            return await MemoryLog.last(w.log, streams)

        monkeypatch.setattr(w.log, "read", read)
        monkeypatch.setattr(w.log, "last", last)
        await w.intake(report(orders=[(order_id, fill("t1"))]))
        assert looks == [stream_of(order_id)]


async def test_an_order_of_many_trades_goes_on_in_its_story_from_its_snapshot() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        order_id = await placed(w)
        await w.quiet()
        stream = stream_of(order_id)
        await w.intake(report(orders=[(order_id, fill(f"t{n}", "0.000001")) for n in range(EVERY)]))
        await w.intake(report(orders=[(order_id, fill(f"t{EVERY - 1}")), (order_id, fill("t-", "0.000002"))]))
        assert w.log.snapshots[stream].version == 2 + EVERY
        await w.intake(report(orders=[(order_id, fill("t0")), (order_id, fill("t+", "0.000003"))]))
        history = (await w.log.read([stream]))[stream]
        assert [r.event for r in history[-2:]] == [fill("t-", "0.000002"), fill("t+", "0.000003")]
        assert {r.correlation_id for r in history} == {history[0].correlation_id}
        assert history[-1].causation_id == history[-2].command_id
