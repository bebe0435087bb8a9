"""ccxt's own `binance` and `binanceusdm` trade on the test venue, only their URLs set."""

import asyncio
from decimal import Decimal

import ccxt.pro as ccxt
import msgspec
import pytest

from domain.values import OrderType, Side
from tests.venues.ccxt_clients import subscribed, trading_on
from tests.venues.ledger import Market

BOTH = pytest.mark.parametrize("market", list(Market), ids=str)
SYMBOLS = {Market.SPOT: "BTC/USDT", Market.SWAP: "BTC/USDT:USDT"}


@pytest.fixture
async def trading(market, venue):
    name, exchange = ("binance", ccxt.binance) if market is Market.SPOT else ("binance_perpetual", ccxt.binanceusdm)
    options = {"options": {"fetchMarkets": {"types": ["spot"]}}} if market is Market.SPOT else {}
    async with trading_on(venue, name, exchange, **options) as client:
        yield client


async def until(watch, satisfied):
    """Watch until something that was told satisfies; return it."""
    async with asyncio.timeout(5):
        while True:
            for told in await watch():
                if satisfied(told):
                    return told


def exactly(number):
    return Decimal(str(number))


@BOTH
async def test_markets_carry_the_venues_rules(market, trading, venue):
    markets = await trading.load_markets()
    rule = venue.floor.desk(market).rules["BTC-USDT"]
    found = markets[SYMBOLS[market]]
    assert len(markets) == len(venue.floor.desk(market).rules)
    assert exactly(found["precision"]["amount"]) == rule.min_base_amount_increment
    assert exactly(found["precision"]["price"]) == rule.min_price_increment
    assert exactly(found["limits"]["amount"]["min"]) == rule.min_order_size
    assert exactly(found["limits"]["cost"]["min"]) == rule.min_notional_size


@BOTH
async def test_a_resting_order_is_found_by_its_client_id_and_canceled(market, trading, venue):
    symbol = SYMBOLS[market]
    placed = await trading.create_order(symbol, "limit", "buy", 0.1, 50000, {"clientOrderId": "n1"})
    balance = await trading.fetch_balance()
    found = await trading.fetch_order(None, symbol, {"origClientOrderId": "n1"})
    assert (found["id"], found["status"], found["clientOrderId"]) == (placed["id"], "open", "n1")
    assert [order["id"] for order in await trading.fetch_open_orders(symbol)] == [placed["id"]]
    assert balance["USDT"]["free"] < balance["USDT"]["total"] == 100_000
    canceled = await trading.cancel_order(None, symbol, {"origClientOrderId": "n1"})
    assert canceled["status"] == "canceled"
    assert await trading.fetch_open_orders(symbol) == []
    assert [order["status"] for order in await trading.fetch_orders(symbol)] == ["canceled"]
    assert venue.floor.ledger.received == {"n1": 1}


@BOTH
async def test_a_market_order_fills_and_its_trades_add_up(market, trading, venue):
    symbol = SYMBOLS[market]
    placed = await trading.create_order(symbol, "market", "buy", 1)
    truth = venue.floor.ledger.find("alice", market, order_id=int(placed["id"]))
    trades = await trading.fetch_my_trades(symbol)
    assert placed["status"] == "closed"
    assert len(trades) > 1
    assert sum(exactly(trade["amount"]) for trade in trades) == 1
    assert sum(exactly(trade["cost"]) for trade in trades) == truth.spent == exactly(placed["cost"])
    assert sum(exactly(trade["fee"]["cost"]) for trade in trades) == truth.fees["USDT"]
    assert {trade["takerOrMaker"] for trade in trades} == {"taker"}


@BOTH
async def test_an_order_that_is_filled_in_part_and_canceled_keeps_what_it_got(market, trading, venue):
    symbol = SYMBOLS[market]
    await trading.create_order(symbol, "limit", "buy", 0.5, 59000, {"clientOrderId": "n1"})
    number = venue.floor.ledger.find("alice", market, client_id="n1").order_id
    venue.floor.desk(market).fill("alice", number, Decimal("0.2"))
    partly = await trading.fetch_order(None, symbol, {"origClientOrderId": "n1"})
    assert (partly["status"], partly["filled"], partly["average"]) == ("open", 0.2, 59000)
    await trading.cancel_order(str(number), symbol)
    ended = await trading.fetch_order(str(number), symbol)
    assert (ended["status"], ended["filled"]) == ("canceled", 0.2)


@BOTH
async def test_what_cannot_be_traded_at_once_of_an_ioc_order_expires(market, trading):
    order = await trading.create_order(SYMBOLS[market], "limit", "buy", 0.5, 60003, {"timeInForce": "IOC"})
    assert (order["status"], order["filled"]) == ("expired", 0.4)


@BOTH
@pytest.mark.parametrize(
    ("order", "codes"),
    [
        pytest.param(("limit", "buy", 100, 50000), ("insufficient balance", "-2019"), id="funds"),
        pytest.param(("limit", "buy", 0.1, 70000, {"postOnly": True}), ("immediately match", "-5022"), id="would_take"),
        pytest.param(("limit", "buy", 0.001, 1000), ("NOTIONAL", "-4164"), id="notional"),
        pytest.param(("limit", "buy", 0.1, 50000, {"clientOrderId": "n 1"}), ("-1100", "-1100"), id="client_id"),
        pytest.param(("limit", "buy", 0.1, 50000, {"clientOrderId": "open"}), ("-2010", "-4116"), id="repeated_id"),
    ],
)
async def test_what_the_venue_refuses_is_no_order(market, trading, venue, order, codes):
    await trading.create_order(SYMBOLS[market], "limit", "buy", 0.1, 40000, {"clientOrderId": "open"})
    with pytest.raises(ccxt.ExchangeError, match=codes[list(Market).index(market)]):
        await trading.create_order(SYMBOLS[market], *order)
    assert [known.client_id for known in venue.floor.ledger.orders("alice", market)] == ["open"]


@BOTH
async def test_an_amount_off_the_step_fails_the_filter(market, trading):
    await trading.load_markets()
    trading.markets[SYMBOLS[market]]["precision"] = {"amount": 1e-8, "price": 1e-8}
    for amount, price in ((0.10000001, 50000), (0.1, 50000.001)):
        with pytest.raises(ccxt.BaseError, match=r"-1013|-1111|-4014|Filter failure|LOT_SIZE|PRICE_FILTER"):
            await trading.create_order(SYMBOLS[market], "limit", "buy", amount, price)


@BOTH
async def test_an_order_that_the_venue_does_not_know_is_not_found(market, trading, venue):
    for ask in (trading.fetch_order, trading.cancel_order):
        with pytest.raises(ccxt.OrderNotFound):
            await ask(None, SYMBOLS[market], {"origClientOrderId": "never"})
    venue.floor.delist("BTC-USDT")
    with pytest.raises(ccxt.BadSymbol):
        await trading.fetch_order(None, SYMBOLS[market], {"origClientOrderId": "never"})


@BOTH
async def test_orders_trades_and_balances_are_told_on_the_user_stream(market, trading, venue):
    symbol = SYMBOLS[market]
    await trading.load_markets()
    watched = [asyncio.create_task(watch()) for watch in (trading.watch_orders, trading.watch_balance)]
    trade = asyncio.create_task(until(trading.watch_my_trades, lambda told: told["amount"] == 0.1))
    await subscribed(venue, market)
    await trading.create_order(symbol, "limit", "sell", 0.1, 61000, {"clientOrderId": "n1"})
    assert [order["clientOrderId"] for order in await watched[0]] == ["n1"]
    filled = asyncio.create_task(until(trading.watch_orders, lambda told: told["status"] == "closed"))
    venue.floor.move("BTC-USDT", Decimal(62000))
    assert (await filled)["filled"] == 0.1
    told, truth = await trade, venue.floor.ledger.trades("alice", market)[0]
    assert (told["id"], exactly(told["fee"]["cost"])) == (str(truth.trade_id), truth.fee)
    assert "USDT" in await watched[1] or "BTC" in await watched[1]


@BOTH
async def test_orders_by_somebody_else_with_the_same_keys_are_told_too(market, trading, venue):
    await trading.load_markets()
    told = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, market)
    foreign = venue.floor.place(
        "alice",
        market,
        trading_pair="ETH-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal(1),
        price=Decimal(2000),
    )
    assert [order["id"] for order in await told] == [str(foreign.order_id)]
    open_orders = await trading.fetch_open_orders(SYMBOLS[market].replace("BTC", "ETH"))
    assert [order["id"] for order in open_orders] == [str(foreign.order_id)]


@BOTH
async def test_the_market_is_told_on_streams(market, trading, venue):
    symbol = SYMBOLS[market]
    await trading.load_markets()
    book = await trading.watch_order_book(symbol)
    assert exactly(book["bids"][0][0]) == venue.floor.desk(market).quotes["BTC-USDT"].bid
    watches = [
        asyncio.create_task(watch)
        for watch in (
            trading.watch_order_book(symbol),
            trading.watch_trades(symbol),
            trading.watch_ticker(symbol),
            trading.watch_bids_asks([symbol]),
            trading.watch_ohlcv(symbol, "1m"),
        )
    ]
    async with asyncio.timeout(5):
        while not all(watch.done() for watch in watches):
            venue.floor.move("BTC-USDT", venue.floor.desk(market).quotes["BTC-USDT"].mid + 10)
            await asyncio.sleep(0.05)
    book, trades, ticker, best, candles = [watch.result() for watch in watches]
    assert book["bids"][0][0] > 59990
    assert trades[0]["price"] > 60000
    assert ticker["symbol"] == symbol
    assert best[symbol]["bid"] < best[symbol]["ask"]
    assert candles[0][4] > 60000


@BOTH
async def test_the_book_follows_the_venue_difference_by_difference(market, trading, venue):
    symbol = SYMBOLS[market]
    await trading.watch_order_book(symbol)
    for _ in range(5):
        venue.floor.move("BTC-USDT", venue.floor.desk(market).quotes["BTC-USDT"].mid + 7)
        venue.floor.tick()
        book = await asyncio.wait_for(trading.watch_order_book(symbol), 5)
    bids, asks = venue.floor.desk(market).depth("BTC-USDT", 1000)
    assert [(exactly(price), exactly(amount)) for price, amount in book["bids"]] == bids
    assert [(exactly(price), exactly(amount)) for price, amount in book["asks"]] == asks


@BOTH
async def test_the_market_is_answered_by_rest(market, trading, venue):
    symbol = SYMBOLS[market]
    venue.floor.move("BTC-USDT", Decimal(60100))
    quote = venue.floor.desk(market).quotes["BTC-USDT"]
    assert exactly((await trading.fetch_ticker(symbol))["last"]) == quote.ask
    assert exactly((await trading.fetch_order_book(symbol, 5))["asks"][0][0]) == quote.ask
    assert exactly((await trading.fetch_trades(symbol))[-1]["price"]) == quote.ask
    assert len(await trading.fetch_ohlcv(symbol, "1m")) == 1
    assert len(await trading.fetch_bids_asks()) == len(venue.floor.desk(market).rules)


async def test_a_market_buy_for_an_amount_of_quote_spends_no_more(spot):
    order = await spot.create_market_buy_order_with_cost("BTC/USDT", 1000)
    assert order["status"] == "closed"
    assert 999 < order["cost"] <= 1000


async def test_a_position_is_opened_told_and_reduced(futures, venue):
    symbol = "BTC/USDT:USDT"
    assert await futures.fetch_positions() == []
    assert await futures.watch_positions() == []  # as they stand; after that, as they change
    told = asyncio.create_task(futures.watch_positions())
    await subscribed(venue, Market.SWAP)
    await futures.create_order(symbol, "market", "sell", 0.2)
    [position] = await futures.fetch_positions()
    assert (position["side"], position["contracts"], position["hedged"]) == ("short", 0.2, False)
    assert [(each["side"], each["contracts"]) for each in await told] == [("short", 0.2)]
    await futures.create_order(symbol, "market", "buy", 0.5, None, {"reduceOnly": True})
    assert await futures.fetch_positions() == []
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        await futures.create_order(symbol, "market", "buy", 0.5, None, {"reduceOnly": True})


async def test_leverage_changes_what_an_order_holds(futures, venue):
    symbol = "BTC/USDT:USDT"
    await futures.set_leverage(20, symbol)
    await futures.create_order(symbol, "limit", "buy", 0.1, 50000)
    balance = await futures.fetch_balance()
    assert exactly(balance["USDT"]["used"]) == Decimal("252.5")  # a twentieth of the notional, and the fee
    assert (await futures.fetch_leverage(symbol))["longLeverage"] == 20
    with pytest.raises(ccxt.ExchangeError, match="-4028"):
        await futures.fapiPrivatePostLeverage({"symbol": "BTCUSDT", "leverage": 126})


async def test_hedge_mode_keeps_both_sides(futures, venue):
    symbol = "BTC/USDT:USDT"
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await futures.set_position_mode(False)
    await futures.set_position_mode(True)
    assert (await futures.fetch_position_mode())["hedged"] is True
    with pytest.raises(ccxt.ExchangeError, match="-4061"):
        await futures.create_order(symbol, "market", "buy", 0.2)
    await futures.create_order(symbol, "market", "buy", 0.2, None, {"hedged": True})
    await futures.create_order(symbol, "market", "sell", 0.1, None, {"hedged": True})
    positions = {each["side"]: each["contracts"] for each in await futures.fetch_positions()}
    assert positions == {"long": 0.2, "short": 0.1}
    with pytest.raises(ccxt.ExchangeError, match="-4068"):
        await futures.set_position_mode(False)
    await futures.create_order(symbol, "market", "sell", 0.2, None, {"hedged": True, "reduceOnly": True})
    assert [each["side"] for each in await futures.fetch_positions()] == ["short"]


async def test_funding_is_paid_and_told(futures, venue):
    symbol = "BTC/USDT:USDT"
    await futures.create_order(symbol, "market", "buy", 0.1)
    await futures.load_markets()
    balance = asyncio.create_task(futures.watch_balance())
    await subscribed(venue, Market.SWAP)
    venue.floor.desk(Market.SWAP).pay_funding()
    [(number, truth)] = venue.floor.ledger.funding("alice")
    [payment] = await futures.fetch_funding_history(symbol)
    assert (payment["id"], exactly(payment["amount"])) == (str(number), truth.payment)
    assert exactly((await balance)["USDT"]["total"]) == venue.floor.desk(Market.SWAP).holdings("alice")[0].units


@BOTH
async def test_wrong_keys_open_nothing(market, trading, venue):
    await trading.load_markets()
    right = trading.apiKey, trading.secret
    cases = [("short", "x", "-2014"), ("0" * 64, right[1], "-2015"), (right[0], "wrong", "-1022")]
    for trading.apiKey, trading.secret, code in cases:
        with pytest.raises(ccxt.AuthenticationError, match=code):
            await trading.fetch_balance()
    trading.apiKey, trading.secret = right
    assert await trading.fetch_balance()


@BOTH
async def test_revoked_keys_open_nothing_more_and_end_the_user_stream(market, trading, venue):
    await trading.load_markets()
    told = asyncio.create_task(trading.watch_orders())
    await subscribed(venue, market)
    venue.floor.revoke("alice")
    async with asyncio.timeout(5):
        while venue.floor.desk(market).followed("alice"):
            await asyncio.sleep(0.005)
    with pytest.raises(ccxt.BaseError, match="-2015"):
        await trading.fetch_balance()
    told.cancel()


async def test_the_venue_runs_as_a_process_of_its_own(process):
    address, keys, urls = process
    async with ccxt.binance({"apiKey": keys["api_key"], "secret": keys["secret"], "enableRateLimit": False}) as client:
        client.urls = client.deep_extend(client.urls, urls["binance"])
        client.options["fetchMarkets"] = {"types": ["spot"]}
        await client.create_order("BTC/USDT", "limit", "buy", 0.1, 50000, {"clientOrderId": "n1"})
        door = client.session
        foreign = {
            "account": "alice",
            "market": "spot",
            "trading_pair": "ETH-USDT",
            "side": "BUY",
            "order_type": "LIMIT",
            "amount": "1",
            "price": "2000",
        }
        steps = [
            ("orders", foreign),
            ("move", {"trading_pair": "BTC-USDT", "price": "49000"}),
            ("levers", {"pull": {"lever": "fail_before", "on": ["balances"], "status": 503}}),
        ]
        for path, body in steps:
            async with door.post(f"http://{address}/-/{path}", data=msgspec.json.encode(body)) as response:
                assert response.status == 200, await response.text()
        with pytest.raises(ccxt.RequestTimeout):
            await client.fetch_balance()
        async with door.get(f"http://{address}/-/ledger") as response:
            ledger = await response.json()
    assert [(order["trading_pair"], order["status"]) for order in ledger["orders"]] == [
        ("BTC-USDT", "FILLED"),
        ("ETH-USDT", "NEW"),
    ]
    assert ledger["received"] == {"n1": 1}
    assert ledger["pulled"] == {"fail_before": 1}
