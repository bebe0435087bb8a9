"""Which candles somebody follows: on a socket, or by asking for the newest again and again.

A series is refreshed when one of those who follow it looks, at most once a second for all of them (`history.py`);
nothing is asked of a venue while nobody does.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from adapters.exchanges.names import PAPER_TRADE
from commands.ports import Clock
from domain.errors import DomainError
from domain.market_data import FeedState, Timing

KIND = "candles"
REMEMBERED = 1_000
"""So many series that nobody follows on a socket, at most: the last ones that were asked for."""
_UNTIMED = Timing(count=0, total_ms=0.0, least_ms=0.0, most_ms=0.0, recent=0, recent_ms=0.0)

Key = tuple[str, str, str]  # the connector whose market it is, pair, interval


class _Live:
    """One series: who follows it, and what became of the last look at it."""

    def __init__(self, began_at: datetime) -> None:
        self.began_at = self.asked_at = began_at
        self.asked_time = self.heard_time = _now()  # on the loop's clock, which nobody sets
        self.first_at: datetime | None = None
        self.heard_at: datetime | None = None
        self.most = self.readers = self.heard = self.failures = 0
        self.why = "nothing has come yet"

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.readers else _now() - self.asked_time


class LiveCandles:
    """All series that are followed."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._live: dict[Key, _Live] = {}

    @contextmanager
    def following(self, connector: str, trading_pair: str, interval: str, count: int) -> Iterator[None]:
        """Follow the newest candles of a series for as long as the block lasts."""
        live = self._asked(connector, trading_pair, interval, count)
        live.readers += 1
        try:
            yield
        finally:
            live.readers -= 1
            live.asked_at, live.asked_time = self._clock(), _now()

    @contextmanager
    def looking(self, connector: str, trading_pair: str, interval: str, count: int) -> Iterator[None]:
        """Look at the newest candles of a series in the block, and note whether they came."""
        live = self._asked(connector, trading_pair, interval, count)
        try:
            yield
        except DomainError as reason:
            live.failures, live.why = live.failures + 1, reason.message
            raise
        live.heard, live.why = live.heard + 1, ""
        live.heard_at, live.heard_time = self._clock(), _now()
        live.first_at = live.first_at or live.heard_at

    def states(self, timeout_seconds: float) -> Sequence[FeedState]:
        """Return how each series stands that is followed, or was asked for within so many seconds and has come."""
        for key in [key for key, live in self._live.items() if live.idle_seconds > timeout_seconds]:
            del self._live[key]
        found = self._live.items()
        return [self._state(key, live, timeout_seconds) for key, live in found if live.readers or live.heard]

    def _asked(self, connector: str, trading_pair: str, interval: str, count: int) -> _Live:
        key = connector.removesuffix(PAPER_TRADE), trading_pair, interval
        live = self._live.pop(key, None) or _Live(self._clock())
        self._live[key] = live  # the last one now, so that those longest unasked come first
        live.asked_at, live.asked_time = self._clock(), _now()
        live.most = max(live.most, count)
        idle = [one for one, each in self._live.items() if not each.readers]
        for one in idle[: max(len(idle) - REMEMBERED, 0)]:
            del self._live[one]
        return live

    def _state(self, key: Key, live: _Live, timeout_seconds: float) -> FeedState:
        asked_at = self._clock() if live.readers else live.asked_at
        return FeedState(
            kind=KIND,
            connector=key[0],
            trading_pair=key[1],
            interval=key[2],
            max_records=live.most,
            began_at=live.began_at,
            asked_at=asked_at,
            ends_at=asked_at + timedelta(seconds=timeout_seconds),
            readers=live.readers,
            heard_at=live.heard_at,
            age_seconds=_now() - live.heard_time if live.heard else None,
            stale=bool(live.why),
            why=live.why,
            heard=live.heard,
            first=1 if live.heard else 0,
            first_at=live.first_at,
            began=1,
            failures=live.failures,
            unreadable=0,
            making=_UNTIMED,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
