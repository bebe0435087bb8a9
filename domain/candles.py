"""Candles: how long they last, what is known of a series of them, and what is still to be asked of its venue.

A series is cut into slots, one for each candle that it can have, counted from 1970; a span is a run of slots, its end
not in it. Candles are doubles, as venues' own figures of what was traded: nothing is paid or owed by them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import NamedTuple

import msgspec

from domain.errors import Invalid

DAY_SECONDS = 86_400
SETTLES_SECONDS = 5
"""A candle may still change for so long after its end: venues count late trades in, and clocks differ."""
SHORTEST_WAIT_SECONDS = 60
LONGEST_WAIT_SECONDS = 3_600
MOST_CANDLES = 600_000
"""In one answer: a year of minutes, and some."""
MOST_NEWEST = 10_000
"""Of those that go up to now."""
LEAST_DOUBTED = 10
"""So many slots in a row without a candle are no surprise on a quiet pair, and taken as they are told."""

Span = tuple[int, int]


class Interval(msgspec.Struct, frozen=True):
    """How long a candle lasts; `aligned` where each begins at a multiple of that since 1970, on every venue."""

    name: str
    seconds: int
    aligned: bool = True


INTERVALS: Mapping[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", 1),
        Interval("1m", 60),
        Interval("3m", 180),
        Interval("5m", 300),
        Interval("15m", 900),
        Interval("30m", 1_800),
        Interval("1h", 3_600),
        Interval("2h", 7_200),
        Interval("4h", 14_400),
        Interval("6h", 21_600),
        Interval("8h", 28_800),
        Interval("12h", 43_200),
        Interval("1d", DAY_SECONDS, aligned=False),  # some venues begin their days in Asia
        Interval("3d", 3 * DAY_SECONDS, aligned=False),
        Interval("1w", 7 * DAY_SECONDS, aligned=False),
        Interval("1M", 31 * DAY_SECONDS, aligned=False),  # the longest month
    )
}
"""Those of the reference (hummingbot 20260922, `candles_base.py`)."""


class Candle(NamedTuple):
    """What was traded in one slot. `timestamp` is where it begins, in seconds since 1970.

    The last four are 0 where the venue does not say.
    """

    timestamp: float
    open: float
    high: float
    low: float
    close: float
    volume: float  # base
    quote_asset_volume: float
    n_trades: float
    taker_buy_base_volume: float
    taker_buy_quote_volume: float


class Columns(NamedTuple):
    """Many candles, oldest first: the fields of `Candle`, each as one run of doubles."""

    timestamp: Sequence[float]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    quote_asset_volume: Sequence[float]
    n_trades: Sequence[float]
    taker_buy_base_volume: Sequence[float]
    taker_buy_quote_volume: Sequence[float]


class Series(NamedTuple):
    """One run of candles: whose, of what, and how long each lasts."""

    connector: str
    trading_pair: str
    interval: Interval


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A span whose candles are kept: what is missing in it the venue did not have at `asked_at` (seconds)."""

    start: int
    end: int
    asked_at: int


def interval(name: str) -> Interval:
    """Return an interval by its name. Raises `Invalid`."""
    found = INTERVALS.get(name)
    if found is None:
        raise Invalid(f"Interval '{name[:16]}' is unknown. Intervals: {', '.join(INTERVALS)}")
    return found


def slot(of: Interval, seconds: float) -> int:
    """Return the slot that a time lies in."""
    return int(seconds // of.seconds)


def check_count(count: int, what: str, most: int = MOST_CANDLES) -> None:
    """Raise `Invalid` for more candles than one answer may have."""
    if count > most:
        raise Invalid(f"{count} {what} are more than {most}, the most that one request may ask for")


def settled(of: Interval, now: float) -> int:
    """Return the first slot whose candles may still change, or begin."""
    first = slot(of, now - SETTLES_SECONDS)
    return first if of.aligned else first - 1


def wrong(candle: Candle) -> str | None:
    """Return what makes a candle impossible, None if it is possible."""
    for name, value in zip(Candle._fields, candle, strict=True):
        if not isfinite(value):
            return f"{name} {value} is not a number"
        if value < 0 or (value == 0 and name in {"open", "high", "low", "close"}):
            return f"{name} {value:.15g} is not above 0" if value == 0 else f"{name} {value:.15g} is negative"
    return None


def crossed(candle: Candle) -> str | None:
    """Return why a candle's prices cannot all be true, None if they can."""
    if candle.high < max(candle.open, candle.close, candle.low):
        return f"high {candle.high:.15g} is not the highest price"
    if candle.low > min(candle.open, candle.close):
        return f"low {candle.low:.15g} is not the lowest price"
    return None


def learn(known: Iterable[Known], news: Known, now: int) -> list[Known]:
    """Return what is known with something newly asked in it, in order, as few spans as say the same."""
    parts = [news]
    for old in known:
        if old.start < news.start:
            parts.append(msgspec.structs.replace(old, end=min(old.end, news.start)))
        if old.end > news.end:
            parts.append(msgspec.structs.replace(old, start=max(old.start, news.end)))
    merged: list[Known] = []
    for part in sorted((part for part in parts if part.start < part.end), key=lambda part: part.start):
        if merged and merged[-1].end == part.start and _alike(merged[-1], part, now):
            asked_at = min(merged[-1].asked_at, part.asked_at)
            merged[-1] = Known(merged[-1].start, part.end, asked_at)
        else:
            merged.append(part)
    return merged


def _alike(one: Known, other: Known, now: int) -> bool:
    """Whether nothing is lost when two spans are taken for one: asked together, or both so long ago that all is due."""
    return one.asked_at == other.asked_at or now - max(one.asked_at, other.asked_at) >= LONGEST_WAIT_SECONDS


def unknown(known: Iterable[Known], wanted: Span) -> list[Span]:
    """Return the spans of what is wanted that nothing is known of; `known` is in order."""
    found: list[Span] = []
    at, end = wanted
    for span in known:
        if span.end <= at:
            continue
        if span.start >= end:
            break
        if span.start > at:
            found.append((at, span.start))
        at = span.end
    if at < end:
        found.append((at, end))
    return found


def holes(times: Sequence[float], of: Interval, span: Span) -> Iterator[Span]:
    """Yield the runs of slots in a span that have no candle; `times` are those of the candles that are there."""
    start, end = span
    if times:
        if start < (first := slot(of, times[0])):
            yield start, first
        yield from _between(times, of, 0, len(times) - 1)
        start = slot(of, times[-1]) + 1
    if start < end:
        yield start, end


def _between(times: Sequence[float], of: Interval, low: int, high: int) -> Iterator[Span]:
    # A run that has a candle for each slot is passed over whole: a year without a hole is one comparison.
    before, after = slot(of, times[low]), slot(of, times[high])
    if after - before <= high - low:
        return
    if high - low == 1:
        yield before + 1, after
        return
    middle = (low + high) // 2
    yield from _between(times, of, low, middle)
    yield from _between(times, of, middle, high)


def due(known: Iterable[Known], found: Iterable[Span], of: Interval, now: int) -> list[Span]:
    """Return the holes that are to be asked for again, the largest first; both are given in order.

    A hole is, when it has been one for twice as long as when it was last asked for, but after an hour at the latest.
    """
    again: list[Span] = []
    spans = iter(known)
    span = next(spans, None)
    for start, end in found:
        while span is not None and span.end <= start:
            span = next(spans, None)
        while span is not None and span.start < end:
            last = min(end, span.end)
            if _is_due(span.asked_at, last * of.seconds, now):
                again.append((max(start, span.start), last))
            if span.end >= end:  # and may reach into the next hole
                break
            span = next(spans, None)
    return sorted(again, key=lambda hole: hole[0] - hole[1])


def _is_due(asked_at: int, ended: int, now: int) -> bool:
    wait = min(max(asked_at - ended, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
    return now - asked_at >= wait


class TooOld(Invalid):
    """Refuse to answer for candles that were there once, and that their venue does not give any more."""

    def __init__(self, series: Series, start: int, oldest: int | None) -> None:
        """Name the first slot that was asked for, and the first one that can be had."""
        of = series.interval
        self.oldest = oldest
        wanted = f"{of.name} candles of {series.trading_pair} on {series.connector} from {_at(of, start)}"
        had = "none of that length can be had" if oldest is None else f"the oldest that can be had is {_at(of, oldest)}"
        super().__init__(
            f"{wanted} are not given by the venue any more, though the pair was traded then: {had}. Ask for later ones"
            " or for a longer interval; older ones can be imported (nectar candles import)"
        )


def _at(of: Interval, number: int) -> str:
    seconds = number * of.seconds
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC ({seconds})"


def proved(asked: Span, answered: Sequence[int]) -> Span:
    """Return the span that an answer leaves nothing open in.

    A venue answers in order of time, so it had nothing before the first candle of its answer and between two of them.
    What comes after the last one it may have left out: of none at all, there was nothing in what was asked.
    """
    return (asked[0], answered[-1] + 1) if answered else asked
