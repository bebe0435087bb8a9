"""The exchange's port: leverage, position mode and positions, on every exchange that has them."""

import re
from decimal import Decimal

import pytest

from domain.errors import Invalid
from domain.values import PositionAction, PositionMode, PositionSide, Side
from tests.venues.mishaps import hurry
from tests.venues.stages import PAIR, PERPETUAL, SPOT, staged
from tests.venues.told import until

OPEN, CLOSE = PositionAction.OPEN, PositionAction.CLOSE


@pytest.fixture
async def stage(connector, monkeypatch):
    hurry(monkeypatch)
    async with staged(connector) as running_stage:
        await running_stage.exchange.connect(running_stage.memory(), running_stage.credentials)
        yield running_stage


def on(*names):
    return pytest.mark.parametrize("connector", names)


async def traded(stage, amount, side, action=OPEN):
    """Trade at the market's price and wait until that is told."""
    order = await stage.place(amount, None, side=side, action=action)
    await stage.becomes(order, "filled")
    if stage.is_real:
        await stage.agrees(order)
    return order


@on("memory", *SPOT)
async def test_leverage_and_mode_are_for_perpetuals(stage):
    with pytest.raises(Invalid, match="is not a perpetual connector"):
        await stage.exchange.set_leverage(stage.account, PAIR, 2)
    with pytest.raises(Invalid, match="is not a perpetual connector"):
        await stage.exchange.set_mode(stage.account, PositionMode.HEDGE)


@on("memory_perpetual", *PERPETUAL)
async def test_leverage_has_bounds(stage):
    await stage.exchange.set_leverage(stage.account, PAIR, 125)
    await stage.exchange.set_leverage(stage.account, PAIR, 125)
    with pytest.raises(Invalid) as refused:
        await stage.exchange.set_leverage(stage.account, PAIR, 126)
    assert re.search("(?i)leverage.* 125|between 1 and 125|leverage", refused.value.message)
    if stage.is_real:
        assert stage.desk.leverage(stage.account, PAIR) == 125


@on("memory_perpetual", *PERPETUAL)
async def test_the_mode_cannot_change_with_open_orders(stage):
    await stage.exchange.set_mode(stage.account, PositionMode.HEDGE)
    await stage.exchange.set_mode(stage.account, PositionMode.HEDGE)
    await stage.resting()
    with pytest.raises(Invalid, match=r"(?i)open orders|positions|position side"):
        await stage.exchange.set_mode(stage.account, PositionMode.ONEWAY)
    if stage.is_real:
        assert stage.desk.mode(stage.account) is PositionMode.HEDGE


@on(*PERPETUAL)
async def test_a_position_is_opened_and_closed(stage):
    await traded(stage, "0.5", Side.BUY)
    await until(stage.told.positions)
    position = stage.told.positions()[PAIR, PositionSide.BOTH]
    assert position.amount == Decimal("0.5")
    assert Decimal(60_000) < position.entry_price < Decimal(60_100)
    await traded(stage, "0.2", Side.SELL, CLOSE)
    await until(lambda: stage.told.positions()[PAIR, PositionSide.BOTH].amount == Decimal("0.3"))
    await traded(stage, "0.3", Side.SELL, CLOSE)
    await until(lambda: not stage.told.positions())


@on(*PERPETUAL)
async def test_a_short_position_is_negative(stage):
    await traded(stage, "0.5", Side.SELL)
    await until(stage.told.positions)
    assert stage.told.positions()[PAIR, PositionSide.BOTH].amount == Decimal("-0.5")


@on(*PERPETUAL)
async def test_a_closing_order_opens_nothing(stage):
    order = await stage.place("0.5", None, side=Side.SELL, action=CLOSE)
    rejected = await stage.told_of(order, "OrderRejected")
    assert rejected.reason
    assert not stage.told.positions()


@on(*PERPETUAL)
async def test_in_hedge_mode_both_sides_stand_beside_each_other(stage):
    await stage.exchange.set_mode(stage.account, PositionMode.HEDGE)
    await traded(stage, "0.5", Side.BUY)
    await traded(stage, "0.3", Side.SELL)
    await until(lambda: len(stage.told.positions()) == 2)
    held = {side: position.amount for (_, side), position in stage.told.positions().items()}
    assert held == {PositionSide.LONG: Decimal("0.5"), PositionSide.SHORT: Decimal("-0.3")}
    await traded(stage, "0.5", Side.SELL, CLOSE)
    await until(lambda: [side for _, side in stage.told.positions()] == [PositionSide.SHORT])


@on(*PERPETUAL)
async def test_the_mode_of_the_venue_is_known_when_an_account_comes_back(stage):
    await stage.exchange.set_mode(stage.account, PositionMode.HEDGE)
    order = await stage.resting("0.5", "20000")
    memory = stage.remembered(stage.open_order(order), mode=PositionMode.HEDGE)
    await stage.leave()
    await stage.exchange.connect(memory, stage.credentials)
    await traded(stage, "0.3", Side.SELL)
    await until(lambda: [side for _, side in stage.told.positions()] == [PositionSide.SHORT])


@on(*PERPETUAL)
async def test_leverage_sets_the_margin_that_an_order_holds(stage):
    await stage.exchange.set_leverage(stage.account, PAIR, 5)
    await stage.resting("0.5", "20000")
    await until(lambda: stage.told.holdings()["USDT"].available < Decimal(98_001))
    assert Decimal(97_900) < stage.told.holdings()["USDT"].available
