import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from adapters.exchanges import names
from adapters.exchanges.clients import NotKnown
from adapters.exchanges.dialects import dialect, text
from domain.errors import Invalid, Unavailable
from domain.orders import OrderPlaced
from domain.values import OrderType, PositionAction, PositionMode, Side
from tests.fakes.ccxt_wire import Wire

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = "n0123456789abcdef0123456789abcdef"
REAL = [known.name for known in names.CONNECTORS.values() if known.exchange_id and not known.sandbox]
# The chain is asked for the account's number first, and what is sent is one signed text.
ON_CHAIN = {"dydx_v4_perpetual"}
SENDING = [name for name in REAL if name not in ON_CHAIN]
PERPETUAL = [name for name in SENDING if names.connector(name).perpetual]
WITH_MODES = [name for name in PERPETUAL if "setPositionMode" not in names.connector(name).without]
MAKER = re.compile(
    r"LIMIT_MAKER|GTX|post_?only|limit-maker|oflags=post|\"Alo\"|\"ALO\"|\"poc\"|maker-or-cancel", re.IGNORECASE
)
REDUCES = re.compile(r"reduce_?only(\":|=)(true|\"yes\")|\"r\":true", re.IGNORECASE)
UNNAMED = re.compile(r"None|:null|=(&| |$)|\"\"")


def placed(connector: str, **changes) -> OrderPlaced:
    values = {
        "client_order_id": OURS,
        "account": "main",
        "connector": connector,
        "trading_pair": "BTC-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "amount": Decimal("0.00123"),
        "price": Decimal(12345),
        "position_action": PositionAction.OPEN,
        "server": "s",
        "placed_at": AT,
    }
    return OrderPlaced(**{**values, **changes})


async def sent(wire: Wire, order: OrderPlaced, mode: PositionMode = PositionMode.ONEWAY):
    arguments = wire.dialect.arguments(order, markets=wire.markets, mode=mode, price_hint=Decimal(10000))
    requests = await wire.sent(wire.client.call("create_order", *arguments))
    assert len(requests) == 1, requests
    return requests[0]


@pytest.fixture
async def wire(name):
    made = Wire(name)
    yield made
    await made.client.close()


@pytest.mark.parametrize("name", SENDING)
async def test_an_order_leaves_with_our_id_our_digits_and_no_broker(wire, name):
    request = await sent(wire, placed(name))
    assert wire.dialect.venue_id(OURS) in request
    assert ("123" if wire.connector.perpetual else "0.00123") in request
    assert "12345" in request
    assert "ccxt" not in f"{request}".lower()


@pytest.mark.parametrize("name", SENDING)
async def test_a_maker_order_says_that_it_must_not_take_or_is_not_taken(wire, name):
    order = placed(name, order_type=OrderType.LIMIT_MAKER)
    if OrderType.LIMIT_MAKER in wire.dialect.order_types:
        assert MAKER.search(f"{await sent(wire, order)}")
        assert not MAKER.search(f"{await sent(wire, placed(name))}".replace('"post_only":false', ""))
    else:
        with pytest.raises(Invalid, match=rf"{name} does not take LIMIT_MAKER orders. Those it takes: LIMIT"):
            await sent(wire, order)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", SENDING)
async def test_a_market_order_is_told_in_base_or_as_a_buy_for_quote(wire, name, side):
    order = placed(name, order_type=OrderType.MARKET, price=None, side=side)
    if OrderType.MARKET not in wire.dialect.order_types:
        with pytest.raises(Invalid, match="does not take MARKET orders"):
            await sent(wire, order)
        return
    request = await sent(wire, order)
    if wire.dialect.priced == "buys" and side is Side.BUY and not wire.connector.perpetual and name != "bitget":
        assert "12.3" in request  # 0.00123 at 10000
    else:
        assert ("123" if wire.connector.perpetual else "0.00123") in request


@pytest.mark.parametrize("name", PERPETUAL)
async def test_a_closing_order_only_reduces(wire, name):
    assert REDUCES.search(f"{await sent(wire, placed(name, position_action=PositionAction.CLOSE, side=Side.SELL))}")
    assert not REDUCES.search(f"{await sent(wire, placed(name))}")


@pytest.mark.parametrize("name", WITH_MODES)
async def test_in_hedge_mode_an_order_names_the_position_it_trades(wire, name):
    longs = [
        await sent(wire, placed(name, side=side, position_action=action), PositionMode.HEDGE)
        for side, action in ((Side.BUY, PositionAction.OPEN), (Side.SELL, PositionAction.CLOSE))
    ]
    if wire.dialect.hedged:
        for request in longs:
            assert re.search(r"positionSide(=|\":\")LONG|posSide\":\"long|positionIdx\":1", f"{request}"), request
    else:
        assert not REDUCES.search(f"{longs[0]}")
        assert REDUCES.search(f"{longs[1]}")


@pytest.mark.parametrize("name", REAL)
async def test_an_order_is_asked_for_by_our_id_or_looked_for_in_lists(wire, name):
    requests = await wire.sent(wire.dialect.find(wire.client, wire.markets, placed(name), None))
    for request in requests:
        assert not UNNAMED.search(f"{request}"), request
    if wire.dialect.finds != "list" or wire.dialect.list_param:
        assert wire.dialect.venue_id(OURS) in requests[0]


@pytest.mark.parametrize("name", SENDING)
async def test_an_order_is_canceled_by_our_id_or_looked_for_among_the_open_ones(wire, name):
    requests = await wire.sent(wire.dialect.cancel(wire.client, wire.markets, "BTC-USDT", OURS, None))
    for request in requests:
        assert not UNNAMED.search(f"{request}"), request
    if wire.dialect.cancels != "list":
        assert wire.dialect.venue_id(OURS) in requests[0]


@pytest.mark.parametrize("name", SENDING)
async def test_an_order_is_asked_for_and_canceled_by_the_venues_id_where_it_is_known(wire, name):
    for asking in (
        wire.dialect.find(wire.client, wire.markets, placed(name), "777"),
        wire.dialect.cancel(wire.client, wire.markets, "BTC-USDT", OURS, "777"),
    ):
        requests = await wire.sent(asking)
        assert any("777" in request for request in requests) or not wire.dialect.finds_by_id
        assert not any(UNNAMED.search(f"{request}") for request in requests), requests


class Lists:
    """A client that knows lists of orders. `answers` by method."""

    def __init__(self, connector: str, has: dict[str, object], **answers) -> None:
        self.connector = names.connector(connector)
        self.exchange = SimpleNamespace(has=has)
        self.answers = answers
        self.calls: list[tuple[object, ...]] = []

    async def call(self, method, *args):
        self.calls.append((method, *args))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def listed(number: int, ours: str | None = None):
    return {"id": str(number), "clientOrderId": ours and dialect("kraken").venue_id(ours), "status": "closed"}


BOTH = {"fetchClosedOrders": True, "fetchCanceledOrders": True, "fetchOrders": "emulated"}
MARKETS = Wire("kraken").markets


async def find(client, connector="bing_x"):
    return await dialect(connector).find(client, MARKETS, placed(connector), None)


async def cancel(client, exchange_order_id):
    return await dialect(client.connector.name).cancel(client, MARKETS, "BTC-USDT", OURS, exchange_order_id)


async def test_an_order_that_is_in_no_list_is_positively_unknown():
    client = Lists("bing_x", BOTH, fetch_open_orders=[], fetch_closed_orders=[], fetch_canceled_orders=[])
    assert await find(client) is None
    a_minute_before = int((AT - timedelta(minutes=1)).timestamp() * 1000)
    assert client.calls == [
        ("fetch_open_orders", "BTC/USDT", None, None, {}),
        ("fetch_closed_orders", "BTC/USDT", a_minute_before, None, {}),
        ("fetch_canceled_orders", "BTC/USDT", a_minute_before, None, {}),
    ]


async def test_an_order_is_found_in_the_first_list_that_has_it():
    other, ours = listed(1), {"id": "2", "clientOrderId": OURS, "status": "open"}
    assert await find(Lists("bing_x", BOTH, fetch_open_orders=[other, ours])) == ours


async def test_a_list_that_may_go_on_does_not_say_that_an_order_is_unknown():
    client = Lists("bing_x", {"fetchOrders": True}, fetch_open_orders=[], fetch_orders=[listed(n) for n in range(20)])
    with pytest.raises(Unavailable, match="bing_x does not say whether it knows order"):
        await find(client)


async def test_a_venue_without_lists_of_past_orders_does_not_say_that_an_order_is_unknown():
    with pytest.raises(Unavailable, match="its list of past orders is too long or not to be had"):
        await find(Lists("gemini", {}, fetch_open_orders=[]), "gemini")


async def test_a_list_that_is_narrowed_down_to_the_order_is_never_too_long():
    found = [listed(n) for n in range(50)]
    client = Lists("kraken", {"fetchClosedOrders": True}, fetch_open_orders=[], fetch_closed_orders=found)
    assert await find(client, "kraken") is None
    assert client.calls[0] == (
        "fetch_open_orders",
        "BTC/USDT",
        None,
        None,
        {"clientOrderId": dialect("kraken").venue_id(OURS)},
    )


async def test_a_venue_that_does_not_know_the_order_says_so():
    client = Lists("binance", {}, fetch_order=NotKnown("Order does not exist. (-2013)"))
    assert await find(client, "binance") is None


async def test_an_order_is_looked_up_among_the_open_ones_to_cancel_it():
    answer = {"id": "2", "status": "canceled"}
    ours = {"id": "2", "clientOrderId": dialect("coinbase_advanced_trade").venue_id(OURS)}
    client = Lists("coinbase_advanced_trade", {}, fetch_open_orders=[ours], cancel_order=answer)
    assert await cancel(client, None) == answer
    assert client.calls[-1] == ("cancel_order", "2", "BTC/USDT")


async def test_an_order_that_is_not_open_cannot_be_canceled_by_looking_it_up():
    client = Lists("coinbase_advanced_trade", {}, fetch_open_orders=[])
    with pytest.raises(NotKnown, match="coinbase_advanced_trade has no open order"):
        await cancel(client, None)


async def test_an_answer_that_says_only_that_it_heard_is_no_order():
    client = Lists("binance", {}, cancel_order={"id": "2", "status": None})
    assert await cancel(client, "2") is None


def test_a_price_that_is_needed_and_not_known_is_refused_by_the_pairs_name():
    order = placed("gate_io", order_type=OrderType.MARKET, price=None)
    spoken = dialect("gate_io")
    assert spoken.needs_price(order)
    assert not spoken.needs_price(placed("gate_io", order_type=OrderType.MARKET, price=None, side=Side.SELL))
    with pytest.raises(Invalid, match="The price of BTC-USDT is not known, and gate_io needs it to trade"):
        spoken.arguments(order, markets=MARKETS, mode=PositionMode.ONEWAY, price_hint=None)


def test_a_price_that_the_venue_would_round_is_refused():
    wire = Wire("hyperliquid_perpetual")
    order = placed("hyperliquid_perpetual", price=Decimal("12345.6"))
    with pytest.raises(Invalid, match=r"Order price 12345\.6 has more than 5 significant digits for BTC-USDT"):
        wire.dialect.arguments(order, markets=wire.markets, mode=PositionMode.ONEWAY, price_hint=None)


def test_a_market_order_that_is_a_bounded_limit_order_is_bounded_on_the_side_it_trades():
    wire = Wire("derive")
    prices = []
    for side in Side:
        order = placed("derive", order_type=OrderType.MARKET, price=None, side=side)
        arguments = wire.dialect.arguments(
            order, markets=wire.markets, mode=PositionMode.ONEWAY, price_hint=Decimal("100.03")
        )
        prices.append(arguments[4])
    assert prices == ["105.03", "95.02"]


def test_numbers_are_said_in_plain_digits():
    assert [text(Decimal(value)) for value in ("1E-7", "100", "1.50", "1E+3")] == ["0.0000001", "100", "1.5", "1000"]


def test_contracts_are_told_instead_of_base():
    wire = Wire("okx_perpetual")
    arguments = wire.dialect.arguments(
        placed("okx_perpetual"), markets=wire.markets, mode=PositionMode.ONEWAY, price_hint=None
    )
    assert arguments[3] == "123"
