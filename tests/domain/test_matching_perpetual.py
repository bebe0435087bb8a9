"""The matching engine on perpetuals: margin, modes, funding and liquidation."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.errors import Invalid
from domain.orders import OrderObserved
from domain.values import PositionMode
from tests.domain.venue import START, Venue

BOTH = ("BTC-USDT", "BOTH")
DEEP = ([("100", "1000")], [("100", "1000")])


@pytest.fixture
def venue() -> Venue:
    """Return a venue without fees where everything trades at 100."""
    venue = Venue(perpetual=True, maker="0", taker="0").join("ann", USDT="1000").join("bob", USDT="1000")
    venue.market(*DEEP)
    return venue


def test_a_position_holds_margin_at_its_entry_price(venue):
    (report,) = venue.buy("a", "2")
    assert venue.positions() == {BOTH: ("2", "100")}
    assert venue.holdings() == {"USDT": ("1000", "800")}
    (told,) = report.positions
    assert (told.amount, told.entry_price, told.leverage, told.unrealized_pnl) == (2, 100, 1, 0)


def test_an_account_without_leverage_set_trades_at_one(venue):
    venue.buy("a", "11", "100")
    assert venue.reason("a") == ("Insufficient USDT margin: BUY 11 BTC-USDT at leverage 1 needs 1100, available 1000")


def test_leverage_multiplies_what_can_be_opened(venue):
    (report,) = venue.leverage(10)
    assert report.positions == []
    venue.buy("a", "90")
    assert venue.positions() == {BOTH: ("90", "100")}
    assert venue.holdings() == {"USDT": ("1000", "100")}


def test_margins_are_rounded_up(venue):
    venue.leverage(3)
    venue.buy("a", "1")
    assert venue.holdings()["USDT"] == ("1000", "966.666666666666")


@pytest.mark.parametrize("leverage", [0, -1, 126])
def test_leverage_has_bounds(venue, leverage):
    with pytest.raises(Invalid, match=f"Leverage {leverage} for BTC-USDT is not between 1 and 125"):
        venue.leverage(leverage)


def test_leverage_of_an_unknown_pair_is_refused(venue):
    with pytest.raises(Invalid, match="Trading pair 'X-Y' is not traded on paper"):
        venue.leverage(2, pair="X-Y")


def test_leverage_cannot_fall_below_what_the_margin_covers(venue):
    venue.leverage(10)
    venue.buy("a", "50")
    with pytest.raises(Invalid, match="Insufficient USDT margin: leverage 4 needs 750 more, available 500"):
        venue.leverage(4)
    (report,) = venue.leverage(5)
    assert [position.leverage for position in report.positions] == [5]
    assert venue.holdings()["USDT"] == ("1000", "0")


def test_leverage_of_a_closed_position_tells_no_position(venue):
    venue.buy("a", "1")
    venue.sell("b", "1")
    (report,) = venue.leverage(3)
    assert report.positions == []


def test_resting_orders_hold_margin_and_fee():
    venue = Venue(perpetual=True).join(USDT="1000")
    venue.buy("a", "2", "100")
    venue.sell("b", "1", "200")
    assert venue.holdings()["USDT"] == ("1000", "799.2")


def test_orders_that_could_only_reduce_need_no_margin_of_their_own(venue):
    venue.buy("a", "10")
    assert venue.holdings()["USDT"] == ("1000", "0")
    venue.sell("b", "10", "110")
    assert venue.story("b") == ["Accepted"]
    venue.sell("c", "1", "1200")
    assert venue.story("c") == ["Rejected"]


def test_profit_and_loss_go_to_the_wallet_when_a_position_closes(venue):
    venue.buy("a", "5")
    venue.market([("110", "100")], [("111", "100")], mark="110")
    assert venue.holdings()["USDT"] == ("1000", "500")
    (report,) = venue.sell("b", "5")
    assert [(p.amount, p.entry_price) for p in report.positions] == [(0, 0)]
    assert venue.holdings()["USDT"] == ("1050", "1050")
    assert venue.positions() == {}


def test_a_one_way_position_turns_over(venue):
    venue.buy("a", "5")
    venue.sell("b", "8")
    assert venue.positions() == {BOTH: ("-3", "100")}
    assert venue.holdings()["USDT"] == ("1000", "700")


def test_losses_that_are_not_realized_cannot_be_used_again(venue):
    venue.buy("a", "5")
    venue.market([("60", "100")], [("60", "100")], mark="60")
    venue.buy("b", "6", "60")
    assert venue.story("b") == ["Rejected"]
    venue.buy("c", "4", "60")
    assert venue.story("c") == ["Accepted", "Filled"]


def test_wallets_are_kept_per_quote_token(venue):
    venue.join("cyd", USDT="1000", BTC="1")
    venue.market([("0.05", "100")], [("0.05", "100")], pair="ETH-BTC", mark="0.05")
    venue.buy("a", "10", account="cyd", pair="ETH-BTC")
    venue.buy("b", "5", account="cyd")
    venue.buy("c", "1", "0.01", pair="ETH-BTC")
    assert venue.holdings("cyd") == {"USDT": ("1000", "500"), "BTC": ("1", "0.5")}
    assert venue.story("c") == ["Rejected"]


# Closing.


@pytest.mark.parametrize(("side", "kind"), [("sell", "long"), ("buy", "short")])
def test_closing_without_a_position_is_rejected(venue, side, kind):
    getattr(venue, side)("a", "1", "100", close=True)
    assert venue.reason("a") == f"There is no {kind} BTC-USDT position that {side.upper()} with CLOSE could reduce"


def test_a_closing_order_never_opens(venue):
    venue.buy("a", "2")
    venue.sell("b", "5", close=True)
    assert venue.fills("b") == [("2", "100")]
    assert venue.reason("b") == "Nothing is left to reduce"
    assert venue.positions() == {}


def test_closing_orders_end_with_their_position(venue):
    venue.sell("a", "2")
    venue.buy("b", "2", "50", close=True)
    venue.buy("c", "1", "40", close=True)
    assert venue.holdings()["USDT"] == ("1000", "800")
    venue.market([("40", "9")], [("45", "1.5")], mark="45")
    assert venue.fills("b") == [("1.5", "50")]
    venue.market([("30", "9")], [("40", "9")], mark="40")
    assert venue.fills("b") == [("1.5", "50"), ("0.5", "50")]
    assert venue.story("c") == ["Accepted", "Expired"]
    assert venue.positions() == {}


def test_a_closing_order_that_rests_trades_no_more_than_there_is_to_reduce(venue):
    venue.market([("99", "100")], [("100", "100")])
    venue.buy("a", "2")
    venue.sell("b", "5", "101", close=True)
    venue.market([("99", "100")], [("103", "100")])
    venue.buy("c", "9", "102", account="bob")
    assert venue.fills("b") == [("2", "101")]
    assert venue.reason("b") == "Nothing is left to reduce"
    assert venue.fills("c") == [("2", "101")]
    assert venue.positions("bob") == {BOTH: ("2", "101")}


# Modes.


def test_in_hedge_mode_long_and_short_stand_beside_each_other(venue):
    venue.hedge()
    venue.buy("a", "3")
    venue.sell("b", "2")
    assert venue.positions() == {("BTC-USDT", "LONG"): ("3", "100"), ("BTC-USDT", "SHORT"): ("-2", "100")}
    assert venue.holdings()["USDT"] == ("1000", "500")
    venue.sell("c", "1", close=True)
    venue.buy("d", "9", close=True)
    assert venue.positions() == {("BTC-USDT", "LONG"): ("2", "100")}
    assert venue.fills("d") == [("2", "100")]
    venue.sell("e", "6", "100")
    assert venue.story("e") == ["Accepted", "Filled"]


def test_the_mode_cannot_change_with_open_orders_or_positions(venue):
    venue.buy("a", "1", "50")
    with pytest.raises(Invalid, match="Position mode of account 'ann' on paper cannot become HEDGE while"):
        venue.hedge()
    venue.cancel("a")
    venue.buy("b", "1")
    with pytest.raises(Invalid, match="open orders or positions"):
        venue.hedge()
    venue.engine.set_mode("ann", PositionMode.ONEWAY)
    venue.sell("c", "1")
    venue.hedge()
    venue.buy("d", "1")
    assert list(venue.positions()) == [("BTC-USDT", "LONG")]


# Funding.


def test_longs_pay_shorts_at_each_funding_time(venue):
    venue.buy("a", "2", account="bob")
    venue.sell("b", "3")
    venue.now = START.replace(hour=15, minute=59)
    assert venue.market(*DEEP) == []
    venue.now = START.replace(hour=16)
    reports = {report.account: report for report in venue.market(*DEEP, mark="110")}
    (paid,) = reports["bob"].funding
    assert (paid.payment, paid.position_size, paid.position_side, paid.rate) == (
        Decimal("-0.022"),
        2,
        "LONG",
        Decimal("0.0001"),
    )
    (received,) = reports["ann"].funding
    assert (received.payment, received.position_side, received.paid_at) == (Decimal("0.033"), "SHORT", venue.now)
    assert venue.holdings("bob")["USDT"][0] == "999.978"
    assert venue.market(*DEEP) == []


def test_funding_is_paid_before_anything_else_that_happens_later(venue):
    venue.buy("a", "2")
    venue.now = START + timedelta(hours=13)
    (report,) = venue.sell("b", "2")
    assert [paid.paid_at.hour for paid in report.funding] == [16, 0]
    assert len({paid.funding_id for paid in report.funding}) == 2
    assert venue.holdings()["USDT"][0] == "999.96"


# Liquidation.


def test_an_account_below_its_maintenance_margin_is_liquidated(venue):
    venue.leverage(10)
    venue.buy("a", "50")
    venue.buy("open", "1", "50")
    venue.sell("other", "1", "1", pair="ETH-BTC")
    (report,) = venue.market([("80.3", "20"), ("80", "1000")], [("81", "1000")], mark="80.3")
    (found,) = report.observed
    assert isinstance(found, OrderObserved)
    order_id = f"ann-paper-{found.exchange_order_id}"
    assert (found.side, found.amount, found.price, found.position_action) == ("SELL", 50, None, "CLOSE")
    assert venue.fills(order_id) == [("20", "80.3"), ("30", "80")]
    assert venue.reason("open") == "Liquidation: the wallet does not cover the maintenance margin"
    assert venue.positions() == {}
    assert venue.holdings()["USDT"] == ("6", "6")
    assert venue.engine.borne == 0


def test_just_above_its_maintenance_margin_an_account_goes_on(venue):
    venue.leverage(10)
    venue.buy("a", "50")
    assert venue.market([("80.5", "1000")], [("81", "1000")], mark="80.5") == []


def test_what_the_book_does_not_take_of_a_liquidation_the_venue_takes_at_the_mark(venue):
    venue.leverage(10)
    venue.sell("a", "50")
    (report,) = venue.market([("119", "1")], [("121", "10")], mark="120")
    order_id = f"ann-paper-{report.observed[0].exchange_order_id}"
    assert venue.fills(order_id) == [("10", "121"), ("40", "120")]


def test_a_wallet_does_not_end_below_zero_the_venue_bears_the_rest(venue):
    venue.leverage(10)
    venue.buy("a", "50")
    (report,) = venue.market([("70", "1000")], [("71", "1000")], mark="70")
    assert report.holdings == []
    assert venue.engine.borne == 500


def test_a_loss_on_one_side_may_be_covered_by_profit_on_the_other(venue):
    venue.hedge()
    venue.leverage(100)
    venue.buy("a", "400")
    venue.sell("b", "400")
    venue.market([("90", "1000")], [("90", "1000")], mark="90")
    venue.sell("c", "400", close=True)
    assert venue.holdings()["USDT"] == ("-3000", "0")
    venue.market([("90", "1000")], [("90", "1000")], mark="90")
    venue.buy("d", "400", close=True)
    assert venue.holdings()["USDT"] == ("1000", "1000")


def test_a_liquidation_leaves_orders_of_other_wallets(venue):
    venue.join("cyd", USDT="1000", BTC="1")
    venue.market([("0.05", "100")], [("0.05", "100")], pair="ETH-BTC", mark="0.05")
    venue.leverage(10, account="cyd")
    venue.buy("a", "90", account="cyd")
    venue.buy("b", "1", account="cyd", pair="ETH-BTC")
    venue.buy("c", "1", "0.01", account="cyd", pair="ETH-BTC")
    venue.market([("80", "1000")], [("80", "1000")], mark="80")
    assert venue.story("c") == ["Accepted"]
    assert list(venue.positions("cyd")) == [("ETH-BTC", "BOTH")]
    assert venue.holdings("cyd") == {"BTC": ("1", "0.94")}
