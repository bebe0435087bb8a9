"""Binance's USDⓈ-M futures REST API, as ccxt's `binanceusdm` uses it. Margin is cross, everywhere.

Source: Binance USDⓈ-M Futures docs, "Trade", "Account" and "User Data Streams" (2026-03).
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

from aiohttp import web

from domain.matching.margin import MAINTENANCE, MAX_LEVERAGE
from domain.positions import PositionObserved
from domain.values import ZERO, Json, PositionAction, PositionMode, PositionSide, split_pair
from tests.venues import binance_market, binance_orders, binance_streams, binance_user
from tests.venues.binance_gate import Ask, Denied, Route, served, unknown_path
from tests.venues.binance_words import digits, milliseconds, status_of, symbol_of, time_in_force_of, type_of
from tests.venues.floor import Floor
from tests.venues.ledger import Market, Order, Trade
from tests.venues.steps import Refusal

_V1, _V2, _V3 = "/binance/fapi/v1", "/binance/fapi/v2", "/binance/fapi/v3"
_STREAMS = "/binance/futures"
_FINEST = 8  # decimals of money


def urls(address: str) -> Mapping[str, Mapping[str, object]]:
    """Return what is merged over ccxt's `urls`. ccxt puts `/public`, `/market` or `/private` before the `/ws`."""
    rest, sockets = f"http://{address}", f"ws://{address}"
    return {
        "binance_perpetual": {
            "api": {
                **dict.fromkeys(("fapiPublic", "fapiPrivate"), f"{rest}{_V1}"),
                **dict.fromkeys(("fapiPublicV2", "fapiPrivateV2"), f"{rest}{_V2}"),
                **dict.fromkeys(("fapiPublicV3", "fapiPrivateV3"), f"{rest}{_V3}"),
                "fapiData": f"{rest}/binance/futures/data",
                **dict.fromkeys(("sapi", "sapiV2", "sapiV3", "sapiV4"), f"{rest}/binance/sapi"),
                "ws": {"linear": f"{sockets}{_STREAMS}/ws"},
            }
        }
    }


def routes(floor: Floor) -> Sequence[web.RouteDef]:
    """Return all routes of USDⓈ-M futures."""
    market = Market.SWAP
    return [
        *(served(floor, market, _V1, route) for route in (*binance_market.ROUTES, *_PRIVATE, *binance_user.KEYS)),
        *(served(floor, market, version, route) for version in (_V2, _V3) for route in _LATER),
        unknown_path("/binance/fapi"),
        *binance_streams.routes(floor, market, f"{_STREAMS}/public/ws"),
        *binance_streams.routes(floor, market, f"{_STREAMS}/market/ws"),
        *binance_user.futures_routes(floor, f"{_STREAMS}/private/ws"),
    ]


def place(ask: Ask) -> object:
    """Take an order in."""
    return told(binance_orders.taken(ask, action=_action(ask)))


def cancel(ask: Ask) -> object:
    """Cancel one order."""
    return told(binance_orders.canceled(ask))


def cancel_all(ask: Ask) -> object:
    """Cancel all open orders of a symbol."""
    ask.pair()
    for order in binance_orders.open_ones(ask):
        ask.floor.cancel(ask.account, ask.market, order_id=order.order_id)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def query(ask: Ask) -> object:
    """Return one order."""
    return told(binance_orders.asked_for(ask))


def open_order(ask: Ask) -> object:
    """Return one order if it is open."""
    order = binance_orders.asked_for(ask)
    if not order.status.is_open:
        raise Denied(-2013, "Order does not exist.")
    return told(order)


def open_orders(ask: Ask) -> object:
    """Return the open orders."""
    return [told(order) for order in binance_orders.open_ones(ask)]


def all_orders(ask: Ask) -> object:
    """Return orders of every status."""
    return [told(order) for order in binance_orders.all_orders(ask)]


def user_trades(ask: Ask) -> object:
    """Return trades."""
    return [_traded(trade) for trade in binance_orders.trades(ask)]


def balance(ask: Ask) -> object:
    """Return the wallets, as versions 2 and 3 tell them."""
    return [
        {
            "accountAlias": "SgsR",
            "asset": holding.token,
            "balance": digits(holding.units),
            "crossWalletBalance": digits(holding.units),
            "crossUnPnl": digits(_unrealized(ask, holding.token)),
            "availableBalance": digits(holding.available),
            "maxWithdrawAmount": digits(holding.available),
            "marginAvailable": True,
            "updateTime": milliseconds(ask.floor.now()),
        }
        for holding in ask.desk.holdings(ask.account)
    ]


def account(ask: Ask) -> object:
    """Return wallets and positions."""
    now = milliseconds(ask.floor.now())
    assets = [
        {
            "asset": holding.token,
            "walletBalance": digits(holding.units),
            "unrealizedProfit": digits(_unrealized(ask, holding.token)),
            "marginBalance": digits(holding.units + _unrealized(ask, holding.token)),
            "initialMargin": digits(holding.units - holding.available),
            "crossWalletBalance": digits(holding.units),
            "availableBalance": digits(holding.available),
            "maxWithdrawAmount": digits(holding.available),
            "updateTime": now,
        }
        for holding in ask.desk.holdings(ask.account)
    ]
    return {"assets": assets, "positions": [_position(ask, each) for each in ask.desk.positions(ask.account)]}


def position_risk(ask: Ask) -> object:
    """Return the positions that are not empty, of one symbol or of all."""
    pair = ask.pair_if_any()
    return [_position(ask, each) for each in ask.desk.positions(ask.account) if pair in {None, each.trading_pair}]


def leverage(ask: Ask) -> object:
    """Set the leverage of a symbol."""
    pair, wanted = ask.pair(), ask.number("leverage") or 0
    if not 1 <= wanted <= MAX_LEVERAGE:
        raise Denied(-4028, f"Leverage {wanted} is not valid")
    try:
        ask.desk.set_leverage(ask.account, pair, wanted)
    except Refusal as refusal:
        raise Denied(-2028, "Leverage is smaller than permitted: insufficient margin balance") from refusal
    return {"symbol": symbol_of(pair), "leverage": wanted, "maxNotionalValue": "1000000"}


def position_mode(ask: Ask) -> object:
    """Return whether positions are kept in hedge mode."""
    return {"dualSidePosition": ask.desk.mode(ask.account) is PositionMode.HEDGE}


def set_position_mode(ask: Ask) -> object:
    """Set the position mode."""
    wanted = PositionMode.HEDGE if ask.text("dualSidePosition").lower() == "true" else PositionMode.ONEWAY
    if wanted is ask.desk.mode(ask.account):
        raise Denied(-4059, "No need to change position side.")
    if ask.floor.ledger.open_orders(ask.account, ask.market):
        raise Denied(-4067, "Position side cannot be changed if there exists open orders.")
    try:
        ask.desk.set_mode(ask.account, wanted)
    except Refusal as refusal:
        raise Denied(-4068, "Position side cannot be changed if there exists position.") from refusal
    return {"code": 200, "msg": "success"}


def margin_type(ask: Ask) -> object:
    """Set the margin type: it is cross and stays so."""
    ask.pair()
    if ask.text("marginType") == "CROSSED":
        raise Denied(-4046, "No need to change margin type.")
    raise Denied(-4047, "Margin type cannot be changed if there exists open orders.")


def multi_assets(ask: Ask) -> object:
    """Return that every wallet stands for itself."""
    del ask
    return {"multiAssetsMargin": False}


def symbol_config(ask: Ask) -> object:
    """Return the leverage of one symbol, or of all."""
    pair = ask.pair_if_any()
    return [
        {
            "symbol": symbol_of(each),
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": ask.desk.leverage(ask.account, each),
            "maxNotionalValue": "1000000",
        }
        for each in ask.desk.rules
        if pair in {None, each}
    ]


def leverage_bracket(ask: Ask) -> object:
    """Return the highest leverage of one symbol, or of all."""
    pair = ask.pair_if_any()
    bracket: Json = {
        "bracket": 1,
        "initialLeverage": MAX_LEVERAGE,
        "notionalCap": 1_000_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE),
        "cum": 0.0,
    }
    return [{"symbol": symbol_of(each), "brackets": [bracket]} for each in ask.desk.rules if pair in {None, each}]


def income(ask: Ask) -> object:
    """Return the funding payments; of other incomes none are told."""
    if ask.params.get("incomeType", "FUNDING_FEE") != "FUNDING_FEE":
        return []
    since, until = ask.number("startTime") or 0, ask.number("endTime")
    paid = [
        {
            "symbol": symbol_of(payment.trading_pair),
            "incomeType": "FUNDING_FEE",
            "income": digits(payment.payment),
            "asset": payment.currency,
            "info": "FUNDING_FEE",
            "time": milliseconds(payment.paid_at),
            "tranId": number,
            "tradeId": "",
        }
        for number, payment in ask.floor.ledger.funding(ask.account, ask.pair_if_any())
        if since <= milliseconds(payment.paid_at) and (until is None or milliseconds(payment.paid_at) <= until)
    ]
    return paid[: ask.number("limit") or 100]


def funding_rate(ask: Ask) -> object:
    """Return the rates of the funding times of one symbol or of all, oldest first."""
    pair, since, until = ask.pair_if_any(), ask.number("startTime") or 0, ask.number("endTime")
    times = {
        (milliseconds(payment.paid_at), payment.trading_pair): payment.rate
        for _, payment in ask.floor.ledger.all_funding()
        if pair in {None, payment.trading_pair}
    }
    found = [
        {"symbol": symbol_of(each), "fundingRate": digits(rate), "fundingTime": at, "markPrice": ""}
        for (at, each), rate in sorted(times.items())
        if since <= at and (until is None or at <= until)
    ]
    return found[: ask.number("limit") or 100]


def told(order: Order) -> Json:
    """Return an order as futures tell it."""
    return {
        "orderId": order.order_id,
        "symbol": symbol_of(order.trading_pair),
        "status": status_of(order),
        "clientOrderId": order.client_id,
        "price": digits(order.price),
        "avgPrice": digits(order.average_price),
        "origQty": digits(order.amount),
        "executedQty": digits(order.filled),
        "cumQty": digits(order.filled),
        "cumQuote": digits(order.spent),
        "timeInForce": time_in_force_of(order),
        "type": type_of(order),
        "origType": type_of(order),
        "side": order.side,
        "positionSide": order.position_side,
        "reduceOnly": reduces(order),
        "closePosition": False,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "time": milliseconds(order.created_at),
        "updateTime": milliseconds(order.updated_at),
    }


def reduces(order: Order) -> bool:
    """Return whether an order may only reduce; in hedge mode its position side says so already."""
    return order.action is PositionAction.CLOSE and order.position_side is PositionSide.BOTH


def _action(ask: Ask) -> PositionAction:
    """Return what an order does to its position. Raises `Denied` when it does not fit the mode."""
    hedge = ask.desk.mode(ask.account) is PositionMode.HEDGE
    side, reduce = ask.params.get("positionSide", "BOTH"), ask.params.get("reduceOnly", "false").lower() == "true"
    if hedge is (side == "BOTH"):
        raise Denied(-4061, "Order's position side does not match user's setting.")
    if hedge and "reduceOnly" in ask.params:
        raise Denied(-1106, "Parameter 'reduceonly' sent when not required.")
    closes = reduce if not hedge else (side == "LONG") is (ask.text("side") == "SELL")
    return PositionAction.CLOSE if closes else PositionAction.OPEN


def _unrealized(ask: Ask, token: str) -> Decimal:
    found = (each for each in ask.desk.positions(ask.account) if split_pair(each.trading_pair)[1] == token)
    return sum((each.unrealized_pnl for each in found), ZERO)


def _position(ask: Ask, position: PositionObserved) -> Json:
    notional = position.amount * position.mark_price
    margin = (abs(notional) / position.leverage).quantize(Decimal(1).scaleb(-_FINEST), rounding=ROUND_CEILING)
    return {
        "symbol": symbol_of(position.trading_pair),
        "positionSide": position.side,
        "positionAmt": digits(position.amount),
        "entryPrice": digits(position.entry_price),
        "breakEvenPrice": digits(position.entry_price),
        "markPrice": digits(position.mark_price),
        "unRealizedProfit": digits(position.unrealized_pnl),
        "unrealizedProfit": digits(position.unrealized_pnl),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "isolatedWallet": "0",
        "notional": digits(notional),
        "marginAsset": split_pair(position.trading_pair)[1],
        "initialMargin": digits(margin),
        "maintMargin": digits(abs(notional) * MAINTENANCE),
        "positionInitialMargin": digits(margin),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": milliseconds(ask.floor.now()),
    }


def _traded(trade: Trade) -> Json:
    return {
        "symbol": symbol_of(trade.trading_pair),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": digits(trade.price),
        "qty": digits(trade.amount),
        "quoteQty": digits(trade.amount * trade.price),
        "commission": digits(trade.fee),
        "commissionAsset": trade.fee_currency,
        "time": milliseconds(trade.at),
        "positionSide": trade.position_side,
        "buyer": trade.side == "BUY",
        "maker": trade.is_maker,
        "marginAsset": trade.fee_currency,
    }


_PRIVATE = (
    Route("POST", "/order", place, "place", signed=True),
    Route("DELETE", "/order", cancel, "cancel", signed=True),
    Route("GET", "/order", query, "order", signed=True),
    Route("GET", "/openOrder", open_order, "order", signed=True),
    Route("GET", "/openOrders", open_orders, "orders", signed=True),
    Route("DELETE", "/allOpenOrders", cancel_all, "cancel", signed=True),
    Route("GET", "/allOrders", all_orders, "orders", signed=True),
    Route("GET", "/userTrades", user_trades, "trades", signed=True),
    Route("POST", "/leverage", leverage, "settings", signed=True),
    Route("POST", "/marginType", margin_type, "settings", signed=True),
    Route("GET", "/positionSide/dual", position_mode, "settings", signed=True),
    Route("POST", "/positionSide/dual", set_position_mode, "settings", signed=True),
    Route("GET", "/multiAssetsMargin", multi_assets, "settings", signed=True),
    Route("GET", "/symbolConfig", symbol_config, "settings", signed=True),
    Route("GET", "/leverageBracket", leverage_bracket, "settings", signed=True),
    Route("GET", "/income", income, "trades", signed=True),
    Route("GET", "/premiumIndex", binance_market.premium_index),
    Route("GET", "/fundingRate", funding_rate),
)
_LATER = (
    Route("GET", "/balance", balance, "balances", signed=True),
    Route("GET", "/account", account, "balances", signed=True),
    Route("GET", "/positionRisk", position_risk, "positions", signed=True),
)
