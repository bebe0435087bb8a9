"""Whatever happens on the paper venue, in whatever order, these things hold."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import Invalid
from domain.matching.engine import Engine
from domain.orders import OrderFilled, OrderPlaced
from domain.reports import AccountReport
from domain.values import PositionMode, Side
from tests.domain.venue import Memory, Venue

ACCOUNTS = ("ann", "bob", "cyd")
PRICES = st.integers(90, 110).map(str)
AMOUNTS = st.sampled_from(["0.5", "1", "2", "3.5", "7"])
PAIRS = st.sampled_from(["BTC-USDT", "ETH-USDT"])


class VenueLife(RuleBasedStateMachine):
    """Three accounts trade with each other and the market; what they are told is kept as a log would."""

    perpetual = False

    @initialize()
    def begin(self) -> None:
        self.venue = Venue(perpetual=self.perpetual)
        self.memories = {account: Memory() for account in ACCOUNTS}
        self.orders: dict[str, OrderPlaced] = {}
        self.filled: dict[str, Decimal] = defaultdict(Decimal)
        self.flows: dict[str, Decimal] = defaultdict(Decimal)
        self.trade_ids: set[str] = set()
        for account in ACCOUNTS:
            self.venue.join(account, USDT="2000", **({} if self.perpetual else {"BTC": "10", "ETH": "10"}))
        self.hear(self.venue.reports)
        self.begun = sum(self.worth(account) for account in ACCOUNTS)

    def hear(self, reports: list[AccountReport]) -> None:
        for report in reports:
            memory = self.memories[report.account]
            memory.placed |= self.orders
            memory.take(report)
            for order_id, fact in report.orders:
                if isinstance(fact, OrderFilled):
                    self.hear_fill(report.account, order_id, fact)
            for paid in report.funding:
                self.flows["funding"] += paid.payment

    def hear_fill(self, account: str, order_id: str, fact: OrderFilled) -> None:
        assert fact.trade_id not in self.trade_ids
        self.trade_ids.add(fact.trade_id)
        self.flows["fees"] += fact.fee
        placed = self.orders.get(order_id)
        if placed is None:
            return  # a liquidation
        self.filled[order_id] += fact.amount
        assert self.filled[order_id] <= placed.amount
        if placed.price is not None:
            buys = placed.side is Side.BUY
            assert fact.price <= placed.price if buys else fact.price >= placed.price
            assert not fact.is_maker or fact.price == placed.price

    @rule(
        account=st.sampled_from(ACCOUNTS),
        side=st.sampled_from(["BUY", "SELL"]),
        pair=PAIRS,
        amount=AMOUNTS,
        price=st.none() | PRICES,
        maker=st.booleans(),
        close=st.booleans(),
    )
    def place(self, *, account, side, pair, amount, price, maker, close) -> None:
        order_id = f"o{len(self.orders)}"
        placed = self.venue.placed(
            order_id, side, amount, price, account=account, pair=pair, maker=maker, close=close and self.perpetual
        )
        self.orders[order_id] = placed
        before = {order.client_order_id: order.number for a in ACCOUNTS for order in self.venue.engine.open_orders(a)}
        reports = self.venue.engine.place(placed, self.venue.now)
        self.check_priority(placed, reports, before)
        self.hear(reports)

    def check_priority(self, taker: OrderPlaced, reports: list[AccountReport], open_before: dict[str, int]) -> None:
        """Orders that traded were better or older than those of the same side and pair that did not."""
        full = {
            order_id
            for report in reports
            for order_id, fact in report.orders
            if isinstance(fact, OrderFilled) and fact.is_maker
        }
        left = {order.client_order_id for a in ACCOUNTS for order in self.venue.engine.open_orders(a)}
        for there in full - left:
            for other in (left - full) & open_before.keys():
                done, waiting = self.orders[there], self.orders[other]
                if (waiting.trading_pair, waiting.side) == (done.trading_pair, done.side):
                    assert done.price is not None
                    assert waiting.price is not None
                    sign = 1 if done.side is Side.SELL else -1
                    assert (sign * done.price, open_before[there]) < (sign * waiting.price, open_before[other])

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.orders)))
        self.hear(self.venue.engine.cancel(self.orders[order_id].account, order_id, self.venue.now))

    @rule(pair=PAIRS, mid=st.integers(91, 109), size=AMOUNTS, seconds=st.sampled_from([1, 60, 3600, 40_000]))
    def move(self, pair, mid, size, seconds) -> None:
        self.venue.now += timedelta(seconds=seconds)
        asks = [(str(mid + level), size) for level in (1, 2, 3)]
        bids = [(str(mid - level), size) for level in (1, 2, 3)]
        self.hear(self.venue.market(bids, asks, pair=pair, mark=str(mid)))

    @rule()
    def restart(self) -> None:
        self.venue.now += timedelta(milliseconds=1)
        self.venue.engine = self.restored()

    def restored(self) -> Engine:
        engine = Engine(self.venue.terms, self.venue.now)
        engine.tick({}, self.venue.now)
        for account in ACCOUNTS:
            assert engine.join(account, self.memories[account].standing(), self.venue.now) == []
        return engine

    def worth(self, account: str) -> Decimal:
        report = self.venue.engine.report(account)
        assert report is not None
        prices = {"USDT": Decimal(1), "BTC": Decimal(100), "ETH": Decimal(100)}
        return sum((h.units * prices[h.token] for h in report.holdings or ()), Decimal(0))

    @invariant()
    def filled_is_the_sum_of_trades(self) -> None:
        for account in ACCOUNTS:
            for order in self.venue.engine.open_orders(account):
                placed = self.orders[order.client_order_id]
                assert order.remaining == placed.amount - self.filled[order.client_order_id] > 0

    @invariant()
    def a_restart_changes_nothing(self) -> None:
        engine = self.restored()
        for account in ACCOUNTS:
            old, new = self.venue.engine.report(account), engine.report(account)
            assert old is not None
            assert new is not None
            assert sorted(old.holdings or (), key=str) == sorted(new.holdings or (), key=str)
            assert {(p.trading_pair, p.side, p.amount, p.entry_price, p.leverage) for p in old.positions} == {
                (p.trading_pair, p.side, p.amount, p.entry_price, p.leverage) for p in new.positions
            }
            assert [(o.number, o.remaining) for o in self.venue.engine.open_orders(account)] == [
                (o.number, o.remaining) for o in engine.open_orders(account)
            ]

    @invariant()
    def what_was_told_last_is_how_it_is(self) -> None:
        for account in ACCOUNTS:
            report = self.venue.engine.report(account)
            assert report is not None
            assert sorted(report.holdings or (), key=str) == sorted(self.memories[account].holdings, key=str)

    @invariant()
    def the_book_does_not_cross(self) -> None:
        for pair in ("BTC-USDT", "ETH-USDT"):
            orders = [o for a in ACCOUNTS for o in self.venue.engine.open_orders(a) if o.trading_pair == pair]
            bids = [o.limit for o in orders if o.side is Side.BUY]
            asks = [o.limit for o in orders if o.side is Side.SELL]
            assert not (bids and asks) or max(bids) < min(asks)


class SpotLife(VenueLife):
    """On spot, nothing is lent."""

    @invariant()
    def available_is_what_no_order_holds(self) -> None:
        for account in ACCOUNTS:
            locked: dict[str, Decimal] = defaultdict(Decimal)
            for order in self.venue.engine.open_orders(account):
                if order.side is Side.BUY:
                    locked["USDT"] += order.remaining * order.limit * Decimal("1.002")
                else:
                    locked[order.base] += order.remaining
            report = self.venue.engine.report(account)
            assert report is not None
            for holding in report.holdings or ():
                assert holding.available == holding.units - locked[holding.token]
                assert holding.available >= 0

    @invariant()
    def money_is_conserved_but_for_fees(self) -> None:
        """Every account has what it began with, plus what its trades brought, less their fees."""
        for account in ACCOUNTS:
            expected = {"USDT": Decimal(2000), "BTC": Decimal(10), "ETH": Decimal(10)}
            for placed, fact in self.trades(account):
                base = placed.trading_pair.partition("-")[0]
                sign = 1 if placed.side is Side.BUY else -1
                expected[base] += sign * fact.amount
                expected["USDT"] -= sign * fact.amount * fact.price + fact.fee
            report = self.venue.engine.report(account)
            assert report is not None
            assert {h.token: h.units for h in report.holdings or ()} == {t: u for t, u in expected.items() if u}

    def trades(self, account: str) -> list[tuple[OrderPlaced, OrderFilled]]:
        return [(self.orders[i], fact) for i, fact in self.history if self.orders[i].account == account]

    def hear_fill(self, account: str, order_id: str, fact: OrderFilled) -> None:
        super().hear_fill(account, order_id, fact)
        self.history.append((order_id, fact))

    @initialize()
    def begin(self) -> None:
        self.history: list[tuple[str, OrderFilled]] = []
        super().begin()


class PerpetualLife(VenueLife):
    """On perpetuals, wallets change by profit, fees and funding only."""

    perpetual = True

    @rule(account=st.sampled_from(ACCOUNTS), pair=PAIRS, leverage=st.sampled_from([1, 2, 3, 20, 125]))
    def set_leverage(self, account, pair, leverage) -> None:
        try:
            self.hear(self.venue.engine.set_leverage(account, pair, leverage, self.venue.now))
        except Invalid:
            return
        self.memories[account].leverage[pair] = leverage

    @rule(account=st.sampled_from(ACCOUNTS), mode=st.sampled_from(PositionMode))
    def set_mode(self, account, mode) -> None:
        try:
            self.venue.engine.set_mode(account, mode)
        except Invalid:
            return
        self.memories[account].mode = mode

    @invariant()
    def nothing_is_available_that_is_not_there(self) -> None:
        for account in ACCOUNTS:
            report = self.venue.engine.report(account)
            assert report is not None
            for holding in report.holdings or ():
                assert 0 <= holding.available <= max(holding.units, Decimal(0))
                assert holding.units > 0 or report.positions

    @invariant()
    def a_closing_order_always_has_something_to_reduce(self) -> None:
        for account in ACCOUNTS:
            report = self.venue.engine.report(account)
            assert report is not None
            for order in self.venue.engine.open_orders(account):
                if self.orders[order.client_order_id].position_action == "CLOSE":
                    sign = 1 if order.side is Side.SELL else -1
                    assert any(p.amount * sign > 0 for p in report.positions if p.trading_pair == order.trading_pair)


TestSpotLife = SpotLife.TestCase
TestSpotLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestPerpetualLife = PerpetualLife.TestCase
TestPerpetualLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
