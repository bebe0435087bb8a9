"""One exchange object of ccxt made safe to trade with.

What ccxt raises becomes one of few errors that say what is known: nothing was sent, the venue said no, or nobody knows.
Nothing is sent twice, nothing leaves after its deadline, and while the venue has told us to wait nothing leaves at all.
Every number is a text with the digits of the venue, or a Decimal's digits on the way there; no float is between.
"""

import asyncio
import decimal
import importlib
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import structlog

from adapters.exchanges import names
from adapters.exchanges.connections import ATTEMPT, Attempt, Connections
from adapters.exchanges.guarded import TIMEOUT_SECONDS, UNREADABLE, exchange
from adapters.exchanges.names import Connector
from adapters.exchanges.refusals import (
    NotKnown,
    NotSent,
    Refused,
    Repeated,
    Unchanged,
    Unmade,
    WrongKeys,
    secrets_of,
    without_secrets,
    words,
)
from domain.errors import DomainError, Unavailable

__all__ = ["NotKnown", "NotSent", "Refused", "Repeated", "Unchanged", "Unmade", "VenueClient", "WrongKeys"]

logger = structlog.get_logger()

GOODBYE_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 3 * 24 * 3600.0
"""Binance bans an address for up to three days (Binance Spot docs, "Limits", 2026-03)."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_GUESS_SECONDS = 60.0

_LOST = re.compile(r"(?i)status unknown|timed? ?out|internal (server )?error|system (error|busy)|unexpected response")
_REPEATED = re.compile(r"(?i)duplicate|(already|been) (exists?|used)|not unique")

CLIENT_ERROR = 400
UNAUTHORIZED = 401
SERVER_ERROR = 500

# HTTP answers that leave open what became of the request, beside all of 500 and above.
_UNDECIDED = frozenset({408, 425, 499})
_BANNED = 418
_TURNED_AWAY = frozenset({418, 429})


class VenueClient:
    """One account on one venue, or the venue's public side where there are no credentials."""

    def __init__(
        self,
        connector: Connector,
        *,
        credentials: Mapping[str, object] | None = None,
        urls: Mapping[str, object] | None = None,
    ) -> None:
        """Make the exchange object; nothing is sent. `urls` is merged over ccxt's, for REST and WebSocket.

        Raises `Invalid` for credentials that do not fit the connector.
        """
        self.connector = connector
        config = names.credentials_for(connector, credentials)
        own = {key: value for key, value in config.items() if key not in {"options", "urls", "hostname"}}
        self._secrets = secrets_of(credentials or {}) | secrets_of(own)
        self._secrets |= secrets_of(config.get("options", {}).get("privateKey", ""))
        self._exchange = exchange(connector, config, urls or {})
        self._errors: Any = importlib.import_module("ccxt.base.errors")
        self.connections = Connections()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._wait_until = 0.0
        self._refusals = 0  # of the rate limit, one after the other
        self._clock_is_off = False
        self._setting_clock = asyncio.Lock()

    @property
    def exchange(self) -> Any:  # noqa: ANN401 - ccxt has no types that hold
        """The exchange object, for reading what it knows of the venue; requests go through `call` and `watch`."""
        return self._exchange

    def share(self, other: "VenueClient") -> None:
        """Use the markets that another client of the same connector has loaded, and its connections.

        The connections are those that this client has already where it has asked before.
        """
        if self._session is None:
            self.connections = other.connections
        self._exchange.set_markets_from_exchange(other.exchange)
        if "timeDifference" in other.exchange.options:
            self._exchange.options["timeDifference"] = other.exchange.options["timeDifference"]

    def has(self, capability: str) -> bool:
        """Whether ccxt offers something on this connector (`watchOrders`, `fetchMyTrades`)."""
        return capability not in self.connector.without and bool(self._exchange.has.get(capability))

    async def call(self, method: str, *args: object, deadline: float | None = None, **options: object) -> Any:  # noqa: ANN401
        """Call a REST method by ccxt's name (`fetch_balance`); `deadline` is on `time.monotonic()`.

        What has a deadline, and what places or cancels, waits behind no question.

        Raises `NotSent`, `Refused` or one of its kinds, or `Unavailable` when it is not known what the venue did.
        """
        self._check_wait()
        if self._clock_is_off:
            await self._set_clock()
        is_order = deadline is not None or method.startswith(("create_order", "cancel_order"))
        attempt = Attempt(self.connector.name, self._check_wait, deadline, is_order=is_order)
        return await self._attempt(method, args, options, attempt)

    async def watch(self, method: str, *args: object, **options: object) -> Any:  # noqa: ANN401
        """Wait for what a `watch_*` method of ccxt brings next. Raises as `call`."""
        self._check_wait()
        return await self._attempt(method, args, options, Attempt(self.connector.name, self._check_wait), stream=True)

    def forget_stream_keys(self) -> None:
        """Open the next streams with new keys: those at hand may be dead."""
        self._exchange.forget_stream_keys()

    async def drop_streams(self) -> None:
        """Close the streams, keys that they were opened with forgotten; who watches one raises, and may watch again."""
        self.forget_stream_keys()
        await self._exchange.close_ws_clients()

    async def close(self) -> None:
        """Close the streams and the connections that nobody shares; what waits raises `NotSent` or `Unavailable`."""
        self._closed = True
        session, self._session = self._session, None
        self._exchange.session = None
        try:
            await self._exchange.retire()
            await self._hang_up()
            await self._exchange.close()
        finally:
            if session is not None:
                await self.connections.close(session)

    async def _hang_up(self) -> None:
        """Close the streams; a venue that does not say goodbye in time is left."""
        goodbyes = [asyncio.create_task(stream.close()) for stream in (self._exchange.clients or {}).values()]
        self._exchange.clients = {}
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=GOODBYE_SECONDS)
            for goodbye in late:
                goodbye.cancel()
            await asyncio.gather(*goodbyes, return_exceptions=True)

    async def _attempt(
        self,
        method: str,
        args: tuple[object, ...],
        options: Mapping[str, object],
        attempt: Attempt,
        *,
        stream: bool = False,
    ) -> Any:  # noqa: ANN401
        self._open()
        token = ATTEMPT.set(attempt)
        failure: BaseException
        try:
            # ccxt changes the rounding of the decimal context that it runs in, and of every task that it starts there.
            with decimal.localcontext():
                async with attempt:
                    answer = await getattr(self._exchange, method)(*args, **options)
        except (self._errors.BaseError, OSError, aiohttp.ClientError, *UNREADABLE) as error:
            failure = error
        except asyncio.CancelledError as error:
            # ccxt cancels the futures of a stream that it closes; whoever cancels us must get what they asked for.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure = error
        else:
            if attempt.status:
                self._refusals = 0
            return answer
        finally:
            ATTEMPT.reset(token)
        # Outside of the handler, so that the error is no context of ours: ccxt's texts hold URLs with signatures.
        if stream and isinstance(failure, self._errors.ExchangeError) and attempt.status < SERVER_ERROR:
            # What a venue says on a stream is no answer to a request.
            raise self._kind(failure)(self._said(failure, attempt))
        raise self._translated(failure, method, attempt)

    def _open(self) -> None:
        if self._closed:
            raise NotSent(f"{self.connector.name} was not asked: its connections are closed")
        if self._session is None:
            self._session = self.connections.session()
            self._exchange.session = self._session

    def _check_wait(self) -> None:
        left = max(self._wait_until, self.connections.wait_until) - time.monotonic()
        if left > 0:
            raise NotSent(f"{self.connector.name} was not asked: it told us to wait for another {left:.1f} s")

    async def _set_clock(self) -> None:
        async with self._setting_clock:
            if self._clock_is_off:
                attempt = Attempt(self.connector.name, self._check_wait)
                await self._attempt("load_time_difference", (), {}, attempt)
                self._clock_is_off = False

    def _translated(self, failure: BaseException, method: str, attempt: Attempt) -> DomainError:
        """Return what is known, in the venue's words. Notes what the venue wants of us from now on."""
        errors, venue = self._errors, self.connector.name
        if isinstance(failure, TimeoutError) and attempt.gave_up:
            return NotSent(f"{venue} was not asked: the time in which this could be sent is over")
        said = self._said(failure, attempt)
        if attempt.status:
            return self._answered(failure, method, attempt, said)
        if attempt.may_have_left:
            return Unavailable(f"{venue} did not answer {method}: {said}")
        if isinstance(failure, errors.ExchangeError) and not isinstance(failure, errors.ExchangeClosedByUser):
            return self._kind(failure)(said)
        if isinstance(failure, UNREADABLE) and not isinstance(failure, OSError):
            # Nothing was asked and nothing answered: odd keys, or a fault of ours or of ccxt that has to be seen.
            logger.error("request_not_made", connector=venue, method=method, error=type(failure).__name__, why=said)
            return Unmade(f"{venue} was not asked: no request could be made for {method} ({said})")
        return NotSent(f"{venue} could not be reached: {said}")

    def _answered(self, failure: BaseException, method: str, attempt: Attempt, said: str) -> DomainError:
        """Return what an answer says. Only where the venue surely read the request and turned it down is it a no."""
        errors, status = self._errors, attempt.status
        places = method.startswith("create_")
        unclear = Unavailable(f"{self.connector.name} did not say what became of {method}: {said}")
        clock = isinstance(failure, errors.InvalidNonce) and not isinstance(failure, errors.ChecksumError)
        if clock:
            self._clock_is_off = "timeDifference" in self._exchange.options
        if status == UNAUTHORIZED and isinstance(failure, errors.DDoSProtection):
            # ccxt takes Binance's no to keys that it took before for a limit that will pass.
            return WrongKeys(said)
        hurried = isinstance(failure, (errors.RateLimitExceeded, errors.DDoSProtection)) and status < SERVER_ERROR
        if hurried or status in _TURNED_AWAY:
            self._note_wait(attempt)
        elif status >= SERVER_ERROR or status in _UNDECIDED or not isinstance(failure, errors.BaseError):
            return unclear
        if hurried or clock or status in _TURNED_AWAY:
            # It did not look at what was asked. An order is sent once, so that is its end; all else may be asked again.
            return (Refused if places else NotSent)(said)
        if isinstance(failure, errors.ExchangeNotAvailable):
            return Refused(said) if places and status >= CLIENT_ERROR else unclear
        if isinstance(failure, errors.OperationFailed):
            return unclear
        kind = self._kind(failure)
        if places and kind is Refused:
            # Not every venue has a number of its own for these.
            if _LOST.search(said):
                return unclear
            if _REPEATED.search(said):
                return Repeated(said)
        return kind(said)

    def _kind(self, failure: BaseException) -> type[Refused]:
        errors = self._errors
        for kind, refusal in (
            (errors.OrderNotFound, NotKnown),
            (errors.DuplicateOrderId, Repeated),
            ((errors.AuthenticationError, errors.PermissionDenied), WrongKeys),
            ((errors.NoChange, errors.MarginModeAlreadySet), Unchanged),
        ):
            if isinstance(failure, kind):
                return refusal
        return Refused

    def _said(self, failure: BaseException, attempt: Attempt) -> str:
        said = words(attempt.body) if attempt.body else None
        if said is None and attempt.status:
            said = f"HTTP {attempt.status} {attempt.reason}".strip()
        if said is None:
            said = str(failure).removeprefix(f"{self._exchange.id} ")
            if isinstance(failure, (self._errors.RequestTimeout, TimeoutError)):
                said = f"no answer within {TIMEOUT_SECONDS:g} s ({said})" if said else "time out"
        return without_secrets(said, self._secrets) or type(failure).__name__

    def _note_wait(self, attempt: Attempt) -> None:
        self._refusals += 1
        guess = min(FIRST_WAIT_SECONDS * 2 ** (self._refusals - 1), LONGEST_GUESS_SECONDS)
        wait = _told_wait(attempt.headers)
        wait = min(guess if wait is None else wait, LONGEST_WAIT_SECONDS)
        self._wait_until = max(self._wait_until, time.monotonic() + wait)
        if attempt.status == _BANNED:  # the address, so that it holds for whoever asks from here
            self.connections.wait_until = max(self.connections.wait_until, self._wait_until)
        logger.warning("venue_says_wait", connector=self.connector.name, status=attempt.status, seconds=wait)


def _told_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, which is a number or a date, None where there is none that can be read."""
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if told is None:
        return None
    with suppress(ValueError):
        return max(float(told), 0.0)
    with suppress(ValueError):
        return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    return None
