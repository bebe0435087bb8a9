"""Prices of an exchange, of all pairs that it trades; and of the paper venue, which is asked nothing."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import structlog

from adapters.exchanges.clients import Refused
from adapters.market_data.public_clients import PublicClient, PublicMarkets, PublicSide
from adapters.rate_sources.reading import middle, price
from commands.ports import Exchange

logger = structlog.get_logger()

RELOADED_AFTER_SECONDS = 3600.0
"""Venues list new pairs a few times a day."""

AT_MOST = 50
"""Where a venue is asked for each pair alone, it is asked for so many of them."""


class ExchangePrices:
    """The public side of one connector, asked without keys."""

    every_seconds = 10.0

    def __init__(self, side: PublicSide) -> None:
        """Ask nothing yet."""
        self._side = side

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the price of each pair that is traded: the middle of its market, else the last trade's.

        Raises `Unavailable` or `Refused`.
        """
        async with self._side.lease(markets_within=RELOADED_AFTER_SECONDS) as (client, known):
            if client.has("fetchTickers"):
                tickers = (await client.call("fetch_tickers")).values()
            else:
                tickers = await self._one_by_one(client, known)
        return self._read(tickers, known)

    async def close(self) -> None:
        """Do nothing: the connections are closed when nobody else uses them either."""

    async def _one_by_one(self, client: PublicClient, known: PublicMarkets) -> list[object]:
        """Return the tickers of the first pairs, without those that the venue refuses."""
        tickers: list[object] = []
        for pair in list(known.rules)[:AT_MOST]:
            try:
                tickers.append(await client.call("fetch_ticker", known.symbol(pair)))
            except Refused as reason:
                logger.warning("ticker_refused", connector=self._side.name, pair=pair, why=reason.message)
        return tickers

    def _read(self, tickers: Iterable[object], known: PublicMarkets) -> dict[str, Decimal]:
        """Return the prices that can be read; that some cannot is logged."""
        found: dict[str, Decimal] = {}
        unreadable: list[str] = []
        for ticker in tickers:
            if not isinstance(ticker, Mapping):
                unreadable.append(str(ticker)[:40])
                continue
            symbol = ticker.get("symbol")
            pair = known.pair(symbol) if isinstance(symbol, str) else None
            if pair is None or pair not in known.rules:
                continue
            sides = ticker.get("bid"), ticker.get("ask")
            last = ticker.get("last"), ticker.get("close")
            told = middle(*sides) or price(last[0]) or price(last[1])
            if told is not None:
                found[pair] = told
            elif any(value is not None for value in (*sides, *last)):
                unreadable.append(pair)
        if unreadable:
            logger.warning("tickers_unreadable", connector=self._side.name, count=len(unreadable), pairs=unreadable[:5])
        return found


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
