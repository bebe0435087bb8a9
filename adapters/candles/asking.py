"""Ask a venue for candles, and doubt what it says: some venues tell nothing of what they have forgotten.

Those give the newest so many candles of an interval alone, whatever they are asked for. What they leave out must not
be taken for a time in which nobody traded, so they are asked for longer candles of that time.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog

from domain.candles import INTERVALS, LEAST_DOUBTED, Candle, Interval, Series, Span, TooOld, settled, slot, wrong

logger = structlog.get_logger()


class CandleVenue(Protocol):
    """Where a connector's candles come from."""

    @property
    def kept_as(self) -> str:
        """The name under which they are kept: two connectors on one market have the same."""
        ...

    @property
    def page(self) -> int:
        """How many it gives at once."""
        ...

    @property
    def intervals(self) -> Sequence[str]:
        """The names of the intervals that it can be asked for instead, to see whether what it says can be true."""
        ...

    @property
    def most(self) -> int:
        """How many it may be asked for by one request."""
        ...

    async def begin(self, trading_pair: str, of: Interval) -> None:
        """Be ready to be asked. Raises `Invalid` for a pair or an interval that it does not have, or `Unavailable`."""
        ...

    async def candles(self, trading_pair: str, of: Interval, start: int, count: int) -> Sequence[Candle]:
        """Return candles from a time on, oldest first, none left out between two of them.

        Those of `count` intervals where it has them; more or fewer is no error. Raises `Refused` or `Unavailable`.
        """
        ...


async def answer(venue: CandleVenue, series: Series, asked: Span) -> list[Candle]:
    """Return what a venue has from a slot on, in order; what cannot be a candle is left out."""
    of = series.interval
    given = await venue.candles(series.trading_pair, of, asked[0] * of.seconds, asked[1] - asked[0])
    good = {candle.timestamp: candle for candle in given if wrong(candle) is None}
    if len(good) < len(given):
        reasons = [reason for candle in given if (reason := wrong(candle)) is not None]
        why = reasons[0] if reasons else "two for one time"
        logger.warning("candles_unusable", connector=series.connector, pair=series.trading_pair, why=why)
    return [good[timestamp] for timestamp in sorted(good) if slot(of, timestamp) >= asked[0]]


async def doubt(venue: CandleVenue, series: Series, empty: Span, told: Sequence[int], now: float) -> None:
    """Raise `TooOld` if a venue says by longer candles that there was trade where it gives none of a series.

    `empty` is where it gives none, `told` are the slots that it did give, all after that.
    """
    of = series.interval
    if empty[1] - empty[0] < LEAST_DOUBTED or not await _contradicts(venue, series, empty, told):
        return
    if not told:
        edge = settled(of, now)
        newest = await answer(venue, series, (max(edge - venue.page, empty[1]), edge))
        told = [slot(of, candle.timestamp) for candle in newest]
    raise TooOld(series, empty[0], told[0] if told else None)


async def _contradicts(venue: CandleVenue, series: Series, empty: Span, told: Sequence[int]) -> bool:
    start, end = (edge * series.interval.seconds for edge in empty)
    longer = sorted(_longer(venue, series.interval), key=_length)
    if told:
        # All that it has begins later: one longer candle before that is enough, the longest has the best chance.
        fitting = [of for of in longer if 2 * of.seconds <= end - start]
        return bool(fitting) and await _traded(venue, series._replace(interval=fitting[-1]), start, end)
    for of in longer:
        # It tells nothing at all: what it says in a longer candle of the same time has to be somewhere in that time.
        first = slot(of, start)
        candles = await answer(venue, series._replace(interval=of), (first, first + 1))
        around = next((each for each in candles if each.timestamp <= start < each.timestamp + of.seconds), None)
        if around is not None and around.volume > 0:
            return not await _has_any(venue, series, around.timestamp, around.timestamp + of.seconds)
    return False


def _longer(venue: CandleVenue, of: Interval) -> Iterator[Interval]:
    return (INTERVALS[name] for name in venue.intervals if INTERVALS[name].seconds > of.seconds)


def _length(of: Interval) -> int:
    return of.seconds


async def _traded(venue: CandleVenue, series: Series, start: float, end: float) -> bool:
    """Whether candles that lie between two times say that something was traded."""
    of = series.interval
    asked = (slot(of, start), min(slot(of, end) + 1, slot(of, start) + venue.page))
    return any(
        each.volume > 0 and start <= each.timestamp and each.timestamp + of.seconds <= end
        for each in await answer(venue, series, asked)
    )


async def _has_any(venue: CandleVenue, series: Series, start: float, end: float) -> bool:
    """Whether there is a candle that begins between two times."""
    of = series.interval
    first, last = slot(of, start), slot(of, end)
    for page in range(first, last, venue.page):
        candles = await answer(venue, series, (page, min(last, page + venue.page)))
        if any(each.timestamp < end for each in candles):
            return True
    return False
