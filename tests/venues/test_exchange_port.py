"""The exchange's port: one suite for the fake, the paper venue, real venues of two dialects, and paper trade on them.

What a venue has to tell it may tell later, so each case waits for it. Where a case needs what only some exchanges have
(a book, an account of its own, positions), the list of its exchanges says so.
"""

import re
from decimal import Decimal

import pytest

from domain.errors import Invalid, Unavailable
from domain.portfolio import Balance
from domain.values import ZERO, OrderType, Side
from tests.venues.ledger import Status
from tests.venues.mishaps import hurry
from tests.venues.stages import (
    ALL,
    PAIR,
    PERPETUAL,
    REAL,
    REAL_SPOT,
    SPOT,
    TRADING,
    made,
    running,
    staged,
)
from tests.venues.told import Done, until

OWN_MEMORY = tuple(name for name in ALL if name not in REAL)
"""Those whose only memory is the log."""
PERPETUAL_OR_FAKE = ("memory_perpetual", *PERPETUAL)
SPOT_OR_FAKE = ("memory", *SPOT)


def on(*names):
    return pytest.mark.parametrize("connector", names)


@pytest.fixture
async def idle(connector, monkeypatch):
    """An exchange with nobody connected."""
    hurry(monkeypatch)
    async with staged(connector) as running_stage:
        yield running_stage


@pytest.fixture
async def stage(idle):
    """An exchange with an account connected."""
    await idle.exchange.connect(idle.memory(), idle.credentials)
    return idle


# Accounts.


@on(*ALL)
async def test_a_new_account_is_told_with_its_balances(idle):
    await idle.exchange.connect(idle.memory(), idle.credentials)
    assert {h.token: h.units for h in idle.told.holdings().values()} == idle.starting
    assert not any(report.orders or report.observed for report in idle.told.reports)


@on(*OWN_MEMORY)
async def test_a_known_account_goes_on_with_its_balances_and_nothing_is_told(idle):
    balances = [Balance(token="USDT", units=Decimal("1.5"), available=Decimal("1.5"))]
    await idle.exchange.connect(idle.memory(balances=balances), {})
    assert idle.told.reports == []
    report = await idle.exchange.report(idle.account)
    assert [(h.token, h.units, h.available) for h in report.holdings or ()] == [
        ("USDT", Decimal("1.5"), Decimal("1.5"))
    ]


@on(*REAL)
async def test_a_known_account_is_compared_with_its_venue(idle):
    balances = [Balance(token="USDT", units=Decimal("1.5"), available=Decimal("1.5"))]
    await idle.exchange.connect(idle.memory(balances=balances), idle.credentials)
    first = idle.told.reports[0]
    assert (first.reconciles, first.snapshot) == ("start", True)
    assert {h.token: h.units for h in first.holdings or ()} == idle.starting


@on(*ALL)
async def test_credentials_that_the_connector_does_not_have_are_refused_by_name(idle):
    await idle.exchange.verify(idle.credentials)
    wrong = {**idle.credentials, "pin": "1234"}
    for refused in (idle.exchange.verify(wrong), idle.exchange.connect(idle.memory(), wrong)):
        with pytest.raises(Invalid, match="has no credential field 'pin'"):
            await refused
    with pytest.raises(Unavailable):
        await idle.exchange.report(idle.account)


@on(*REAL)
async def test_keys_that_the_venue_does_not_take_are_refused_in_its_words(idle):
    wrong = dict.fromkeys(idle.credentials, "0" * 64)
    for refused in (idle.exchange.verify(wrong), idle.exchange.connect(idle.memory(), wrong)):
        with pytest.raises(Invalid, match=r"(?i)(api-|access-)key.*\((-2015|50111)\)"):
            await refused
    with pytest.raises(Unavailable):
        await idle.exchange.report(idle.account)
    assert not idle.desk.followed(idle.account)


@on(*REAL)
async def test_keys_that_were_revoked_are_refused(idle):
    await idle.exchange.verify(idle.credentials)
    idle.floor.revoke(idle.account)
    with pytest.raises(Invalid, match=r"\((-2015|50111)\)"):
        await idle.exchange.verify(idle.credentials)
    with pytest.raises(Invalid, match=r"\((-2015|50111)\)"):
        await idle.exchange.connect(idle.memory(), idle.credentials)


@on(*REAL)
async def test_a_venue_that_is_away_says_nothing_of_an_account(connector, monkeypatch):
    hurry(monkeypatch)
    async with staged(connector) as gone:
        pass
    gone.exchange = made(gone)
    async with running(gone):
        with pytest.raises(Unavailable, match="could not be reached"):
            await gone.exchange.trading_rules()
        with pytest.raises(Unavailable, match="could not be reached"):
            await gone.exchange.connect(gone.memory(), gone.credentials)
        with pytest.raises(Unavailable):
            await gone.exchange.report(gone.account)


@on(*REAL)
async def test_balances_that_are_not_recorded_are_no_connection(idle, monkeypatch):
    monkeypatch.setattr("adapters.exchanges.venue_account.RECORDED_SECONDS", 0.01)
    idle.told.recording = False
    with pytest.raises(Unavailable, match="not recorded within"):
        await idle.exchange.connect(idle.memory(), idle.credentials)
    with pytest.raises(Unavailable):
        await idle.exchange.report(idle.account)


@on(*ALL)
async def test_connecting_twice_changes_nothing(stage):
    order = await stage.resting()
    await stage.exchange.connect(stage.memory(), stage.credentials)
    assert await stage.exchange.ask(order) is True
    await stage.cancel(order)
    await stage.becomes(order, "canceled")
    if stage.is_real:
        await stage.agrees(order)


@on(*ALL)
async def test_nobody_can_say_anything_of_an_account_that_is_not_connected(stage):
    order = await stage.resting()
    await stage.exchange.disconnect(stage.account)
    await stage.exchange.disconnect("other")
    exchange = stage.exchange
    for silent in (exchange.ask(order), exchange.report(stage.account), exchange.reconcile(stage.account)):
        with pytest.raises(Unavailable):
            await silent
    if stage.is_real:
        with pytest.raises(Unavailable):
            await exchange.place(stage.order())
        await until(lambda: not stage.desk.followed(stage.account))
        assert stage.truth(order).status is Status.NEW


@on(*ALL)
async def test_open_orders_are_open_again_when_an_account_comes_back(stage):
    order = await stage.resting()
    (accepted,) = stage.told.facts(order.client_order_id)
    for _ in range(2):
        memory = stage.remembered(stage.open_order(order))
        await stage.leave()
        await stage.exchange.connect(memory, stage.credentials)
        assert await stage.exchange.ask(order) is True
        venue_ids = {fact.exchange_order_id for fact in stage.told.facts(order.client_order_id)}
        assert venue_ids == {accepted.exchange_order_id}
    await stage.cancel(order)
    await stage.becomes(order, "canceled")


# Orders.


@on(*ALL)
async def test_an_order_is_accepted_by_the_venues_word(stage):
    order = await stage.place()
    accepted = await stage.told_of(order, "OrderAccepted")
    assert stage.told.done(order.client_order_id) == Done(status="accepted", filled=ZERO, price=ZERO, fees={})
    if stage.is_real:
        assert accepted.exchange_order_id == str(stage.truth(order).order_id)
        await stage.agrees(order)


@on(*ALL)
async def test_an_order_beyond_the_balance_is_rejected_by_the_venues_word(stage):
    order = await stage.place("5000")
    rejected = await stage.told_of(order, "OrderRejected")
    assert re.search("(?i)insufficient", rejected.reason)
    assert stage.told.kinds(order.client_order_id) == ["OrderRejected"]


@on(*TRADING)
async def test_a_market_order_trades_at_once_at_the_best_prices(stage):
    order = await stage.place("0.5", None)
    done = await stage.becomes(order, "filled")
    _, fills = stage.told.fold(order.client_order_id)
    assert done.filled == Decimal("0.5")
    assert Decimal(60_000) < done.price < Decimal(60_100)
    assert not any(fill.is_maker for fill in fills)
    assert len({fill.trade_id for fill in fills}) == len(fills) > 1
    if stage.is_real:
        await stage.agrees(order)


@on(*TRADING)
async def test_a_limit_order_takes_what_there_is_and_rests_for_the_rest(stage):
    stage.move("60000", size="0.2")
    order = await stage.place("0.5", "60003" if stage.perpetual else "60003.00")
    order_id = order.client_order_id
    await until(lambda: stage.told.done(order_id).filled)
    part = stage.told.done(order_id)
    assert (part.status, part.filled) == ("accepted", Decimal("0.2"))
    stage.move("59000")
    await stage.becomes(order, "filled")
    _, fills = stage.told.fold(order_id)
    assert (fills[0].is_maker, fills[-1].is_maker) == (False, True)
    if stage.is_real:
        await stage.agrees(order)


@on(*TRADING)
async def test_what_a_market_order_finds_nobody_for_is_ended_by_the_venue(stage):
    stage.move("60000", size="0.002")
    order = await stage.place("0.5", None)
    await until(lambda: not stage.told.fold(order.client_order_id)[0].is_open)
    done = stage.told.done(order.client_order_id)
    assert done.status in {"canceled", "expired"}
    assert 0 < done.filled < Decimal("0.5")
    if stage.is_real:
        assert (done.filled, done.fees) == (stage.truth(order).filled, stage.truth(order).fees)


@on(*ALL)
async def test_a_resting_order_fills_when_the_market_comes_to_it(stage):
    order = await stage.resting()
    stage.move("19000")
    done = await stage.becomes(order, "filled")
    assert (done.filled, done.price) in {(Decimal("0.5"), Decimal(20_000)), (Decimal("0.5"), Decimal(19_000))}
    if stage.is_real:
        await stage.agrees(order)


@on(*TRADING)
async def test_an_order_that_must_not_take_is_ended_by_the_venue(stage):
    order = await stage.place("0.5", "61000", order_type=OrderType.LIMIT_MAKER)
    await until(lambda: not stage.told.fold(order.client_order_id)[0].is_open)
    done = stage.told.done(order.client_order_id)
    assert done.status in {"rejected", "canceled", "expired"}
    assert done.filled == 0
    rests = await stage.resting("0.5", "59000", order_type=OrderType.LIMIT_MAKER)
    assert stage.told.done(rests.client_order_id).status == "accepted"


@on(*ALL)
async def test_an_order_sent_twice_is_one_order(stage):
    order = await stage.resting()
    try:
        await stage.exchange.place(order)
    except Unavailable:
        assert stage.is_real  # it said no, which says nothing of the first one
    assert await stage.exchange.ask(order) is True
    assert stage.told.done(order.client_order_id).status == "accepted"
    assert len({str(fact) for fact in stage.told.facts(order.client_order_id)}) == 1
    if stage.is_real:
        assert len(stage.ledger.orders(stage.account, stage.market)) == 1


@on(*REAL)
async def test_amounts_and_prices_keep_their_digits(stage):
    digits = ("0.123", "50000.3") if stage.perpetual else ("0.12345", "50000.37")
    order = await stage.resting(*digits)
    truth = stage.truth(order)
    assert (truth.amount, truth.price, truth.side) == (Decimal(digits[0]), Decimal(digits[1]), Side.BUY)
    stage.fill(order, "0.017")
    stage.move("49000")
    await stage.becomes(order, "filled")
    await stage.agrees(order)


@on(*REAL)
async def test_a_pair_that_the_venue_does_not_have_is_not_asked_for(stage):
    order = stage.order(pair="DOGE-USDT")
    with pytest.raises(Invalid, match="'DOGE-USDT' is not traded"):
        await stage.exchange.place(order)
    assert stage.came(order) == 0


# Cancels.


@on(*ALL)
async def test_a_cancel_is_answered_and_a_second_one_refused(stage):
    order = await stage.resting()
    await stage.cancel(order)
    await stage.becomes(order, "canceled")
    await stage.cancel(order)
    await stage.told_of(order, "CancelRejected")
    assert stage.told.kinds(order.client_order_id) == ["OrderAccepted", "OrderCanceled", "CancelRejected"]
    if stage.is_real:
        await stage.agrees(order)


@on(*TRADING)
async def test_a_cancel_may_come_too_late(stage):
    order = await stage.place("0.5", None)
    await stage.becomes(order, "filled")
    await stage.cancel(order)
    refused = await stage.told_of(order, "CancelRejected")
    assert refused.reason
    assert stage.told.done(order.client_order_id).status == "filled"


@on(*TRADING)
async def test_a_cancel_keeps_what_was_traded_before(stage):
    stage.move("60000", size="0.2")
    order = await stage.place("0.5", "60003")
    await until(lambda: stage.told.done(order.client_order_id).filled)
    await stage.cancel(order)
    done = await stage.becomes(order, "canceled")
    assert done.filled == Decimal("0.2")
    if stage.is_real:
        await stage.agrees(order)


@on(*ALL)
async def test_a_cancel_of_an_order_that_is_unknown_is_refused(stage):
    order = stage.order()
    await stage.cancel(order)
    refused = await stage.told_of(order, "CancelRejected")
    assert refused.reason
    assert stage.told.kinds(order.client_order_id) == ["CancelRejected"]


# Questions.


@on(*ALL)
async def test_all_that_is_known_of_an_order_is_told_when_it_is_asked_for(stage):
    order = await stage.resting()
    first = stage.told.done(order.client_order_id)
    assert await stage.exchange.ask(order) is True
    assert stage.told.done(order.client_order_id) == first


@on(*ALL)
async def test_an_order_that_was_never_taken_is_not_known(stage):
    order = stage.order()
    assert await stage.exchange.ask(order) is False
    assert stage.told.facts(order.client_order_id) == []


@on(*ALL)
async def test_a_report_that_was_asked_for_is_a_snapshot_and_not_told(stage):
    told = len(stage.told.reports)
    report = await stage.exchange.report(stage.account)
    assert report.snapshot
    assert {h.token: h.units for h in report.holdings or ()} == stage.starting
    assert all(told is not report for told in stage.told.reports[told:])


@on(*ALL)
async def test_what_is_compared_with_the_log_is_the_whole_account_and_not_told(stage):
    compared = await stage.exchange.reconcile(stage.account)
    assert {h.token: h.units for h in compared.holdings or ()} == stage.starting
    assert all(told is not compared for told in stage.told.reports)


@on(*ALL)
async def test_rules_and_prices_are_of_the_same_pairs(stage):
    rules, prices = await stage.exchange.trading_rules(), await stage.exchange.prices()
    assert set(prices) <= set(rules)
    assert all(pair == rule.trading_pair for pair, rule in rules.items())
    assert all(price > 0 for price in prices.values())
    if stage.name in {*REAL_SPOT, "paper"}:
        assert Decimal(59_900) < prices[PAIR] < Decimal(60_100)


@on(*REAL)
async def test_rules_are_the_venues_own_in_base(idle):
    rules, truth = await idle.exchange.trading_rules(), idle.desk.rules
    assert set(rules) == set(truth)
    for pair, rule in rules.items():
        assert rule.min_price_increment == truth[pair].min_price_increment
        assert rule.min_base_amount_increment == truth[pair].min_base_amount_increment
        assert rule.min_order_size == truth[pair].min_order_size
        assert rule.buy_order_collateral_token == truth[pair].buy_order_collateral_token
