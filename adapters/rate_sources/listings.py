"""Prices of sites that list coins: each coin in US dollars."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from adapters.exchanges.connections import Connections
from adapters.rate_sources.reading import price
from domain.errors import Unavailable

logger = structlog.get_logger()

T = TypeVar("T")

TIMEOUT_SECONDS = 10.0
DOLLAR = "USD"
_PATIENCE = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
_OK = 200

GECKO_PAGES = 2
GECKO_PAGE = 250
"""The most that a page of CoinGecko has (CoinGecko API docs, `/coins/markets`, 2026-03)."""

CAP_COINS = 500


class _CapPage(msgspec.Struct, frozen=True, kw_only=True):
    data: Sequence[object]


class Site:
    """A site that is asked over HTTP, without keys or with one in a header."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Ask nothing yet."""
        self.name = name
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "nectar", **(headers or {})}
        self._connections = Connections()
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, path: str, query: Mapping[str, str], kind: type[T]) -> T:
        """Return what the site answers. Raises `Unavailable` for no answer, and for one that cannot be read."""
        if self._session is None:
            self._session = self._connections.session()
        asking = self._session.get(
            f"{self._url}{path}", params=query, headers=self._headers, timeout=_PATIENCE, allow_redirects=False
        )
        try:
            async with asking as response:
                body = await response.read()
                status = response.status
        except TimeoutError as late:
            raise Unavailable(f"{self.name} did not answer within {TIMEOUT_SECONDS:g} s") from late
        except aiohttp.ClientError as error:
            raise Unavailable(f"{self.name} could not be reached: {type(error).__name__}") from error
        if status != _OK:
            raise Unavailable(f"{self.name} answered HTTP {status}")
        try:
            return msgspec.json.Decoder(kind, float_hook=Decimal).decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self.name} answered what cannot be read: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._connections.close(self._session)


class GeckoPrices:
    """CoinGecko: the coins with the largest market capitalization."""

    every_seconds = 60.0  # without a key it takes a few questions a minute

    def __init__(self, site: Site) -> None:
        """Ask nothing yet. The site is closed with this."""
        self._site = site

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of each coin in US dollars. Raises `Unavailable`."""
        coins: list[object] = []
        for page in range(1, GECKO_PAGES + 1):
            query = {
                "vs_currency": "usd",
                "order": "market_cap_desc",
                "per_page": str(GECKO_PAGE),
                "page": str(page),
            }
            coins += await self._site.ask("/coins/markets", query, list[object])
        return _in_dollars(self._site.name, coins, "current_price")

    async def close(self) -> None:
        """Close the connections."""
        await self._site.close()


class CapPrices:
    """CoinCap: the coins of the highest rank. Its API takes no question without a key."""

    every_seconds = 60.0

    def __init__(self, site: Site) -> None:
        """Ask nothing yet. The site is closed with this."""
        self._site = site

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of each coin in US dollars. Raises `Unavailable`."""
        page = await self._site.ask("/assets", {"limit": str(CAP_COINS)}, _CapPage)
        return _in_dollars(self._site.name, page.data, "priceUsd")

    async def close(self) -> None:
        """Close the connections."""
        await self._site.close()


def _in_dollars(site: str, coins: Sequence[object], field: str) -> dict[str, Decimal]:
    """Return prices by pair. Of coins that share a symbol the first, largest one counts.

    Those that cannot be read are left out. Raises `Unavailable` if all are such.
    """
    found: dict[str, Decimal] = {}
    unreadable = 0
    for coin in coins:
        symbol = coin.get("symbol") if isinstance(coin, dict) else None
        told = coin.get(field) if isinstance(coin, dict) else None
        value = price(told)
        if not isinstance(symbol, str) or (value is None and told is not None):
            unreadable += 1
            continue
        token = symbol.upper()
        if value is not None and token and token != DOLLAR and "-" not in token:
            found.setdefault(f"{token}-{DOLLAR}", value)
    if unreadable:
        if not found:
            raise Unavailable(f"{site} answered what cannot be read: {unreadable} coins without a symbol or a price")
        logger.warning("coins_unreadable", source=site, count=unreadable)
    return found
