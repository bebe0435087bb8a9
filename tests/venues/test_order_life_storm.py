"""The life of many orders when everything goes wrong at once, by a seed: the end is the same as at the venue."""

import random
from contextlib import suppress

import pytest

from domain.errors import Invalid, Unavailable
from domain.orders import Status
from domain.values import Side
from tests.venues.levers import Lever
from tests.venues.mishaps import connected, hurry, pull
from tests.venues.stages import REAL
from tests.venues.told import until

CHANCES = {
    Lever.LOSE_RESPONSE: 0.1,
    Lever.FAIL_BEFORE: 0.05,
    Lever.FAIL_AFTER: 0.1,
    Lever.FILL_UNDER_CANCEL: 0.4,
    Lever.DROP_STREAM: 0.03,
    Lever.SILENCE_STREAM: 0.02,
    Lever.REPEAT_MESSAGE: 0.2,
    Lever.REORDER_MESSAGES: 0.2,
}
ORDERS = 40


@pytest.mark.parametrize("connector", REAL)
@pytest.mark.parametrize("seed", [6])
async def test_what_is_told_after_a_storm_is_what_the_venue_did(connector, seed, monkeypatch):
    hurry(monkeypatch)
    pick = random.Random(seed)
    async with connected(connector) as stage:
        for lever, probability in CHANCES.items():
            stage.levers.chance(pull(lever, seconds=0.1, code="50004"), probability)
        placed = [await _one(stage, pick) for _ in range(ORDERS)]
        foreign = [stage.elsewhere("0.01", side=pick.choice(list(Side))) for _ in range(3)]
        stage.levers.release()
        for order in placed:
            if stage.told.fold(order.client_order_id)[0].status is Status.PLACED:
                known = await stage.exchange.ask(order)
                assert known is _is_there(stage, order)
        await stage.reconcile()
        there = [order for order in placed if _is_there(stage, order)]
        await stage.agrees(*there)
        for truth in foreign:
            assert await stage.observes(truth, "filled") == stage.at_venue(truth)
        assert all(stage.came(order) <= 1 for order in placed)
        assert {stage.told.fold(order.client_order_id)[0].status for order in placed if order not in there} <= {
            Status.PLACED,
            Status.REJECTED,
        }
        await until(lambda: _wealth(stage) == {h.token: h.units for h in stage.desk.holdings(stage.account)})
        assert len(stage.levers.pulled) > 2  # it was a storm


async def _one(stage, pick):
    """Place an order, and perhaps cancel it, or let others trade with it."""
    price = pick.choice([None, "59000", "60003", "61000"])
    order = stage.order(f"0.0{pick.randint(1, 9)}", price, side=pick.choice(list(Side)))
    with suppress(Unavailable, Invalid):
        await stage.exchange.place(order)
    if price is not None and pick.random() < 0.4:
        with suppress(Unavailable):
            await stage.cancel(order)
    elif _is_there(stage, order) and stage.truth(order).status.is_open and pick.random() < 0.5:
        stage.fill(order, "0.01")
    if pick.random() < 0.2:
        stage.move(str(pick.randint(59_500, 60_500)))
    return order


def _is_there(stage, order):
    return stage.ledger.find(stage.account, stage.market, client_id=stage.venue_id(order)) is not None


def _wealth(stage):
    """Return units by token as they were told last."""
    return {token: holding.units for token, holding in stage.told.holdings().items()}
