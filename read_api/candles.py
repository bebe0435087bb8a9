"""Candles: the newest of a pair, or those of any time."""

from collections.abc import Iterator
from itertools import starmap
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from adapters.http.answers import Answer, LongAnswer, in_turns
from adapters.http.bodies import Body, Pair, Text, encode
from domain.candles import MOST_NEWEST, Columns
from read_api.pages import described
from read_api.ports import Candles

IntervalName = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_NEWEST)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""A time as seconds since 1970, up to the end of the year 9999; one in milliseconds is beyond that."""

_ROWS = 2_000
"""In one piece of an answer: some milliseconds of work, between which the server does its other work."""


class CandlesRequest(Body, frozen=True, kw_only=True):
    """Which candles, and how many of the newest."""

    connector_name: Text
    trading_pair: Pair
    interval: IntervalName = "1m"
    max_records: Count = 500


class PastCandlesRequest(Body, frozen=True, kw_only=True):
    """Which candles, and between which times they begin, both included."""

    connector_name: Text
    trading_pair: Pair
    interval: IntervalName
    start_time: Seconds
    end_time: Seconds


class CandleItem(msgspec.Struct, frozen=True, gc=False):
    """A candle on the wire. `timestamp` is where it begins, in seconds; what a venue does not say is 0."""

    timestamp: float
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_asset_volume: float
    n_trades: float
    taker_buy_base_volume: float
    taker_buy_quote_volume: float


def on_the_wire(candles: Columns) -> Iterator[CandleItem]:
    """Yield candles as clients read them."""
    return starmap(CandleItem, zip(*candles, strict=True))


def pieces(candles: Columns) -> Iterator[bytes]:
    """Yield the JSON of candles, a list, in pieces that are made one by one."""
    between = b"["
    for first in range(0, len(candles.timestamp), _ROWS):
        rows = Columns(*(column[first : first + _ROWS] for column in candles))
        yield between + encode(list(on_the_wire(rows)))[1:-1]
        between = b","
    yield b"]" if between == b"," else b"[]"


class CandleReads(Controller):
    """Candles of every connector that has them."""

    path = "/market-data"
    tags = ("Market Data",)

    @get(
        "/available-candle-connectors",
        status_code=200,
        summary="List the connectors that have candles",
        responses=described(list[str], "Names of connectors"),
    )
    async def available_candle_connectors(self, candles: NamedDependency[Candles]) -> Answer:
        """Answer the names of the connectors whose candles can be asked for."""
        return Answer(200, encode(list(candles.connectors())))

    @post(
        "/candles",
        status_code=200,
        summary="Show the newest candles of a pair",
        responses=described(list[CandleItem], "Candles, oldest first; the last one is still open"),
    )
    async def newest_candles(self, data: JSONBody[CandlesRequest], candles: NamedDependency[Candles]) -> LongAnswer:
        """Answer the newest candles, with what is missing of them asked of the venue first."""
        found = await candles.latest(data.connector_name, data.trading_pair, data.interval, data.max_records)
        return LongAnswer(in_turns(pieces(found)))

    @post(
        "/historical-candles",
        status_code=200,
        summary="Show the candles of any time",
        responses=described(list[CandleItem], "Candles, oldest first"),
    )
    async def historical_candles(
        self, data: JSONBody[PastCandlesRequest], candles: NamedDependency[Candles]
    ) -> LongAnswer:
        """Answer the candles that begin between two times, with what is missing of them asked of the venue first."""
        found = await candles.between(
            data.connector_name, data.trading_pair, data.interval, data.start_time, data.end_time
        )
        return LongAnswer(in_turns(pieces(found)))
