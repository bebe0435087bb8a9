"""The matching engine on spot: price, time, balances and fees."""

from decimal import Decimal

import pytest

from domain.matching import telling
from domain.matching.engine import Standing
from tests.domain.venue import START, Venue

ASKS = [("100", "1"), ("101", "2"), ("102", "3")]
BIDS = [("99", "1"), ("98", "2"), ("97", "3")]


@pytest.fixture
def venue() -> Venue:
    venue = Venue().join("ann", USDT="10000", BTC="10").join("bob", USDT="10000", BTC="10")
    venue.market(BIDS, ASKS)
    return venue


def test_an_account_is_told_what_it_begins_with():
    venue = Venue().join("ann", USDT="10", BTC="2")
    (report,) = venue.reports
    assert {(h.token, h.units, h.available) for h in report.holdings or ()} == {("USDT", 10, 10), ("BTC", 2, 2)}


def test_an_order_out_of_reach_rests_and_locks_its_worth_and_fee(venue):
    venue.buy("a", "2", "90")
    assert venue.story("a") == ["Accepted"]
    assert venue.holdings()["USDT"] == ("10000", "9819.64")


def test_a_resting_sell_locks_what_it_sells(venue):
    venue.sell("a", "2", "110")
    assert venue.holdings()["BTC"] == ("10", "8")


def test_a_limit_order_takes_the_best_prices_first_and_rests_with_the_rest(venue):
    (report,) = venue.buy("a", "4", "101")
    assert venue.story("a") == ["Accepted", "Filled", "Filled"]
    assert venue.fills("a") == [("1", "100"), ("2", "101")]
    assert venue.holdings() == {"USDT": ("9697.396", "9596.194"), "BTC": ("13", "13")}
    assert [fact.is_maker for _, fact in report.orders[1:]] == [False, False]
    assert [fact.fee for _, fact in report.orders[1:]] == [Decimal("0.2"), Decimal("0.404")]


def test_depth_that_was_taken_is_gone_until_the_next_tick(venue):
    venue.buy("a", "0.4")
    venue.buy("b", "1.6")
    assert venue.fills("b") == [("0.6", "100"), ("1", "101")]
    venue.market(BIDS, ASKS)
    venue.buy("c", "1")
    assert venue.fills("c") == [("1", "100")]


def test_what_a_market_order_finds_no_depth_for_expires(venue):
    venue.sell("a", "7")
    assert venue.fills("a") == [("1", "99"), ("2", "98"), ("3", "97")]
    assert venue.story("a")[-1] == "Expired"
    assert venue.reason("a") == "Nothing is left in the book to trade with"
    assert venue.holdings()["BTC"] == ("4", "4")


def test_a_market_order_in_an_empty_book_expires():
    venue = Venue().join(USDT="10")
    venue.buy("a", "1")
    assert venue.story("a") == ["Accepted", "Expired"]


def test_a_limit_maker_order_that_would_trade_is_rejected(venue):
    venue.buy("a", "1", "100", maker=True)
    assert venue.reason("a") == "LIMIT_MAKER BUY at 100 would trade at once with 100"
    venue.buy("b", "1", "99.99", maker=True)
    assert venue.story("b") == ["Accepted"]


def test_a_resting_order_fills_at_its_own_price_when_the_market_comes_to_it(venue):
    venue.buy("a", "2", "90")
    (report,) = venue.market([("80", "1")], [("85", "0.5"), ("89", "0.7"), ("91", "9")])
    assert venue.fills("a") == [("1.2", "90")]
    assert report.orders[0][1].is_maker
    assert report.orders[0][1].fee == Decimal("0.108")
    venue.market([("80", "1")], [("90", "9")])
    assert venue.fills("a") == [("1.2", "90"), ("0.8", "90")]
    assert venue.holdings() == {"USDT": ("9819.82", "9819.82"), "BTC": ("12", "12")}
    assert venue.engine.open_orders("ann") == []


def test_a_tick_that_crosses_nothing_tells_nothing(venue):
    venue.buy("a", "2", "90")
    venue.sell("b", "2", "110")
    assert venue.market(BIDS, ASKS) == []


def test_better_prices_fill_first_and_older_orders_before_younger_ones(venue):
    venue.sell("old", "1", "105")
    venue.sell("young", "1", "105", account="bob")
    venue.sell("better", "1", "104", account="bob")
    venue.market([("106", "1.5")], [("107", "1")])
    assert (venue.fills("better"), venue.fills("old"), venue.fills("young")) == ([("1", "104")], [("0.5", "105")], [])


def test_accounts_trade_with_each_other_at_the_price_of_what_rests(venue):
    venue.sell("a", "1", "99.5", account="bob")
    reports = venue.buy("b", "2", "100")
    assert venue.fills("b") == [("1", "99.5"), ("1", "100")]
    assert venue.fills("a") == [("1", "99.5")]
    assert {report.account for report in reports} == {"ann", "bob"}
    assert venue.holdings("bob")["USDT"] == ("10099.4005", "10099.4005")


def test_at_one_price_what_rests_comes_before_the_depth(venue):
    venue.sell("a", "1", "100.5", account="bob")
    venue.market(BIDS, [("100.5", "5"), ("100.6", "1")])
    venue.buy("b", "1")
    assert venue.fills("b") == [("1", "100.5")]
    assert venue.fills("a") == [("1", "100.5")]


def test_an_account_does_not_trade_with_itself_the_rest_of_what_takes_expires(venue):
    venue.sell("a", "1", "100.5")
    venue.buy("b", "5", "101")
    assert venue.story("b") == ["Accepted", "Filled", "Expired"]
    assert venue.fills("b") == [("1", "100")]
    assert venue.reason("b") == "Self-trade prevention: the next order in the book is the account's own"
    assert venue.story("a") == ["Accepted"]


def test_what_the_balance_does_not_cover_is_rejected(venue):
    venue.sell("a", "11", "200")
    assert venue.reason("a") == "Insufficient BTC balance: SELL 11 BTC-USDT needs 11, available 10"
    venue.buy("b", "100", "100")
    assert venue.reason("b") == "Insufficient USDT balance: BUY 100 BTC-USDT needs 10020, available 10000"
    venue.sell("c", "1", "1", pair="ETH-USDT")
    assert venue.reason("c") == "Insufficient ETH balance: SELL 1 ETH-USDT needs 1, available 0"
    assert venue.reports[-1].holdings is None


def test_a_market_buy_is_rejected_when_the_depth_costs_more_than_there_is():
    venue = Venue().join(USDT="200")
    venue.market(BIDS, ASKS)
    venue.buy("a", "2")
    assert venue.reason("a") == "Insufficient USDT balance: BUY 2 BTC-USDT needs 201.402, available 200"
    venue.buy("b", "1.5")
    assert venue.fills("b") == [("1", "100"), ("0.5", "101")]


def test_a_price_better_than_the_limit_leaves_more_for_what_follows():
    venue = Venue().join(USDT="200.4")
    venue.market([], [("50", "1")])
    venue.buy("a", "2", "100")
    assert venue.fills("a") == [("1", "50")]
    assert venue.holdings()["USDT"] == ("150.3", "50.1")


def test_all_of_a_token_can_be_sold_and_is_then_no_holding(venue):
    venue.market([("99", "10")], [])
    venue.sell("a", "10")
    assert list(venue.holdings()) == ["USDT"]


def test_a_canceled_order_frees_what_it_held(venue):
    venue.buy("a", "2", "90")
    venue.cancel("a")
    assert venue.story("a") == ["Accepted", "Canceled"]
    assert venue.holdings()["USDT"] == ("10000", "10000")


@pytest.mark.parametrize(("account", "order_id"), [("ann", "nope"), ("bob", "a"), ("eve", "a"), ("ann", "done")])
def test_what_is_not_open_cannot_be_canceled(venue, account, order_id):
    venue.buy("a", "2", "90")
    venue.buy("done", "0.1")
    (report,) = venue.cancel(order_id, account)
    ((_, fact),) = report.orders
    assert fact.reason == f"Order '{order_id}' is not open"
    assert report.holdings is None


def test_orders_of_one_price_leave_the_others_in_place(venue):
    venue.buy("a", "1", "90")
    venue.buy("b", "1", "90", account="bob")
    venue.cancel("a")
    venue.market([], [("90", "1")])
    assert venue.fills("b") == [("1", "90")]


def test_an_unknown_pair_or_account_is_rejected(venue):
    venue.buy("a", "1", "1", pair="X-Y")
    assert venue.reason("a") == "Trading pair 'X-Y' is not traded on paper"
    venue.buy("b", "1", "1", account="eve")
    assert venue.reason("b") == "Account 'eve' is not connected to paper"


def test_an_order_placed_twice_is_one_order(venue):
    first = venue.buy("a", "1")
    again = venue.buy("a", "1")
    assert again[0].orders == first[0].orders
    assert venue.holdings()["BTC"] == ("11", "11")


def test_the_venue_tells_again_what_it_knows_of_an_order_to_its_account_only(venue):
    venue.buy("a", "1")
    report = venue.engine.recall("ann", "a")
    assert report is not None
    assert list(report.orders) == [("a", fact) for fact in venue.facts("a")]
    assert venue.engine.recall("bob", "a") is None
    assert venue.engine.recall("ann", "nope") is None


def test_only_so_many_orders_that_are_over_are_remembered(venue, monkeypatch):
    monkeypatch.setattr(telling, "REMEMBERED", 2)
    venue.buy("open", "1", "50")
    for order_id in ("a", "b", "c"):
        venue.buy(order_id, "0.001")
    assert venue.engine.recall("ann", "a") is None
    assert venue.engine.recall("ann", "b") is not None
    assert venue.engine.recall("ann", "open") is not None


def test_ids_are_never_given_twice_also_by_a_later_venue(venue):
    for number in range(20):
        venue.buy(f"o{number}", "0.1")
    facts = [fact for number in range(20) for fact in venue.facts(f"o{number}")]
    ids = [getattr(fact, "trade_id", None) or fact.exchange_order_id for fact in facts]
    assert len(set(ids)) == len(ids)
    later = Venue()
    later.engine.join("ann", Standing(units={"USDT": Decimal(100)}, seen_at=later.now.replace(hour=13)), later.now)
    later.buy("x", "1", "1")
    assert int(later.number("x")) > max(int(number) for number in ids)


def test_the_marks_are_those_of_the_last_tick(venue):
    venue.market(BIDS, ASKS, mark="99.5")
    assert venue.engine.marks == {"BTC-USDT": Decimal("99.5")}


def test_depth_behind_what_rests_and_out_of_reach_is_not_taken(venue):
    venue.sell("a", "1", "103", account="bob")
    venue.buy("b", "5", "101.5")
    assert venue.fills("b") == [("1", "100"), ("2", "101")]


def test_an_order_that_rests_out_of_reach_is_not_taken(venue):
    venue.sell("a", "1", "100.5", account="bob")
    venue.sell("b", "1", "100.7", account="bob")
    venue.buy("c", "5", "100.6")
    assert venue.fills("c") == [("1", "100"), ("1", "100.5")]
    assert venue.story("b") == ["Accepted"]


def test_on_spot_there_is_no_funding(venue):
    venue.now = START.replace(hour=16)
    assert venue.market(BIDS, ASKS) == []


def test_the_time_does_not_go_back(venue):
    venue.now = START.replace(year=2020)
    (report,) = venue.buy("a", "1", "50")
    assert report.reported_at == START


def test_nothing_is_known_of_an_account_that_is_not_there(venue):
    assert venue.engine.report("eve") is None


def test_a_spot_venue_has_no_leverage(venue):
    with pytest.raises(Exception, match="Connector 'paper' is not a perpetual connector"):
        venue.leverage(2)
    with pytest.raises(Exception, match="Account 'eve' is not connected to paper"):
        venue.leverage(2, account="eve")
