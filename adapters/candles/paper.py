"""Candles of the paper venue, made from its market: a synthetic one has been there for ever, a recorded one is young.

A candle is what some trades at equal distances were: at the mid prices of those moments, each with an amount that is a
function of the time. So the same slot always has the same candle, and each begins where the one before ended. Candles
of different intervals are of different trades: their highs and lows need not agree.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Protocol

from adapters.exchanges.paper_record import usual_size
from commands.ports import Clock
from domain.candles import Candle, Interval
from domain.connectors import TradingRule
from domain.errors import Invalid
from domain.values import ZERO, round_down

TRADES = 4
"""In one candle."""
_TURNOVER_SECONDS = 10
"""In so many seconds the market trades what stands at one level, on average."""
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_SHARES = 2**32


class PriceFeed(Protocol):
    """The paper venue's market, as `adapters.exchanges.paper_feed` has it."""

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair."""
        ...

    def prices(self, trading_pair: str, moments: Sequence[datetime]) -> Sequence[Sequence[Decimal]]:
        """Return for each of some instants, in order, the prices since the one before; before the market began none."""
        ...


class PaperCandles:
    """The candles of the paper venue's pairs. `market` names the market: another one has other candles."""

    page = 500
    intervals: Sequence[str] = ()  # nobody has to doubt what is made here
    most = 50_000  # what is made in some seconds: a month of minutes; what was made is kept

    def __init__(self, feed: PriceFeed, *, market: str, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self.kept_as = market

    async def begin(self, trading_pair: str, of: Interval) -> None:  # noqa: ARG002 - it has every interval
        """Check that there is such a pair. Raises `Invalid`."""
        if trading_pair not in self._feed.rules:
            pairs = ", ".join(self._feed.rules)
            raise Invalid(f"Trading pair '{trading_pair}' is not traded on the paper venue. Its pairs: {pairs}")

    async def candles(self, trading_pair: str, of: Interval, start: int, count: int) -> Sequence[Candle]:
        """Return the candles of so many intervals, the last one as it stands now."""
        return await asyncio.to_thread(self._made, trading_pair, of, start, count)

    def _made(self, trading_pair: str, of: Interval, start: int, count: int) -> list[Candle]:
        now = self._clock()
        begins_at = _UNIX + timedelta(seconds=start)
        step = timedelta(seconds=of.seconds) / TRADES
        moments = [begins_at + step * number for number in range(count * TRADES + 1)]
        moments = moments[: bisect_right(moments, now)]
        prices = self._feed.prices(trading_pair, moments) if moments else []
        rule = self._feed.rules[trading_pair]
        made = []
        for first in range(0, len(moments), TRADES):
            opening = prices[first][-1:]
            traded = list(zip(moments[first + 1 :], prices[first + 1 : first + 1 + TRADES], strict=False))
            made.append(_candle(moments[first], opening, traded, step, rule))
        return [candle for candle in made[:count] if candle is not None]


def _candle(
    begins_at: datetime,
    opening: Sequence[Decimal],
    traded: Sequence[tuple[datetime, Sequence[Decimal]]],
    step: timedelta,
    rule: TradingRule,
) -> Candle | None:
    prices = [round_down(price, rule.min_price_increment) for price in opening]
    volume = quote_volume = bought = quote_bought = ZERO
    for at, mids in traded:
        for mid in mids:
            price = round_down(mid, rule.min_price_increment)
            amount = _amount(f"{rule.trading_pair}/{at.timestamp()}", step, rule)
            volume, quote_volume = volume + amount, quote_volume + amount * price
            if prices and price >= prices[-1]:
                bought, quote_bought = bought + amount, quote_bought + amount * price
            prices.append(price)
    if not prices:
        return None
    shape = prices[0], max(prices), min(prices), prices[-1]
    amounts = volume, quote_volume, Decimal(len(prices) - 1), bought, quote_bought
    return Candle(begins_at.timestamp(), *(float(each) for each in (*shape, *amounts)))


def _amount(what: str, lasting: timedelta, rule: TradingRule) -> Decimal:
    """Return the base of a trade: up to twice the usual turnover of its time, by something that looks like chance."""
    chance = int.from_bytes(blake2b(what.encode(), digest_size=4).digest(), "big")
    usual = usual_size(rule) * Decimal(lasting / timedelta(seconds=_TURNOVER_SECONDS))
    return max(round_down(usual * 2 * chance / _SHARES, rule.min_base_amount_increment), rule.min_base_amount_increment)
