"""The matching engine after a restart: it goes on from what the log holds."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from domain.matching.engine import Standing
from domain.values import PositionMode
from tests.domain.venue import START, Memory, Venue

DEEP = ([("100", "1000")], [("100", "1000")])


def remembered(venue: Venue, account: str = "ann") -> Memory:
    memory = Memory()
    for report in venue.reports:
        memory.placed |= {order_id: venue.placed(order_id, "BUY", "2", "90") for order_id, _ in report.orders}
        if report.account == account:
            memory.take(report)
    return memory


def test_open_orders_are_open_again_and_balances_the_same():
    venue = Venue().join(USDT="1000")
    venue.buy("a", "2", "90")
    venue.market([], [("89", "0.7")])
    again = Venue()
    assert again.engine.join("ann", remembered(venue).standing(), again.now) == []
    assert again.holdings() == venue.holdings()
    (order,) = again.engine.open_orders("ann")
    assert (order.remaining, order.exchange_order_id) == (Decimal("1.3"), venue.number("a"))
    again.cancel("a")
    assert again.holdings()["USDT"] == ("936.937", "936.937")


def test_a_restored_order_is_known_to_the_venue_one_that_was_never_accepted_is_not():
    venue = Venue().join(USDT="1000")
    venue.buy("a", "2", "90")
    again = Venue()
    again.engine.join("ann", remembered(venue).standing(), again.now)
    report = again.engine.recall("ann", "a")
    assert report is not None
    assert report.orders == [("a", venue.facts("a")[0])]
    assert again.engine.recall("ann", "b") is None


def test_orders_keep_their_place_in_time_whichever_account_comes_back_first():
    venue = Venue().join("ann", USDT="1000").join("bob", USDT="1000")
    venue.buy("a", "2", "90")
    venue.buy("b", "2", "90", account="bob")
    again = Venue()
    for account in ("bob", "ann"):
        memory = remembered(venue, account)
        memory.open = {
            order_id: (msgspec.structs.replace(placed, account=account), number, filled)
            for order_id, (placed, number, filled) in memory.open.items()
        }
        again.engine.join(account, memory.standing(), again.now)
    again.market([], [("90", "3")])
    assert again.fills("a") == [("2", "90")]
    assert again.fills("b") == [("1", "90")]


def test_an_account_that_is_there_stays_as_it_is():
    venue = Venue().join(USDT="1000")
    assert venue.engine.join("ann", Standing(units={"USDT": Decimal(5)}), venue.now) == []
    assert venue.holdings()["USDT"] == ("1000", "1000")


def test_an_account_that_leaves_takes_its_orders_along():
    venue = Venue().join("ann", USDT="1000").join("bob", BTC="10")
    venue.buy("a", "2", "90")
    venue.buy("aa", "1", "90")
    memory = remembered(venue)
    venue.engine.leave("ann")
    venue.engine.leave("eve")
    venue.sell("b", "1", account="bob")
    assert venue.fills("b") == []
    memory.open["aa"] = (venue.placed("aa", "BUY", "1", "90"), *memory.open["aa"][1:])
    venue.engine.join("ann", memory.standing(), venue.now)
    venue.sell("c", "3", account="bob")
    assert venue.fills("c") == [("2", "90"), ("1", "90")]


def test_orders_that_meet_because_accounts_come_back_at_different_times_trade():
    venue = Venue().join("ann", USDT="1000").join("bob", USDT="1000")
    venue.buy("a", "2", "90")
    memory = remembered(venue)
    venue.engine.leave("ann")
    venue.join("cyd", BTC="10")
    venue.sell("c", "1", "80", account="cyd")
    venue.take(venue.engine.join("ann", memory.standing(), venue.now))
    assert venue.fills("a") == venue.fills("c") == [("1", "90")]
    assert [fact.is_maker for fact in (*venue.trades("a"), *venue.trades("c"))] == [True, False]
    assert venue.holdings("cyd")["USDT"] == ("89.82", "89.82")


def test_an_older_order_that_waited_sets_the_price_also_when_it_sells():
    venue = Venue().join("bob", BTC="10").join("ann", USDT="1000")
    venue.sell("c", "1", "80", account="bob")
    number = venue.number("c")
    placed = venue.placed("c", "SELL", "1", "80", account="bob")
    venue.engine.leave("bob")
    venue.buy("a", "2", "90")
    standing = Standing(units={"BTC": Decimal(10)}, orders=[(placed, number, Decimal(0))])
    venue.take(venue.engine.join("bob", standing, venue.now))
    assert venue.fills("a") == [("1", "80")]


def test_an_account_whose_own_orders_meet_keeps_the_older_one():
    venue = Venue()
    orders = [
        (venue.placed("a", "BUY", "1", "90"), "1", Decimal(0)),
        (venue.placed("b", "SELL", "1", "80"), "2", Decimal(0)),
    ]
    standing = Standing(units={"USDT": Decimal(1000), "BTC": Decimal(1)}, orders=orders)
    venue.take(venue.engine.join("ann", standing, venue.now))
    assert [order.client_order_id for order in venue.engine.open_orders("ann")] == ["a"]
    assert venue.reason("b").startswith("Self-trade prevention")


def test_an_order_that_the_balance_does_not_cover_any_more_expires():
    venue = Venue().join(USDT="200")
    venue.buy("a", "2", "90")
    dearer = Venue(taker="0.2")
    dearer.take(dearer.engine.join("ann", remembered(venue).standing(), dearer.now))
    assert dearer.reason("a") == "The balance does not cover the order any more"
    assert dearer.holdings()["USDT"] == ("200", "200")


def perpetual() -> Venue:
    venue = Venue(perpetual=True)
    venue.market(*DEEP)
    return venue


def test_positions_orders_leverage_and_mode_are_what_they_were():
    venue = perpetual().join(USDT="1000")
    venue.hedge()
    venue.leverage(7)
    venue.buy("b", "3")
    venue.sell("c", "2")
    venue.buy("a", "2", "90")
    venue.leverage(3, pair="ETH-USDT")
    memory = remembered(venue)
    memory.mode, memory.leverage = PositionMode.HEDGE, {"BTC-USDT": 7, "ETH-USDT": 3}
    again = perpetual()
    assert len(memory.positions) == 2
    assert again.engine.join("ann", memory.standing(), again.now) == []
    assert again.positions() == venue.positions()
    assert again.holdings() == venue.holdings()
    again.buy("d", "1", pair="ETH-USDT", close=True)
    again.buy("e", "1", "10", pair="ETH-USDT")
    assert Decimal(again.holdings()["USDT"][1]) == Decimal(venue.holdings()["USDT"][1]) - Decimal(
        "3.333333333334"
    ) - Decimal("0.02")


def test_funding_that_fell_due_meanwhile_is_paid_once_each():
    venue = perpetual().join(USDT="1000")
    venue.buy("a", "2")
    memory = remembered(venue)
    again = perpetual()
    again.now = START + timedelta(days=1)
    (report,) = again.engine.join("ann", memory.standing(), again.now)
    assert [paid.paid_at.hour for paid in report.funding] == [16, 0, 8]
    assert sum(paid.payment for paid in report.funding) == Decimal("-0.06")
    memory.take(report)
    assert perpetual().engine.join("ann", memory.standing(), again.now) == []


def test_a_closing_order_without_its_position_expires():
    venue = perpetual()
    order = (venue.placed("a", "SELL", "1", "110", close=True), "1", Decimal(0))
    venue.take(venue.engine.join("ann", Standing(units={}, orders=[order]), venue.now))
    assert venue.reason("a") == "Nothing is left to reduce"


def test_a_position_that_was_closed_is_none():
    venue = perpetual().join(USDT="1000")
    venue.buy("a", "2")
    venue.sell("b", "2")
    again = perpetual()
    again.engine.join("ann", remembered(venue).standing(), again.now)
    assert again.positions() == {}


def test_a_pair_that_the_market_has_no_more_is_valued_at_its_entry_price():
    venue = perpetual().join(USDT="1000")
    venue.buy("a", "2")
    memory = remembered(venue)
    seen = memory.positions.popitem()[1]
    gone = msgspec.structs.replace(seen, trading_pair="OLD-USDT")
    placed = msgspec.structs.replace(venue.placed("o", "BUY", "1", "50"), trading_pair="OLD-USDT")
    again = perpetual()
    standing = Standing(units=memory.units, positions=[gone], orders=[(placed, "1", Decimal(0))])
    again.engine.join("ann", standing, again.now)
    report = again.engine.report("ann")
    assert report is not None
    assert [(p.mark_price, p.unrealized_pnl) for p in report.positions] == [(seen.entry_price, 0)]
    assert [order.base for order in again.engine.open_orders("ann")] == ["OLD"]
