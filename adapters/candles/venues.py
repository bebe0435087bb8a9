"""Candles of real venues, through ccxt.

ccxt gives six columns of a candle. The four others that the wire contract has are read out of the venue's own row,
where it has them; elsewhere they are 0, as in the reference.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from adapters.exchanges.names import Connector
from adapters.market_data.public_clients import MARKETS_SECONDS, PublicClient, PublicSide
from domain.candles import INTERVALS, MOST_CANDLES, Candle, Interval
from domain.errors import Invalid

logger = structlog.get_logger()

LARGEST_PAGE = 1000
SMALLEST_PAGE = 100
_MILLISECONDS = 1000

# Where quote volume, number of trades, and what takers bought of base and quote stand in the venue's own row.
_FURTHER: Mapping[str, tuple[int | str | None, ...]] = {
    "binance": (7, 8, 9, 10),
    "binanceus": (7, 8, 9, 10),
    "binanceusdm": (7, 8, 9, 10),
    "okx": (7, None, None, None),
    "bybit": (6, None, None, None),
    "bitget": (6, None, None, None),
    "mexc": (7, None, None, None),
    "htx": ("vol", "count", None, None),
    "hyperliquid": (None, "n", None, None),
    "pacifica": (None, "n", None, None),
    "dydx": ("usdVolume", "trades", None, None),
    "backpack": ("quoteVolume", "trades", None, None),
}
_NOTHING = (None, None, None, None)

# Venues that count the volume of perpetuals in contracts where ccxt passes it on (Gate.io and KuCoin docs, 2026-03).
_IN_CONTRACTS = frozenset({"gate_io_perpetual", "gate_io_perpetual_testnet", "kucoin_perpetual"})

# Of what begins at a time or later these give the newest, not the next: they are told where to end as well (dYdX v4
# Indexer docs, "Get Candles", 2026-03).
_NEWEST_FIRST = frozenset({"dydx"})

# ccxt's own code has fewer than its table of features (ccxt 4.5.90, mexc.py: "in practice it's 500").
_PAGES: Mapping[str, int] = {"mexc": 500}


class VenueCandles:
    """The candles of one connector."""

    page = LARGEST_PAGE
    most = MOST_CANDLES

    def __init__(self, connector: Connector, side: PublicSide) -> None:
        """Ask nothing yet."""
        self._connector = connector
        self._side = side
        self._prepared: PublicClient | None = None
        self.intervals: Sequence[str] = ()
        self.kept_as = connector.name

    async def begin(self, trading_pair: str, of: Interval) -> None:
        """Check that the venue has a pair and an interval. Raises `Invalid`, `Refused` or `Unavailable`."""
        async with self._side.lease() as (client, known):
            self._prepare(client)
            try:
                known.symbol(trading_pair)
            except Invalid:
                async with self._side.lease(markets_within=MARKETS_SECONDS) as (_, newer):
                    newer.symbol(trading_pair)
        if of.name not in self.intervals:
            intervals = ", ".join(self.intervals)
            raise Invalid(f"Interval '{of.name}' is not offered by {self.kept_as}. Its intervals: {intervals}")

    async def candles(self, trading_pair: str, of: Interval, start: int, count: int) -> Sequence[Candle]:
        """Return candles from a time on. Raises `Refused` or `Unavailable`."""
        since = start * _MILLISECONDS
        further: dict[str, Any] = {}
        if self._connector.exchange_id in _NEWEST_FIRST:
            further = {"params": {"until": since + count * of.seconds * _MILLISECONDS}}
        async with self._side.lease() as (client, known):
            self._prepare(client)
            rows = await client.call("fetch_ohlcv", known.symbol(trading_pair), of.name, since, count, **further)
        in_contracts = self._connector.name in _IN_CONTRACTS
        # Float is what candles are: the double next to the venue's own decimal figure.
        size = float(known.contract_size(trading_pair)) if in_contracts else 1.0
        candles = []
        for row in rows if isinstance(rows, list) else ():
            candle = _candle(row, size)
            if candle is None:
                logger.warning("candle_unreadable", connector=self.kept_as, pair=trading_pair)
            else:
                candles.append(candle)
        return candles

    def _prepare(self, client: PublicClient) -> None:
        """Let a client that was opened anew tell all that the venue says of candles."""
        if client is not self._prepared:
            self._prepared = client
            self.page = _page(self._connector, client.exchange)
            self.intervals = [name for name in INTERVALS if name in (client.exchange.timeframes or {})]
            _keep_further_columns(self._connector.exchange_id, client.exchange)


def _page(connector: Connector, exchange: Any) -> int:  # noqa: ANN401
    features: Any = (exchange.features or {}).get(connector.market) or {}
    features = (features.get("linear") or {}) if connector.market == "swap" else features
    most = (features.get("fetchOHLCV") or {}).get("limit") or SMALLEST_PAGE
    return min(int(most), _PAGES.get(connector.exchange_id, LARGEST_PAGE), LARGEST_PAGE)


def _keep_further_columns(exchange_id: str, exchange: Any) -> None:  # noqa: ANN401
    """Let ccxt's rows have four more columns, where the venue's have them."""
    parse = exchange.parse_ohlcv
    places = _FURTHER.get(exchange_id, _NOTHING)

    def parse_all(raw: Any, market: object = None) -> list[Any]:  # noqa: ANN401
        return [*parse(raw, market), *(_at(raw, place) for place in places)]

    exchange.parse_ohlcv = parse_all


def _at(raw: Any, place: int | str | None) -> object:  # noqa: ANN401
    if isinstance(place, int):
        return raw[place] if isinstance(raw, list) and len(raw) > place else None
    return raw.get(place) if place is not None and isinstance(raw, dict) else None


def _candle(row: Any, size: float) -> Candle | None:  # noqa: ANN401
    """Return a row of ccxt as a candle, None if it cannot be one. `size` is the base in one unit of its volume."""
    try:
        timestamp, *values = (float(value or 0) for value in row)
        candle = Candle(timestamp / _MILLISECONDS, *values)
    except (TypeError, ValueError):
        return None
    return candle if size == 1 else candle._replace(volume=candle.volume * size)
