"""Ask sources of prices again and again, for as long as somebody wants to know.

A source that nobody has asked about for a while is left: its connections are closed until the next question. One that
is away is asked again with growing pauses, and everybody is told at once what is known, how old that is, and why it is
not newer. Prices that are too old are no prices any more.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Protocol

import msgspec
import structlog

from commands.ports import Spawn
from domain.errors import DomainError
from domain.rates import SOURCES, Prices, SourcePrices

logger = structlog.get_logger()

NOTHING = Prices({})


class Source(Protocol):
    """Somewhere to take prices from."""

    @property
    def every_seconds(self) -> float:
        """How often it may be asked."""
        ...

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of every pair, quote per base. Raises a `DomainError` where it does not tell them."""
        ...

    async def close(self) -> None:
        """Close the connections, for good."""
        ...


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long sources are waited for, in seconds."""

    idle: float = 60.0
    """A source that nobody asks about is asked for so long."""
    stale: float = 300.0
    """Prices count for so long."""
    retry: float = 1.0
    """After a failure, and twice as long after each further one, up to `longest_retry`."""
    longest_retry: float = 30.0


USUAL = Patience()


class PolledSources:
    """Implements `read_api.ports.RateSources` over sources that are each made when somebody asks about them."""

    def __init__(
        self,
        make: Callable[[str], Source],
        *,
        spawn: Spawn,
        patience: Patience = USUAL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with no source asked.

        `make` makes one by its name, anew each time that it is connected to; `spawn` runs what asks it.
        """
        self._make = make
        self._spawn = spawn
        self._patience = patience
        self._monotonic = monotonic
        self._polled: dict[str, _Polled] = {}

    async def prices(self, source: str, *, wait_seconds: float) -> SourcePrices:
        """Return what a source last said; waits where nobody has asked about it for a while."""
        polled = self._polled.get(source)
        if polled is None:
            if source not in SOURCES:
                return SourcePrices(prices=NOTHING, problem=f"This server has no rate source '{source}'")
            polled = self._polled[source] = _Polled(source, self._make, self._patience, self._monotonic)
            self._spawn(polled.run())
        return await polled.prices(wait_seconds)


class _Polled:
    """One source, and what it said last."""

    def __init__(
        self, name: str, make: Callable[[str], Source], patience: Patience, monotonic: Callable[[], float]
    ) -> None:
        self._name = name
        self._make = make
        self._patience = patience
        self._monotonic = monotonic
        self._asked_at = 0.0
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()  # since somebody wants to know, the source was asked at least once
        self._prices = NOTHING
        self._seen_at: float | None = None
        self._problem: str | None = None

    async def prices(self, wait_seconds: float) -> SourcePrices:
        """Return what the source last said, after the first try if nobody wanted to know before."""
        self._asked_at = self._monotonic()
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._tried.wait()
        age = None if self._seen_at is None else self._monotonic() - self._seen_at
        if age is None or age > self._patience.stale:
            return SourcePrices(prices=NOTHING, problem=self._problem or f"{self._name} has not answered yet")
        return SourcePrices(prices=self._prices, age_seconds=age, problem=self._problem)

    async def run(self) -> None:
        """Ask while somebody wants to know, until canceled."""
        while True:
            await self._wanted.wait()
            source = self._make(self._name)
            try:
                await self._poll(source)
            finally:
                await source.close()

    async def _poll(self, source: Source) -> None:
        failures = 0
        while self._monotonic() - self._asked_at <= self._patience.idle:
            began = self._monotonic()
            try:
                self._prices = Prices(await source.prices())
            except DomainError as reason:
                failures += 1
                self._problem = reason.message
                if failures == 1:
                    logger.warning("rate_source_away", source=self._name, why=reason.message)
            except Exception:
                # Rates are no part of trading: what a source's answer breaks must not stop the server.
                failures += 1
                self._problem = f"{self._name} answered what cannot be read"
                if failures == 1:
                    logger.exception("rate_source_failed", source=self._name)
            else:
                failures = 0
                self._seen_at, self._problem = began, None
            self._tried.set()
            await asyncio.sleep(self._pause(source, failures))
        self._wanted.clear()
        self._tried.clear()

    def _pause(self, source: Source, failures: int) -> float:
        if not failures:
            return source.every_seconds
        return min(self._patience.retry * (1 << min(failures - 1, 16)), self._patience.longest_retry)
