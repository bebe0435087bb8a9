"""ccxt's exchange objects with the wire in our hands.

Each keeps the digits of numbers, tells every answer to the running attempt, sends nothing while nothing is to be sent,
names no broker, and does nothing on the user's behalf that nobody asked for.
"""

import asyncio
import functools
import importlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from adapters.exchanges.ccxt_lazily import exchange_class, install
from adapters.exchanges.connections import ATTEMPT
from adapters.exchanges.names import Connector
from adapters.exchanges.refusals import decoded
from adapters.exchanges.throttle import Throttle

logger = structlog.get_logger()

TIMEOUT_SECONDS = 10.0
NO_CONTENT = 204

# What reading an odd answer raises inside of ccxt.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# Headers by which ccxt names itself to venues as the broker of the user's orders.
_BROKER_HEADERS = frozenset({
    "referer", "x-channel-api-code", "x-source-key", "source", "x-gate-channel-id", "kc-api-partner",
    "kc-api-partner-sign", "kc-api-partner-verify", "kc-broker-name",
})  # fmt: skip

# Binance Spot docs, "User Data Stream"; USDⓈ-M Futures docs, "User Data Stream Expired" (2026-03).
_FAREWELLS = frozenset({"eventStreamTerminated", "listenKeyExpired"})

# ccxt logs headers and bodies, keys and signatures included, to whoever turns on debugging for all loggers.
_silent = logging.getLogger("ccxt.silent")
_silent.disabled = True


def exchange(connector: Connector, config: Mapping[str, Any], urls: Mapping[str, object]) -> Any:  # noqa: ANN401
    """Return the exchange object for a connector, with everything off that ccxt would do by itself."""
    made = _guarded(connector.exchange_id)(
        {
            **config,
            "number": str,
            "userAgent": "nectar",
            "timeout": int(TIMEOUT_SECONDS * 1000),
            "timeout_on_exit": 0,
            "enableRateLimit": True,
            "enableLastHttpResponse": False,
            "enableLastResponseHeaders": False,
            "logger": _silent,
            "ssl_context": False,  # the session has its own
            "options": {**_options(connector), **config.get("options", {})},
        }
    )
    made.own_session = False
    made.dialing = set()
    if connector.order_milliseconds is not None:
        made.order_cost, made.orders_throttler = 1.0, Throttle(connector.order_milliseconds)
    for method in connector.muted:
        setattr(made, method, _nothing)
    if connector.wallet_from_key and made.privateKey:
        made.walletAddress = made.eth_get_address_from_private_key(made.privateKey)
    # Deposits and withdrawals are not ours, and many venues give currencies only for keys that may do these.
    made.has["fetchCurrencies"] = False
    for key, value in made.options.get("broker", {}).items() if isinstance(made.options.get("broker"), dict) else ():
        made.options["broker"][key] = "" if isinstance(value, str) else value
    made.options["partner"] = {}
    if connector.sandbox:
        made.set_sandbox_mode(True)
    made.urls = made.deep_extend(made.urls, urls)
    return made


def _options(connector: Connector) -> dict[str, Any]:
    perpetual = connector.market == "swap"
    linear: dict[str, Any] = {"defaultSubType": "linear"} if perpetual else {}
    return {
        **linear,
        "defaultType": connector.market,
        "adjustForTimeDifference": True,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "fetchMargins": False,
        "maxRetriesOnFailure": 0,
        "brokerId": None,
        # Positions are asked for by us; ccxt's own first question for them reads its numbers as floats.
        "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        **({"fetchMarkets": types} if (types := _market_types(connector)) else {}),
    }


def _market_types(connector: Connector) -> dict[str, Any] | None:
    """Return what to load of a venue's markets, where ccxt would load more, in each exchange's own words for it."""
    perpetual = connector.market == "swap"
    match connector.exchange_id:
        case "binance" | "binanceus" | "binanceusdm" | "bybit" | "bitrue":
            return {"types": ["linear"] if perpetual else ["spot"]}
        case "okx" | "gate" | "kucoin" | "kucoinfutures" | "bitget" | "hyperliquid":
            return {"types": ["swap"] if perpetual else ["spot"]}
        case "htx":
            return {"types": {"spot": not perpetual, "linear": perpetual, "inverse": False}}
        case _:
            return None


def _is_farewell(message: object) -> bool:
    """Whether a venue says that a stream that stays open will bring nothing any more; ccxt passes over it."""
    if not isinstance(message, dict):
        return False
    event = message.get("event") or message.get("data") or message
    return isinstance(event, dict) and event.get("e") in _FAREWELLS


async def _nothing(*_: object, **__: object) -> bool:
    return True


class _Retiring:
    """What ccxt runs beside its callers ends with the exchange object: nobody would close what it opens later."""

    id: str
    options: dict[str, Any]
    dialing: set[asyncio.Task[None]]
    is_retired = False

    def open(self, *how: object) -> None:
        """Be ready to ask. Raises ccxt's `ExchangeClosedByUser` after the end."""
        if self.is_retired:
            raise importlib.import_module("ccxt.base.errors").ExchangeClosedByUser(f"{self.id} is closed")
        super().open(*how)  # type: ignore[misc]

    def dial(self, connect: Callable[..., Coroutine[Any, Any, None]], *how: object) -> asyncio.Task[None]:
        """Begin to open a stream's socket; it is known until it stands."""
        task = asyncio.get_running_loop().create_task(connect(*how))
        self.dialing.add(task)
        task.add_done_callback(self.dialing.discard)
        return task

    def forget_stream_keys(self) -> None:
        """Forget the keys that streams were opened with: the next ones are opened with new keys."""
        for kept in self.options.values():
            if isinstance(kept, dict) and "listenKey" in kept:
                kept |= {"listenKey": None, "lastAuthenticatedTime": 0}

    async def retire(self) -> None:
        """Open nothing any more, and give up the sockets that do not stand yet."""
        self.is_retired = True
        dialing = {task for task in self.dialing if task.cancel()}
        if dialing:
            await asyncio.wait(dialing)


def _costed(original: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Return an exchange's method for what a request costs: some compare what they read, which texts do not allow."""

    def calculate_rate_limiter_cost(self: Any, *arguments: object, **named: object) -> Any:  # noqa: ANN401
        exact, self.number = self.number, float
        try:
            return original.calculate_rate_limiter_cost(self, *arguments, **named)
        finally:
            self.number = exact

    return calculate_rate_limiter_cost


async def _throttle(self: Any, cost: float | None = None) -> None:  # noqa: ANN401
    """Wait for the turn of a request. Venues count orders apart, so none waits behind our questions."""
    attempt = ATTEMPT.get(None)
    if attempt is not None and attempt.is_order:
        await self.orders_throttler(self.order_cost or cost)
    else:
        await self.throttler(cost)


@functools.cache
def _guarded(exchange_id: str) -> Any:  # noqa: ANN401
    """Return ccxt's class of an exchange with the wire in our hands."""
    install()
    original: Any = exchange_class(exchange_id)
    errors = importlib.import_module("ccxt.base.errors")

    def handle(exchange: Any, client: Any, data: str | bytes) -> None:  # noqa: ANN401
        """Take in one message of a stream; one that cannot be read ends the stream, loudly."""
        try:
            text = data.decode() if client.decompressBinary and isinstance(data, bytes) else data
            message = decoded(text) if text[:1] in {"{", "["} else text
            if _is_farewell(message):
                exchange.forget_stream_keys()
                client.on_error(errors.NetworkError("the venue ended the stream"))
                return
            client.on_message_callback(client, message)
        except (errors.BaseError, *UNREADABLE) as error:
            # Without this the stream would stay open and bring nothing any more.
            logger.warning("stream_message_unreadable", exchange=exchange_id, error=type(error).__name__)
            client.on_error(errors.NetworkError(f"a message could not be read: {type(error).__name__}"))

    class Guarded(_Retiring, original):  # type: ignore[misc]
        """The exchange, with exact numbers, without brokers, and with each answer noted in the running attempt."""

        on_json_response = staticmethod(decoded)
        order_cost: float | None = None  # of each order, where it is not ccxt's

        def init_throttler(self, _: float | None = None) -> None:
            self.throttler, self.orders_throttler = Throttle(self.rateLimit), Throttle(self.rateLimit)

        calculate_rate_limiter_cost = _costed(original)

        throttle = _throttle

        async def fetch(
            self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
        ) -> Any:  # noqa: ANN401
            attempt = ATTEMPT.get(None)
            if attempt is not None:
                attempt.begin()
            answer = await super().fetch(url, method, headers, body)
            # ccxt makes an order without any field of a page that a proxy sent instead of the venue's answer.
            if isinstance(answer, (str, bytes)) and (attempt is None or attempt.status != NO_CONTENT):
                try:
                    decoded(answer)
                except ValueError:
                    raise errors.BadResponse("the answer cannot be read") from None
            return answer

        def prepare_request_headers(self, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
            prepared = super().prepare_request_headers(headers)
            return {name: value for name, value in prepared.items() if name.lower() not in _BROKER_HEADERS}

        def on_rest_response(  # noqa: PLR0917 - as ccxt calls it
            self, status: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *rest: object
        ) -> str:
            attempt = ATTEMPT.get(None)
            if attempt is not None:
                attempt.answered(status, reason or "", headers, body)
            text: str = super().on_rest_response(status, reason, url, method, headers, body, *rest)
            return text

        def client(self, url: str) -> Any:  # noqa: ANN401
            is_new = url not in (self.clients or {})
            client = super().client(url)
            if is_new:
                client.handle_text_or_binary_message = functools.partial(handle, self, client)
                client.open = functools.partial(self.dial, client.open)
            return client

    # ccxt looks for its endpoints' methods and for its parents by the name of the class.
    Guarded.__name__, Guarded.__qualname__ = original.__name__, original.__qualname__
    return Guarded
