"""The life of an order when things go wrong: what is told at the end is what the venue did, to the last digit.

Each case pulls one lever of the test venue. Nothing is sent twice, whatever is lost; what the venue's stream does not
tell is found by asking, by the next comparison at the latest.
"""

from contextlib import asynccontextmanager

import pytest

from domain.errors import Invalid, Unavailable
from domain.values import Side
from tests.venues.levers import PRIVATE, Lever, Pull
from tests.venues.stages import REAL, Stage, client_of, hurry, hush, staged
from tests.venues.told import until

ON_REAL = pytest.mark.parametrize("connector", REAL)
SHORT_MS = 100
"""How long an answer is waited for where it comes too late."""


@pytest.fixture
async def stage(connector, monkeypatch):
    hurry(monkeypatch)
    async with connected(connector) as running_stage:
        yield running_stage


@asynccontextmanager
async def connected(connector):
    """Give a real venue with an account whose stream is followed."""
    async with staged(connector) as running_stage:
        await running_stage.exchange.connect(running_stage.memory(), running_stage.credentials)
        await running_stage.listening()
        yield running_stage


def pull(lever, *words, **how):
    return Pull(lever=lever, on=frozenset(words) or PRIVATE, **how)


def silence(stage):
    """Let the stream stay open and tell nothing any more."""
    stage.levers.chance(pull(Lever.SILENCE_STREAM, seconds=60), 1)


async def lost(stage, *args, **how):
    """Place an order of which the venue's answer is not heard."""
    order = stage.order(*args, **how)
    with pytest.raises(Unavailable):
        await stage.exchange.place(order)
    assert stage.came(order) == 1
    return order


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


# Streams.


@ON_REAL
async def test_what_happened_while_the_stream_was_cut_is_told(stage):
    orders = [await stage.resting("0.2", str(20_000 + number)) for number in range(3)]
    stage.levers.arm(pull(Lever.DROP_STREAM, "stream"))
    stage.fill(orders[0], "0.2")
    await until(lambda: not stage.desk.followed(stage.account))
    stage.fill(orders[1], "0.1")
    stage.floor.cancel(stage.account, stage.market, order_id=stage.truth(orders[2]).order_id)
    foreign = stage.elsewhere("0.3", side=Side.SELL)
    await stage.agrees(*orders)
    assert await stage.observes(foreign, "filled") == stage.at_venue(foreign)
    assert stage.levers.pulled == {Lever.DROP_STREAM: 1}


@ON_REAL
async def test_what_a_silent_stream_does_not_tell_is_found_by_a_comparison(stage):
    orders = [await stage.resting("0.2", str(20_000 + number)) for number in range(3)]
    silence(stage)
    stage.fill(orders[0], "0.2")
    stage.fill(orders[1], "0.1")
    stage.floor.cancel(stage.account, stage.market, order_id=stage.truth(orders[2]).order_id)
    foreign = stage.elsewhere("0.3", side=Side.SELL)
    await stage.reconcile()
    await stage.agrees(*orders)
    assert await stage.observes(foreign, "filled") == stage.at_venue(foreign)


@ON_REAL
@pytest.mark.parametrize("lever", [Lever.REPEAT_MESSAGE, Lever.REORDER_MESSAGES])
async def test_a_stream_that_repeats_itself_or_mixes_things_up_changes_nothing(stage, lever):
    stage.levers.chance(pull(lever, "stream"), 1)
    orders = [await stage.place("0.3", str(20_000 + number)) for number in range(3)]
    orders += [await stage.place("0.5", None), await stage.place("0.5", None, side=Side.SELL)]
    for order in orders[:3]:
        await stage.told_of(order, "OrderAccepted")
        stage.fill(order, "0.1")
        stage.fill(order, "0.1")
    await stage.cancel(orders[0])
    stage.fill(orders[1], "0.1")
    await stage.agrees(*orders)
    assert stage.levers.pulled[lever]


@ON_REAL
async def test_a_stream_whose_right_has_ended_begins_anew(stage):
    order = await stage.resting()
    if "okx" in stage.name:
        stage.levers.arm(pull(Lever.DROP_STREAM, "stream"), times=2)  # it has no such right: the socket ends
    else:
        stage.levers.arm(pull(Lever.EXPIRE_LISTEN_KEY, "stream"))
    stage.fill(order, "0.1")
    await stage.agrees(order)
    await stage.listening()
    stage.fill(order, "0.1")
    await stage.agrees(order)


@ON_REAL
async def test_a_venue_that_went_away_and_came_back_is_asked_for_what_it_did(stage):
    order = await stage.resting()
    stage.levers.go_down()
    silent = stage.order()
    with pytest.raises(Unavailable):
        await stage.exchange.place(silent)
    stage.fill(order, "0.2")
    with pytest.raises(Unavailable):
        await stage.exchange.reconcile(stage.account)
    stage.levers.release()
    await stage.agrees(order)
    await stage.agrees(await stage.resting())


@ON_REAL
async def test_balances_are_right_though_the_venue_did_not_answer_at_once(stage):
    stage.levers.arm(pull(Lever.FAIL_BEFORE, "balances"), times=2)
    await stage.becomes(await stage.place("0.5", None), "filled")
    units = {h.token: h.units for h in (await stage.exchange.report(stage.account)).holdings or ()}
    await until(lambda: {token: h.units for token, h in stage.told.holdings().items()} == units)


# Others are not troubled.


@ON_REAL
async def test_a_pair_that_is_delisted_stops_nothing_else(stage, monkeypatch):
    gone = await stage.resting("1", "100", pair="SOL-USDT")
    kept = await stage.resting()
    stage.floor.delist("SOL-USDT")
    await stage.becomes(gone, "expired")
    stage.fill(kept, "0.2")
    await stage.reconcile()
    await stage.agrees(kept)
    refused = await stage.place("1", "100", pair="SOL-USDT")
    await stage.told_of(refused, "OrderRejected")
    await stage.leave()
    stage.fill(kept, "0.1")
    await stage.come_back(kept)
    await stage.agrees(kept)


@ON_REAL
async def test_an_open_order_on_a_pair_that_is_gone_stops_nothing_else(stage):
    gone = await stage.resting("1", "100", pair="SOL-USDT")
    kept = await stage.resting()
    memory = stage.remembered(stage.open_order(gone), stage.open_order(kept), pairs=["BTC-USDT", "SOL-USDT"])
    await stage.leave()
    stage.floor.delist("SOL-USDT")
    stage.fill(kept, "0.2")
    async with staged(stage.name, floor=stage.floor, told=stage.told) as later:
        await later.exchange.connect(memory, later.credentials)
        await stage.agrees(kept)
        await later.agrees(await later.resting())


@ON_REAL
async def test_two_accounts_on_one_exchange_are_told_apart(stage):
    other = Stage(stage.name, stage.told, account="bob")
    other.venue, other.exchange = stage.venue, stage.exchange
    other.credentials = stage.keys_of("bob")
    await other.exchange.connect(other.memory(), other.credentials)
    ours, theirs = await stage.place("0.5", None), await other.place("0.3", None, side=Side.SELL)
    await stage.agrees(ours)
    await other.agrees(theirs)
    whose = {order_id: r.account for r in stage.told.reports for order_id, _ in r.orders}
    assert whose == {ours.client_order_id: "alice", theirs.client_order_id: "bob"}
    stage.floor.revoke("alice")
    await other.agrees(await other.resting())
    await other.leave()
    with pytest.raises(Unavailable):
        await other.exchange.report("bob")


@ON_REAL
async def test_keys_that_are_revoked_in_the_middle_end_nothing_that_is_open(stage):
    order = await stage.resting()
    stage.floor.revoke(stage.account)
    refused = await stage.place()
    rejected = await stage.told_of(refused, "OrderRejected")
    assert "-2015" in rejected.reason or "50111" in rejected.reason
    with pytest.raises(Invalid):
        await stage.exchange.reconcile(stage.account)
    stage.fill(order, "0.2")
    assert stage.told.done(order.client_order_id).status == "accepted"
    stage.floor.keys_of(stage.account).revoked = False
    await stage.agrees(order)
