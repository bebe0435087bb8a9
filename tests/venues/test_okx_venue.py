"""What OKX's own words mean to ccxt's `okx`, used as it is: only its URLs point at the test venue."""

import asyncio
from decimal import Decimal

import ccxt.pro
import pytest

from domain.values import OrderType, Side
from tests.venues.ledger import Market, Status
from tests.venues.okx_trader import OURS, SPOT, SWAP, told, trading


@pytest.fixture
async def alice():
    async with trading() as trader:
        yield trader


# What there is to trade, and what is owned.


async def test_swaps_are_counted_in_contracts(alice):
    markets = await alice.swap.load_markets()

    sizes = {name: market["contractSize"] for name, market in markets.items() if market["swap"]}
    assert sizes == {"BTC/USDT:USDT": "0.01", "ETH/USDT:USDT": "0.1", "SOL/USDT:USDT": "1"}
    spot, swap = await alice.spot.fetch_order_book(SPOT), await alice.swap.fetch_order_book(SWAP)
    assert (spot["asks"][0][:2], swap["asks"][0][:2]) == ([60_003, 0.4], [60_003, 40])


async def test_each_prefix_shows_the_balances_of_its_market(alice):
    assert (await alice.spot.fetch_balance())["total"]["BTC"] == "2"
    assert (await alice.swap.fetch_balance())["total"] == {"USDT": "100000"}


async def test_the_account_says_who_it_is(alice):
    assert [account["id"] for account in await alice.spot.fetch_accounts()] == ["alice"]


async def test_the_market_is_seen(alice):
    await asyncio.gather(alice.spot.load_markets(), alice.swap.load_markets())
    alice.floor.move("BTC-USDT", Decimal(61_000))

    assert (await alice.spot.fetch_ticker(SPOT))["last"] == "61003.05"
    assert set(await alice.swap.fetch_tickers()) == {SWAP, "ETH/USDT:USDT", "SOL/USDT:USDT"}
    assert len(await alice.spot.fetch_trades(SPOT)) == 1
    assert len(await alice.spot.fetch_ohlcv(SPOT, "1h")) == 1
    assert (await alice.swap.fetch_funding_rate(SWAP))["fundingRate"] == "0.0001"
    assert abs(await alice.spot.fetch_time() / 1000 - alice.floor.now().timestamp()) < 5


async def test_the_market_is_told(alice):
    book = await alice.spot.watch_order_book(SPOT)
    trades = asyncio.create_task(alice.spot.watch_trades(SPOT))
    assert book["bids"][0] == [59_997, 0.4]
    await alice.spot.watch_ticker(SPOT)

    alice.floor.move("BTC-USDT", Decimal(61_000))
    async with asyncio.timeout(5):
        while book["bids"][0][0] < 60_000:
            book = await alice.spot.watch_order_book(SPOT)
        candle = (await alice.spot.watch_ohlcv(SPOT))[-1]
        assert (await trades)[0]["side"] == "buy"

    assert book["asks"][0][0] > book["bids"][0][0] > 60_900
    assert Decimal(candle[4]) > 60_900


# The life of an order.


async def test_a_limit_order_rests_until_it_is_canceled(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000)
    assert [order["id"] for order in await alice.spot.fetch_open_orders(SPOT)] == [placed["id"]]
    assert Decimal((await alice.spot.fetch_balance())["USDT"]["used"]) == Decimal("590.59")  # and the highest fee

    acknowledged = await alice.spot.cancel_order(placed["id"], SPOT)

    assert acknowledged["status"] is None  # it was heard, and nothing else is said
    assert (await alice.spot.fetch_order(placed["id"], SPOT))["status"] == "canceled"
    assert [order["id"] for order in await alice.spot.fetch_canceled_orders(SPOT)] == [placed["id"]]
    with pytest.raises(ccxt.pro.OrderNotFound, match="51400"):
        await alice.spot.cancel_order(placed["id"], SPOT)


async def test_a_cancel_is_confirmed_on_the_stream(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000)
    watching = asyncio.create_task(told(alice.spot.watch_orders, lambda order: order["status"] == "canceled"))
    await alice.listening(1)

    await alice.spot.cancel_order(placed["id"], SPOT)

    assert (await watching)[-1]["info"]["cancelSource"] == "1"


async def test_an_order_is_found_by_the_clients_id(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "sell", 0.01, 65_000, {"clientOrderId": OURS})

    found = await alice.spot.fetch_order(None, SPOT, {"clientOrderId": OURS})

    assert (found["id"], found["clientOrderId"], found["status"]) == (placed["id"], OURS, "open")
    with pytest.raises(ccxt.pro.OrderNotFound, match="51603"):
        await alice.spot.fetch_order(None, SPOT, {"clientOrderId": "somethingelse"})
    with pytest.raises(ccxt.pro.OrderNotFound, match="51603"):
        await alice.spot.fetch_order("17", SPOT)
    await alice.spot.cancel_order(None, SPOT, {"clientOrderId": OURS})
    assert alice.order(placed["id"]).status is Status.CANCELED


@pytest.mark.parametrize("name", ["n-0123", "n_0123", "x" * 33, "ü"])
async def test_a_clients_id_is_up_to_32_letters_and_digits(alice, name):
    with pytest.raises(ccxt.pro.BadRequest, match="51000"):
        await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000, {"clientOrderId": name})


async def test_a_clients_id_names_one_open_order(alice):
    await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000, {"clientOrderId": OURS})
    with pytest.raises(ccxt.pro.InvalidOrder, match="51016"):
        await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000, {"clientOrderId": OURS})
    assert alice.ledger.received[OURS] == 2


async def test_trades_are_the_same_by_question_and_by_stream(alice):
    watching = asyncio.create_task(told(alice.spot.watch_my_trades, lambda trade: trade["amount"] == "0.1"))
    await alice.listening(1)

    placed = await alice.spot.create_order(SPOT, "market", "buy", 0.5)

    streamed = await watching
    asked = await alice.spot.fetch_my_trades(SPOT)
    order = await alice.spot.fetch_order(placed["id"], SPOT)
    assert [(t["amount"], t["price"], t["takerOrMaker"]) for t in asked] == [
        ("0.4", "60003", "taker"),
        ("0.1", "60009", "taker"),
    ]
    assert [t["id"] for t in streamed] == [t["id"] for t in asked]
    assert [t["fee"]["cost"] for t in asked] == ["24.0012", "6.0009"]
    assert [t["fee"]["cost"] for t in streamed] == [
        "-24.0012",
        "-6.0009",
    ]  # ccxt turns only the former round
    assert [(t["info"]["state"], t["info"]["accFillSz"]) for t in streamed] == [
        ("partially_filled", "0.4"),
        ("filled", "0.5"),
    ]
    assert (order["status"], order["filled"], order["average"]) == ("closed", "0.5", "60004.2")
    assert order["fee"] == {"cost": "30.0021", "currency": "USDT"}


async def test_an_order_fills_bit_by_bit(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.6, 60_003)
    part = await alice.spot.fetch_order(placed["id"], SPOT)
    alice.floor.move("BTC-USDT", Decimal(59_900))
    whole = await alice.spot.fetch_order(placed["id"], SPOT)

    assert (part["status"], part["filled"], part["info"]["state"]) == ("open", "0.4", "partially_filled")
    assert (whole["status"], whole["filled"]) == ("closed", "0.6")
    assert [t["takerOrMaker"] for t in await alice.spot.fetch_order_trades(placed["id"], SPOT)] == ["taker", "maker"]


async def test_the_venue_ends_a_post_only_order_that_would_take(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 61_000, {"postOnly": True})

    order = await alice.spot.fetch_order(placed["id"], SPOT)

    assert (order["status"], order["filled"], order["info"]["cancelSource"]) == ("canceled", "0", "31")
    rests = await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000, {"postOnly": True})
    assert (await alice.spot.fetch_order(rests["id"], SPOT))["status"] == "open"


async def test_the_rest_of_an_ioc_is_canceled(alice):
    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.6, 60_003, {"timeInForce": "IOC"})

    order = await alice.spot.fetch_order(placed["id"], SPOT)

    assert (order["status"], order["filled"], order["info"]["cancelSource"]) == ("canceled", "0.4", "14")


async def test_a_market_buy_may_spend_quote(alice):
    placed = await alice.spot.create_order(SPOT, "market", "buy", 600, None, {"tgtCcy": "quote_ccy", "cost": 600})

    assert alice.order(placed["id"]).filled == Decimal("0.00999")  # what 600 buys at 60,003, in whole lots


@pytest.mark.parametrize(
    ("amount", "price", "error", "code"),
    [
        (100, 59_000, ccxt.pro.InsufficientFunds, "51008"),
        (0.00001, 59_000, ccxt.pro.InvalidOrder, "51020"),
    ],
)
async def test_the_venue_refuses_in_its_own_codes(alice, amount, price, error, code):
    with pytest.raises(error, match=code):
        await alice.spot.create_order(SPOT, "limit", "buy", amount, price)
    assert alice.ledger.all_orders() == []


async def test_of_several_orders_each_is_answered(alice):
    good = {"symbol": SPOT, "type": "limit", "side": "buy", "amount": 0.01, "price": 59_000}

    placed = await alice.spot.create_orders([good, {**good, "amount": 100}])

    assert [order["status"] for order in placed] == [None, "rejected"]
    assert placed[1]["info"]["sCode"] == "51008"
    assert [str(order.order_id) for order in alice.ledger.all_orders()] == [placed[0]["id"]]


async def test_an_order_may_come_alone(alice):
    alice.spot.options["createOrder"] = "privatePostTradeOrder"

    placed = await alice.spot.create_order(SPOT, "limit", "buy", 0.01, 59_000)

    assert alice.order(placed["id"]).status is Status.NEW


async def test_somebody_else_with_the_same_keys_is_told_of(alice):
    watching = asyncio.create_task(told(alice.spot.watch_orders, lambda order: order["status"] == "closed"))
    await alice.listening(1)

    placed = alice.floor.place(
        "alice",
        Market.SPOT,
        trading_pair="BTC-USDT",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        amount=Decimal("0.1"),
    )

    assert (await watching)[-1]["id"] == str(placed.order_id)
    found = await alice.spot.fetch_order(str(placed.order_id), SPOT)
    assert (found["type"], found["side"], found["filled"]) == ("market", "sell", "0.1")


async def test_balances_are_told_as_they_change(alice):
    first = await alice.spot.watch_balance()
    assert first["total"]["BTC"] == "2"

    await alice.spot.create_order(SPOT, "market", "sell", 0.1)

    async with asyncio.timeout(5):
        assert (await alice.spot.watch_balance())["total"]["BTC"] == "1.9"
    asked = await alice.spot.fetch_balance()
    assert asked["total"] == alice.spot.balance["total"]


async def test_one_socket_tells_of_orders_on_both_markets(alice):
    watching = asyncio.create_task(
        told(
            alice.spot.watch_orders,
            lambda order: order["symbol"] == SPOT,
            lambda order: order["symbol"] == SWAP,
        )
    )
    await alice.listening(1)

    await alice.spot.create_order(SPOT, "market", "buy", 0.1)
    await alice.swap.create_order(SWAP, "market", "buy", 1)

    assert {order["symbol"] for order in await watching} == {SPOT, SWAP}


async def test_a_pair_that_is_traded_no_more_is_unknown(alice):
    placed = await alice.spot.create_order("SOL/USDT", "limit", "buy", 1, 100)
    alice.floor.delist("SOL-USDT")

    assert alice.order(placed["id"]).status is Status.EXPIRED
    with pytest.raises(ccxt.pro.BadSymbol, match="51001"):
        await alice.spot.create_order("SOL/USDT", "limit", "buy", 1, 100)
    assert "SOL/USDT" not in await alice.spot.load_markets(reload=True)


# Swaps.


async def test_an_order_for_contracts_moves_their_base(alice):
    placed = await alice.swap.create_order(SWAP, "market", "buy", 3)

    assert alice.order(placed["id"], Market.SWAP).filled == Decimal("0.03")
    order = await alice.swap.fetch_order(placed["id"], SWAP)
    assert (order["amount"], order["filled"], order["average"]) == ("3", "3", "60003")
    assert [trade["amount"] for trade in await alice.swap.fetch_my_trades(SWAP)] == ["3"]
    (position,) = await alice.swap.fetch_positions()
    assert (position["contracts"], position["side"], position["entryPrice"]) == ("3", "long", "60003")
    assert Decimal(position["contracts"]) * Decimal(position["contractSize"]) == Decimal("0.03")


async def test_reduce_only_closes_and_nothing_else(alice):
    await alice.swap.create_order(SWAP, "market", "sell", 2)
    await alice.swap.create_order(SWAP, "market", "buy", 5, None, {"reduceOnly": True})

    assert await alice.swap.fetch_positions() == []
    with pytest.raises(ccxt.pro.ExchangeError, match="51169"):
        await alice.swap.create_order(SWAP, "market", "buy", 5, None, {"reduceOnly": True})


async def test_positions_are_told_as_they_change(alice):
    assert await alice.swap.watch_positions() == []
    await alice.swap.create_order(SWAP, "market", "buy", 3)
    async with asyncio.timeout(5):
        (opened,) = await alice.swap.watch_positions()
    await alice.swap.create_order(SWAP, "market", "sell", 3)
    async with asyncio.timeout(5):
        closed = await alice.swap.watch_positions()

    assert (opened["contracts"], opened["side"], opened["hedged"]) == ("3", "long", False)
    assert [position["contracts"] for position in closed] == ["0"]


async def test_leverage_is_set_for_a_pair(alice):
    await alice.swap.set_leverage(5, SWAP)

    assert (await alice.swap.fetch_leverage(SWAP))["longLeverage"] == 5
    assert alice.floor.desk(Market.SWAP).leverage("alice", "BTC-USDT") == 5
    await alice.swap.create_order(SWAP, "market", "buy", 800)
    with pytest.raises(ccxt.pro.ExchangeError, match="59000"):
        await alice.swap.set_leverage(1, SWAP)
    with pytest.raises(ccxt.pro.ExchangeError, match="59102"):
        await alice.swap.private_post_account_set_leverage(
            {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "lever": "126"}
        )


async def test_in_hedge_mode_a_long_and_a_short_stand_beside_each_other(alice):
    await alice.swap.set_position_mode(True)
    assert (await alice.swap.fetch_position_mode())["hedged"] is True

    await alice.swap.create_order(SWAP, "market", "buy", 3, None, {"positionSide": "long"})
    await alice.swap.create_order(SWAP, "market", "sell", 2, None, {"hedged": True})
    await alice.swap.create_order(SWAP, "market", "sell", 1, None, {"hedged": True, "reduceOnly": True})

    held = {p["side"]: (p["contracts"], p["info"]["pos"]) for p in await alice.swap.fetch_positions()}
    assert held == {"long": ("2", "2"), "short": ("2", "2")}
    with pytest.raises(ccxt.pro.BadRequest, match="51000"):
        await alice.swap.create_order(SWAP, "market", "buy", 1)
    with pytest.raises(ccxt.pro.ExchangeError, match="59000"):
        await alice.swap.set_position_mode(False)


async def test_funding_stands_in_the_bills(alice):
    await alice.swap.create_order(SWAP, "market", "buy", 3)
    alice.floor.desk(Market.SWAP).pay_funding()

    (payment,) = await alice.swap.fetch_funding_history(SWAP)
    assert (payment["amount"], payment["code"], payment["symbol"]) == ("-0.18", "USDT", SWAP)
    assert (payment["info"]["sz"], payment["info"]["px"]) == ("3", "60000")
