"""What a venue says, in any order and any number of times, becomes each fact once, and the end last."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges import tracking as tracking_module
from adapters.exchanges.readings import reading, untold
from adapters.exchanges.standing import Raw
from adapters.exchanges.tracking import Told, Tracker
from commands.ports import OpenOrder
from domain.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    OrderRejected,
)
from domain.values import OrderType, PositionAction, Side

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
OURS = "n" + "1" * 32


class Symbols:
    """A spot market and one with contracts of 0.01."""

    def pair(self, symbol: str) -> str | None:
        return {"BTC/USDT": "BTC-USDT", "ETH/USDT:USDT": "ETH-USDT"}.get(symbol)

    def contract_size(self, pair: str) -> Decimal:
        return Decimal("0.01") if pair == "ETH-USDT" else Decimal(1)


class Ways:
    """A venue that takes our ids without the first letter, and says who canceled."""

    def our_id(self, raw: Raw) -> str | None:
        told = str(raw.get("clientOrderId"))
        return f"n{told}" if len(told) == 32 else None

    def is_canceled_by_venue(self, raw: Raw) -> bool:
        return bool(raw.get("by_venue"))


def tracker() -> Tracker:
    return Tracker(account="main", connector="venue", symbols=Symbols(), ways=Ways(), clock=lambda: NOW)


def placed(amount: str = "3", pair: str = "BTC-USDT") -> OrderPlaced:
    return OrderPlaced(
        client_order_id=OURS,
        account="main",
        connector="venue",
        trading_pair=pair,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal(amount),
        price=Decimal(100),
        position_action=PositionAction.OPEN,
        server="s",
        placed_at=NOW,
    )


def order(status: str = "open", filled: str = "0", **other: object) -> dict[str, Any]:
    return {
        "id": "77",
        "clientOrderId": OURS[1:],
        "symbol": "BTC/USDT",
        "status": status,
        "filled": filled,
        "amount": "3",
        "price": "100",
        "side": "buy",
        "type": "limit",
        "timestamp": 1_760_000_000_123,
        **other,
    }


def trade(trade_id: str, amount: str = "1", **other: object) -> dict[str, Any]:
    return {
        "id": trade_id,
        "order": "77",
        "symbol": "BTC/USDT",
        "amount": amount,
        "price": "100",
        "fee": {"cost": "0.1", "currency": "USDT"},
        "takerOrMaker": "maker",
        "timestamp": 1_760_000_000_456,
        **other,
    }


def facts(told: Told) -> list[object]:
    return [type(fact) for _, fact in told.orders]


def test_an_order_of_ours_is_accepted_once():
    tracking = tracker()
    tracking.expect(placed())
    told = tracking.take_order(order())
    assert told.orders == [
        (OURS, OrderAccepted(exchange_order_id="77", accepted_at=datetime.fromtimestamp(1_760_000_000.123, UTC)))
    ]
    assert not tracking.take_order(order())


def test_the_end_waits_for_the_trades():
    tracking = tracker()
    tracking.expect(placed())
    assert facts(tracking.take_order(order("canceled", "2"))) == [OrderAccepted]
    assert [tracked.order_id for tracked in tracking.lacking] == [OURS]
    assert facts(tracking.take_trade(trade("a"))) == [OrderFilled]
    assert facts(tracking.take_trade(trade("b"))) == [OrderFilled, OrderCanceled]
    assert tracking.lacking == tracking.live == []


def test_a_trade_after_the_end_is_told_and_lacking_until_then():
    tracking = tracker()
    tracking.expect(placed())
    tracking.take_order(order("canceled"))
    assert tracking.live == []
    assert facts(tracking.take_order(order("canceled", "1"))) == []
    assert len(tracking.lacking) == 1
    assert facts(tracking.take_trade(trade("a"))) == [OrderFilled]
    assert tracking.live == []


def test_a_trade_without_its_order_waits_for_it():
    tracking = tracker()
    tracking.expect(placed())
    assert not tracking.take_trade(trade("a"), settled=True)
    assert list(tracking.orphans) == ["77"]
    assert facts(tracking.take_order(order("open", "1"))) == [OrderAccepted, OrderFilled]
    assert not tracking.orphans


def test_a_trade_without_its_fee_counts_only_from_the_venues_records():
    tracking = tracker()
    tracking.expect(placed())
    tracking.take_order(order())
    assert not tracking.take_trade(trade("a", fee=None))
    ((_, fact),) = tracking.take_trade(trade("a", fee=None), settled=True).orders
    assert isinstance(fact, OrderFilled)
    assert (fact.fee, fact.fee_currency, fact.is_maker) == (Decimal(0), "USDT", True)


def test_an_answer_without_our_id_is_ours_all_the_same():
    tracking = tracker()
    tracking.expect(placed())
    told = tracking.take_order({"id": "77", "symbol": "BTC/USDT", "status": None}, order_id=OURS)
    assert facts(told) == [OrderAccepted]
    assert facts(tracking.take_trade(trade("a", "3"))) == [OrderFilled]
    assert tracking.live == []


def test_a_rejection_leaves_nothing_to_wait_for():
    tracking = tracker()
    tracking.expect(placed())
    assert facts(tracking.take_order(order("rejected"))) == [OrderRejected]
    assert tracking.live == []


@pytest.mark.parametrize(
    ("status", "end"), [("canceled", OrderCanceled), ("expired", OrderExpired), ("closed", OrderExpired)]
)
def test_what_ends_unfilled_says_how(status, end):
    tracking = tracker()
    tracking.expect(placed())
    assert facts(tracking.take_order(order(status))) == [OrderAccepted, end]


def test_an_order_that_the_venue_canceled_by_itself_expired():
    tracking = tracker()
    tracking.expect(placed())
    assert facts(tracking.take_order(order("canceled", by_venue=True)))[-1] is OrderExpired


@pytest.mark.parametrize(("source", "by_venue"), [("1", False), ("", False), ("31", True)])
def test_okx_says_who_canceled(source, by_venue):
    assert reading("okx").is_canceled_by_venue({"info": {"cancelSource": source}}) is by_venue
    assert not reading("binance").is_canceled_by_venue({"info": {"cancelSource": source}})


@pytest.mark.parametrize(("streamed", "fee"), [("-24.0012", "24.0012"), ("3", "-3")])
def test_fees_on_okxs_stream_are_turned_round(streamed, fee):
    raw = trade("a", fee={"cost": streamed, "currency": "USDT"}, fees=None)
    assert reading("okx").trade(raw)["fee"] == {"cost": fee, "currency": "USDT"}
    assert reading("binance").trade(raw)["fee"] == {"cost": streamed, "currency": "USDT"}
    assert reading("okx").trade(trade("a", fee=None))["fee"] is None


def test_where_no_trades_are_listed_an_order_tells_what_it_traded():
    tracking = tracker()
    tracking.expect(placed())
    tracking.take_order(order("open", "1"))
    first = tracking.take_trade(untold(order("open", "1", average="99"), Decimal(0)), settled=True)
    tracking.take_order(order("closed", "3", average="98"))
    second = tracking.take_trade(untold(order("closed", "3", average="98"), Decimal(1)), settled=True)
    fills = [fact for told in (first, second) for _, fact in told.orders if isinstance(fact, OrderFilled)]
    assert [(fact.trade_id, fact.amount, fact.price) for fact in fills] == [
        ("77-1", Decimal(1), Decimal(99)),
        ("77-3", Decimal(2), Decimal(98)),
    ]
    assert tracking.live == []


def test_contracts_are_told_in_base():
    tracking = tracker()
    tracking.expect(placed("0.03", "ETH-USDT"))
    told = tracking.take_order(order("closed", "3", symbol="ETH/USDT:USDT"))
    told.add(tracking.take_trade(trade("a", "3", symbol="ETH/USDT:USDT")))
    assert [fact.amount for _, fact in told.orders if isinstance(fact, OrderFilled)] == [Decimal("0.03")]
    assert tracking.live == []


def test_an_order_of_somebody_else_is_observed_with_what_it_traded():
    tracking = tracker()
    told = tracking.take_order(order("open", "1", clientOrderId="web-1"))
    told.add(tracking.take_trade(trade("a")))
    (observed,) = told.observed
    assert (observed.exchange_order_id, observed.client_order_id, observed.amount) == ("77", None, Decimal(3))
    assert [order_id for order_id, _ in told.orders] == ["main-venue-77"]
    assert facts(told) == [OrderFilled]


def test_an_order_with_an_id_like_ours_is_observed_under_it():
    told = tracker().take_order(order())
    (observed,) = told.observed
    assert observed.client_order_id == OURS
    assert [order_id for order_id, _ in told.orders] == [OURS]


def test_an_order_of_somebody_else_that_came_to_nothing_is_not_told():
    assert not tracker().take_order(order("canceled", clientOrderId="web-1"))


def test_a_market_that_is_not_traded_here_is_not_told():
    assert not tracker().take_order(order(symbol="BTC/USDT:USDT-271231"))
    assert not tracker().take_trade(trade("a", symbol="BTC/USDT:USDT-271231"))


def test_an_order_from_the_log_goes_on_where_it_was():
    tracking = tracker()
    tracking.remember(
        OpenOrder(order=placed(), exchange_order_id="77", filled=Decimal(2), trade_ids=frozenset({"a", "b"}))
    )
    assert not tracking.take_trade(trade("a"))
    assert not tracking.take_order(order("open", "2"))
    assert facts(tracking.take_trade(trade("c"))) == [OrderFilled]
    assert tracking.live == []


def test_an_ended_order_from_the_log_is_known_by_its_trades_and_may_still_trade():
    t = tracker()
    known = OpenOrder(order=placed(), exchange_order_id="77", filled=Decimal(1), trade_ids=frozenset({"a"}))
    t.remember(known, ended=True)
    assert t.live == []
    assert not t.take_trade(trade("a"), settled=True)
    assert not t.take_order(order("canceled", "1"))
    assert (t.live, dict(t.orphans)) == ([], {})
    assert facts(t.take_trade(trade("b"), settled=True)) == [OrderFilled]
    assert t.live == []


def test_a_second_order_with_the_same_client_id_is_not_the_first():
    tracking = tracker()
    tracking.expect(placed())
    tracking.take_order(order())
    told = tracking.take_order(order("open", id="78"))
    assert [seen.exchange_order_id for seen in told.observed] == ["78"]
    tracked = tracking.known(OURS)
    assert tracked is not None
    assert tracked.exchange_order_id == "77"


MESSAGES: Sequence[tuple[str, dict[str, Any]]] = (
    ("order", order("open")),
    ("order", order("open", "1")),
    ("order", order("open", "2")),
    ("trade", trade("a")),
    ("trade", trade("b")),
)
ENDS = {
    "filled": (("order", order("closed", "3")), ("trade", trade("c"))),
    "canceled": (("order", order("canceled", "2")),),
    "expired": (("order", order("expired", "2")),),
}


@pytest.mark.parametrize("end", sorted(ENDS))
@given(data=st.data())
def test_messages_in_any_order_and_number_tell_each_fact_once_and_the_end_last(end, data):
    messages = [*MESSAGES, *ENDS[end]]
    again = data.draw(st.lists(st.sampled_from(messages), max_size=8))
    shuffled = data.draw(st.permutations([*messages, *again]))
    tracking = tracker()
    tracking.expect(placed())
    told = Told()
    for kind, raw in shuffled:
        told.add(tracking.take_order(raw) if kind == "order" else tracking.take_trade(raw, settled=True))
    kinds = facts(told)
    trades = [fact.trade_id for _, fact in told.orders if isinstance(fact, OrderFilled)]
    assert kinds[0] is OrderAccepted
    assert kinds.count(OrderAccepted) == 1
    assert sorted(trades) == (["a", "b", "c"] if end == "filled" else ["a", "b"])
    ends = {"filled": OrderFilled, "canceled": OrderCanceled, "expired": OrderExpired}
    assert kinds[-1] is ends[end]
    assert len(kinds) == len(trades) + (1 if end == "filled" else 2)
    assert tracking.live == tracking.lacking == []


@pytest.mark.parametrize("broken", [{"price": "a lot"}, {"timestamp": "yesterday"}, {"amount": "1.2.3"}])
def test_what_cannot_be_read_changes_nothing_so_that_it_is_told_when_it_is_asked_for(broken):
    tracking = tracker()
    tracking.expect(placed())
    with pytest.raises((ArithmeticError, ValueError)):
        tracking.take_order(order("open", "2", trades=[trade("a"), trade("b", **broken)]))
    assert facts(tracking.take_order(order("open", "2", trades=[trade("a")]))) == [OrderAccepted, OrderFilled]
    with pytest.raises((ArithmeticError, ValueError)):
        tracking.take_trade(trade("b", **broken))
    assert facts(tracking.take_trade(trade("b"))) == [OrderFilled]


def test_a_trade_that_cannot_be_read_does_not_keep_its_order_away():
    tracking = tracker()
    with pytest.raises(ArithmeticError):
        tracking.take_trade(trade("a", price="a lot"), settled=True)
    tracking.take_trade(trade("b"), settled=True)
    told = tracking.take_order(order("open", "1", clientOrderId=None))
    assert [fact.trade_id for _, fact in told.orders if isinstance(fact, OrderFilled)] == ["b"]


def test_an_order_on_a_stream_is_ours_by_the_venues_own_field_where_ccxt_leaves_that_out():
    streamed = {"clientOrderId": "0", "info": {"order_userref": 0, "cl_ord_id": "ours"}}
    assert reading("kraken").client_order_id(streamed) == "ours"
    assert reading("kraken").client_order_id({"clientOrderId": "ours", "info": {}}) == "ours"
    assert reading("binance").client_order_id(streamed) == "0"
    assert not reading("binance").client_order_id({})


def test_orders_that_are_through_are_known_for_as_long_as_they_are_asked_about(monkeypatch):
    monkeypatch.setattr(tracking_module, "_DONE_KEPT", 2)
    tracking = tracker()

    def through(*numbers: int) -> None:
        for number in numbers:
            fill = trade(f"t{number}", order=str(number))
            tracking.take_order(order("closed", "1", id=str(number), amount="1", clientOrderId=None, trades=[fill]))

    through(1, 2, 3, 4)
    assert all(not tracking.take_trade(trade(f"t{number}", order=str(number)), settled=True) for number in (1, 4))
    assert not tracking.orphans
    tracking.all_told_at = NOW + timedelta(seconds=1)
    through(5)
    tracking.take_trade(trade("t1", order="1"), settled=True)
    tracking.take_trade(trade("t5", order="5"), settled=True)
    assert list(tracking.orphans) == ["1"]


def test_what_is_owned_on_perpetuals_is_without_profit_that_is_not_taken():
    raw = {"total": {"USDT": "110", "BTC": "1"}, "info": {"assets": [{"asset": "USDT", "walletBalance": "100"}]}}
    assert reading("binanceusdm").balances(raw)["total"] == {"USDT": "100", "BTC": "1"}
    raw = {"total": {"USDT": "110"}, "info": {"data": [{"details": [{"ccy": "USDT", "cashBal": "100"}]}]}}
    assert reading("okx").balances(raw)["total"] == {"USDT": "100"}
    assert reading("binance").balances(raw) is raw
