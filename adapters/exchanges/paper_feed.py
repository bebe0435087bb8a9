"""The paper venue's market: a synthetic one that anyone can compute again, or a recorded one from a file.

The synthetic market's prices are a function of the seed and the time alone, so a restart changes none of them: for
each pair a fractal noise, every octave twice as long as the one before and larger by the square root of two, as the
spread of a random walk grows. It stays within a fifth of where it starts. ETH-BTC always follows from the other two.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from typing import Protocol

import msgspec

from domain.connectors import TradingRule
from domain.matching.depth import News, Quote
from domain.matching.funding import EPOCH
from domain.values import ONE, split_pair

MICROSECOND = timedelta(microseconds=1)
MOST_STEPS = 1_000
"""Of a recorded market, at most so many of the newest quotes of one tick are used."""


def _rule(trading_pair: str, size: str, price: str, notional: str) -> TradingRule:
    quote = split_pair(trading_pair)[1]
    return TradingRule(
        trading_pair=trading_pair,
        min_order_size=Decimal(size),
        min_price_increment=Decimal(price),
        min_base_amount_increment=Decimal(size),
        min_notional_size=Decimal(notional),
        buy_order_collateral_token=quote,
        sell_order_collateral_token=quote,
    )


RULES: Mapping[str, TradingRule] = {
    "BTC-USDT": _rule("BTC-USDT", "0.00001", "0.01", "5"),
    "ETH-USDT": _rule("ETH-USDT", "0.0001", "0.01", "5"),
    "SOL-USDT": _rule("SOL-USDT", "0.001", "0.01", "5"),
    "ETH-BTC": _rule("ETH-BTC", "0.0001", "0.00001", "0.0001"),
}
"""As Binance has them (spot, 2026-06)."""

_STARTS = {"BTC-USDT": Decimal(58_300), "ETH-USDT": Decimal(3_100), "SOL-USDT": Decimal(142)}
_SIZES = {"BTC-USDT": Decimal("0.4"), "ETH-USDT": Decimal(6), "SOL-USDT": Decimal(120), "ETH-BTC": Decimal(4)}
_OCTAVES = 21  # from one second to twelve days
_UNIT = 10**6
_SMALLEST_MOVE = 50  # millionths of the price, in the shortest octave
_HALF_SPREAD = Decimal("0.00005")


class Feed(Protocol):
    """A market over time."""

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair."""
        ...

    def steps(self, after: datetime | None, until: datetime) -> Sequence[Mapping[str, Quote | News]]:
        """Return what is new after one instant up to another, in order; after None, what stands."""
        ...


class SyntheticFeed:
    """A market made of a seed and the time."""

    def __init__(self, seed: int) -> None:
        """Make the market of a seed."""
        self.rules = RULES
        self._seed = seed

    def steps(self, after: datetime | None, until: datetime) -> list[Mapping[str, Quote]]:
        """Return the quotes at `until`, as one step."""
        if after is not None and until <= after:
            return []
        mids = {pair: self._mid(pair, until) for pair in _STARTS}
        mids["ETH-BTC"] = cross(mids["ETH-USDT"], mids["BTC-USDT"])
        return [{pair: quote_around(mid, self.rules[pair], _SIZES[pair]) for pair, mid in mids.items()}]

    def prices(self, trading_pair: str, moments: Sequence[datetime]) -> list[list[Decimal]]:
        """Return for each of some instants, in order, the mid price at it, as a list of one."""
        if trading_pair == "ETH-BTC":
            pairs = zip(self._mids("ETH-USDT", moments), self._mids("BTC-USDT", moments), strict=True)
            return [[cross(first, second)] for first, second in pairs]
        return [[mid] for mid in self._mids(trading_pair, moments)]

    def _mid(self, trading_pair: str, at: datetime) -> Decimal:
        return self._mids(trading_pair, [at])[0]

    def _mids(self, trading_pair: str, moments: Sequence[datetime]) -> list[Decimal]:
        # Octave by octave, so that of the long ones no noise is made twice for moments that lie beside each other. A
        # long run of them would only fill the cache, which is for ticks.
        noise = _noise if len(moments) == 1 else _noise.__wrapped__
        micros = [(at - EPOCH) // MICROSECOND for at in moments]
        moved = [0] * len(micros)
        for octave in range(_OCTAVES):
            period = _UNIT << octave
            height = isqrt(_SMALLEST_MOVE**2 << octave)
            last, here, there = -1, 0, 0
            for number, instant in enumerate(micros):
                node = instant // period
                if node != last:
                    here = there if node == last + 1 and last >= 0 else noise(self._seed, trading_pair, octave, node)
                    there = noise(self._seed, trading_pair, octave, node + 1)
                    last = node
                into = instant - node * period
                moved[number] += (here * (period - into) + there * into) * height // period
        start = _STARTS[trading_pair]
        return [start * (ONE + Decimal(each) / (_UNIT * _UNIT)) for each in moved]


@lru_cache(maxsize=4096)
def _noise(seed: int, trading_pair: str, octave: int, node: int) -> int:
    """Return a number from -1,000,000 to 1,000,000 that looks like chance and is always the same."""
    digest = blake2b(f"{seed}/{trading_pair}/{octave}/{node}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2 * _UNIT + 1) - _UNIT


def cross(first: Decimal, second: Decimal) -> Decimal:
    """Return the price of one base in another, of their prices in one quote, to ten decimals."""
    return (first / second).quantize(Decimal("1e-10"), rounding=ROUND_HALF_EVEN)


def quote_around(mid: Decimal, rule: TradingRule, size: Decimal) -> Quote:
    """Return a quote around a mid price, half a basis point to each side and at least one price step wide."""
    step = rule.min_price_increment
    bid = (mid * (ONE - _HALF_SPREAD)) // step * step
    ask = max(bid + step, (mid * (ONE + _HALF_SPREAD)) // step * step)
    return Quote(bid=bid, ask=ask, bid_size=size, ask_size=size)


class Record(msgspec.Struct, frozen=True):
    """One recorded quote, `offset` microseconds after the first."""

    offset: int
    quote: Quote


class RecordedFeed:
    """A market whose one pair is replayed from its first record at `start`, over and over; the others are synthetic.

    `records` are in order of their offsets; after the last one comes a pause of `pause` microseconds, then the first.
    """

    def __init__(
        self,
        rule: TradingRule,
        records: Sequence[Record],
        *,
        start: datetime,
        pause: int,
        rest: SyntheticFeed,
    ) -> None:
        """Replay records of the rule's pair."""
        self.rules = {**RULES, rule.trading_pair: rule}
        self._pair = rule.trading_pair
        self._start = start
        self._quotes = [record.quote for record in records]
        self._offsets = [record.offset for record in records]
        self._length = self._offsets[-1] + pause
        self._rest = rest

    def steps(self, after: datetime | None, until: datetime) -> list[Mapping[str, Quote]]:
        """Return every record that fell due, the last one together with the synthetic pairs' quotes."""
        others = self._rest.steps(after, until)
        if not others:
            return []
        last = self._due(until)
        first = last if after is None else max(self._due(after) + 1, last - MOST_STEPS + 1)
        count = len(self._quotes)
        steps: list[Mapping[str, Quote]] = [{self._pair: self._quotes[number % count]} for number in range(first, last)]
        current = {**others[0], self._pair: self._quotes[last % count]}
        if self._pair in {"BTC-USDT", "ETH-USDT"}:
            mid = cross(current["ETH-USDT"].mid, current["BTC-USDT"].mid)
            current["ETH-BTC"] = quote_around(mid, self.rules["ETH-BTC"], _SIZES["ETH-BTC"])
        return [*steps, current]

    def prices(self, trading_pair: str, moments: Sequence[datetime]) -> list[list[Decimal]]:
        """Return for each of some instants, in order, the mid prices since the one before; before the replay none."""
        crossed = trading_pair == "ETH-BTC" and self._pair in {"BTC-USDT", "ETH-USDT"}
        if crossed:
            ends = zip(self.prices("ETH-USDT", moments), self.prices("BTC-USDT", moments), strict=True)
            found = [[cross(eth[-1], btc[-1])] if eth and btc else [] for eth, btc in ends]
        elif trading_pair == self._pair:
            dues = [self._due(at) for at in moments]
            found = [self._between(before, due) for before, due in zip([dues[0] - 1, *dues], dues, strict=False)]
        else:
            found = self._rest.prices(trading_pair, moments)
        return [each if at >= self._start else [] for each, at in zip(found, moments, strict=True)]

    def _between(self, before: int, due: int) -> list[Decimal]:
        first = max(min(before + 1, due), due - MOST_STEPS + 1)
        return [self._quotes[number % len(self._quotes)].mid for number in range(first, due + 1)]

    def _due(self, at: datetime) -> int:
        """Return the number of the record that stands at an instant, counted on through all rounds."""
        rounds, into = divmod(max(0, (at - self._start) // MICROSECOND), self._length)
        return rounds * len(self._offsets) + bisect_right(self._offsets, into) - 1
