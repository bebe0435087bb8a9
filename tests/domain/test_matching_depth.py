"""Depth out of quotes, funding times, and how a position changes."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.matching.depth import Quote, ladder
from domain.matching.funding import boundaries, boundary_after
from domain.matching.margin import traded
from domain.matching.working import worked
from tests.domain.venue import START, Venue, rule

PRICES = st.decimals("0.01", "100000", places=3)
SIZES = st.decimals("0.00001", "1000", places=5)
CHANGES = st.decimals("-1000", "1000", places=3).filter(bool)


@given(bid=PRICES, spread=st.decimals("0.001", "10", places=3), bid_size=SIZES, ask_size=SIZES)
def test_depth_gets_worse_in_price_and_larger_in_size_and_never_crosses(bid, spread, bid_size, ask_size):
    depth = ladder(Quote(bid=bid, ask=bid + spread, bid_size=bid_size, ask_size=ask_size), rule("BTC-USDT"))
    step, size = Decimal("0.01"), Decimal("0.001")
    prices = [price for price, _ in depth.asks]
    assert prices == sorted(set(prices))
    assert prices[0] >= bid + spread
    falling = [price for price, _ in depth.bids]
    assert falling == sorted(set(falling), reverse=True)
    assert falling[0] <= bid
    assert all(price > 0 and price % step == 0 for price in [*prices, *falling])
    for side in (depth.bids, depth.asks):
        amounts = [amount for _, amount in side]
        assert amounts == sorted(amounts)
        assert all(amount >= size and amount % size == 0 for amount in amounts)


def test_depth_begins_at_the_quote():
    depth = ladder(Quote(bid=Decimal(100), ask=Decimal(101), bid_size=Decimal(1), ask_size=Decimal(2)), rule("A-B"), 2)
    assert depth.mark == Decimal("100.5")
    assert depth.bids == [(100, 1), (Decimal("99.98"), 2)]
    assert depth.asks == [(101, 2), (Decimal("101.02"), 4)]


@pytest.mark.parametrize(
    ("hour", "minute", "next_hour"), [(0, 0, 8), (7, 59, 8), (8, 0, 16), (15, 1, 16), (16, 0, 24), (23, 59, 24)]
)
def test_funding_is_due_every_eight_hours(hour, minute, next_hour):
    due = boundary_after(datetime(2026, 3, 1, hour, minute, tzinfo=UTC))
    assert due == datetime(2026, 3, 1 + next_hour // 24, next_hour % 24, tzinfo=UTC)


def test_a_funding_time_belongs_to_the_time_that_ends_with_it():
    at = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (0, 8, 16)]
    assert list(boundaries(at[0], at[2])) == [at[1], at[2]]
    assert list(boundaries(at[2], at[0])) == []


@given(
    trades=st.lists(st.tuples(CHANGES, PRICES), min_size=1, max_size=8),
    mark=PRICES,
)
def test_a_trade_makes_money_only_against_the_mark(trades, mark):
    amount = entry = wallet = flows = Decimal(0)
    for change, price in trades:
        amount, entry, realized = traded(amount, entry, change, price)
        wallet += realized
        flows += change * (mark - price)
        assert wallet + (mark - entry) * amount == flows
        assert entry >= 0


@pytest.mark.parametrize(
    ("amount", "entry", "change", "price", "after"),
    [
        ("0", "0", "2", "100", ("2", "100", "0")),
        ("2", "100", "2", "200", ("4", "150", "0")),
        ("4", "150", "-1", "160", ("3", "150", "10")),
        ("3", "150", "-3", "140", ("0", "0", "-30")),
        ("3", "150", "-5", "160", ("-2", "160", "30")),
        ("-2", "160", "1", "150", ("-1", "160", "10")),
    ],
)
def test_a_position_grows_at_the_mean_price_and_realizes_what_it_closes(amount, entry, change, price, after):
    now = traded(Decimal(amount), Decimal(entry), Decimal(change), Decimal(price))
    assert now == tuple(Decimal(value) for value in after)


def test_an_order_without_a_limit_has_none_to_ask_for():
    placed = Venue().placed("a", "BUY", "1")
    assert placed.placed_at == START
    order = worked(placed, number=7, base="BTC", quote="USDT", filled=Decimal("0.4"))
    assert (order.remaining, order.exchange_order_id) == (Decimal("0.6"), "7")
    with pytest.raises(ValueError, match="order 'a' has no price"):
        _ = order.limit
