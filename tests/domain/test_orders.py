"""The life of an order: decisions given-when-then, and a state machine of everything that a venue may tell."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import catalog, orders
from domain.connectors import TradingRule
from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.orders import (
    NEW,
    CancelRejected,
    CancelRequested,
    Order,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFailed,
    OrderFilled,
    OrderObserved,
    OrderOutcomeUnknown,
    OrderPlaced,
    OrderRejected,
    Status,
    evolve,
)
from domain.values import OrderType, PositionAction, Side
from tests.domain.given import Given

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RULE = TradingRule(
    trading_pair="BTC-USDT",
    min_order_size=Decimal("0.001"),
    max_order_size=Decimal(100),
    min_price_increment=Decimal("0.01"),
    min_base_amount_increment=Decimal("0.00001"),
    min_notional_size=Decimal(5),
    buy_order_collateral_token="USDT",
    sell_order_collateral_token="USDT",
)
WANTED: dict[str, Any] = {
    "client_order_id": "n1",
    "account": "main",
    "connector": "paper",
    "trading_pair": "BTC-USDT",
    "side": Side.BUY,
    "order_type": OrderType.LIMIT,
    "amount": Decimal("0.01"),
    "price": Decimal(50_000),
    "position_action": PositionAction.OPEN,
    "rule": RULE,
    "market_price": Decimal(58_000),
    "server": "s1",
    "at": T0,
}
PLACED = orders.place(**WANTED)[0]
ACCEPTED = OrderAccepted(exchange_order_id="7", accepted_at=T0)
REJECTED = OrderRejected(reason="no money", rejected_at=T0)
UNKNOWN = OrderOutcomeUnknown(reason="time-out", noticed_at=T0)
FAILED = OrderFailed(reason="asked 3 times", failed_at=T0)
CANCEL = CancelRequested(server="s1", requested_at=T0)
NOT_CANCELED = CancelRejected(reason="too late", rejected_at=T0)
CANCELED = OrderCanceled(canceled_at=T0)
EXPIRED = OrderExpired(reason="no depth", expired_at=T0)
OBSERVED = OrderObserved(
    account="main",
    connector="paper",
    trading_pair="BTC-USDT",
    exchange_order_id="9",
    side=Side.SELL,
    order_type=OrderType.MARKET,
    amount=Decimal(1),
    price=None,
    position_action=PositionAction.CLOSE,
    observed_at=T0,
)


def trade(trade_id: str, amount: str) -> OrderFilled:
    return OrderFilled(
        trade_id=trade_id,
        amount=Decimal(amount),
        price=Decimal(50_000),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        is_maker=True,
        filled_at=T0,
        exchange_order_id="7",
    )


def given(*events: Event) -> Given[Order]:
    return Given(NEW, evolve, events)


def place(**changes: Any) -> Any:
    return lambda _: orders.place(**{**WANTED, **changes})


def cancel(order: Order, account: str = "main", connector: str = "paper") -> list[Event]:
    return orders.cancel(order, account=account, connector=connector, client_order_id="n1", server="s1", at=T0)


def test_amount_and_price_are_rounded_down_to_the_venues_steps() -> None:
    (placed,) = orders.place(**{**WANTED, "amount": Decimal("0.0123456"), "price": Decimal("50000.019")})
    assert isinstance(placed, OrderPlaced)
    assert (placed.amount, placed.price) == (Decimal("0.01234"), Decimal("50000.01"))


def test_a_market_order_carries_no_price() -> None:
    (placed,) = orders.place(**{**WANTED, "order_type": OrderType.MARKET})
    assert isinstance(placed, OrderPlaced)
    assert placed.price is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": None}, "Price is required for LIMIT and LIMIT_MAKER orders"),
        ({"price": Decimal("0.009")}, "Order price 0.009 is below minimum price increment 0.01 for BTC-USDT"),
        ({"amount": Decimal("0.0009")}, "Order amount 0.0009 is below minimum order size 0.001 for BTC-USDT"),
        ({"amount": Decimal(101)}, "Order amount 101 is above maximum order size 100 for BTC-USDT"),
        ({"price": Decimal(100)}, "Order notional value 1 is below minimum notional size 5 for BTC-USDT. Increase"),
        (
            {"order_type": OrderType.MARKET, "market_price": Decimal(1)},
            "Order notional value 0.01 is below minimum notional size 5",
        ),
    ],
)
def test_an_order_outside_the_trading_rule_is_refused(changes: dict[str, Any], message: str) -> None:
    given().when(place(**changes)).then_refused(Invalid, message)


def test_an_order_type_that_the_pair_does_not_support_is_refused() -> None:
    import msgspec

    no_market = msgspec.structs.replace(RULE, supports_market_orders=False)
    no_limit = msgspec.structs.replace(RULE, supports_limit_orders=False)
    given().when(place(rule=no_market, order_type=OrderType.MARKET)).then_refused(Invalid, "MARKET")
    given().when(place(rule=no_limit)).then_refused(Invalid, "LIMIT")


def test_an_amount_that_rounds_to_nothing_is_refused_even_without_a_minimum() -> None:
    import msgspec

    rule = msgspec.structs.replace(RULE, min_order_size=Decimal(0))
    given().when(place(rule=rule, amount=Decimal("0.000001"))).then_refused(Invalid, "below minimum order size")


def test_closing_a_position_may_be_smaller_than_the_minimum_notional() -> None:
    small = {"price": Decimal(100), "position_action": PositionAction.CLOSE}
    (placed,) = orders.place(**{**WANTED, **small})
    assert isinstance(placed, OrderPlaced)


def test_a_market_order_without_a_known_price_is_left_to_the_venue() -> None:
    (placed,) = orders.place(**{**WANTED, "order_type": OrderType.MARKET, "market_price": None})
    assert isinstance(placed, OrderPlaced)


def test_a_trade_seen_twice_changes_nothing() -> None:
    given(PLACED, ACCEPTED, trade("t1", "0.004")).when(lambda o: orders.record(o, trade("t1", "0.004"))).then()


def test_a_new_trade_counts() -> None:
    given(PLACED, ACCEPTED, trade("t1", "0.004")).when(lambda o: orders.record(o, trade("t2", "0.001"))).then(
        trade("t2", "0.001")
    )


@pytest.mark.parametrize(
    ("history", "fact"),
    [
        ((PLACED, ACCEPTED), ACCEPTED),
        ((PLACED, REJECTED), REJECTED),
        ((PLACED, ACCEPTED, CANCELED), CANCELED),
        ((PLACED, ACCEPTED, EXPIRED), EXPIRED),
        ((PLACED, ACCEPTED), NOT_CANCELED),
    ],
)
def test_a_fact_that_is_known_changes_nothing(history: tuple[Event, ...], fact: orders.OrderFact) -> None:
    given(*history).when(lambda o: orders.record(o, fact)).then()


@pytest.mark.parametrize("end", [REJECTED, FAILED])
def test_the_venues_acceptance_counts_after_any_other_outcome(end: Event) -> None:
    history = given(PLACED, UNKNOWN, end)
    history.when(lambda o: orders.record(o, ACCEPTED)).then(ACCEPTED)
    assert given(PLACED, UNKNOWN, end, ACCEPTED).state.status is Status.ACCEPTED


def test_the_venues_rejection_counts_after_we_had_given_up() -> None:
    assert given(PLACED, FAILED, REJECTED).state.status is Status.REJECTED


def test_a_fill_after_a_cancel_is_taken_as_the_fact_it_is() -> None:
    order = given(PLACED, ACCEPTED, CANCEL, CANCELED, trade("t1", "0.01")).state
    assert (order.status, order.filled) == (Status.FILLED, Decimal("0.01"))


def test_a_part_filled_after_a_cancel_stays_canceled() -> None:
    assert given(PLACED, ACCEPTED, CANCELED, trade("t1", "0.004")).state.status is Status.CANCELED


def test_a_fill_says_that_the_venue_has_the_order() -> None:
    order = given(PLACED, UNKNOWN, trade("t1", "0.004")).state
    assert (order.status, order.exchange_order_id) == (Status.ACCEPTED, "7")


@pytest.mark.parametrize("late", [REJECTED, UNKNOWN, FAILED, CANCELED, EXPIRED])
def test_a_filled_order_stays_filled(late: Event) -> None:
    assert given(PLACED, ACCEPTED, trade("t1", "0.01"), late).state.status is Status.FILLED


def test_losing_an_order_that_was_answered_meanwhile_changes_nothing() -> None:
    given(PLACED, ACCEPTED).when(lambda o: orders.lose(o, reason="x", at=T0)).then()
    given(PLACED).when(lambda o: orders.lose(o, reason="time-out", at=T0)).then(UNKNOWN)


def test_failing_an_order_that_was_answered_meanwhile_changes_nothing() -> None:
    given(PLACED, UNKNOWN).when(lambda o: orders.fail(o, reason="asked 3 times", at=T0)).then(FAILED)
    given(PLACED, UNKNOWN, ACCEPTED).when(lambda o: orders.fail(o, reason="x", at=T0)).then()


def test_cancel_is_asked_for_once() -> None:
    given(PLACED, ACCEPTED).when(cancel).then(CANCEL)
    given(PLACED, ACCEPTED, CANCEL).when(cancel).then()
    given(PLACED, ACCEPTED, CANCEL, NOT_CANCELED).when(cancel).then(CANCEL)


@pytest.mark.parametrize("history", [(), (PLACED, REJECTED), (PLACED, ACCEPTED, CANCELED), (PLACED, FAILED)])
def test_only_an_open_order_can_be_canceled(history: tuple[Event, ...]) -> None:
    given(*history).when(cancel).then_refused(NotFound, "Order 'n1' not found in active orders")


def test_an_order_of_another_account_or_connector_is_not_found() -> None:
    given(PLACED, ACCEPTED).when(lambda o: cancel(o, account="other")).then_refused(NotFound)
    given(PLACED, ACCEPTED).when(lambda o: cancel(o, connector="paper_perpetual")).then_refused(NotFound)


def test_an_order_of_somebody_else_is_noted_once() -> None:
    given().when(lambda o: orders.observe(o, OBSERVED)).then(OBSERVED)
    given(OBSERVED).when(lambda o: orders.observe(o, OBSERVED)).then()
    assert given(OBSERVED).state.exchange_order_id == "9"


def test_a_stream_is_named_after_its_order() -> None:
    assert orders.stream_of("n1") == "order-n1"
    assert orders.stream_of(orders.observed_id("main", "paper", "9")) == "order-main-paper-9"


def test_the_average_price_is_weighted_by_amount() -> None:
    assert orders.average_price(Decimal(3), Decimal(70)) == Decimal(70) / Decimal(3)
    assert orders.average_price(Decimal(0), Decimal(0)) is None


def test_events_of_other_areas_change_nothing() -> None:
    assert given(PLACED, Event()).state == given(PLACED).state


class OrderLife(RuleBasedStateMachine):
    """Whatever a venue tells, in whatever order, repeated or not."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Event] = []
        self.order = NEW
        self.told: dict[str, OrderFilled] = {}
        self.ids = itertools.count(1)
        self.now = T0

    def take(self, events: list[Event]) -> None:
        for event in events:
            self.history.append(event)
            self.order = evolve(self.order, event)

    def tick(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    @initialize()
    def placed(self) -> None:
        self.take([PLACED])

    @rule(amount=st.decimals("0.00001", "0.01", places=5))
    def new_trade(self, amount: Decimal) -> None:
        fill = trade(f"t{next(self.ids)}", str(amount))
        self.told[fill.trade_id] = fill
        self.take(orders.record(self.order, fill))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def trade_again(self, data: st.DataObject) -> None:
        fill = self.told[data.draw(st.sampled_from(sorted(self.told)))]
        before = self.order
        self.take(orders.record(self.order, fill))
        assert self.order == before

    @rule(fact=st.sampled_from([ACCEPTED, REJECTED, CANCELED, EXPIRED, NOT_CANCELED]))
    def fact(self, fact: orders.OrderFact) -> None:
        self.take(orders.record(self.order, fact))
        assert orders.record(self.order, fact) == []

    @rule()
    def lose(self) -> None:
        self.take(orders.lose(self.order, reason="time-out", at=self.tick()))

    @rule()
    def fail(self) -> None:
        self.take(orders.fail(self.order, reason="gone", at=self.tick()))

    @rule()
    def cancel(self) -> None:
        if self.order.is_open:
            self.take(cancel(self.order))
            assert self.order.cancel_requested
        else:
            with pytest.raises(NotFound):
                cancel(self.order)

    @invariant()
    def filled_is_the_sum_of_trades(self) -> None:
        assert self.order.filled == sum((f.amount for f in self.told.values()), Decimal(0))
        assert self.order.trade_ids == set(self.told)

    @invariant()
    def full_means_filled(self) -> None:
        if self.history:
            assert (self.order.status is Status.FILLED) == (self.order.filled >= self.order.amount)

    @invariant()
    def a_closed_order_waits_for_no_cancel(self) -> None:
        if self.order.status in (Status.FILLED, Status.FAILED, Status.REJECTED):
            assert not self.order.cancel_requested or self.order.status is Status.FILLED

    @invariant()
    def history_survives_the_disk(self) -> None:
        again = [catalog.decode(catalog.type_of(e), e.schema_version, catalog.encode(e)) for e in self.history]
        assert again == self.history


OrderLife.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_order_life = OrderLife.TestCase
