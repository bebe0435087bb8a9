"""A venue that has some candles and not others, and keeps what it was asked."""

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.candles import Candle, Interval, slot
from domain.errors import Invalid


class Time:
    """A clock that a test sets."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(self.seconds, UTC)


def candle_at(of: Interval, number: int, close: float = 11.0) -> Candle:
    """Return the candle of a slot; it says which one it is."""
    return Candle(float(number * of.seconds), 10.0, 12.0, 9.0, close, float(number), 33.0, 4.0, 1.0, 11.0)


class HoledVenue:
    """Has the candles that a test gives it, and the open one at every time.

    One that is `seeking` answers with the next so many candles that it has, wherever they are; others answer with what
    is in the time that was asked about, at most `gives` of it.
    """

    kept_as = "holed"
    intervals: Sequence[str] = ()
    most = 600_000

    def __init__(self, clock: Time, of: Interval, *, page: int = 5, gives: int = 1_000, seeking: bool = False) -> None:
        self.page = page
        self.gives = gives
        self.seeking = seeking
        self.has: dict[int, Candle] = {}
        self.asked: list[tuple[int, int]] = []
        self.gave: list[set[int]] = []
        self._clock = clock
        self._of = of

    def fill(self, *slots: int) -> None:
        """Have the candles of some slots."""
        self.has |= {number: candle_at(self._of, number) for number in slots}

    def now(self) -> dict[int, Candle]:
        """Return what it would tell now, by slot: none of what is still to come."""
        present = slot(self._of, self._clock.seconds)
        still_open = candle_at(self._of, present, close=10.0 + self._clock.seconds % self._of.seconds / 100)
        return {**{n: candle for n, candle in self.has.items() if n < present}, present: still_open}

    async def begin(self, trading_pair: str, of: Interval) -> None:
        """Know one pair."""
        if trading_pair != "BTC-USDT":
            raise Invalid(f"Trading pair '{trading_pair}' is not traded on this connector")

    async def candles(self, trading_pair: str, of: Interval, start: int, count: int) -> Sequence[Candle]:
        """Answer, and remember the slots that were asked about."""
        first = slot(of, start)
        self.asked.append((first, first + count))
        found = [candle for number, candle in sorted(self.now().items()) if number >= first]
        if not self.seeking:
            found = [candle for candle in found if slot(of, candle.timestamp) < first + count]
        found = found[: min(count, self.gives)]
        self.gave.append({slot(of, candle.timestamp) for candle in found})
        return found


class ForgetfulVenue:
    """Was traded every minute since a slot, and gives the newest so many candles of each interval alone.

    Asked for earlier ones one that is `silent` tells nothing, one that is `deaf` all the newest ones, and the others
    the first ones that it has, as ccxt cuts them.
    """

    kept_as = "forgetful"
    intervals: Sequence[str] = ("1m", "5m", "15m", "1h", "1d", "1w")
    most = 600_000

    def __init__(
        self, clock: Time, listed: int, *, newest: int, page: int = 100, silent: bool = False, deaf: bool = False
    ) -> None:
        self.page = page
        self.asked: list[tuple[str, int, int]] = []
        self.quiet: set[int] = set()  # minutes in which nobody traded, and longer candles of nothing else
        self._clock = clock
        self._listed = listed * 60
        self._newest = newest
        self._silent = silent
        self._deaf = deaf

    async def begin(self, trading_pair: str, of: Interval) -> None:
        """Know every pair."""

    async def candles(self, trading_pair: str, of: Interval, start: int, count: int) -> Sequence[Candle]:
        """Answer as such venues do."""
        first = slot(of, start)
        self.asked.append((of.name, first, first + count))
        now = slot(of, self._clock.seconds)
        told = list(range(max(slot(of, self._listed), now - self._newest + 1), now + 1))
        minutes = of.seconds // 60
        told = [n for n in told if not self.quiet.issuperset(range(n * minutes, (n + 1) * minutes))]
        if not self._deaf:
            told = [number for number in told if number >= first]
            told = [number for number in told if number < first + count] if self._silent else told[:count]
        return [candle_at(of, number) for number in told]
