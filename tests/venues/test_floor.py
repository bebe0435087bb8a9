"""The venue behind all dialects: what it tells, and what its ledger holds."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.exchanges.paper_feed import SyntheticFeed
from domain.values import OrderType, PositionAction, PositionMode, PositionSide, Side
from tests.venues.floor import STARTING, Floor
from tests.venues.ledger import Market, Status
from tests.venues.levers import Lever, Pull
from tests.venues.steps import Refusal, Step, What, Why

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = BEGUN

    def __call__(self):
        return self.now


@pytest.fixture
def floor():
    floor = Floor(seed=1, clock=Hand())
    floor.open_account("alice")
    floor.open_account("bob")
    return floor


def order(floor, account="alice", market=Market.SPOT, **asked):
    wanted = {
        "trading_pair": "BTC-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT if asked.get("price") else OrderType.MARKET,
        "amount": Decimal("0.1"),
    }
    return floor.place(account, market, **wanted | asked)


def test_everything_that_happens_is_told_in_its_order(floor):
    told: list[Step] = []
    unlisten = floor.desk(Market.SPOT).listen("alice", told.append)
    placed = order(floor, client_id="n1", price=Decimal(59000))
    floor.desk(Market.SPOT).fill("alice", placed.order_id, Decimal("0.04"))
    floor.cancel("alice", Market.SPOT, client_id="n1")
    unlisten()
    order(floor, price=Decimal(50000))
    changes = [change for step in told for change in step.changes]
    assert [change.what for change in changes] == [What.TAKEN, What.TRADED, What.CANCELED]
    assert [change.order.filled for change in changes] == [0, Decimal("0.04"), Decimal("0.04")]
    assert {holding.token for holding in told[1].holdings} == {"USDT", "BTC"}


def test_two_accounts_trade_with_each_other_at_the_price_of_the_one_that_rested(floor):
    rested = order(floor, "bob", side=Side.SELL, price=Decimal(60000))
    taken = order(floor, "alice", price=Decimal(60002))
    assert taken.average_price == 60000
    assert floor.ledger.find("bob", Market.SPOT, order_id=rested.order_id).status is Status.FILLED


def test_a_client_id_may_be_used_again_once_its_order_is_over(floor):
    order(floor, client_id="n1", price=Decimal(50000))
    with pytest.raises(Refusal) as refused:
        order(floor, client_id="n1", price=Decimal(50000))
    assert refused.value.why is Why.REPEATED_ID
    floor.cancel("alice", Market.SPOT, client_id="n1")
    again = order(floor, client_id="n1", price=Decimal(50000))
    assert floor.ledger.find("alice", Market.SPOT, client_id="n1") == again


def test_a_pair_that_is_delisted_expires_its_orders_and_takes_no_more(floor):
    placed = order(floor, price=Decimal(50000))
    floor.delist("BTC-USDT")
    floor.tick()
    assert floor.ledger.find("alice", Market.SPOT, order_id=placed.order_id).status is Status.EXPIRED
    with pytest.raises(Refusal) as refused:
        order(floor, price=Decimal(50000))
    assert refused.value.why is Why.UNKNOWN_PAIR


@pytest.mark.parametrize("mode", list(PositionMode), ids=str)
def test_a_liquidation_is_an_order_of_the_venues_own(floor, mode):
    swap = floor.desk(Market.SWAP)
    swap.set_mode("alice", mode)
    swap.set_leverage("alice", "BTC-USDT", 100)
    order(floor, market=Market.SWAP, amount=Decimal(20))
    told: list[Step] = []
    swap.listen("alice", told.append)
    floor.move("BTC-USDT", Decimal(55000))
    [closing] = {change.order.order_id for step in told for change in step.changes}
    found = floor.ledger.find("alice", Market.SWAP, order_id=closing)
    assert (found.status, found.action, found.side) == (Status.FILLED, PositionAction.CLOSE, Side.SELL)
    assert found.position_side is (PositionSide.LONG if mode is PositionMode.HEDGE else PositionSide.BOTH)
    assert found.client_id.startswith("autoclose-")
    assert not swap.positions("alice")


def test_prices_follow_the_feed_but_for_those_that_were_moved():
    clock = Hand()
    floor = Floor(clock=clock, feed=SyntheticFeed(1))
    before = dict(floor.desk(Market.SPOT).quotes)
    floor.move("ETH-USDT", Decimal(2500))
    clock.now += timedelta(minutes=5)
    floor.tick()
    quotes = floor.desk(Market.SPOT).quotes
    assert quotes["BTC-USDT"] != before["BTC-USDT"]
    assert quotes["ETH-USDT"].mid == pytest.approx(Decimal(2500), rel=Decimal("0.001"))


@pytest.mark.parametrize("seed", range(3))
def test_what_accounts_own_is_what_their_trades_made_of_what_they_began_with(floor, seed):
    chance = random.Random(seed)
    floor.levers.chance(Pull(lever=Lever.FILL_UNDER_CANCEL), 0.3)
    for number in range(300):
        account = chance.choice(["alice", "bob"])
        side = chance.choice(list(Side))
        price = Decimal(chance.randrange(59_500, 60_500)) if chance.random() < 0.8 else None
        amount = Decimal(chance.randrange(1, 200)) / 1000
        try:
            order(floor, account, client_id=f"n{number}", side=side, price=price, amount=amount)
            if chance.random() < 0.3:
                floor.cancel(account, Market.SPOT, client_id=f"n{chance.randrange(number + 1)}")
        except Refusal:
            continue
        if chance.random() < 0.1:
            floor.move("BTC-USDT", Decimal(chance.randrange(59_500, 60_500)))
    for account in ("alice", "bob"):
        units = dict(STARTING[Market.SPOT])
        trades = floor.ledger.trades(account, Market.SPOT)
        for trade in trades:
            sign = 1 if trade.side is Side.BUY else -1
            units["BTC"] += sign * trade.amount
            units["USDT"] -= sign * trade.amount * trade.price + trade.fee
        assert {held.token: held.units for held in floor.desk(Market.SPOT).holdings(account)} == units
        assert len({trade.trade_id for trade in trades}) == len(trades) > 20
        for each in floor.ledger.orders(account, Market.SPOT):
            made = floor.ledger.trades_of(each)
            assert each.filled == sum(trade.amount for trade in made) <= each.amount
            assert sum(each.fees.values()) == sum(trade.fee for trade in made)
