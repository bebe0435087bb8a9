"""The life of an order when things go wrong: what is told at the end is what the venue did, to the last digit.

Each case pulls one lever of the test venue. Nothing is sent twice, whatever is lost; what the venue's stream does not
tell is found by asking, by the next comparison at the latest.
"""

import pytest

from domain.errors import Invalid, Unavailable
from tests.venues.levers import Lever
from tests.venues.mishaps import connected, hurry, hush, lost, pull, silence
from tests.venues.stages import REAL, client_of, staged
from tests.venues.told import until

ON_REAL = pytest.mark.parametrize("connector", REAL)
SHORT_MS = 100
"""How long an answer is waited for where it comes too late."""


@pytest.fixture
async def stage(connector, monkeypatch):
    hurry(monkeypatch)
    async with connected(connector) as running_stage:
        yield running_stage


def orders_at(stage):
    return stage.ledger.orders(stage.account, stage.market)


# The answer to an order does not come.


@ON_REAL
@pytest.mark.parametrize(
    "lever",
    [Lever.LOSE_RESPONSE, Lever.FAIL_AFTER, Lever.ANSWER_LATE],
)
async def test_an_order_that_was_taken_is_told_by_the_stream(stage, lever):
    client_of(stage).exchange.timeout = SHORT_MS
    stage.levers.arm(pull(lever, "place", code="50004"))
    order = await lost(stage, "0.5", None)
    await stage.becomes(order, "filled")
    await stage.agrees(order)
    assert stage.levers.pulled == {lever: 1}


@ON_REAL
@pytest.mark.parametrize("lever", [Lever.LOSE_RESPONSE, Lever.FAIL_AFTER])
async def test_an_order_that_was_taken_is_found_by_its_id_when_nothing_is_told(stage, lever):
    silence(stage)
    stage.levers.arm(pull(lever, "place", code="50004"))
    order = await lost(stage, "0.5", None)
    assert stage.told.facts(order.client_order_id) == []
    assert await stage.exchange.ask(order) is True
    await stage.agrees(order)
    assert stage.told.done(order.client_order_id).status == "filled"


@ON_REAL
async def test_an_order_that_was_never_taken_is_not_known(stage):
    stage.levers.arm(pull(Lever.FAIL_BEFORE, "place"))
    order = await lost(stage)
    assert await stage.exchange.ask(order) is False
    assert await stage.exchange.ask(order) is False
    assert stage.told.facts(order.client_order_id) == []
    assert orders_at(stage) == []


@ON_REAL
async def test_an_order_that_lies_about_at_the_venue_is_told_when_it_is_taken(stage):
    client_of(stage).exchange.timeout = SHORT_MS
    stage.levers.arm(pull(Lever.WORK_LATE, "place", seconds=0.3))
    order = await lost(stage)
    assert await stage.exchange.ask(order) is False
    await stage.becomes(order, "accepted")
    await stage.agrees(order)


@ON_REAL
async def test_nobody_says_that_an_order_is_unknown_while_the_venue_is_out_of_order(stage):
    stage.levers.arm(pull(Lever.LOSE_RESPONSE, "place"))
    silence(stage)
    order = await lost(stage)
    stage.levers.chance(pull(Lever.FAIL_BEFORE, "order", "orders"), 1)
    with pytest.raises(Unavailable):
        await stage.exchange.ask(order)
    stage.levers.release()
    assert await stage.exchange.ask(order) is True
    await stage.agrees(order)


# The venue says no.


REFUSALS = {
    "binance": ((-2010, "insufficient"), (-1013, "NOTIONAL"), (-1121, "Invalid symbol")),
    "binance_perpetual": ((-2019, "Margin"), (-4164, "notional"), (-1111, "Precision"), (-1121, "Invalid symbol")),
    "okx": (("51008", "Insufficient"), ("51020", "minimum"), ("51121", "lot")),
    "okx_perpetual": (("51008", "Insufficient"), ("51169", "direction"), ("51000", "px")),
}


@pytest.mark.parametrize(
    ("connector", "code", "message"),
    [(connector, code, message) for connector, refusals in REFUSALS.items() for code, message in refusals],
)
async def test_an_order_that_is_refused_ends_in_the_venues_words(stage, code, message):
    stage.levers.arm(pull(Lever.REJECT, "place", code=code, message=message))
    order = await stage.place()
    rejected = await stage.told_of(order, "OrderRejected")
    assert str(code) in rejected.reason
    assert stage.told.kinds(order.client_order_id) == ["OrderRejected"]
    assert (stage.came(order), orders_at(stage)) == (1, [])
    await stage.agrees(await stage.resting())


@ON_REAL
@pytest.mark.parametrize("status", [429, 418])
async def test_nothing_leaves_while_the_venue_wants_to_be_left_alone(connector, status, monkeypatch):
    hurry(monkeypatch)
    hush(monkeypatch)
    async with connected(connector) as stage:
        stage.levers.arm(pull(Lever.LIMIT_RATE, "place", status=status, seconds=0.2))
        refused = await stage.place()
        await stage.told_of(refused, "OrderRejected")
        waiting = stage.order()
        with pytest.raises(Invalid, match="told us to wait"):
            await stage.exchange.place(waiting)
        assert stage.came(waiting) == 0
        assert (await stage.exchange.report(stage.account)).holdings  # asked when the time is over
        await stage.agrees(await stage.resting())
        assert not stage.levers.impatient


@pytest.mark.parametrize("connector", ["okx", "okx_perpetual"])
async def test_an_order_that_meets_maintenance_is_not_known(stage):
    stage.levers.arm(pull(Lever.REJECT, "place", code="50001"))
    order = await lost(stage)
    assert await stage.exchange.ask(order) is False
    assert orders_at(stage) == []


@ON_REAL
@pytest.mark.parametrize("seconds", [-40, 40])
async def test_a_clock_that_is_off_costs_one_order_at_most(stage, seconds):
    before = await stage.resting()
    stage.levers.skew_seconds = seconds
    first, second = await stage.place(), await stage.place()
    await stage.becomes(second, "accepted")
    await until(lambda: stage.told.facts(first.client_order_id))
    stage.fill(before, "0.2")
    await until(lambda: stage.told.done(before.client_order_id).filled)
    await stage.agrees(before, second)
    assert (stage.came(first), stage.came(second)) == (1, 1)


@pytest.mark.parametrize("connector", REAL)
async def test_a_clock_that_was_off_from_the_start_costs_nothing(connector, monkeypatch):
    hurry(monkeypatch)
    async with staged(connector) as stage:
        stage.levers.skew_seconds = 5
        await stage.exchange.connect(stage.memory(), stage.credentials)
        await stage.listening()
        await stage.agrees(await stage.resting())


# Cancels.


@ON_REAL
async def test_an_order_may_trade_while_its_cancel_is_under_way(stage):
    stage.levers.chance(pull(Lever.FILL_UNDER_CANCEL, "cancel"), 1)
    placed = [await stage.resting("0.1", str(20_000 + number)) for number in range(6)]
    for order in placed:
        await stage.cancel(order)
    await stage.agrees(*placed)
    ended = {stage.told.done(order.client_order_id).status for order in placed}
    assert ended == {"filled", "canceled"}


@ON_REAL
@pytest.mark.parametrize("lever", [Lever.LOSE_RESPONSE, Lever.FAIL_AFTER])
async def test_a_cancel_whose_answer_is_lost_is_told_by_the_stream(stage, lever):
    order = await stage.resting()
    stage.levers.arm(pull(lever, "cancel", code="50004"))
    with pytest.raises(Unavailable):
        await stage.cancel(order)
    await stage.becomes(order, "canceled")
    await stage.agrees(order)


@ON_REAL
async def test_a_cancel_that_was_not_worked_may_be_asked_for_again(stage):
    order = await stage.resting()
    stage.levers.arm(pull(Lever.FAIL_BEFORE, "cancel"))
    with pytest.raises(Unavailable):
        await stage.cancel(order)
    assert stage.told.done(order.client_order_id).status == "accepted"
    await stage.cancel(order)
    await stage.becomes(order, "canceled")
    await stage.agrees(order)


@ON_REAL
async def test_a_cancel_that_came_too_late_tells_what_became_of_the_order(stage):
    order = await stage.resting()
    silence(stage)
    stage.fill(order, "0.5")
    await stage.cancel(order)
    await stage.agrees(order)
    assert stage.told.done(order.client_order_id).status == "filled"
    assert "CancelRejected" in stage.told.kinds(order.client_order_id) or "okx" in stage.name
