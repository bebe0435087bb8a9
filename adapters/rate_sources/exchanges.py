"""Prices of an exchange, of all pairs that it trades; and of the paper venue, which is asked nothing."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.exchanges.clients import VenueClient
from adapters.exchanges.markets import Markets, load
from adapters.rate_sources.reading import middle, price
from commands.ports import Exchange

RELOADED_AFTER_SECONDS = 3600.0
"""Venues list new pairs a few times a day."""

AT_MOST = 50
"""Where a venue is asked for each pair alone, it is asked for so many of them."""


class ExchangePrices:
    """The public side of one connector, asked without keys."""

    every_seconds = 10.0

    def __init__(self, client: VenueClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet. The client is closed with this."""
        # ccxt computes with some numbers of prices and limits, and cannot do so with texts. A float that is shown as
        # shortly as can be is what the venue wrote, up to fifteen digits.
        client.exchange.number = float
        self._client = client
        self._monotonic = monotonic
        self._markets: Markets | None = None
        self._loaded_at = 0.0

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of each pair that is traded: the middle of its market, else the last trade's.

        Raises `Unavailable` or `Refused`.
        """
        now = self._monotonic()
        if self._markets is None or now - self._loaded_at > RELOADED_AFTER_SECONDS:
            self._markets = await load(self._client, self._client.connector)
            self._loaded_at = now
        markets = self._markets
        if self._client.has("fetchTickers"):
            tickers = (await self._client.call("fetch_tickers")).values()
        else:
            asked = list(markets.rules)[:AT_MOST]
            tickers = [await self._client.call("fetch_ticker", markets.symbol(pair)) for pair in asked]
        return _read(tickers, markets)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class PaperPrices:
    """The paper venue's own market."""

    every_seconds = 1.0

    def __init__(self, exchange: Exchange) -> None:
        """Take the connector, which runs by itself."""
        self._exchange = exchange

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of each pair."""
        return {pair: told for pair, told in (await self._exchange.prices()).items() if price(told) is not None}

    async def close(self) -> None:
        """Leave the connector as it is."""


def _read(tickers: Any, markets: Markets) -> dict[str, Decimal]:  # noqa: ANN401 - as ccxt tells them
    found: dict[str, Decimal] = {}
    for ticker in tickers:
        pair = markets.pair(ticker["symbol"])
        if pair is None or pair not in markets.rules:
            continue
        told = middle(ticker.get("bid"), ticker.get("ask")) or price(ticker.get("last")) or price(ticker.get("close"))
        if told is not None:
            found[pair] = told
    return found
