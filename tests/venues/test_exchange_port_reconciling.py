"""The exchange's port: what happened at a real venue while nobody listened, and what others do with the same keys."""

import asyncio
from decimal import Decimal

import pytest

from domain import orders
from domain.values import PositionSide, Side
from tests.venues.levers import Lever, Pull
from tests.venues.mishaps import hurry
from tests.venues.stages import PAIR, REAL, REAL_PERPETUAL, REAL_SPOT, staged
from tests.venues.told import until

ON_REAL = pytest.mark.parametrize("connector", REAL)


@pytest.fixture
async def stage(connector, monkeypatch):
    hurry(monkeypatch)
    async with staged(connector) as running_stage:
        await running_stage.exchange.connect(running_stage.memory(), running_stage.credentials)
        await running_stage.listening()
        yield running_stage


# While nobody listened.


@ON_REAL
async def test_an_order_that_filled_meanwhile_is_told_with_its_trades(stage):
    order = await stage.resting()
    await stage.leave()
    stage.fill(order, "0.2")
    stage.move("19000")
    await stage.come_back(order)
    assert stage.told.done(order.client_order_id).status == "filled"  # before the account may trade
    await stage.agrees(order)


@ON_REAL
async def test_an_order_that_was_canceled_meanwhile_is_told(stage):
    order = await stage.resting()
    await stage.leave()
    stage.fill(order, "0.2")
    stage.floor.cancel(stage.account, stage.market, order_id=stage.truth(order).order_id)
    await stage.come_back(order)
    assert stage.told.done(order.client_order_id).status == "canceled"
    await stage.agrees(order)


@ON_REAL
async def test_trades_that_the_log_has_are_not_told_again(stage):
    order = await stage.resting()
    stage.fill(order, "0.2")
    await until(lambda: stage.told.done(order.client_order_id).filled)
    await stage.leave()
    stage.fill(order, "0.1")
    await stage.come_back(order)
    await stage.agrees(order)
    stage.fill(order, "0.1")
    await stage.reconcile()
    await stage.reconcile()
    await stage.agrees(order)
    assert stage.told.kinds(order.client_order_id) == ["OrderAccepted"] + ["OrderFilled"] * 3


@ON_REAL
async def test_an_order_whose_acceptance_was_lost_is_found_by_its_id(stage):
    await stage.leave()
    order = stage.order()
    stage.elsewhere("0.5", "20000", client_id=stage.venue_id(order))
    stage.fill(order, "0.2")
    await stage.come_back()
    stage.fill(order, "0.3")
    await stage.becomes(order, "filled")
    (claimed,) = stage.told.observed().values()
    assert claimed.client_order_id == order.client_order_id


@ON_REAL
async def test_what_a_comparison_finds_is_told_once(stage):
    stage.levers.chance(Pull(lever=Lever.SILENCE_STREAM, seconds=60), 1)
    order = await stage.place()
    stage.fill(order, "0.2")
    first, second = await stage.reconcile(), await stage.reconcile()
    assert [type(fact).__name__ for _, fact in first.orders] == ["OrderFilled"]
    assert (list(second.orders), list(second.observed)) == ([], [])
    await stage.agrees(order)


@ON_REAL
async def test_a_comparison_says_how_much_was_compared(stage):
    await stage.resting()
    compared = (await stage.reconcile()).compared
    assert compared is not None
    assert (compared.orders, compared.tokens) == (1, len(stage.starting))


# Others with the same keys.


@ON_REAL
async def test_an_order_of_somebody_else_is_observed_with_its_trades(stage):
    foreign = stage.elsewhere("0.3", "20000")
    await stage.observes(foreign, "accepted")
    stage.move("19000")
    assert await stage.observes(foreign, "filled") == stage.at_venue(foreign)
    observed = stage.told.observed()[str(foreign.order_id)]
    assert (observed.trading_pair, observed.side, observed.amount, observed.price) == (
        PAIR,
        Side.BUY,
        Decimal("0.3"),
        Decimal(20_000),
    )
    assert observed.client_order_id is None


@ON_REAL
async def test_an_order_of_somebody_else_that_traded_meanwhile_is_observed(stage):
    await stage.leave()
    foreign = stage.elsewhere("0.5", side=Side.BUY, pair="ETH-USDT")
    await stage.come_back()
    assert await stage.observes(foreign, "filled") == stage.at_venue(foreign)


@ON_REAL
async def test_an_open_order_of_somebody_else_is_canceled_by_them(stage):
    foreign = stage.elsewhere("0.3", "20000")
    await stage.observes(foreign, "accepted")
    stage.floor.cancel(stage.account, stage.market, order_id=foreign.order_id)
    assert await stage.observes(foreign, "canceled") == stage.at_venue(foreign)


@ON_REAL
async def test_a_trade_told_while_a_comparison_finds_its_order_comes_with_the_order(stage):
    stage.levers.arm(Pull(lever=Lever.SILENCE_STREAM, seconds=0.05))
    foreign = stage.elsewhere("0.3", "20000")
    stage.levers.release()
    late = Pull(lever=Lever.ANSWER_LATE, on=frozenset({"trades"}), seconds=0.2)
    stage.levers.arm(late)
    comparing = asyncio.create_task(stage.exchange.reconcile(stage.account))
    await until(lambda: stage.levers.pulled[Lever.ANSWER_LATE])
    stage.desk.fill(stage.account, foreign.order_id, Decimal("0.1"))
    order_id = orders.observed_id(stage.account, stage.name, str(foreign.order_id))
    await until(lambda: "OrderFilled" in stage.told.kinds(order_id))
    assert stage.told.done(order_id).filled == Decimal("0.1")
    await stage.told(await comparing)
    assert stage.told.done(order_id) == stage.at_venue(foreign)


# Balances and positions.


@pytest.mark.parametrize("connector", REAL_SPOT)
async def test_balances_are_told_as_the_venue_has_them(stage):
    await stage.becomes(await stage.place("0.5", None), "filled")
    await stage.resting("1", "30000")
    await until(lambda: stage.told.holdings() == {h.token: h for h in stage.desk.holdings(stage.account)})


@pytest.mark.parametrize("connector", REAL_PERPETUAL)
async def test_a_position_that_was_closed_meanwhile_is_told_to_be_gone(stage):
    await stage.becomes(await stage.place("0.5", None), "filled")
    await until(stage.told.positions)
    held = list(stage.told.positions().values())
    await stage.leave()
    stage.elsewhere("0.5", side=Side.SELL)
    await stage.come_back(positions=held)
    assert stage.told.positions() == {}
    gone = [p for report in stage.told.reports for p in report.positions][-1]
    assert (gone.trading_pair, gone.side, gone.amount) == (PAIR, PositionSide.BOTH, 0)


@pytest.mark.parametrize("connector", REAL_PERPETUAL)
async def test_funding_is_told_once_with_the_venues_amount(stage):
    await stage.becomes(await stage.place("0.5", None), "filled")
    stage.desk.pay_funding()
    await stage.reconcile()
    await stage.reconcile()
    ((number, truth),) = stage.ledger.funding(stage.account)
    (paid,) = stage.told.funding()
    assert (paid.funding_id, paid.payment, paid.currency) == (str(number), truth.payment, "USDT")
    assert (paid.trading_pair, paid.position_size) == (PAIR, Decimal("0.5"))
    assert (paid.position_side, paid.rate) == (truth.position_side, truth.rate)


@ON_REAL
async def test_a_venue_is_asked_once_for_the_balances_of_an_account_that_connects(connector, monkeypatch):
    hurry(monkeypatch)
    async with staged(connector) as stage:
        stage.levers.chance(Pull(lever=Lever.ANSWER_LATE, on=frozenset({"balances"}), seconds=0.0), 1.0)
        await stage.exchange.connect(stage.memory(), stage.credentials)
        assert stage.levers.pulled[Lever.ANSWER_LATE] == 1
