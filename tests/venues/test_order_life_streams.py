"""The life of an order when streams, accounts and pairs fail: what is told at the end is what the venue did."""

from datetime import timedelta

import pytest

from domain.errors import Invalid, Unavailable
from domain.values import Side
from tests.venues.levers import Lever
from tests.venues.mishaps import connected, hurry, pull, silence
from tests.venues.stages import REAL, Stage, staged
from tests.venues.told import until

ON_REAL = pytest.mark.parametrize("connector", REAL)
SHORT_MS = 100
"""How long an answer is waited for where it comes too late."""


@pytest.fixture
async def stage(connector, monkeypatch):
    hurry(monkeypatch)
    async with connected(connector) as running_stage:
        yield running_stage


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
async def test_a_stream_that_turned_out_to_be_silent_is_begun_anew(stage, monkeypatch):
    monkeypatch.setattr("adapters.exchanges.venue_account.HEARD_WITHIN", timedelta(0))
    order = await stage.resting()
    stage.levers.arm(pull(Lever.SILENCE_STREAM, "stream", seconds=60))
    stage.fill(order, "0.1")
    await until(lambda: stage.levers.pulled[Lever.SILENCE_STREAM])
    await stage.reconcile()
    await until(lambda: not stage.desk.followed(stage.account))
    await stage.listening()
    stage.fill(order, "0.1")
    await stage.agrees(order)


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
