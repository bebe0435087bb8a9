"""One set of figures of a run of trades: profit, fees, volume, wins and losses, risk.

All in quote unless a name says otherwise. Formulas and sources: `docs/analytics.md`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from domain.analytics.lots import Close, Deal, Ledger, Method, OpenLots
from domain.values import ZERO, Side

DAYS_A_YEAR = 365
"""Crypto markets do not close."""
SEPARATOR = "\x1f"
"""Between the parts of a market's name."""
_ROOT_OF_YEAR = Decimal(DAYS_A_YEAR).sqrt()


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of anybody's: `market` is whatever keeps positions apart (account, connector, pair).

    `fees` are token → amount paid (a rebate is negative); `fee` is all of them in quote, None where a token has no
    known price then.
    """

    market: tuple[str, ...]
    trade_id: str
    side: Side
    amount: Decimal
    price: Decimal
    at: datetime
    fees: Mapping[str, Decimal] = {}
    fee: Decimal | None = ZERO

    @property
    def notional(self) -> Decimal:
        """What it moved."""
        return self.amount * self.price


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand on one market after its last trade, whose price is `price`; `fees` of known price only."""

    ledger: Ledger
    price: Decimal = ZERO
    bought: Decimal = ZERO  # base, as `sold`
    sold: Decimal = ZERO
    paid: Decimal = ZERO  # quote, for what was bought
    received: Decimal = ZERO
    realized: Decimal = ZERO
    closed_cost: Decimal = ZERO  # what was paid for what is closed, or received for it when it was short
    fees: Decimal = ZERO

    @property
    def unrealized(self) -> Decimal:
        """Profit of what is held, at the price of the last trade."""
        return self.ledger.unrealized(self.price)

    @property
    def volume(self) -> Decimal:
        """What was moved."""
        return self.paid + self.received

    @property
    def net(self) -> Decimal:
        """What was earned on this market, after fees."""
        return self.realized + self.unrealized - self.fees


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """How things stood after a trade: its own `market`, what it `closed` there, and all markets in the rest.

    `unrealized` values each market at the price of its own last trade.
    """

    fill: Fill
    market: Market
    closed: tuple[Close, ...]
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    volume: Decimal

    @property
    def net(self) -> Decimal:
        """All that was earned, after fees."""
        return self.realized + self.unrealized - self.fees


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of trades comes to. `None` is "cannot be said": a quotient without a divisor, too few days.

    `unrealized` is what the open positions have earned at the end, `unrealized_before` what they had at the beginning.
    """

    trades: int
    volume: Decimal
    realized: Decimal
    unrealized: Decimal
    unrealized_before: Decimal
    fees: Decimal
    fees_by_token: Mapping[str, Decimal]
    unpriced_fees: int  # trades whose fee has no known price in quote, and is not in `fees`
    closes: int
    wins: int
    win_rate: Decimal | None
    profit_factor: Decimal | None
    maximum_drawdown: Decimal
    sharpe: Decimal | None
    mean_holding_seconds: Decimal | None
    exposure: Decimal | None

    @property
    def net(self) -> Decimal:
        """All that was earned, after fees."""
        return self.realized + self.unrealized - self.unrealized_before - self.fees


class Tally:
    """Counts trades one after the other. The trades of a market must come in their order.

    By average cost, `markets` are all that has to be known to go on: kept as JSON beside a view, another one begins
    with them.
    """

    def __init__(self, method: Method = Method.AVERAGE, markets: Mapping[str, Market] | None = None) -> None:
        """Begin with nothing, or where another one stood, by average cost. Raises `ValueError` as `OpenLots`."""
        self.markets = dict(markets or {})
        self._new = Market(ledger=Ledger(method=method))
        self._open = {name: OpenLots(market.ledger) for name, market in self.markets.items()}
        self._realized = sum((market.realized for market in self.markets.values()), ZERO)
        self._unrealized_of = {name: market.unrealized for name, market in self.markets.items()}
        self._unrealized = sum(self._unrealized_of.values(), ZERO)
        self._fees = sum((market.fees for market in self.markets.values()), ZERO)
        self._volume = sum((market.volume for market in self.markets.values()), ZERO)

    def take(self, fill: Fill) -> Step:
        """Count a trade, and return how things stand after it."""
        name = SEPARATOR.join(fill.market)
        before = self.markets.get(name, self._new)
        deal = Deal(side=fill.side, amount=fill.amount, price=fill.price, at=fill.at, name=fill.trade_id)
        lots = self._open.get(name)
        if lots is None:
            lots = self._open[name] = OpenLots(before.ledger)
        closed = lots.take(deal)
        ledger = lots.ledger
        bought, moved, fee = fill.side is Side.BUY, fill.notional, fill.fee or ZERO
        realized = sum((close.pnl for close in closed), ZERO)
        unrealized = ledger.unrealized(fill.price)
        market = Market(
            ledger=ledger,
            price=fill.price,
            bought=before.bought + fill.amount if bought else before.bought,
            sold=before.sold if bought else before.sold + fill.amount,
            paid=before.paid + moved if bought else before.paid,
            received=before.received if bought else before.received + moved,
            realized=before.realized + realized,
            closed_cost=before.closed_cost + sum((close.cost for close in closed), ZERO),
            fees=before.fees + fee,
        )
        self.markets[name] = market
        self._realized += realized
        self._unrealized_of[name] = unrealized
        # Added up anew: a sum that is carried on would keep what was rounded on its way, and differ from one resumed.
        self._unrealized = sum(self._unrealized_of.values(), ZERO)
        self._fees += fee
        self._volume += moved
        return Step(
            fill=fill,
            market=market,
            closed=closed,
            realized=self._realized,
            unrealized=self._unrealized,
            fees=self._fees,
            volume=self._volume,
        )


class Reckoning:
    """Reckons the figures of a run of trades, of the whole or of each day (UTC), as the trades come.

    They must come in their order. Those before `since` make the positions that the others go on from, and are in no
    figure; each day goes on from the positions of the one before. What is kept grows with days, markets and open lots,
    not with trades.
    """

    def __init__(self, method: Method = Method.AVERAGE, since: datetime | None = None, *, by_day: bool = False) -> None:
        """Begin with nothing."""
        self._chosen = Tally(method)
        # FIFO says how long things were held, whatever the method.
        self._first = self._chosen if method is Method.FIFO else Tally(Method.FIFO)
        self._since = since
        self._by_day = by_day
        self._unrealized = ZERO  # after the last trade
        self._runs: dict[date | None, _Run] = {}

    def take(self, fill: Fill) -> None:
        """Count a trade."""
        step = self._chosen.take(fill)
        first = step if self._first is self._chosen else self._first.take(fill)
        if self._since is None or fill.at >= self._since:
            day = fill.at.date() if self._by_day else None
            if day not in self._runs:
                self._runs[day] = _Run(self._unrealized)
            self._runs[day].take(step, first.closed)
        self._unrealized = step.unrealized

    def whole(self) -> Figures:
        """Return the figures of all trades."""
        return self._runs.get(None, _Run(self._unrealized)).figures()

    def days(self) -> dict[date, Figures]:
        """Return the figures of each day that has a trade."""
        return {day: run.figures() for day, run in self._runs.items() if day is not None}


class _Run:
    """Sums over trades. `before` is what the open positions had earned before the first of them."""

    def __init__(self, before: Decimal) -> None:
        self._before = before
        self._began = ZERO  # all that had been earned before
        self._trades = self._unpriced = self._closes = 0
        self._volume = self._realized = self._fees = ZERO
        self._paid: dict[str, Decimal] = {}
        self._wins, self._won, self._losses, self._lost = 0, ZERO, 0, ZERO
        self._height = self._deepest = ZERO
        self._ends: dict[date, Decimal] = {}
        self._held = _Mean()
        self._exposure = _Exposure()
        self._unrealized = before

    def take(self, step: Step, first: Sequence[Close]) -> None:
        """Count how things stood after a trade; `first` is what it closed by FIFO."""
        fill, fee = step.fill, step.fill.fee or ZERO
        outcome = sum((close.pnl for close in step.closed), ZERO)
        if not self._trades:
            self._began = step.realized - outcome + self._before - (step.fees - fee)
        self._unrealized = step.unrealized
        self._trades += 1
        self._unpriced += fill.fee is None
        self._volume += fill.notional
        self._fees += fee
        for token, amount in fill.fees.items():
            self._paid[token] = self._paid.get(token, ZERO) + amount
        if step.closed:
            self._close(outcome)
        earned = step.net - self._began
        self._height = max(self._height, earned)
        self._deepest = max(self._deepest, self._height - earned)
        self._ends[fill.at.date()] = step.net
        for close in first:
            self._held.add(_seconds(close.closed_at - close.opened_at), close.cost)
        self._exposure.take(step)

    def _close(self, outcome: Decimal) -> None:
        self._closes += 1
        self._realized += outcome
        if outcome > 0:
            self._wins += 1
            self._won += outcome
        elif outcome < 0:
            self._losses += 1
            self._lost += outcome

    def figures(self) -> Figures:
        """Return what the trades come to."""
        decided = self._wins + self._losses
        return Figures(
            trades=self._trades,
            volume=self._volume,
            realized=self._realized,
            unrealized=self._unrealized,
            unrealized_before=self._before,
            fees=self._fees,
            fees_by_token=dict(self._paid),
            unpriced_fees=self._unpriced,
            closes=self._closes,
            wins=self._wins,
            win_rate=Decimal(self._wins) / decided if decided else None,
            profit_factor=self._won / -self._lost if self._losses else None,
            maximum_drawdown=self._deepest,
            sharpe=sharpe(daily(self._ends, self._began)),
            mean_holding_seconds=self._held.mean,
            exposure=self._exposure.mean,
        )


class _Mean:
    """A mean of weighted values, None of nothing."""

    def __init__(self) -> None:
        self._sum = self._weight = ZERO

    def add(self, value: Decimal, weight: Decimal) -> None:
        self._sum += value * weight
        self._weight += weight

    @property
    def mean(self) -> Decimal | None:
        return self._sum / self._weight if self._weight else None


class _Exposure:
    """The notional that is held, long and short alike, each market at the price of its own last trade, and its mean."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], Decimal] = {}
        self._now = ZERO
        self._at: datetime | None = None
        self._over_time = _Mean()

    def take(self, step: Step) -> None:
        fill = step.fill
        if self._at is not None:
            self._over_time.add(self._now, _seconds(fill.at - self._at))
        self._at = fill.at
        value = abs(step.market.ledger.position) * fill.price
        self._now += value - self._held.get(fill.market, ZERO)
        self._held[fill.market] = value

    @property
    def mean(self) -> Decimal | None:
        return self._over_time.mean


def _seconds(time: timedelta) -> Decimal:
    return Decimal(time // timedelta(microseconds=1)).scaleb(-6)


def daily(ends: Mapping[date, Decimal], began: Decimal = ZERO) -> dict[date, Decimal]:
    """Return day (UTC) → what was earned on it, from the first day to the last one.

    `ends` are what had been earned in all by the end of each day that has a trade, in order, `began` by the beginning.
    """
    if not ends:
        return {}
    day, last, before, earned = min(ends), max(ends), began, dict[date, Decimal]()
    while day <= last:
        end = ends.get(day, before)
        earned[day] = end - before
        before, day = end, day + timedelta(days=1)
    return earned


def sharpe(earned: Mapping[date, Decimal]) -> Decimal | None:
    """Return the yearly Sharpe ratio of what was earned each day, without a risk-free rate.

    The capital cancels out as long as it is the same on all days. None for fewer than two days, or all alike.
    """
    count = len(earned)
    if count < 2:  # noqa: PLR2004 - a deviation needs two
        return None
    mean = sum(earned.values(), ZERO) / count
    variance = sum(((value - mean) ** 2 for value in earned.values()), ZERO) / (count - 1)
    return mean / variance.sqrt() * _ROOT_OF_YEAR if variance else None
