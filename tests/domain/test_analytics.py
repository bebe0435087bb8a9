"""The arithmetic of lots and figures, by hand and by property."""

import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.analytics.figures import (
    Figures,
    Fill,
    Market,
    Reckoning,
    Step,
    Tally,
    daily,
    sharpe,
)
from domain.analytics.lots import Close, Deal, Ledger, Method, OpenLots
from domain.values import ZERO, Side
from tests.domain.lots_one_by_one import Book, take

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BUY, SELL = Side.BUY, Side.SELL


def deals(*rows: tuple[Side, str, str]) -> list[Deal]:
    return [
        Deal(side=side, amount=Decimal(amount), price=Decimal(price), at=T0 + timedelta(hours=n), name=f"t{n}")
        for n, (side, amount, price) in enumerate(rows)
    ]


def fills(*rows: tuple[Side, str, str], fee: str = "0", market: str = "BTC-USDT") -> list[Fill]:
    return [
        Fill(
            market=(market,),
            trade_id=deal.name,
            side=deal.side,
            amount=deal.amount,
            price=deal.price,
            at=deal.at,
            fees={"USDT": Decimal(fee)},
            fee=Decimal(fee),
        )
        for deal in deals(*rows)
    ]


def steps(taken: Iterable[Fill], method: Method = Method.AVERAGE) -> Iterator[Step]:
    return map(Tally(method).take, taken)


def reckoned(taken: Iterable[Fill], method: Method, since: datetime | None, *, by_day: bool) -> Reckoning:
    reckoning = Reckoning(method, since, by_day=by_day)
    for fill in taken:
        reckoning.take(fill)
    return reckoning


def figures(taken: Iterable[Fill], method: Method = Method.AVERAGE, since: datetime | None = None) -> Figures:
    return reckoned(taken, method, since, by_day=False).whole()


def figures_by_day(
    taken: Iterable[Fill], method: Method = Method.AVERAGE, since: datetime | None = None
) -> dict[date, Figures]:
    return reckoned(taken, method, since, by_day=True).days()


def run(method: Method, taken: list[Deal]):
    held = OpenLots(Ledger(method=method))
    closes: list[Close] = []
    for deal in taken:
        closes += held.take(deal)
    return held, closes


LADDER = ((BUY, "1", "100"), (BUY, "1", "300"), (BUY, "1", "200"), (SELL, "1", "250"))


@pytest.mark.parametrize(
    ("method", "pnl", "left"),
    [
        (Method.AVERAGE, "50", "400"),  # (100 + 300 + 200) / 3 = 200
        (Method.FIFO, "150", "500"),  # the one of 100 goes
        (Method.LIFO, "50", "400"),  # the one of 200
        (Method.HIFO, "-50", "300"),  # the one of 300
    ],
)
def test_each_method_closes_the_lots_that_its_name_says(method, pnl, left):
    held, closes = run(method, deals(*LADDER))
    assert sum(close.pnl for close in closes) == Decimal(pnl)
    assert held.cost == Decimal(left)
    assert held.position == 2


@pytest.mark.parametrize("method", Method)
def test_a_short_position_earns_when_the_price_falls(method):
    held, (close,) = run(method, deals((SELL, "2", "100"), (BUY, "1", "80")))
    assert close.pnl == 20
    assert held.position == -1
    assert held.ledger.unrealized(Decimal(90)) == 10


@pytest.mark.parametrize("method", Method)
def test_a_trade_through_zero_closes_all_and_opens_the_rest(method):
    held, closes = run(method, deals((BUY, "1", "100"), (SELL, "3", "110")))
    assert [(close.amount, close.pnl) for close in closes] == [(1, 10)]
    assert (held.position, held.ledger.entry_price) == (-2, 110)


def test_a_part_of_a_lot_keeps_when_it_was_opened_and_by_what():
    held, (close,) = run(Method.FIFO, deals((BUY, "2", "100"), (SELL, "0.5", "120")))
    (lot,) = held.lots
    assert (lot.amount, lot.price, lot.opened_at, lot.name) == (Decimal("1.5"), 100, T0, "t0")
    assert (close.entry_name, close.exit_name, close.opened_at, close.entry_price) == ("t0", "t1", T0, 100)
    assert close.closed_at == T0 + timedelta(hours=1)


def test_of_a_short_position_hifo_closes_first_what_brought_least():
    _, (close,) = run(Method.HIFO, deals((SELL, "1", "100"), (SELL, "1", "80"), (BUY, "1", "90")))
    assert close.pnl == -10


rows = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]),
        st.decimals("0.001", "1000", places=3),
        st.decimals("0.01", "100000", places=2),
    ),
    max_size=30,
)


def flat(taken: list[Deal]) -> list[Deal]:
    """Return the trades with one more behind them that closes what is open."""
    position = sum((deal.amount if deal.side is BUY else -deal.amount for deal in taken), ZERO)
    if not position:
        return taken
    side = SELL if position > 0 else BUY
    return [*taken, Deal(side=side, amount=abs(position), price=Decimal(777), at=T0 + timedelta(days=9))]


def made(given_rows) -> list[Deal]:
    return deals(*((side, str(amount), str(price)) for side, amount, price in given_rows))


@given(rows)
def test_when_flat_all_methods_have_earned_the_cash_that_came_in(given_rows):
    taken = flat(made(given_rows))
    cash = sum((deal.amount * deal.price * (1 if deal.side is SELL else -1) for deal in taken), ZERO)
    for method in Method:
        held, closes = run(method, taken)
        assert held.lots == ()
        assert round(sum((close.pnl for close in closes), ZERO), 40) == cash


@given(rows)
def test_at_every_moment_profit_is_cash_and_what_is_held_is_worth(given_rows):
    taken = made(given_rows)
    for method in Method:
        held, realized, cash = OpenLots(Ledger(method=method)), ZERO, ZERO
        for deal in taken:
            closed = held.take(deal)
            realized += sum((close.pnl for close in closed), ZERO)
            cash += deal.amount * deal.price * (1 if deal.side is SELL else -1)
            worth = cash + held.position * deal.price
            assert round(realized + held.ledger.unrealized(deal.price), 40) == round(worth, 40)
            assert len({lot.amount > 0 for lot in held.lots}) <= 1
            assert all(lot.amount and lot.cost > 0 for lot in held.lots)


@given(rows)
def test_equity_is_the_sum_of_its_parts(given_rows):
    taken = list(steps(fills(*((s, str(a), str(p)) for s, a, p in given_rows), fee="0.1")))
    nets = [step.net for step in taken]
    days = daily({step.fill.at.date(): step.net for step in taken})
    assert round(sum(days.values(), ZERO), 40) == round(nets[-1] if nets else ZERO, 40)
    for step in taken:
        assert step.net == step.realized + step.unrealized - step.fees
    assert [step.fees for step in taken] == list(accumulate(Decimal("0.1") for _ in taken))


def test_figures_of_nothing_are_zero_or_cannot_be_said():
    nothing = figures([])
    assert (nothing.trades, nothing.volume, nothing.net, nothing.maximum_drawdown) == (0, 0, 0, 0)
    assert nothing.win_rate is nothing.profit_factor is nothing.sharpe is nothing.mean_holding_seconds is None
    assert nothing.exposure is None


def test_figures_by_hand():
    # bought 1 at 100, sold at 110 (+10); bought 1 at 120, sold at 100 (-20); bought 1 at 100, sold at 130 (+30)
    trades = fills(
        (BUY, "1", "100"),
        (SELL, "1", "110"),
        (BUY, "1", "120"),
        (SELL, "1", "100"),
        (BUY, "1", "100"),
        (SELL, "1", "130"),
        fee="0.5",
    )
    found = figures(trades)
    assert (found.trades, found.closes, found.wins) == (6, 3, 2)
    assert (found.realized, found.unrealized, found.fees, found.net) == (20, 0, 3, 17)
    assert found.volume == 660
    assert found.win_rate == Decimal(2) / 3
    assert found.profit_factor == 2
    assert found.maximum_drawdown == Decimal("21.5")  # from 9 after the second trade to -12.5 after the fifth
    assert found.fees_by_token == {"USDT": 3}
    assert found.mean_holding_seconds == 3600
    # held 100, 0, 120, 0, 100 for an hour each
    assert found.exposure == 64
    assert found.sharpe is None  # all on one day


@given(rows, st.integers(0, 30))
def test_what_two_parts_of_a_time_have_earned_is_what_the_whole_has(given_rows, at):
    taken = fills(*((s, str(a), str(p)) for s, a, p in given_rows), fee="0.1")
    middle = T0 + timedelta(hours=at)
    whole = figures(taken)
    first, second = figures([fill for fill in taken if fill.at < middle]), figures(taken, since=middle)
    for name in ("trades", "volume", "realized", "fees", "net", "closes", "wins"):
        assert round(getattr(first, name) + getattr(second, name) - getattr(whole, name), 40) == 0, name
    assert second.unrealized == whole.unrealized
    assert second.unrealized_before == first.unrealized
    assert (
        second.maximum_drawdown <= whole.maximum_drawdown
        or round(second.maximum_drawdown - whole.maximum_drawdown, 40) == 0
    )


def test_a_fee_without_a_price_is_counted_and_not_added():
    priced, unpriced = fills((BUY, "1", "100"), (SELL, "1", "110"), fee="1")
    unpriced = Fill(**{name: getattr(unpriced, name) for name in unpriced.__struct_fields__} | {"fee": None})
    found = figures([priced, unpriced])
    assert (found.fees, found.unpriced_fees, found.net) == (1, 1, 9)


def test_markets_keep_apart():
    first = fills((BUY, "1", "100"), market="BTC-USDT")
    second = fills((SELL, "1", "10"), market="ETH-USDT")
    third = fills((SELL, "1", "130"), market="BTC-USDT")
    taken = list(steps([*first, *second, *third]))
    assert [step.market.ledger.position for step in taken] == [1, -1, 0]
    assert taken[-1].realized == 30
    assert taken[-1].market.net == 30
    assert (taken[-1].market.bought, taken[-1].market.sold) == (1, 1)
    assert (taken[-1].market.closed_cost, taken[-1].market.volume) == (100, 230)


def test_sharpe_is_the_mean_over_the_deviation_of_days_a_year():
    days = {T0.date() + timedelta(days=n): Decimal(value) for n, value in enumerate((1, 3, 2))}
    found = sharpe(days)
    assert found is not None
    assert round(found, 12) == round(Decimal(2) / Decimal(1) * Decimal(365).sqrt(), 12)
    assert sharpe(dict.fromkeys(days, Decimal(1))) is None


def test_days_without_trades_earned_nothing():
    first, last = fills((BUY, "1", "100"), (SELL, "1", "110"))
    last = Fill(**{name: getattr(last, name) for name in last.__struct_fields__} | {"at": T0 + timedelta(days=3)})
    ends = {step.fill.at.date(): step.net for step in steps([first, last])}
    assert list(daily(ends).values()) == [0, 0, 0, 10]
    assert daily({}) == {}
    found = figures([first, last]).sharpe
    assert found is not None
    assert round(found, 12) == round(Decimal("2.5") / 5 * Decimal(365).sqrt(), 12)  # 0, 0, 0, 10


def test_exposure_cannot_be_said_of_one_moment():
    assert figures(fills((BUY, "1", "100"))).exposure is None


@given(rows)
def test_the_drawdown_is_the_largest_fall(given_rows):
    taken = fills(*((s, str(a), str(p)) for s, a, p in given_rows), fee="0.1")
    series = [ZERO, *(step.net for step in steps(taken))]
    brute = max(a - b for i, a in enumerate(series) for b in series[i:])
    assert figures(taken).maximum_drawdown == brute


@given(rows, st.integers(0, 30))
def test_a_tally_goes_on_from_what_was_kept_of_it(given_rows, at):
    taken = fills(*((s, str(a), str(p)) for s, a, p in given_rows), fee="0.1")
    whole = list(steps(taken))
    first = Tally()
    before = [first.take(fill) for fill in taken[:at]]
    kept = msgspec.json.decode(msgspec.json.encode(first.markets), type=dict[str, Market])
    second = Tally(markets=kept)
    assert [*before, *map(second.take, taken[at:])] == whole


@given(rows, st.sampled_from(Method), st.one_of(st.none(), st.integers(0, 30)))
def test_figures_of_a_day_are_those_of_all_trades_from_its_beginning_to_its_end(given_rows, method, at):
    taken = fills(*((s, str(a), str(p)) for s, a, p in given_rows), fee="0.1")
    since = None if at is None else T0 + timedelta(hours=at)
    found = figures_by_day(taken, method, since)
    assert list(found) == sorted({fill.at.date() for fill in taken if since is None or fill.at >= since})
    for day, figured in found.items():
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        until = [fill for fill in taken if fill.at < begin + timedelta(days=1)]
        assert figured == figures(until, method, max(begin, since or begin))


def test_a_day_goes_on_from_the_positions_of_the_one_before():
    taken = fills(*[(BUY, "1", "100")] * 24, (SELL, "24", "110"), fee="1")
    first, second = figures_by_day(taken).values()
    assert (first.trades, first.realized, first.unrealized, first.net) == (24, 0, 0, -24)
    assert (second.trades, second.realized, second.unrealized_before, second.net) == (1, 240, 0, 239)
    assert first.net + second.net == figures(taken).net


@given(rows, st.sampled_from(Method))
def test_a_ledger_keeps_the_sums_over_its_lots(given_rows, method):
    held = OpenLots(Ledger(method=method))
    for deal in made(given_rows):
        held.take(deal)
        assert round(held.position - sum((lot.amount for lot in held.lots), ZERO), 40) == 0
        cost = sum((lot.cost if lot.amount > 0 else -lot.cost for lot in held.lots), ZERO)
        assert round(held.cost - cost, 40) == 0


few_prices = st.lists(
    st.tuples(
        st.sampled_from([BUY, BUY, BUY, SELL]),
        st.sampled_from([Decimal(1), Decimal(3), Decimal("0.7"), Decimal(11)]),
        st.sampled_from([Decimal(100), Decimal(101), Decimal("99.7")]),
    ),
    max_size=30,
)


@given(st.one_of(rows, few_prices), st.booleans(), st.sampled_from(Method))
def test_open_lots_are_what_matching_one_by_one_gives_to_the_last_digit(given_rows, turned, method):
    held, book = OpenLots(Ledger(method=method)), Book(method=method)
    for deal in made([(side if not turned else BUY if side is SELL else SELL, a, p) for side, a, p in given_rows]):
        book, closed = take(book, deal)
        assert held.take(deal) == closed
        assert (held.lots, held.position, held.cost) == (book.lots, book.position, book.cost)


def test_what_is_held_without_known_lots_is_not_gone_on_from():
    held, _ = run(Method.FIFO, deals((BUY, "1", "100")))
    with pytest.raises(ValueError, match="1 is held by fifo"):
        OpenLots(held.ledger)


@pytest.mark.parametrize("method", Method)
def test_a_trade_costs_the_same_however_many_lots_are_open(method):
    (bought,) = deals((BUY, "1", "100"))
    sold = msgspec.structs.replace(bought, side=SELL, amount=Decimal("0.1"))

    def expense(lots: int) -> tuple[int, bool]:
        held = OpenLots(Ledger(method=method))
        for _ in range(lots):
            held.take(bought)
        steps = 0

        def count(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
            nonlocal steps
            frame.f_trace_opcodes = True  # so that a loop counts each of its rounds
            steps += event == "opcode"
            return count

        before = sys.gettrace()
        tracemalloc.start()
        sys.settrace(count)
        try:
            held.take(sold)
        finally:
            sys.settrace(before)
            copied = tracemalloc.get_traced_memory()[1] > 8 * lots  # a pointer to each is the least of a copy
            tracemalloc.stop()
        return steps, copied

    assert expense(20_000) == (expense(2_000)[0], False)
