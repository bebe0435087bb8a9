"""One stream of ccxt: waited for without a gap, and left when nobody wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from adapters.market_data.public_clients import PublicClient
from domain.errors import DomainError

logger = structlog.get_logger()

_CAPABILITY = {"un_watch_order_book": "unWatchOrderBook", "un_watch_trades": "unWatchTrades"}


class Stream:
    """One stream of ccxt. While it is read the next wait is on already, so that nothing passes unheard."""

    def __init__(self, watch: Callable[[], Awaitable[Any]]) -> None:
        self.is_open = False  # it was waited for, and has not broken since
        self._watch = watch
        self._waiting: asyncio.Future[Any] | None = None

    async def next(self) -> Any:  # noqa: ANN401
        """Return what it says next."""
        waiting = self._wait()
        await asyncio.wait([waiting])
        return self._said(waiting)

    async def next_or(self, ask: Callable[[], Awaitable[Any]], seconds: float) -> Any:  # noqa: ANN401
        """Return what it says next; when it has said nothing for so long, ask, and return what comes first."""
        waiting = self._wait()
        await asyncio.wait([waiting], timeout=seconds)
        if waiting.done():
            return self._said(waiting)
        asking = asyncio.ensure_future(ask())
        try:
            await asyncio.wait([waiting, asking], return_when=asyncio.FIRST_COMPLETED)
            return self._said(waiting) if waiting.done() else asking.result()
        finally:
            await _dropped(asking)

    async def leave(self) -> None:
        """Wait for nothing any more."""
        if self._waiting is not None:
            await _dropped(self._waiting)

    def _wait(self) -> asyncio.Future[Any]:
        self.is_open = True
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._watch())
        return self._waiting

    def _said(self, waiting: asyncio.Future[Any]) -> Any:  # noqa: ANN401
        self._waiting = None
        try:
            said = waiting.result()
        except DomainError:
            self.is_open = False
            raise
        self._waiting = asyncio.ensure_future(self._watch())
        return said


async def _dropped(future: asyncio.Future[Any]) -> None:
    """Wait for nothing any more; how it failed just before that is of no interest."""
    future.cancel()
    await asyncio.wait([future])
    if not future.cancelled():
        future.exception()


@asynccontextmanager
async def stream_of(
    client: PublicClient, method: str, leave: str, symbol: str, leave_seconds: float
) -> AsyncIterator[Stream]:
    """Give the stream of a symbol, and unsubscribe when it is left: it is to begin with a new snapshot next time."""
    stream = Stream(lambda: client.watch(method, symbol))
    try:
        yield stream
    finally:
        try:
            if stream.is_open:
                await _unwatch(client, leave, symbol, leave_seconds)
        finally:
            await stream.leave()


async def _unwatch(client: PublicClient, method: str, symbol: str, leave_seconds: float) -> None:
    if not client.has(_CAPABILITY[method]):
        return
    try:
        async with asyncio.timeout(leave_seconds):
            await client.watch(method, symbol)
    except (DomainError, TimeoutError) as reason:
        # The stream goes on unheard until the connection is closed, with the last feed of the connector.
        logger.warning("stream_not_left", method=method, symbol=symbol, why=str(reason))
