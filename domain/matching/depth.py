"""Depth: the market's side of a book, made out of one quote or of a real venue's book; and what else a market tells."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

import msgspec

from domain.connectors import TradingRule
from domain.values import ZERO, Side, Utc, round_down

LEVELS = 20
GAP = Decimal("0.0001")
"""Between two levels, as a share of the price."""


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The market's best prices, quote per base, with the base to be had at each. `bid` is below `ask`."""

    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal

    @property
    def mid(self) -> Decimal:
        """The price in the middle."""
        return (self.bid + self.ask) / 2


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """What the market offers: (price, amount), best price first. `mark` values positions.

    The levels of one depth are nothing to those of the next, unless they are `lasting`: then what is taken of a level
    stays taken, and only what it grows by is offered anew, until its price is out of the book.
    """

    bids: Sequence[tuple[Decimal, Decimal]]
    asks: Sequence[tuple[Decimal, Decimal]]
    mark: Decimal
    lasting: bool = False


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade between others on the real market: `taker` is the side of the one who came to the book."""

    price: Decimal
    amount: Decimal
    taker: Side
    traded_at: Utc  # venue clock


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's market cannot be seen, and until its next depth nothing is known of it. `reason` is for the user."""

    reason: str


News = Depth | Away | Sequence[Trade]
"""What is new of one pair's market: a book in the place of the last one, trades in their order, or that it is away."""


def depth_of(bids: Sequence[tuple[Decimal, Decimal]], asks: Sequence[tuple[Decimal, Decimal]]) -> Depth | None:
    """Return a venue's book of (price, amount) as depth, None for one that is empty or whose best prices cross.

    Levels may come in any order; one without a price or an amount is none. The mark is the middle of the best prices,
    or the best price where there is only one side.
    """
    high = sorted((level for level in bids if min(level) > 0), reverse=True)
    low = sorted(level for level in asks if min(level) > 0)
    best = [side[0][0] for side in (high, low) if side]
    if not best or (high and low and high[0][0] >= low[0][0]):
        return None
    return Depth(bids=high, asks=low, mark=sum(best, ZERO) / len(best), lasting=True)


def ladder(quote: Quote, rule: TradingRule, levels: int = LEVELS) -> Depth:
    """Return the depth behind a quote: level after level further away, each one size larger than the one before.

    Prices are on the pair's steps, bids rounded down and asks up; every level offers at least one step of the base.
    """
    step = rule.min_price_increment
    gap = max(step, _up(quote.mid * GAP, step))
    best_bid, best_ask = round_down(quote.bid, step), _up(quote.ask, step)
    bids = [(best_bid - gap * level, level + 1) for level in range(levels)]
    return Depth(
        bids=[(price, _size(quote.bid_size, times, rule)) for price, times in bids if price > 0],
        asks=[(best_ask + gap * level, _size(quote.ask_size, level + 1, rule)) for level in range(levels)],
        mark=quote.mid,
    )


def _size(size: Decimal, times: int, rule: TradingRule) -> Decimal:
    step = rule.min_base_amount_increment
    return max(step, round_down(size * times, step))


def _up(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(rounding=ROUND_CEILING) * step
