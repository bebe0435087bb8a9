"""The public side of every real venue: one client without keys for each connector, shared by all who ask or listen.

Feeds, candles, rates and paper trade lease it while they use it. It is opened with the first lease, and closed when
nobody has had one for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Protocol, cast

import structlog

from adapters.exchanges.names import Connector
from adapters.market_data import sequences
from adapters.questions import Questions
from domain.connectors import TradingRule
from domain.errors import NotFound, Unavailable

logger = structlog.get_logger()

MARKETS_SECONDS = 600.0
"""A pair that is not known is looked for anew, if the markets were loaded longer ago."""
IDLE_SECONDS = 600.0
"""A client that nobody has used for so long is closed."""
SWEEP_SECONDS = 30.0


class PublicClient(Protocol):
    """A venue's public side, as `adapters.exchanges.clients.VenueClient` has it."""

    @property
    def exchange(self) -> Any:  # noqa: ANN401 - ccxt has no types that hold
        """Ccxt's exchange object, for reading what it knows of the venue."""
        ...

    def has(self, capability: str) -> bool:
        """Whether the venue offers something, by ccxt's name."""
        ...

    async def call(self, method: str, *args: object, deadline: float | None = None, **options: object) -> Any:  # noqa: ANN401
        """Ask the venue."""
        ...

    async def watch(self, method: str, *args: object, **options: object) -> Any:  # noqa: ANN401
        """Wait for what a stream says next."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class PublicMarkets(Protocol):
    """The pairs of a venue, as `adapters.exchanges.markets.Markets` has them."""

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair."""
        ...

    def symbol(self, trading_pair: str) -> str:
        """Return ccxt's symbol of a pair. Raises `Invalid`."""
        ...

    def pair(self, symbol: str) -> str | None:
        """Return the pair of ccxt's symbol, None for a market that is not traded here."""
        ...

    def contract_size(self, trading_pair: str) -> Decimal:
        """Return how much base one contract is."""
        ...


Opened = tuple[PublicClient, PublicMarkets]
Open = Callable[[PublicClient | None], Awaitable[Opened]]
"""Opens a venue's public side, or takes the open one, and loads its markets. Raises `Unavailable` or `Refused`."""


class PublicSide:
    """One connector's venue as anybody may ask it."""

    def __init__(self, name: str, open_venue: Open) -> None:
        """Begin with nothing opened."""
        self.name = name
        self._open = open_venue
        self._opened: Opened | None = None
        self._loaded_time = self._used_time = 0.0  # on the loop's clock, which nobody sets
        self._leases = 0
        self._is_over = False
        self._questions = Questions()

    @asynccontextmanager
    async def lease(self, *, markets_within: float | None = None) -> AsyncIterator[Opened]:
        """Use the client and its markets, which stay open for as long as the block lasts.

        Markets that were loaded longer ago than `markets_within` seconds are loaded anew. Raises `Unavailable` or
        `Refused`.
        """
        self._leases += 1
        try:
            yield await self._ready(markets_within)
        finally:
            self._leases -= 1
            self._used_time = _now()

    async def markets(self) -> PublicMarkets:
        """Return the markets as they were loaded last. Raises as `lease`."""
        async with self.lease() as (_, known):
            return known

    async def check(self, trading_pair: str) -> None:
        """Raise `NotFound` for a pair that is not traded there; one that may be new is looked for."""
        if trading_pair not in (await self.markets()).rules:
            async with self.lease(markets_within=MARKETS_SECONDS) as (_, known):
                if trading_pair not in known.rules:
                    raise NotFound(f"Trading pair '{trading_pair[:64]}' not found on {self.name}")

    @property
    def is_open(self) -> bool:
        """Whether it has connections that would be closed."""
        return self._opened is not None

    def is_idle(self, seconds: float) -> bool:
        """Whether it is open, and nobody has used it for so long."""
        return self.is_open and not self._leases and _now() - self._used_time > seconds

    async def close(self, *, for_good: bool = False) -> bool:
        """Close every connection, whoever uses it; the next lease opens them again, unless it is over `for_good`.

        Returns whether there was any.
        """
        self._is_over = self._is_over or for_good
        async with self._questions.turn(anyway=True):
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened[0].close()
            return opened is not None

    async def _ready(self, markets_within: float | None) -> Opened:
        async with self._questions.turn():
            if self._is_over:
                raise Unavailable(f"{self.name} is not asked any more: this server is stopping")
            too_old = markets_within is not None and _now() - self._loaded_time > markets_within
            if self._opened is None or too_old:
                self._opened = await self._open(None if self._opened is None else self._opened[0])
                self._loaded_time = _now()
            return self._opened


class PublicClients:
    """The public sides of all connectors, each made when it is first asked for."""

    def __init__(
        self,
        open_venue: Callable[[Connector], Open],
        *,
        idle_seconds: float = IDLE_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        """Begin with none; `open_venue` returns what opens one."""
        self._open_venue = open_venue
        self._idle_seconds = idle_seconds
        self._sweep_seconds = sweep_seconds
        self._sides: dict[str, PublicSide] = {}

    def of(self, connector: Connector) -> PublicSide:
        """Return the public side of a real connector; nothing is asked yet."""
        side = self._sides.get(connector.name)
        if side is None:
            side = self._sides[connector.name] = PublicSide(connector.name, self._open_venue(connector))
        return side

    async def run(self) -> None:
        """Leave the venues that nobody asks, until canceled."""
        while True:
            await asyncio.sleep(self._sweep_seconds)
            for side in list(self._sides.values()):
                if side.is_idle(self._idle_seconds):
                    await _left(side)

    async def close(self) -> None:
        """Leave every venue for good; who uses one is told."""
        await asyncio.gather(*(_left(side, for_good=True) for side in list(self._sides.values())))


async def _left(side: PublicSide, *, for_good: bool = False) -> None:
    try:
        was_open = await side.close(for_good=for_good)
    except Exception:
        # A connection that cannot be closed in order is gone as well, and no reason to leave the others open.
        logger.exception("venue_not_closed", connector=side.name)
    else:
        if was_open:
            logger.info("venue_left", connector=side.name)


def opener(urls: Mapping[str, Mapping[str, object]]) -> Callable[[Connector], Open]:
    """Return what opens the public side of a connector through ccxt; `urls`, by connector, are merged over ccxt's."""

    def of(connector: Connector) -> Open:
        async def open_venue(opened: PublicClient | None) -> Opened:
            # Who asks for nothing of a real venue does not wait for ccxt.
            from adapters.exchanges import markets  # noqa: PLC0415
            from adapters.exchanges.clients import VenueClient  # noqa: PLC0415

            if opened is not None:
                return opened, await markets.load(cast("VenueClient", opened), connector)
            client = VenueClient(connector, credentials=None, urls=urls.get(connector.name, {}))
            try:
                loaded = await markets.load(client, connector)
            except BaseException:
                await client.close()
                raise
            # ccxt keeps books in order by arithmetic, which texts do not have; the shortest decimal that means a
            # float is the one that the venue wrote.
            client.exchange.number = float
            sequences.check(connector.exchange_id, client.exchange)
            return client, loaded

        return open_venue

    return of


def _now() -> float:
    return asyncio.get_running_loop().time()
