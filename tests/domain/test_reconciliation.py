"""What a comparison with a venue says was wrong, and what it is now."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce

from domain import orders, reconciliation
from domain.events import Event
from domain.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
)
from domain.portfolio import Balance, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.reconciliation import AccountReconciled, Compared, Difference, DifferenceFound, Kind
from domain.values import OrderType, PositionAction, PositionSide, Side

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WHERE = {"account": "a", "connector": "binance", "trading_pair": "BTC-USDT"}
PLACED = OrderPlaced(
    **WHERE,
    client_order_id="n1",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    amount=Decimal("2.50"),
    price=Decimal(100),
    position_action=PositionAction.OPEN,
    server="s",
    placed_at=T0,
)
ACCEPTED = OrderAccepted(exchange_order_id="7", accepted_at=T0)
OBSERVED = OrderObserved(
    **WHERE,
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
        price=Decimal("1E+2"),
        fee=Decimal("0.10"),
        fee_currency="USDT",
        is_maker=False,
        filled_at=T0,
    )


def found(history: list[Event], *facts: Event) -> list[Difference]:
    return reconciliation.of_order("n1", reduce(orders.evolve, history, orders.NEW), facts)


def position(amount: str, entry: str = "100") -> PositionObserved:
    return PositionObserved(
        **WHERE,
        side=PositionSide.LONG,
        amount=Decimal(amount),
        entry_price=Decimal(entry),
        mark_price=Decimal(101),
        unrealized_pnl=Decimal(0),
        leverage=5,
        observed_at=T0,
    )


def test_an_order_that_is_as_we_know_it_makes_no_difference() -> None:
    assert found([PLACED, ACCEPTED]) == []


def test_a_missed_trade_is_named_and_what_it_made_of_the_order() -> None:
    assert found([PLACED, ACCEPTED], trade("t1", "0.5"), trade("t2", "2")) == [
        Difference(
            kind=Kind.TRADE,
            subject=f"n1 {trade_id}",
            ours={},
            venue={"amount": amount, "price": "100", "fee": "0.1", "fee_currency": "USDT"},
        )
        for trade_id, amount in (("t1", "0.5"), ("t2", "2"))
    ] + [
        Difference(
            kind=Kind.ORDER,
            subject="n1",
            ours={"status": "accepted", "filled": "0", "amount": "2.5"},
            venue={"status": "filled", "filled": "2.5", "amount": "2.5"},
        )
    ]


def test_a_missed_acceptance_tells_the_venue_s_id() -> None:
    (difference,) = found([PLACED], ACCEPTED)
    assert difference.ours == {"status": "placed", "filled": "0", "amount": "2.5"}
    assert difference.venue == {"status": "accepted", "filled": "0", "amount": "2.5", "exchange_order_id": "7"}


def test_a_missed_refusal_of_a_cancel_tells_that_none_is_under_way() -> None:
    asked = CancelRequested(server="s", requested_at=T0)
    (difference,) = found([PLACED, ACCEPTED, asked], CancelRejected(reason="too late", rejected_at=T0))
    assert (difference.ours["cancel_requested"], difference.venue["cancel_requested"]) == ("true", "false")


def test_an_order_of_somebody_else_is_nothing_that_we_knew() -> None:
    (difference,) = found([], OBSERVED)
    assert difference.ours == {}
    assert difference.venue == {
        "status": "accepted",
        "filled": "0",
        "amount": "1",
        "exchange_order_id": "9",
        "trading_pair": "BTC-USDT",
        "side": "SELL",
    }


def test_tokens_of_which_there_is_more_or_less_are_told_before_and_after() -> None:
    before = [Balance(token=token, units=Decimal(10), available=Decimal(10)) for token in ("USDT", "BTC", "GONE")]
    holdings = [
        Holding(token="USDT", units=Decimal(10), available=Decimal("7.50")),
        Holding(token="BTC", units=Decimal("10.0"), available=Decimal(10)),
        Holding(token="NEW", units=Decimal(1), available=Decimal(1)),
        Holding(token="NONE", units=Decimal(0), available=Decimal(0)),
    ]
    assert reconciliation.of_balances(before, holdings) == [
        Difference(
            kind=Kind.BALANCE,
            subject="GONE",
            ours={"units": "10", "available": "10"},
            venue={"units": "0", "available": "0"},
        ),
        Difference(
            kind=Kind.BALANCE,
            subject="NEW",
            ours={"units": "0", "available": "0"},
            venue={"units": "1", "available": "1"},
        ),
    ]


def test_a_position_is_told_before_and_after() -> None:
    gone = reconciliation.of_position(position("2"), position("0", "0"))
    assert (gone.kind, gone.subject) == (Kind.POSITION, "BTC-USDT LONG")
    assert gone.ours == {"amount": "2", "entry_price": "100", "leverage": "5"}
    assert gone.venue == {"amount": "0", "entry_price": "0", "leverage": "5"}
    assert reconciliation.of_position(None, position("2")).ours == {"amount": "0"}


def test_a_missed_funding_payment_is_named() -> None:
    paid = FundingPaid(
        **WHERE,
        funding_id="f1",
        rate=Decimal("0.0001"),
        payment=Decimal("-1.50"),
        currency="USDT",
        position_size=Decimal(1),
        position_side=PositionSide.LONG,
        paid_at=T0,
    )
    assert reconciliation.of_funding(paid) == Difference(
        kind=Kind.FUNDING,
        subject="f1",
        ours={},
        venue={"trading_pair": "BTC-USDT", "payment": "-1.5", "currency": "USDT"},
    )


def test_a_comparison_ends_with_how_much_it_found() -> None:
    told = {"account": "a", "connector": "binance"}
    differences = found([PLACED], ACCEPTED)
    compared = Compared(orders=1)
    events = reconciliation.conclude(
        differences, **told, trigger="start", began_at=T0, finished_at=T0, compared=compared
    )
    (difference,) = differences
    assert events == [
        DifferenceFound(
            **told, kind=Kind.ORDER, subject="n1", ours=difference.ours, venue=difference.venue, found_at=T0
        ),
        AccountReconciled(**told, trigger="start", began_at=T0, finished_at=T0, compared=compared, differences=1),
    ]


def test_a_stream_is_named_after_account_and_connector() -> None:
    assert reconciliation.stream_of("a", "binance") == "reconciliation-a-binance"
