"""A venue that speaks OKX's v5 API, well enough that ccxt's own `okx` trades there with nothing but its URLs set.

It is the second dialect: sizes in contracts, fees with a minus, answers of HTTP 200 that refuse, cancels that are only
acknowledged, one word for canceled and expired. `okx_venue.py` says where it differs from OKX itself.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from aiohttp import web

from tests.venues import answering, okx_account, okx_market, okx_trade
from tests.venues.floor import Floor, Keys
from tests.venues.ledger import Market
from tests.venues.levers import Pull
from tests.venues.okx_answers import WORDS, Refusal, same, signature, timely
from tests.venues.okx_market import Args
from tests.venues.okx_streams import AccountSession, Session
from tests.venues.okx_ticks import MarketSession
from tests.venues.okx_trade import Call
from tests.venues.okx_venue import Venue
from tests.venues.outbox import Outbox, converse

API = "/api/v5"

Handler = Callable[[web.Request], Awaitable[web.Response]]
Streamer = Callable[[web.Request], Awaitable[web.WebSocketResponse]]

PUBLIC: Mapping[str, Callable[[Venue, Args], web.Response]] = {
    "public/time": okx_market.time,
    "public/instruments": okx_market.instruments,
    "public/mark-price": okx_market.mark_price,
    "public/funding-rate": okx_market.funding_rate,
    "public/funding-rate-history": okx_market.funding_rates,
    "market/books": okx_market.books,
    "market/ticker": okx_market.ticker,
    "market/tickers": okx_market.tickers,
    "market/trades": okx_market.trades,
    "market/history-trades": okx_market.trades,
    "market/candles": okx_market.candles,
    "market/history-candles": okx_market.candles,
}
"""What anybody may get."""

PRIVATE: Mapping[tuple[str, str], tuple[str, Callable[[Call], web.Response]]] = {
    ("GET", "account/config"): ("settings", okx_account.configuration),
    ("GET", "account/balance"): ("balances", okx_account.balance),
    ("GET", "account/positions"): ("positions", okx_account.positions),
    ("GET", "account/leverage-info"): ("settings", okx_account.leverage),
    ("POST", "account/set-leverage"): ("settings", okx_account.set_leverage),
    ("POST", "account/set-position-mode"): ("settings", okx_account.set_mode),
    ("GET", "account/bills"): ("trades", okx_account.bills),
    ("GET", "account/bills-archive"): ("trades", okx_account.bills),
    ("GET", "account/trade-fee"): ("settings", okx_account.fees),
    ("GET", "asset/currencies"): ("settings", okx_account.currencies),
    ("POST", "trade/order"): ("place", okx_trade.place),
    ("POST", "trade/batch-orders"): ("place", okx_trade.place_several),
    ("POST", "trade/cancel-order"): ("cancel", okx_trade.cancel),
    ("POST", "trade/cancel-batch-orders"): ("cancel", okx_trade.cancel_several),
    ("GET", "trade/order"): ("order", okx_trade.details),
    ("GET", "trade/orders-pending"): ("orders", okx_trade.pending),
    ("GET", "trade/orders-history"): ("orders", okx_trade.history),
    ("GET", "trade/orders-history-archive"): ("orders", okx_trade.history),
    ("GET", "trade/fills"): ("trades", okx_trade.fills),
    ("GET", "trade/fills-history"): ("trades", okx_trade.fills),
}
"""What an account may do, and the levers' word for it."""


class Words:
    """How OKX says that something went wrong; what is wrong with an order stands inside `data`."""

    def __init__(self, on: str) -> None:
        """Speak of what was asked for."""
        self._bulk = on in {"place", "cancel"}

    def refused(self, pull: Pull) -> web.Response:
        """Say the code and the message that a lever has."""
        code = str(pull.code)
        words = pull.message or WORDS.get(code, "")
        if self._bulk:
            row = {"ordId": "", "clOrdId": "", "sCode": code, "sMsg": words}
            return web.json_response({"code": "1", "msg": WORDS["1"], "data": [row]})
        return web.json_response({"code": code, "msg": words, "data": []})

    def limited(self, pull: Pull) -> web.Response:
        """Say that there were too many requests."""
        return web.json_response(Refusal("50011").row(), status=pull.status)

    def down(self, pull: Pull) -> web.Response:
        """Say that the venue is out of order, which says nothing of what it did."""
        code = str(pull.code or "50026")
        return web.json_response(Refusal(code, pull.message).row(), status=pull.status)


def urls(address: str) -> Mapping[str, Mapping[str, object]]:
    """Return connector → what is merged over ccxt's `urls`."""
    return {
        connector: {
            "api": {"rest": f"http://{address}/okx/{market}", "ws": f"ws://{address}/okx/{market}/ws/v5"},
        }
        for connector, market in (("okx", Market.SPOT), ("okx_perpetual", Market.SWAP))
    }


def routes(floor: Floor) -> Sequence[web.RouteDef]:
    """Return all routes, once for each market."""
    venue = Venue(floor)
    return [route for market in Market for route in _routes(venue, market)]


def _routes(venue: Venue, market: Market) -> list[web.RouteDef]:
    prefix = f"/okx/{market}"

    def stream(session: Callable[[Outbox], Session]) -> Streamer:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            sessions: dict[Outbox, Session] = {}

            def opened(outbox: Outbox) -> None:
                sessions[outbox] = session(outbox)

            def heard(outbox: Outbox, words: str) -> None:
                sessions[outbox].heard(words)

            return await converse(request, venue.floor.levers, heard, opened=opened)

        return handle

    account_stream = stream(partial(AccountSession, venue, market))
    market_stream = stream(partial(MarketSession, venue))

    return [
        *(web.get(f"{prefix}{API}/{path}", _public(venue, work)) for path, work in PUBLIC.items()),
        *(
            web.route(method, f"{prefix}{API}/{path}", _private(venue, market, prefix, on, work))
            for (method, path), (on, work) in PRIVATE.items()
        ),
        web.get(f"{prefix}/ws/v5/private", account_stream),
        web.get(f"{prefix}/ws/v5/public", market_stream),
        web.get(f"{prefix}/ws/v5/business", market_stream),
    ]


def _public(venue: Venue, work: Callable[[Venue, Args], web.Response]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        done = partial(_done, work, venue, request.query)
        return await answering.answer(request, done, venue.floor.levers, Words("public"), on="public", account=None)

    return handle


def _private(venue: Venue, market: Market, prefix: str, on: str, work: Callable[[Call], web.Response]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        words = await request.text()
        body = json.loads(words) if words else None
        if on == "place":
            _arrived(venue, body)
        try:
            keys = _keys(venue, request, prefix, words)
        except Refusal as refused:
            return web.json_response(refused.row(), status=refused.status)
        done = partial(_done, work, Call(venue=venue, keys=keys, market=market, args=request.query, body=body))
        return await answering.answer(request, done, venue.floor.levers, Words(on), on=on, account=keys.account)

    return handle


def _done(work: Callable[..., web.Response], *args: object) -> web.Response:
    """Do what a request asks for, or say why not."""
    try:
        return work(*args)
    except Refusal as refused:
        return web.json_response(refused.row(), status=refused.status)


def _arrived(venue: Venue, body: object) -> None:
    """Note every order that came in, whatever becomes of it."""
    for order in body if isinstance(body, list) else [body]:
        if isinstance(order, dict) and order.get("clOrdId"):
            venue.ledger.arrived(str(order["clOrdId"]))


def _keys(venue: Venue, request: web.Request, prefix: str, body: str) -> Keys:
    """Return the keys that signed a request. Raises `Refusal`."""
    headers = request.headers
    shown = headers.get("OK-ACCESS-KEY", "")
    if not shown:
        raise Refusal("50103", status=401)
    keys = venue.floor.opened_by(shown)
    if keys is None:
        raise Refusal("50111", status=401)
    timely(headers, venue.now())
    if not same(headers.get("OK-ACCESS-PASSPHRASE", ""), keys.passphrase):
        raise Refusal("50105", status=401)
    signed = f"{headers['OK-ACCESS-TIMESTAMP']}{request.method}{request.raw_path.removeprefix(prefix)}{body}"
    if not same(headers.get("OK-ACCESS-SIGN", ""), signature(keys.secret, signed)):
        raise Refusal("50113", status=401)
    return keys
