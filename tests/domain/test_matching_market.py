"""A real market under the paper engine: whole books, trades of others, and nothing while it is away."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from domain.matching.book import Half
from domain.matching.depth import Away, Trade, depth_of
from domain.matching.engine import Standing
from domain.orders import OrderAccepted, OrderFilled, OrderPlaced, OrderRejected
from domain.reports import AccountReport
from domain.values import Side
from tests.domain.test_matching_life import AMOUNTS, PAIRS, PerpetualLife, SpotLife
from tests.domain.venue import SECOND, Venue, levels
from tests.domain.venue import rule as rule_of

LEVELS = st.lists(st.tuples(st.decimals("-1", "200", places=2), st.decimals("-1", "5", places=3)), max_size=8)


def traded(venue: Venue, taker: str, *trades: tuple[str, str], after: timedelta = SECOND) -> list[AccountReport]:
    """Let others trade at (price, amount), `after` now."""
    at = venue.now + after
    said = [
        Trade(price=Decimal(price), amount=Decimal(amount), taker=Side(taker), traded_at=at) for price, amount in trades
    ]
    return venue.take(venue.engine.tick({"BTC-USDT": said}, max(at, venue.now)))


def lost(venue: Venue, reason: str = "binance does not answer") -> list[AccountReport]:
    return venue.take(venue.engine.tick({"BTC-USDT": Away(reason=reason)}, venue.now))


@given(bids=LEVELS, asks=LEVELS)
def test_a_book_is_ordered_and_never_crossed_whatever_a_venue_sends(bids, asks):
    depth = depth_of(bids, asks)
    if depth is None:
        return
    bid_prices, ask_prices = [price for price, _ in depth.bids], [price for price, _ in depth.asks]
    assert bid_prices == sorted(bid_prices, reverse=True)
    assert ask_prices == sorted(ask_prices)
    assert all(price > 0 and amount > 0 for price, amount in [*depth.bids, *depth.asks])
    best = [*bid_prices[:1], *ask_prices[:1]]
    assert min(best) <= depth.mark <= max(best)
    assert not (bid_prices and ask_prices) or bid_prices[0] < ask_prices[0]


@pytest.mark.parametrize(
    ("bids", "asks", "mark"),
    [
        ([("99", "1")], [("101", "1")], "100"),
        ([("99", "1"), ("98", "2")], [], "99"),
        ([], [("101", "1")], "101"),
        ([("99", "0")], [("101", "1")], "101"),
        ([], [], None),
        ([("101", "1")], [("101", "1")], None),
        ([("0", "1")], [("101", "0")], None),
    ],
)
def test_a_book_is_marked_in_the_middle_of_its_best_prices(bids, asks, mark):
    depth = depth_of(levels(*bids), levels(*asks))
    assert (depth.mark if depth is not None else None) == (Decimal(mark) if mark else None)


@given(
    steps=st.lists(st.tuples(st.decimals("0.1", "9", places=1), st.decimals("0.1", "9", places=1)), max_size=12),
    first=st.decimals("0.1", "9", places=1),
)
def test_of_a_level_that_stays_no_more_is_taken_than_it_showed_and_grew_by(steps, first):
    half = Half(-1)
    half.refresh([(Decimal(101), first)], lasting=True)
    shown = offered = first
    taken = Decimal(0)
    for most, amount in steps:
        taken += half.take(Decimal(-101), most)
        half.refresh([(Decimal(101), amount)], lasting=True)
        offered += max(Decimal(0), amount - shown)
        shown = amount
        best = half.best(None)
        assert (best[1] if best else 0) <= min(shown, offered - taken)


def test_what_was_taken_of_a_real_book_stays_taken_until_its_price_is_gone():
    venue = Venue().join(USDT="1000")

    def show(*asks: tuple[str, str]) -> None:
        depth = depth_of([], levels(*asks))
        assert depth is not None
        venue.take(venue.engine.tick({"BTC-USDT": depth}, venue.now))

    show(("100", "1"), ("103", "5"))
    venue.buy("a", "4", "101")
    show(("100", "1"), ("103", "5"))
    assert venue.fills("a") == [("1", "100")]
    show(("100", "1.5"), ("103", "5"))
    assert venue.fills("a") == [("1", "100"), ("0.5", "101")]
    show(("103", "5"))
    show(("100", "1"), ("103", "5"))
    assert venue.fills("a") == [("1", "100"), ("0.5", "101"), ("1", "101")]


def test_a_trade_past_an_order_fills_it_at_its_own_price_and_by_no_more_than_was_traded():
    venue = Venue().join(USDT="1000")
    venue.market([("99", "1")], [("101", "1")])
    venue.buy("a", "3", "100")
    traded(venue, "SELL", ("99.5", "1"), ("99", "0.5"))
    assert venue.fills("a") == [("1", "100"), ("0.5", "100")]
    assert all(trade.is_maker for trade in venue.trades("a"))
    traded(venue, "SELL", ("90", "50"))
    assert sum(trade.amount for trade in venue.trades("a")) == 3


def test_sells_fill_when_others_buy_above_them():
    venue = Venue().join(BTC="3")
    venue.market([("99", "1")], [("101", "1")])
    venue.sell("a", "3", "100.5")
    traded(venue, "BUY", ("101", "2"))
    assert venue.fills("a") == [("2", "100.5")]


@pytest.mark.parametrize(
    ("taker", "price"),
    [("SELL", "100"), ("SELL", "100.5"), ("BUY", "99")],
    ids=["at its price", "before its price", "of who took an offer that the book has shown"],
)
def test_a_trade_that_would_not_have_come_to_the_order_leaves_it(taker, price):
    venue = Venue().join(USDT="1000")
    venue.market([("99", "1")], [("101", "1")])
    venue.buy("a", "3", "100")
    traded(venue, taker, (price, "5"))
    assert venue.fills("a") == []


@pytest.mark.parametrize("after", [timedelta(0), -SECOND], ids=["at once", "before"])
def test_a_trade_from_before_the_order_rested_leaves_it(after):
    venue = Venue().join(USDT="1000")
    venue.market([("99", "1")], [("101", "1")])
    venue.buy("a", "1", "100")
    traded(venue, "SELL", ("99", "5"), after=after)
    assert venue.fills("a") == []


def test_what_was_traded_goes_to_the_best_price_and_then_to_who_came_first():
    venue = Venue().join(USDT="1000").join("bob", USDT="1000")
    venue.market([("97", "1")], [("101", "1")])
    venue.buy("late", "1", "99", account="bob")
    venue.buy("later", "1", "99")
    venue.buy("best", "1", "100")
    traded(venue, "SELL", ("98", "2.5"))
    assert [len(venue.fills(name)) for name in ("best", "late", "later")] == [1, 1, 1]
    assert venue.fills("later") == [("0.5", "99")]


def test_an_order_that_closes_takes_no_more_of_a_trade_than_its_position():
    venue = Venue(perpetual=True).join(USDT="1000").join("bob", USDT="1000")
    venue.market([("99", "9")], [("101", "9")])
    venue.buy("open", "1", "101")
    venue.sell("close", "1", "103", close=True)
    venue.sell("less", "0.4")
    venue.sell("other", "5", "104", account="bob")
    traded(venue, "BUY", ("105", "3"))
    assert venue.fills("close") == [("0.6", "103")]
    assert venue.fills("other") == [("2.4", "104")]


def test_while_the_market_is_away_what_rests_waits():
    venue = Venue().join(USDT="1000")
    venue.market([("99", "1")], [("101", "1")])
    venue.buy("a", "1", "100")
    assert lost(venue) == []
    assert traded(venue, "SELL", ("90", "5")) == []
    venue.market([("94", "1")], [("95", "1")])
    assert venue.fills("a") == [("1", "100")]


def test_an_order_that_comes_while_the_market_is_away_is_rejected_with_the_reason():
    venue = Venue().join(USDT="1000")
    venue.market([("99", "1")], [("101", "1")])
    lost(venue, "No order book of BTC-USDT came from binance")
    venue.buy("a", "1")
    (rejected,) = venue.facts("a")
    assert isinstance(rejected, OrderRejected)
    assert rejected.reason == "No order book of BTC-USDT came from binance"


def test_nobody_is_liquidated_on_a_mark_that_is_not_seen():
    venue = Venue(perpetual=True).join(USDT="1000")
    for pair in ("BTC-USDT", "ETH-USDT"):
        venue.engine.set_leverage("ann", pair, 100, venue.now)
        venue.market([("99", "900")], [("101", "900")], pair=pair)
    venue.buy("btc", "50")
    venue.sell("eth", "50", pair="ETH-USDT")
    venue.take(venue.engine.tick({"ETH-USDT": Away(reason="gone")}, venue.now))
    venue.market([("70", "900")], [("72", "900")], mark="71")
    assert venue.positions()["BTC-USDT", "BOTH"] == ("50", "101")
    venue.market([("99", "900")], [("101", "900")], pair="ETH-USDT")
    assert venue.positions() == {}


def test_orders_that_cross_after_a_restart_trade_when_the_market_is_seen_again():
    venue = Venue().join(USDT="1000").join("bob", BTC="5")
    venue.market([("95", "1")], [("105", "1")])
    venue.buy("a", "1", "100")
    accepted = venue.facts("a")[0]
    assert isinstance(accepted, OrderAccepted)
    order = (venue.placed("a", "BUY", "1", "100"), accepted.exchange_order_id, Decimal(0))
    standing = Standing(units={"USDT": Decimal(1000)}, orders=[order])
    venue.engine.leave("ann")
    venue.sell("b", "1", "99", account="bob")
    lost(venue)
    venue.take(venue.engine.join("ann", standing, venue.now))
    assert venue.fills("a") == []
    venue.market([("95", "1")], [("105", "1")])
    assert venue.fills("a") == venue.fills("b") == [("1", "100")]


def test_pairs_are_busy_while_somebody_has_an_order_or_a_position_in_them():
    venue = Venue(perpetual=True).join(USDT="1000")
    venue.market([("99", "9")], [("101", "9")])
    assert venue.engine.busy == set()
    venue.buy("a", "1")
    venue.buy("b", "1", "50", pair="ETH-USDT")
    assert venue.engine.busy == {"BTC-USDT", "ETH-USDT"}
    venue.sell("c", "1", close=True)
    venue.engine.cancel("ann", "b", venue.now)
    assert venue.engine.busy == set()


def test_a_pair_can_be_traded_from_when_it_is_listed():
    venue = Venue().join(EUR="1000")
    venue.buy("a", "1", "10", pair="SOL-EUR")
    assert isinstance(venue.facts("a")[0], OrderRejected)
    venue.engine.list_pairs({"SOL-EUR": rule_of("SOL-EUR")})
    venue.buy("b", "1", "10", pair="SOL-EUR")
    assert isinstance(venue.facts("b")[0], OrderAccepted)


class RealMarket(SpotLife):
    """Beside what may happen on any paper venue, others trade and the market goes away."""

    @rule(
        pair=PAIRS,
        taker=st.sampled_from(Side),
        trades=st.lists(st.tuples(st.integers(88, 112), AMOUNTS), min_size=1, max_size=3),
        after=st.sampled_from([-1, 0, 1]),
    )
    def trade(self, pair, taker, trades, after) -> None:
        _check_trades(self, pair, taker, trades, after)

    @rule(pair=PAIRS)
    def lose(self, pair) -> None:
        before = dict(self.filled)
        self.hear(self.venue.engine.tick({pair: Away(reason="gone")}, self.venue.now))
        assert self.filled == before

    @rule(pair=PAIRS, size=AMOUNTS, best=st.integers(91, 109))
    def show_book(self, pair, size, best) -> None:
        _check_book(self, pair, Decimal(size), Decimal(best))


class RealPerpetualMarket(PerpetualLife):
    """The same with positions."""

    trade = RealMarket.trade
    lose = RealMarket.lose
    show_book = RealMarket.show_book


def _fills(reports: list[AccountReport], ours: dict[str, OrderPlaced]) -> list[tuple[OrderPlaced, OrderFilled]]:
    """Return the fills of our orders, none of a step in which somebody was liquidated: that trades with orders, too."""
    return [
        (ours[order_id], fact)
        for report in reports
        if not any(other.observed for other in reports)
        for order_id, fact in report.orders
        if isinstance(fact, OrderFilled) and order_id in ours
    ]


def _check_trades(life, pair, taker, trades, after) -> None:
    """Fills are no more than what others traded past an order's own price."""
    at = life.venue.now + after * SECOND
    said = [Trade(price=Decimal(p), amount=Decimal(a), taker=taker, traded_at=at) for p, a in trades]
    reports = life.venue.engine.tick({pair: said}, max(at, life.venue.now))
    filled = _fills(reports, life.orders)
    life.hear(reports)
    life.venue.now = max(at, life.venue.now)
    assert sum((fact.amount for _, fact in filled), Decimal(0)) <= sum(trade.amount for trade in said)
    for order, fact in filled:
        assert order.placed_at < at
        assert (order.trading_pair, order.side) == (pair, taker.opposite)
        assert fact.price == order.price
        assert any(t.price < fact.price if order.side is Side.BUY else t.price > fact.price for t in said)


def _check_book(life, pair, size: Decimal, best: Decimal) -> None:
    """What rests is filled by no more than the levels that came to it."""
    depth = depth_of([(best, size), (best - 1, size)], [(best + 1, size), (best + 2, size)])
    assert depth is not None
    waited = {order.client_order_id for a in life.memories for order in life.venue.engine.open_orders(a)}
    reports = life.venue.engine.tick({pair: depth}, life.venue.now)
    filled = [(order, fact) for order, fact in _fills(reports, life.orders) if order.client_order_id in waited]
    life.hear(reports)
    for side, offered in ((Side.BUY, depth.asks), (Side.SELL, depth.bids)):
        done = [(order, fact) for order, fact in filled if order.side is side]
        limits = [order.price for order, _ in done if order.price is not None]
        if limits:
            reach = max(limits) if side is Side.BUY else min(limits)
            there = [amount for price, amount in offered if (price <= reach if side is Side.BUY else price >= reach)]
            assert sum(fact.amount for _, fact in done) <= sum(there)
            assert {fact.price for _, fact in done} <= set(limits)


TestRealMarket = RealMarket.TestCase
TestRealMarket.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestRealPerpetualMarket = RealPerpetualMarket.TestCase
TestRealPerpetualMarket.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
