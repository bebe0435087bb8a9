"""Connections to venues on which it is known whether a request has left.

ccxt sends through aiohttp. The connector here lets a request through when its connection stands, looks at its deadline
then, and notes that bytes are about to go: before that note nothing has left this process.
"""

import asyncio
import functools
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Self

import aiohttp
import certifi
from aiohttp.client import ClientTimeout
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from adapters.exchanges.refusals import NotSent


class Attempt:
    """How far a call has come: whether the request at hand may have left, and what was answered to it.

    `status`, `headers` and `body` are those of the last answer, `status` 0 while there is none.
    """

    def __init__(
        self, venue: str, check: Callable[[], None], deadline: float | None = None, *, is_order: bool = False
    ) -> None:
        """Begin with nothing sent; nothing leaves after `deadline` (`time.monotonic()`).

        `check` raises `NotSent` while nothing is to be sent to the venue at all. What `is_order` (or takes one back)
        waits for its turn behind its like alone.
        """
        self.is_order = is_order
        self._venue = venue
        self._check = check
        self._deadline = deadline
        self._scope = asyncio.timeout(None if deadline is None else deadline - time.monotonic())
        self.may_have_left = False
        self.status = 0
        self.reason = ""
        self.headers: Mapping[str, str] = {}
        self.body = ""

    async def __aenter__(self) -> Self:
        """Give up when the deadline comes before the request has left."""
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise `TimeoutError` for what was given up."""
        await self._scope.__aexit__(kind, error, trace)

    @property
    def gave_up(self) -> bool:
        """Whether the deadline came first."""
        return self._scope.expired()

    def begin(self) -> None:
        """Begin another request of the same call. Raises `NotSent` while nothing is to be sent."""
        self.may_have_left = False
        self.status, self.reason, self.headers, self.body = 0, "", {}, ""
        # The call may have waited for its turn, and the venue may have asked for quiet meanwhile.
        self._check()

    def leave(self) -> None:
        """Let the request leave now. Raises `NotSent` after the deadline."""
        if self._deadline is not None:
            if self._scope.expired() or time.monotonic() >= self._deadline:
                raise NotSent(f"{self._venue} was not asked: the time in which this could be sent is over")
            # What has left is waited for: whoever gave up now would not know what became of it.
            self._scope.reschedule(None)
        self.may_have_left = True

    def answered(self, status: int, reason: str, headers: Mapping[str, str], body: str) -> None:
        """Note an answer."""
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")
"""The attempt that the running task makes."""


class _Connector(aiohttp.TCPConnector):
    """Hands out connections; whoever gets one writes to it at once."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109
        connection = await super().connect(req, traces, timeout)
        attempt = ATTEMPT.get(None)
        if attempt is not None:
            try:
                attempt.leave()
            except NotSent:
                connection.release()
                raise
        return connection


@functools.cache
def _tls() -> ssl.SSLContext:
    # One for all venues: the list of authorities takes half a megabyte and 10 ms each time that it is read.
    return ssl.create_default_context(cafile=certifi.where())


class Connections:
    """The connections of one venue, for all clients that share them; closed with the last of these."""

    def __init__(self) -> None:
        """Begin with no connection and no client.

        Until `wait_until` (`time.monotonic()`) the venue bans this address.
        """
        self.wait_until = 0.0
        self._users = 0
        self._connector: _Connector | None = None

    def session(self) -> aiohttp.ClientSession:
        """Return a session of its own for one more client."""
        if self._connector is None or self._connector.closed:
            # ccxt's throttle is the limit; a stream holds its connection for as long as it lives.
            self._connector = _Connector(limit=0, ssl=_tls(), enable_cleanup_closed=False)
        self._users += 1
        session = aiohttp.ClientSession(
            connector=self._connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        # A request that may have been read is never sent again, be its method idempotent or not.
        session._retry_connection = False  # noqa: SLF001 - aiohttp has no setting for it
        return session

    async def close(self, session: aiohttp.ClientSession) -> None:
        """Close a session, and the connections when it was the last one."""
        await session.close()
        self._users -= 1
        if not self._users and self._connector is not None:
            await self._connector.close()
            self._connector = None
