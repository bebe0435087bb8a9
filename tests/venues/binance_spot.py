"""Binance's spot REST API, as ccxt's `binance` uses it.

The fee is taken in quote, as the engine does; on the real venue it is taken in what was received, or in BNB.
Source: Binance Spot API docs, "Trade endpoints" and "Account endpoints" (2026-03).
"""

from collections.abc import Mapping, Sequence

from aiohttp import web

from domain.values import Json, split_pair
from tests.venues import binance_market, binance_orders, binance_streams, binance_user
from tests.venues.binance_gate import Ask, Route, served, unknown_path
from tests.venues.binance_words import digits, milliseconds, status_of, symbol_of, time_in_force_of, type_of
from tests.venues.floor import Floor
from tests.venues.ledger import Market, Order, Trade

_PREFIX = "/binance/api/v3"
_WALLET = "/binance/sapi"
_STREAMS = "/binance/stream/ws"
_WS_API = "/binance/ws-api/v3"


def urls(address: str) -> Mapping[str, Mapping[str, object]]:
    """Return what is merged over ccxt's `urls`. ccxt knows a spot stream by the word `/stream` in its address."""
    rest, sockets = f"http://{address}", f"ws://{address}"
    return {
        "binance": {
            "api": {
                **dict.fromkeys(("public", "private", "v1"), f"{rest}{_PREFIX}"),
                **dict.fromkeys(("sapi", "sapiV2", "sapiV3", "sapiV4"), f"{rest}/binance/sapi"),
                "ws": {"spot": f"{sockets}{_STREAMS}", "ws-api": {"spot": f"{sockets}{_WS_API}"}},
            }
        }
    }


def routes(floor: Floor) -> Sequence[web.RouteDef]:
    """Return all routes of spot."""
    return [
        *(served(floor, Market.SPOT, _PREFIX, route) for route in (*binance_market.ROUTES, *_PRIVATE)),
        *(served(floor, Market.SPOT, _WALLET, route) for route in _ABOUT_TOKENS),
        unknown_path("/binance/api"),
        unknown_path(_WALLET),
        *binance_streams.routes(floor, Market.SPOT, _STREAMS),
        *binance_user.spot_routes(floor, _WS_API),
    ]


def place(ask: Ask) -> object:
    """Take an order in, and tell what became of it at once: FULL with its trades, RESULT, or ACK."""
    order = binance_orders.taken(ask)
    detail = ask.params.get("newOrderRespType", "FULL")
    said: Json = {
        "symbol": symbol_of(order.trading_pair),
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": milliseconds(order.updated_at),
    }
    if detail == "ACK":
        return said
    said |= {name: value for name, value in told(order).items() if name not in {"time", "updateTime", "isWorking"}}
    if detail == "FULL":
        said["fills"] = [
            {
                "price": digits(trade.price),
                "qty": digits(trade.amount),
                "commission": digits(trade.fee),
                "commissionAsset": trade.fee_currency,
                "tradeId": trade.trade_id,
            }
            for trade in ask.floor.ledger.trades_of(order)
        ]
    return said


def cancel(ask: Ask) -> object:
    """Cancel one order."""
    order = binance_orders.canceled(ask)
    return {
        **told(order),
        "origClientOrderId": order.client_id,
        "clientOrderId": ask.params.get("newCancelOrderId", f"cancel-{order.order_id}"),
        "transactTime": milliseconds(order.updated_at),
    }


def cancel_all(ask: Ask) -> object:
    """Cancel all open orders of a symbol."""
    ask.pair()
    orders = binance_orders.open_ones(ask)
    return [told(ask.floor.cancel(ask.account, ask.market, order_id=order.order_id)) for order in orders]


def query(ask: Ask) -> object:
    """Return one order."""
    return told(binance_orders.asked_for(ask))


def open_orders(ask: Ask) -> object:
    """Return the open orders."""
    return [told(order) for order in binance_orders.open_ones(ask)]


def all_orders(ask: Ask) -> object:
    """Return orders of every status."""
    return [told(order) for order in binance_orders.all_orders(ask)]


def my_trades(ask: Ask) -> object:
    """Return trades."""
    return [_traded(trade) for trade in binance_orders.trades(ask)]


def account(ask: Ask) -> object:
    """Return the balances."""
    fees = ask.desk.fees
    now = milliseconds(ask.floor.now())
    return {
        "makerCommission": digits(fees.maker * 10_000),
        "takerCommission": digits(fees.taker * 10_000),
        "commissionRates": {"maker": digits(fees.maker), "taker": digits(fees.taker), "buyer": "0", "seller": "0"},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "updateTime": now,
        "accountType": "SPOT",
        "balances": [
            {
                "asset": holding.token,
                "free": digits(holding.available),
                "locked": digits(holding.units - holding.available),
            }
            for holding in ask.desk.holdings(ask.account)
        ],
        "permissions": ["SPOT"],
    }


def tokens(ask: Ask) -> object:
    """Return all tokens; none can be sent anywhere from here."""
    names = sorted({token for pair in ask.desk.rules for token in split_pair(pair)})
    return [{"coin": name, "name": name, "trading": True, "isLegalMoney": False, "networkList": []} for name in names]


def no_margin(ask: Ask) -> object:
    """Return that no pair is traded on margin."""
    del ask
    return []


def told(order: Order) -> Json:
    """Return an order as spot tells it."""
    return {
        "symbol": symbol_of(order.trading_pair),
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": digits(order.price),
        "origQty": digits(order.amount),
        "executedQty": digits(order.filled),
        "cummulativeQuoteQty": digits(order.spent),
        "origQuoteOrderQty": "0",
        "status": status_of(order),
        "timeInForce": time_in_force_of(order),
        "type": type_of(order),
        "side": order.side,
        "stopPrice": "0",
        "icebergQty": "0",
        "time": milliseconds(order.created_at),
        "updateTime": milliseconds(order.updated_at),
        "isWorking": True,
        "workingTime": milliseconds(order.created_at),
        "selfTradePreventionMode": "EXPIRE_TAKER",
    }


def _traded(trade: Trade) -> Json:
    return {
        "symbol": symbol_of(trade.trading_pair),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": digits(trade.price),
        "qty": digits(trade.amount),
        "quoteQty": digits(trade.amount * trade.price),
        "commission": digits(trade.fee),
        "commissionAsset": trade.fee_currency,
        "time": milliseconds(trade.at),
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


_PRIVATE = (
    Route("POST", "/order", place, "place", signed=True),
    Route("DELETE", "/order", cancel, "cancel", signed=True),
    Route("GET", "/order", query, "order", signed=True),
    Route("GET", "/openOrders", open_orders, "orders", signed=True),
    Route("DELETE", "/openOrders", cancel_all, "cancel", signed=True),
    Route("GET", "/allOrders", all_orders, "orders", signed=True),
    Route("GET", "/myTrades", my_trades, "trades", signed=True),
    Route("GET", "/account", account, "balances", signed=True),
)
_ABOUT_TOKENS = (
    Route("GET", "/capital/config/getall", tokens, "settings", signed=True),
    Route("GET", "/margin/allPairs", no_margin, "settings", signed=True),
    Route("GET", "/margin/isolated/allPairs", no_margin, "settings", signed=True),
)
