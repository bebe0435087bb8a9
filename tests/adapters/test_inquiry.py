"""What a venue answers about an account is taken in whole, each row once."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.exchanges import names
from adapters.exchanges.clients import NotKnown, Refused
from adapters.exchanges.inquiry import DENIALS
from adapters.exchanges.markets import Market, Markets
from adapters.exchanges.tracking import Told
from adapters.exchanges.venue import Venue
from adapters.exchanges.venue_account import VenueAccount
from commands.ports import AccountMemory, OpenOrder
from domain.connectors import TradingRule
from domain.errors import Unavailable
from domain.orders import OrderAccepted, OrderExpired, OrderFilled, OrderPlaced
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
AT = int(NOW.timestamp() * 1000)
OURS = f"n{'1' * 32}"


class Client:
    """Answers what a test gives, by the method that is called; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def has(self, capability: str) -> bool:
        return capability in {"fetchOrder", "fetchMyTrades", "fetchFundingHistory"}

    async def call(self, method: str, *_: object, **__: object) -> Any:
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def an_account(
    client: Client, *reports: list[AccountReport], connector: str = "okx_perpetual", **known: Any
) -> VenueAccount:
    told = reports[0] if reports else []
    venue = Venue(names.connector(connector), sink=told.append, clock=lambda: NOW)  # type: ignore[arg-type]
    venue.markets = Markets([_market("BTC"), _market("ETH")], is_perpetual=True)
    memory = AccountMemory(account="main", connector=connector, balances=None, **known)
    return VenueAccount(memory, client, venue)  # type: ignore[arg-type]


def _market(base: str) -> Market:
    rule = TradingRule(
        trading_pair=f"{base}-USDT",
        min_order_size=Decimal(1),
        min_price_increment=Decimal(1),
        min_base_amount_increment=Decimal(1),
        min_notional_size=Decimal(0),
        buy_order_collateral_token="USDT",
        sell_order_collateral_token="USDT",
    )
    return Market(symbol=f"{base}/USDT:USDT", contract_size=Decimal(1), rule=rule)


def an_order(amount: str = "3") -> OrderPlaced:
    return OrderPlaced(
        client_order_id=OURS,
        account="main",
        connector="okx_perpetual",
        trading_pair="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal(amount),
        price=Decimal(100),
        position_action=PositionAction.OPEN,
        server="s",
        placed_at=NOW,
    )


def a_row(pair: str = "BTC", at: int = AT, **fields: object) -> Mapping[str, object]:
    return {"symbol": f"{pair}/USDT:USDT", "timestamp": at, "side": "buy", "type": "limit", "amount": "1", **fields}


@pytest.mark.parametrize("venue_says", [None, f"0x{'0' * 64}"], ids=["no id", "an id of zeros"])
async def test_payments_without_an_id_of_their_own_are_told_each(venue_says):
    rows = [a_row("BTC", id=venue_says), a_row("ETH", id=venue_says), a_row("BTC", AT + 3_600_000, id=venue_says)]
    account = an_account(Client(fetch_funding_history=rows))
    paid = await account.inquiry.funding([], NOW - timedelta(days=1), {})
    assert len({(payment.trading_pair, payment.funding_id) for payment in paid}) == 3


async def test_trades_of_two_pairs_may_bear_the_same_id():
    fee = {"cost": "0", "currency": "USDT"}
    trades = [a_row(pair, id="1", order=pair, price="100", fee=fee) for pair in ("BTC", "ETH")]
    account = an_account(Client(fetch_my_trades=trades))
    for pair in ("BTC", "ETH"):
        account.tracker.take_order(a_row(pair, id=pair, status="open", filled="0"))
    told = Told()
    await account.inquiry.trades(told, [], NOW - timedelta(hours=1))
    assert [type(fact) for _, fact in told.orders] == [OrderFilled, OrderFilled]


async def test_an_order_is_over_when_the_venue_does_not_know_it_several_times_in_a_row():
    known = OpenOrder(order=an_order(), exchange_order_id="7", filled=Decimal(0))
    client = Client(fetch_open_orders=[], fetch_order=NotKnown("Order does not exist"))
    account = an_account(client, open_orders=[known])

    async def looked() -> list[object]:
        told = Told()
        await account.inquiry.orders(told, [])
        return [type(fact) for _, fact in told.orders]

    for _ in range(DENIALS - 1):
        assert not await looked()
    client.answers["fetch_open_orders"] = [a_row(id="7", status="open", filled="0")]
    assert not await looked()
    client.answers["fetch_open_orders"] = []
    for _ in range(DENIALS - 1):
        assert not await looked()
    assert await looked() == [OrderExpired]


async def test_what_stands_before_a_message_that_cannot_be_read_is_told():
    reports: list[AccountReport] = []
    account = an_account(Client(), reports)
    account.tracker.expect(an_order())
    ours = a_row(id="7", clientOrderId="1" * 32, status="open", filled="0")
    with pytest.raises(ValueError, match="NOWHERE"):
        account.take_orders([ours, a_row(id="8", status="open", side="nowhere")])
    assert [type(fact) for report in reports for _, fact in report.orders] == [OrderAccepted]


async def test_a_late_answer_does_not_close_a_position_that_a_later_question_found():
    reports: list[AccountReport] = []
    client = Client(fetch_balance={"info": {"assets": [], "data": []}}, fetch_positions=[])
    account = an_account(client, reports)
    asked, may_answer = asyncio.Event(), asyncio.Event()
    call = client.call

    async def slowly(method: str, *arguments: object, **options: object) -> Any:
        answer = await call(method, *arguments, **options)
        if method == "fetch_positions" and not asked.is_set():
            asked.set()
            await may_answer.wait()
        return answer

    client.call = slowly  # type: ignore[method-assign]
    older = asyncio.create_task(account.refresh())
    await asked.wait()
    client.answers["fetch_positions"] = [a_row(contracts="2", side="long", entryPrice="100")]
    newer = asyncio.create_task(account.refresh())
    await asyncio.sleep(0)
    may_answer.set()
    await asyncio.gather(older, newer)
    assert [position.amount for report in reports for position in report.positions] == [Decimal(2)]


async def test_a_number_that_stands_for_an_order_is_known_again_after_a_restart():
    connector = names.connector("backpack_perpetual")
    number = Venue(connector, sink=list[AccountReport]().append, clock=lambda: NOW).dialect.venue_id(OURS)  # type: ignore[arg-type]
    restarted = Venue(connector, sink=list[AccountReport]().append, clock=lambda: NOW)  # type: ignore[arg-type]
    assert restarted.our_id({"clientOrderId": number}) is None
    restarted.recall([an_order()])
    assert restarted.our_id({"clientOrderId": number}) == OURS


async def test_a_market_order_that_is_told_in_quote_goes_by_the_price_now():
    client = Client(fetch_ticker={"ask": "200"}, create_order={})
    account = an_account(client, connector="bitget")
    account.venue.prices = {"BTC-USDT": Decimal(100)}
    sent: list[object] = []
    call = client.call

    async def kept(method: str, *arguments: object, **options: object) -> Any:
        sent.extend(arguments if method == "create_order" else ())
        return await call(method, *arguments, **options)

    client.call = kept  # type: ignore[method-assign]
    await account.place(msgspec.structs.replace(an_order(), order_type=OrderType.MARKET, price=None))
    assert sent[3:5] == ["3", "200"]


async def test_an_order_that_its_stream_has_told_of_is_not_rejected_any_more():
    reports: list[AccountReport] = []
    client = Client()
    account = an_account(client, reports)

    async def refuse(*_: object, **__: object) -> Any:
        account.take_orders([a_row(id="7", clientOrderId="1" * 32, status="open", filled="0")])
        raise Refused("Too many requests in the queue")

    client.call = refuse  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="queue"):
        await account.place(an_order())
    assert [type(fact) for report in reports for _, fact in report.orders] == [OrderAccepted]


@pytest.mark.parametrize("is_newest_first", [True, False], ids=["the newest", "the oldest"])
async def test_all_trades_are_found_whichever_end_of_a_range_a_page_holds(is_newest_first):
    fee = {"cost": "0", "currency": "USDT"}
    trades = [a_row(at=AT + n, id=str(n), order="7", price="100", fee=fee) for n in range(501)]
    client = Client()
    account = an_account(client)
    account.tracker.take_order(a_row(id="7", status="open", filled="0", amount="1000"))

    async def page(_: str, __: object, since: int, ___: object, params: Mapping[str, Any]) -> Any:
        until = params.get("until", AT + 1000)
        rows = [row for row in trades if since <= row["timestamp"] <= until]  # type: ignore[operator]
        return rows[-100:] if is_newest_first else rows[:100]

    client.call = page  # type: ignore[method-assign, assignment]
    told = Told()
    await account.inquiry.trades(told, [], NOW - timedelta(hours=1))
    assert [fact.trade_id for _, fact in told.orders if isinstance(fact, OrderFilled)] == [str(n) for n in range(501)]
