"""Binance's user streams: on spot a subscription on the WebSocket API, on futures a socket with a listen key.

Source: Binance Spot API docs, "User Data Stream"; USDⓈ-M Futures docs, "User Data Streams" (2026-03).
"""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta

from aiohttp import web

from domain.values import ZERO, Json
from tests.venues.binance_gate import Ask, Denied, Route, check_clock, check_signature, key_holder
from tests.venues.binance_words import digits, milliseconds, status_of, symbol_of, time_in_force_of, type_of
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.levers import Lever
from tests.venues.outbox import Outbox, converse
from tests.venues.steps import Change, Step, What

_VALID = timedelta(minutes=60)
_EXECUTION = {What.TAKEN: "NEW", What.TRADED: "TRADE", What.CANCELED: "CANCELED", What.EXPIRED: "EXPIRED"}


# Spot.


def spot_routes(floor: Floor, path: str) -> Sequence[web.RouteDef]:
    """Return the WebSocket API, of which user streams and the time are served."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        return await converse(request, floor.levers, lambda outbox, text: _spot_heard(floor, outbox, text))

    return [web.get(path, handle)]


def _spot_heard(floor: Floor, outbox: Outbox, text: str) -> None:
    asked = json.loads(text)
    said: Json = {"id": asked.get("id")}
    try:
        result = _done(floor, outbox, asked)
    except Denied as denied:
        status = 401 if denied.code in {-2014, -2015} else 400
        said |= {"status": status, "error": {"code": denied.code, "msg": denied.words}}
    else:
        said |= {"status": 200, "result": result}
    outbox.tell(json.dumps(said))


def _done(floor: Floor, outbox: Outbox, asked: Json) -> Json:
    """Do what was asked for on the socket and return the result. Raises `Denied`."""
    match asked:
        case {"method": "userDataStream.subscribe.signature", "params": dict() as params}:
            return {"subscriptionId": _subscribe(floor, outbox, params)}
        case {"method": "time"}:
            return {"serverTime": milliseconds(floor.now())}
        case {"method": "ping"}:
            return {}
        case _:
            raise Denied(-1000, f"Unknown method '{asked.get('method')}'.")


def _subscribe(floor: Floor, outbox: Outbox, params: Json) -> int:
    """Tell a socket of an account from now on. Raises `Denied`."""
    shown = {name: str(value) for name, value in params.items()}
    signature = shown.pop("signature", "")
    keys = key_holder(floor, shown.get("apiKey"))
    check_signature(keys, "&".join(f"{name}={shown[name]}" for name in sorted(shown)), signature)
    check_clock(floor, shown)
    outbox.account = keys.account
    ends: list[Callable[[], None]] = []

    def end() -> None:
        for each in ends:
            each()
        ends.clear()

    def terminated() -> None:
        end()
        said = {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": milliseconds(floor.now())}}
        outbox.tell(json.dumps(said))

    def happened(step: Step) -> None:
        if floor.levers.pull(Lever.EXPIRE_LISTEN_KEY, "stream", keys.account) is not None:
            terminated()
            return
        for event in spot_events(step):
            outbox.news(json.dumps({"subscriptionId": 0, "event": event}))

    ends.append(floor.desk(Market.SPOT).listen(keys.account, happened))
    ends.append(floor.on_revoke(keys.account, terminated))
    outbox.closed.append(end)
    return 0


def spot_events(step: Step) -> list[Json]:
    """Return what spot tells of a step."""
    told = [_execution_report(change, milliseconds(step.at)) for change in step.changes]
    if step.holdings:
        told.append(
            {
                "e": "outboundAccountPosition",
                "E": milliseconds(step.at),
                "u": milliseconds(step.at),
                "B": [
                    {"a": each.token, "f": digits(each.available), "l": digits(each.units - each.available)}
                    for each in step.holdings
                ],
            }
        )
    return told


def _execution_report(change: Change, now: int) -> Json:
    order, trade = change.order, change.trade
    canceled = change.what is What.CANCELED
    return {
        "e": "executionReport",
        "E": now,
        "s": symbol_of(order.trading_pair),
        "c": f"cancel-{order.order_id}" if canceled else order.client_id,
        "S": order.side,
        "o": type_of(order),
        "f": time_in_force_of(order),
        "q": digits(order.amount),
        "p": digits(order.price),
        "P": "0",
        "F": "0",
        "g": -1,
        "C": order.client_id if canceled else "",
        "x": _EXECUTION[change.what],
        "X": status_of(order),
        "r": "NONE",
        "i": order.order_id,
        "l": digits(trade.amount if trade is not None else ZERO),
        "z": digits(order.filled),
        "L": digits(trade.price if trade is not None else ZERO),
        "n": digits(trade.fee if trade is not None else ZERO),
        "N": trade.fee_currency if trade is not None else None,
        "T": milliseconds(order.updated_at),
        "t": trade.trade_id if trade is not None else -1,
        "w": order.status.is_open,
        "m": trade.is_maker if trade is not None else False,
        "M": False,
        "O": milliseconds(order.created_at),
        "Z": digits(order.spent),
        "Y": digits(trade.amount * trade.price if trade is not None else ZERO),
        "Q": "0",
        "W": milliseconds(order.created_at),
        "V": "EXPIRE_TAKER",
    }


# Futures.


def new_key(ask: Ask) -> object:
    """Return the account's listen key, valid for an hour from now: the one it has, or a new one."""
    keys = ask.floor.stream_keys
    own = next(
        (key for key, (account, until) in keys.items() if account == ask.account and until > ask.floor.now()), ""
    )
    key = own or ask.floor.word()
    keys[key] = ask.account, ask.floor.now() + _VALID
    return {"listenKey": key}


def keep_key(ask: Ask) -> object:
    """Let the account's listen key be valid for an hour from now."""
    for key, (account, until) in ask.floor.stream_keys.items():
        if account == ask.account and until > ask.floor.now():
            ask.floor.stream_keys[key] = account, ask.floor.now() + _VALID
            return {"listenKey": key}
    raise Denied(-1125, "This listenKey does not exist.")


def close_key(ask: Ask) -> object:
    """Forget the account's listen keys."""
    for key in [key for key, (account, _) in ask.floor.stream_keys.items() if account == ask.account]:
        del ask.floor.stream_keys[key]
    return {}


KEYS = (
    Route("POST", "/listenKey", new_key, "stream", keyed=True),
    Route("PUT", "/listenKey", keep_key, "stream", keyed=True),
    Route("DELETE", "/listenKey", close_key, "stream", keyed=True),
)


def futures_routes(floor: Floor, path: str) -> Sequence[web.RouteDef]:
    """Return the user stream; a client may number its sockets behind it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        key = request.query.get("listenKey", "")
        account, until = floor.stream_keys.get(key, ("", floor.now()))
        if until <= floor.now():
            return web.json_response({"code": -1125, "msg": "This listenKey does not exist."}, status=400)

        def opened(outbox: Outbox) -> None:
            _follow(floor, outbox, account, key)

        return await converse(request, floor.levers, _heard_nothing, opened=opened, account=account)

    return [web.get(path, handle), web.get(path + "/{number:[0-9]+}", handle)]


def _follow(floor: Floor, outbox: Outbox, account: str, key: str) -> None:
    ends: list[Callable[[], None]] = []

    def end() -> None:
        for each in ends:
            each()
        ends.clear()

    def happened(step: Step) -> None:
        _, until = floor.stream_keys.get(key, ("", floor.now()))
        if until <= floor.now() or floor.levers.pull(Lever.EXPIRE_LISTEN_KEY, "stream", account) is not None:
            floor.stream_keys.pop(key, None)
            end()
            outbox.tell(json.dumps({"e": "listenKeyExpired", "E": milliseconds(floor.now()), "listenKey": key}))
            return
        for event in futures_events(step):
            outbox.news(json.dumps(event))

    ends.append(floor.desk(Market.SWAP).listen(account, happened))
    ends.append(floor.on_revoke(account, outbox.drop))
    outbox.closed.append(end)


def _heard_nothing(outbox: Outbox, text: str) -> None:
    """Let a client say what it wants: nothing is asked on this socket."""


def futures_events(step: Step) -> list[Json]:
    """Return what futures tell of a step: what the account has before what happened to its orders.

    Nothing is told of a balance that an order only reserves, as on the real venue.
    """
    now = milliseconds(step.at)
    told: list[Json] = [
        {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ac": {"s": symbol_of(pair), "l": leverage}}
        for pair, leverage in step.leverage.items()
    ]
    if step.funding or any(change.what is What.TRADED for change in step.changes):
        told.append(_account_update(step, now))
    return told + [_order_trade_update(change, now) for change in step.changes]


def _account_update(step: Step, now: int) -> Json:
    funding = bool(step.funding)
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now,
        "T": now,
        "a": {
            "m": "FUNDING_FEE" if funding else "ORDER",
            "B": [
                {
                    "a": each.token,
                    "wb": digits(each.units),
                    "cw": digits(each.units),
                    "bc": digits(sum((payment.payment for _, payment in step.funding), ZERO)),
                }
                for each in step.holdings
            ],
            "P": [
                {
                    "s": symbol_of(each.trading_pair),
                    "pa": digits(each.amount),
                    "ep": digits(each.entry_price),
                    "bep": digits(each.entry_price),
                    "up": digits(each.unrealized_pnl),
                    "mt": "cross",
                    "iw": "0",
                    "ps": each.side,
                }
                for each in step.positions
            ],
        },
    }


def _order_trade_update(change: Change, now: int) -> Json:
    order, trade = change.order, change.trade
    said: Json = {
        "s": symbol_of(order.trading_pair),
        "c": order.client_id,
        "S": order.side,
        "o": type_of(order),
        "f": time_in_force_of(order),
        "q": digits(order.amount),
        "p": digits(order.price),
        "ap": digits(order.average_price),
        "sp": "0",
        "x": _EXECUTION[change.what],
        "X": status_of(order),
        "i": order.order_id,
        "l": digits(trade.amount if trade is not None else ZERO),
        "z": digits(order.filled),
        "L": digits(trade.price if trade is not None else ZERO),
        "T": milliseconds(order.updated_at),
        "t": trade.trade_id if trade is not None else 0,
        "b": "0",
        "a": "0",
        "m": trade.is_maker if trade is not None else False,
        "R": order.action == "CLOSE" and order.position_side == "BOTH",
        "wt": "CONTRACT_PRICE",
        "ot": type_of(order),
        "ps": order.position_side,
        "cp": False,
        "pP": False,
        "V": "EXPIRE_TAKER",
    }
    if trade is not None:
        said |= {"n": digits(trade.fee), "N": trade.fee_currency}
    return {"e": "ORDER_TRADE_UPDATE", "E": now, "T": now, "o": said}
