"""Who may ask a Binance-like venue for what: keys, signatures, the clock, and Binance's words for every refusal.

Source: Binance Spot API docs, "Request security" and "Errors"; USDⓈ-M Futures docs, "Error Codes" (2026-03).
"""

import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from domain.values import Json, split_pair
from tests.venues.answering import answer
from tests.venues.binance_words import milliseconds, symbol_of
from tests.venues.desk import Desk
from tests.venues.floor import Floor, Keys
from tests.venues.ledger import Market
from tests.venues.levers import Pull
from tests.venues.steps import Refusal, Why

_KEY_LENGTH = 64
_WINDOW_MS = 5000
_AHEAD_MS = 1000

_REFUSALS: Mapping[Market, Mapping[Why, tuple[int, str]]] = {
    Market.SPOT: {
        Why.FUNDS: (-2010, "Account has insufficient balance for requested action."),
        Why.WOULD_TAKE: (-2010, "Order would immediately match and take."),
        Why.REPEATED_ID: (-2010, "Duplicate order sent."),
        Why.PRICE_STEP: (-1013, "Filter failure: PRICE_FILTER"),
        Why.AMOUNT_STEP: (-1013, "Filter failure: LOT_SIZE"),
        Why.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
        Why.UNKNOWN_PAIR: (-1121, "Invalid symbol."),
        Why.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    },
    Market.SWAP: {
        Why.FUNDS: (-2019, "Margin is insufficient."),
        Why.WOULD_TAKE: (
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        ),
        Why.NOTHING_TO_REDUCE: (-2022, "ReduceOnly Order is rejected."),
        Why.REPEATED_ID: (-4116, "ClientOrderId is duplicated."),
        Why.PRICE_STEP: (-4014, "Price not increased by tick size."),
        Why.AMOUNT_STEP: (-1111, "Precision is over the maximum defined for this asset."),
        Why.NOTIONAL: (-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
        Why.UNKNOWN_PAIR: (-1121, "Invalid symbol."),
        Why.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    },
}
UNKNOWN_PATH = (-5000, "Path is invalid")
UNAUTHORIZED = frozenset({-2014, -2015})


class Denied(Exception):
    """What Binance answers instead of doing it."""

    def __init__(self, code: int, words: str) -> None:
        """Give Binance's code and words."""
        super().__init__(words)
        self.code = code
        self.words = words


class Ask(msgspec.Struct, kw_only=True):
    """One request, its parameters read one by one. Of a public one the account is empty."""

    floor: Floor
    market: Market
    account: str
    params: Mapping[str, str]

    @property
    def desk(self) -> Desk:
        """The market that was asked."""
        return self.floor.desk(self.market)

    def text(self, name: str) -> str:
        """Return a parameter. Raises `Denied` when it is missing."""
        value = self.params.get(name)
        if not value:
            raise Denied(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def number(self, name: str) -> int | None:
        """Return an integer, None when it was not sent. Raises `Denied`."""
        value = self.params.get(name)
        if value is None:
            return None
        if not value.lstrip("-").isdecimal():
            raise Denied(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def decimal(self, name: str) -> Decimal:
        """Return an amount or a price, as digits with a point and nothing else. Raises `Denied`."""
        value = self.text(name)
        try:
            if value.replace(".", "", 1).isdecimal():
                return Decimal(value)
        except InvalidOperation:
            pass
        raise Denied(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'.",
        )

    def pair(self) -> str:
        """Return the pair of the symbol. Raises `Denied` for one that is not traded."""
        return pair_of(self.desk, self.text("symbol"))

    def pair_if_any(self) -> str | None:
        """Return the pair of the symbol, None when it was not sent. Raises `Denied`."""
        return self.pair() if self.params.get("symbol") else None


Handler = Callable[[Ask], object]
"""Does what was asked and returns what JSON is made of. Raises `Denied` or `Refusal`."""


class Route(msgspec.Struct, frozen=True):
    """One endpoint. `on` is the levers' word for it; `signed` needs a signature, else `keyed` needs an API key."""

    method: str
    path: str
    handler: Handler
    on: str = "public"
    signed: bool = False
    keyed: bool = False


def pair_of(desk: Desk, symbol: str) -> str:
    """Return the pair of a symbol (`BTCUSDT`). Raises `Denied` for one that is not traded."""
    for pair in desk.rules:
        if symbol_of(pair) == symbol.upper():
            return pair
    raise Denied(-1121, "Invalid symbol.")


def quote_of(trading_pair: str) -> str:
    """Return the token that a pair is priced in."""
    return split_pair(trading_pair)[1]


def denial(refusal: Refusal, market: Market) -> Denied:
    """Return the venue's refusal in Binance's words."""
    return Denied(*_REFUSALS[market].get(refusal.why, (-1106, str(refusal))))


def key_holder(floor: Floor, api_key: str | None) -> Keys:
    """Return the keys that a client showed. Raises `Denied`."""
    if api_key is None or len(api_key) != _KEY_LENGTH:
        raise Denied(-2014, "API-key format invalid.")
    keys = floor.opened_by(api_key)
    if keys is None:
        raise Denied(-2015, "Invalid API-key, IP, or permissions for action.")
    return keys


def check_signature(keys: Keys, payload: str, signature: str) -> None:
    """Check what was signed. Raises `Denied`."""
    right = hmac.new(keys.secret.encode(), payload.encode(), sha256).hexdigest()
    if not hmac.compare_digest(right, signature):
        raise Denied(-1022, "Signature for this request is not valid.")


def check_clock(floor: Floor, params: Mapping[str, str]) -> None:
    """Check that a request is neither too old nor from the future. Raises `Denied`."""
    sent = params.get("timestamp", "")
    if not sent.isdecimal():
        raise Denied(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    now = milliseconds(floor.now())
    window = params.get("recvWindow", str(_WINDOW_MS))
    if int(sent) >= now + _AHEAD_MS:
        raise Denied(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - int(sent) > Decimal(window):
        raise Denied(-1021, "Timestamp for this request is outside of the recvWindow.")


class BinanceWording:
    """How Binance says that something went wrong."""

    def refused(self, pull: Pull) -> web.Response:
        """Say the code and the message that a lever has."""
        return _denied(Denied(int(pull.code), pull.message))

    def limited(self, pull: Pull) -> web.Response:
        """Say that there were too many requests."""
        status = pull.status if pull.status in {418, 429} else 429
        words = "Too many requests; current limit of IP is 6000 requests per minute."
        if status == 418:
            words = "Way too many requests; IP banned. Please use the websocket for live updates to avoid bans."
        return web.json_response({"code": -1003, "msg": words}, status=status)

    def down(self, pull: Pull) -> web.Response:
        """Say that the venue is out of order: by a 503 of its own, which says no more, or by whatever stands before."""
        if pull.status == 503:
            words = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
            return web.json_response({"code": -1007, "msg": words}, status=503)
        page = f"<html><body><h1>{pull.status}</h1></body></html>"
        return web.Response(text=page, content_type="text/html", status=pull.status)


_WORDING = BinanceWording()


def served(floor: Floor, market: Market, prefix: str, route: Route) -> web.RouteDef:
    """Return an endpoint under a prefix, as the web server takes it."""

    async def handle(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        raw = request.rel_url.raw_query_string + body
        payload, _, signature = raw.rpartition("&signature=") if route.signed else (raw, "", "")
        params = dict(parse_qsl(payload, keep_blank_values=True))
        account = ""
        try:
            if route.signed or route.keyed:
                keys = key_holder(floor, request.headers.get("X-MBX-APIKEY"))
                account = keys.account
                if route.signed:
                    check_signature(keys, payload, signature)
        except Denied as denied:
            return _denied(denied)
        if route.on == "place":
            floor.ledger.arrived(params.get("newClientOrderId", ""))
        ask = Ask(floor=floor, market=market, account=account, params=params)

        def work() -> web.Response:
            try:
                if route.signed:
                    check_clock(floor, params)
                return web.json_response(route.handler(ask))
            except Refusal as refusal:
                return _denied(denial(refusal, market))
            except Denied as denied:
                return _denied(denied)

        return await answer(request, work, floor.levers, _WORDING, on=route.on, account=account or None)

    return web.route(route.method, prefix + route.path, handle)


def unknown_path(prefix: str) -> web.RouteDef:
    """Return what answers everything else under a prefix: loud, so that a call that is not served is seen."""

    async def handle(request: web.Request) -> web.Response:
        code, words = UNKNOWN_PATH
        said: Json = {"code": code, "msg": f"{words}: {request.method} {request.path}"}
        return web.json_response(said, status=404)

    return web.route("*", prefix + "/{rest:.*}", handle)


def _denied(denied: Denied) -> web.Response:
    status = 401 if denied.code in UNAUTHORIZED else 400
    return web.json_response({"code": denied.code, "msg": denied.words}, status=status)
