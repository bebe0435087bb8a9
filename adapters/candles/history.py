"""Candles of every connector: kept ones from disk, the others from their venue, which is asked for nothing twice.

What is closed is asked for once and kept; a hole in it is asked for again after a while, since venues fill theirs. What
may still change is asked for by whoever looks, and shown to all who look within a second. Of one series one page at a
time is asked for, so that what one reader has asked for the next one finds.
"""

import asyncio
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

import structlog

from adapters.candles.asking import CandleVenue, answer, doubt
from adapters.candles.live import LiveCandles
from adapters.candles.store import CandleStore
from adapters.questions import Questions
from commands.ports import Clock
from domain.candles import (
    MOST_NEWEST,
    Candle,
    Columns,
    Interval,
    Known,
    Series,
    Span,
    TooOld,
    check_count,
    due,
    holes,
    interval,
    proved,
    settled,
    slot,
    unknown,
)
from domain.errors import Invalid, Unavailable
from domain.market_data import FeedState
from domain.values import split_pair

logger = structlog.get_logger()

FRESH_SECONDS = 1.0
PATIENCE_SECONDS = 240.0
"""A request may take so long; what it has asked for by then is kept, and the next one goes on from there."""
PAGES_FOR_HOLES = 10
"""For one request, beside what was never asked: a quiet pair may have a hole in every other minute."""
REMEMBERED = 1_000
"""So many series are held in memory with their newest candles."""


class _Newest:
    """The end of a series: who asks for it, and the candles that may still change."""

    def __init__(self) -> None:
        self.questions = Questions()
        self.readers = 0
        self.candles: Sequence[Candle] = ()
        self.start = 0  # the slot from which on these are all
        self.heard_at = float("-inf")


class CandleHistory:
    """The candles of `venues`, by connector; those of `listed` are named to who asks which there are."""

    def __init__(
        self, store: CandleStore, venues: Mapping[str, CandleVenue], *, listed: Collection[str], clock: Clock
    ) -> None:
        self._store = store
        self._venues = venues
        self._listed = tuple(listed)
        self._clock = clock
        self._newest: dict[Series, _Newest] = {}
        self._live = LiveCandles(clock)

    def connectors(self) -> Sequence[str]:
        """Return the names of the connectors that have candles."""
        return self._listed

    async def between(self, connector: str, trading_pair: str, name: str, start: int, end: int) -> Columns:
        """Return the candles that begin between two times, both included, in seconds since 1970.

        Raises `Invalid` for what cannot be asked, `Refused` or `Unavailable` of the venue.
        """
        if start > end:
            raise Invalid(f"start_time {start} is after end_time {end}")
        of, now = interval(name), int(self._clock().timestamp())
        wanted = (slot(of, max(start, 0)), slot(of, min(end, now)) + 1)
        check_count(wanted[1] - wanted[0], f"{of.name} candles between {start} and {end}")
        found = await self._candles(connector, trading_pair, of, wanted)
        return _cut(found, start, end)

    async def latest(self, connector: str, trading_pair: str, name: str, count: int) -> Columns:
        """Return the newest candles, the last one still open, oldest first. Raises as `between`."""
        of = interval(name)
        check_count(count, f"{of.name} candles", MOST_NEWEST)
        end = slot(of, self._clock().timestamp()) + 1
        # One more than asked for: at the turn of an interval the newest one may not be there yet.
        wanted = (max(end - count - 1, 0), end)
        self._venue(connector)
        with self._live.looking(connector, trading_pair, name, count):
            try:
                found = await self._candles(connector, trading_pair, of, wanted)
            except TooOld as fewer:  # the newest are those that there are
                if fewer.oldest is None:
                    raise
                found = await self._candles(connector, trading_pair, of, (max(wanted[0], fewer.oldest), end))
        return Columns(*(column[-count:] for column in found))

    def following(self, connector: str, trading_pair: str, name: str, count: int) -> AbstractContextManager[None]:
        """Follow the newest candles for as long as the block lasts: they are listed by `states`."""
        return self._live.following(connector, trading_pair, name, count)

    def states(self, timeout_seconds: float) -> Sequence[FeedState]:
        """Return how the series stand that are followed, or were asked for their newest so lately."""
        return self._live.states(timeout_seconds)

    def _venue(self, connector: str) -> CandleVenue:
        venue = self._venues.get(connector)
        if venue is None:
            raise Invalid(f"Unsupported connector '{connector[:64]}'. Available connectors: {list(self._listed)}")
        return venue

    async def _candles(self, connector: str, trading_pair: str, of: Interval, wanted: Span) -> Columns:
        """Return the candles of a span, after asking for what is not known of it."""
        venue = self._venue(connector)
        split_pair(trading_pair)
        series = Series(venue.kept_as, trading_pair, of)
        now = self._clock().timestamp()
        edge = max(wanted[0], min(wanted[1], settled(of, now)))
        closed = (wanted[0], edge)
        with self._end_of(series) as newest:
            await self._complete(venue, series, newest.questions, closed, now)
            kept = await self._kept(venue, series, newest.questions, closed, now)
            if edge >= wanted[1]:
                return kept
            return _followed(kept, await self._open(venue, series, newest, (edge, wanted[1])))

    @contextmanager
    def _end_of(self, series: Series) -> Iterator[_Newest]:
        newest = self._newest.pop(series) if series in self._newest else _Newest()
        self._newest[series] = newest  # the last one now, so that those longest unread come first
        newest.readers += 1
        try:
            yield newest
        finally:
            newest.readers -= 1
            idle = [one for one, each in self._newest.items() if not each.readers]
            for one in islice(idle, max(len(self._newest) - REMEMBERED, 0)):
                del self._newest[one]

    async def _complete(
        self, venue: CandleVenue, series: Series, questions: Questions, wanted: Span, now: float
    ) -> None:
        """Ask for what was never asked of a closed span.

        Page by page, so that who wants little need not wait for who wants much. Raises `Unavailable` when it takes too
        long.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            async with questions.turn():
                left = unknown(await asyncio.to_thread(self._store.known, series), wanted)
                if not left:
                    return
                missing = sum(end - start for start, end in left)
                check_count(missing, f"{series.interval.name} candles that {venue.kept_as} has to make", venue.most)
                if loop.time() <= until:
                    await self._ask(venue, series, left[0], now)
                    continue
            raise Unavailable(
                f"{missing} of {wanted[1] - wanted[0]} {series.interval.name} candles of {series.trading_pair}"
                f" did not come from {series.connector} within {PATIENCE_SECONDS:g} s. The others are kept:"
                " ask again for the rest"
            )

    async def _kept(
        self, venue: CandleVenue, series: Series, questions: Questions, wanted: Span, now: float
    ) -> Columns:
        """Return the candles of a closed span, after asking again for some of the holes in it that are due."""
        for _ in range(PAGES_FOR_HOLES):
            try:
                async with questions.turn():
                    kept, again = await asyncio.to_thread(self._look, series, wanted, int(now))
                    if not again:
                        return kept
                    await self._ask(venue, series, again[0], now)
            except Unavailable as reason:
                # What the venue said before still stands.
                logger.warning("holes_not_asked", connector=series.connector, why=reason.message)
                break
        return await asyncio.to_thread(self._store.read, series, wanted)

    def _look(self, series: Series, wanted: Span, now: int) -> tuple[Columns, list[Span]]:
        kept = self._store.read(series, wanted)
        found = holes(kept.timestamp, series.interval, wanted)
        return kept, due(self._store.known(series), found, series.interval, now)

    async def _ask(self, venue: CandleVenue, series: Series, span: Span, now: float) -> None:
        """Ask for the first page of a span that was closed at `now`, and keep what is closed of the answer.

        Raises `TooOld`.
        """
        of = series.interval
        await venue.begin(series.trading_pair, of)
        asked = (span[0], min(span[1], span[0] + venue.page))
        candles = await answer(venue, series, asked)
        edge = settled(of, now)
        known = await asyncio.to_thread(self._store.known, series)
        beside = next((each for each in known if each.end > span[0]), Known(edge, edge, 0))
        is_hole = beside.start <= span[0]
        if not (candles or is_hole) and asked[1] < min(beside.start, edge):
            # Some venues tell nothing of one range, and with a longer one what they have after it.
            asked = (span[0], min(beside.start, edge, span[0] + venue.page))
            candles = await answer(venue, series, asked)
        slots = [slot(of, candle.timestamp) for candle in candles]
        closed = min(proved(asked, slots)[1], edge)
        first = slots[0] if slots else closed
        if not is_hole:
            await doubt(venue, series, (asked[0], min(first, closed, beside.start)), slots, now)
        if first > beside.end:
            try:
                await doubt(venue, series, (beside.end, min(first, closed)), slots, now)
            except TooOld:
                closed = span[1] if is_hole else beside.start  # what follows was not asked about
        keep = [candle for candle in candles if slot(of, candle.timestamp) < closed]
        news = [Known(asked[0], closed, int(now))]
        await asyncio.to_thread(self._store.keep, series, keep, news, int(now))

    async def _open(self, venue: CandleVenue, series: Series, newest: _Newest, span: Span) -> Sequence[Candle]:
        """Return the candles that may still change, asked for now or within the last second."""
        async with newest.questions.turn():
            now = self._clock().timestamp()
            if newest.start > span[0] or not 0 <= now - newest.heard_at < FRESH_SECONDS:
                await venue.begin(series.trading_pair, series.interval)
                newest.candles = await answer(venue, series, span)
                newest.start, newest.heard_at = span[0], now
        return [candle for candle in newest.candles if span[0] <= slot(series.interval, candle.timestamp) < span[1]]


def _cut(columns: Columns, start: int, end: int) -> Columns:
    """Return the candles that begin between two times, both included."""
    times = columns.timestamp
    low, high = 0, len(times)
    while low < high and times[low] < start:
        low += 1
    while high > low and times[high - 1] > end:
        high -= 1
    return Columns(*(column[low:high] for column in columns))


def _followed(kept: Columns, candles: Sequence[Candle]) -> Columns:
    """Return kept candles with some more after them."""
    if not candles:
        return kept
    columns = []
    for column, more in zip(kept, zip(*candles, strict=True), strict=True):
        whole = array("d", column)
        whole.extend(more)
        columns.append(memoryview(whole))
    return Columns(*columns)
