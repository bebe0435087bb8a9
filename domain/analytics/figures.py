"""One set of figures of a run of trades: profit, fees, volume, wins and losses, risk.

All in quote unless a name says otherwise. Formulas and sources: `docs/analytics.md`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import msgspec

from domain.analytics.lots import Close, Deal, Ledger, Method, take
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

    `markets` are all that has to be known to go on: kept as JSON beside a view, another one begins with them.
    """

    def __init__(self, method: Method = Method.AVERAGE, markets: Mapping[str, Market] | None = None) -> None:
        """Begin with nothing, or where another one stood."""
        self.markets = dict(markets or {})
        self._new = Market(ledger=Ledger(method=method))
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
        ledger, closed = take(before.ledger, deal)
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


def steps(fills: Iterable[Fill], method: Method = Method.AVERAGE) -> Iterator[Step]:
    """Yield how things stood after each trade. The trades of a market must come in their order."""
    return map(Tally(method).take, fills)


def figures(fills: Sequence[Fill], method: Method = Method.AVERAGE, since: datetime | None = None) -> Figures:
    """Return the figures of a run of trades, which must be in their order.

    Those before `since` make the positions that the others go on from, and are in no figure.
    """
    before, taken = ZERO, []
    for both in _matched(fills, method):
        if since is not None and both[0].fill.at < since:
            before = both[0].unrealized
        else:
            taken.append(both)
    return _figures(taken, before)


def figures_by_day(
    fills: Sequence[Fill], method: Method = Method.AVERAGE, since: datetime | None = None
) -> dict[date, Figures]:
    """Return the figures of each day (UTC) that has a trade; each day goes on from the positions of the one before."""
    before, last = ZERO, ZERO
    days: dict[date, Figures] = {}
    day: date | None = None
    taken: list[tuple[Step, Step]] = []
    for both in _matched(fills, method):
        step = both[0]
        if since is None or step.fill.at >= since:
            if step.fill.at.date() != day:
                if day is not None:
                    days[day] = _figures(taken, before)
                day, taken, before = step.fill.at.date(), [], last
            taken.append(both)
        last = step.unrealized
    if day is not None:
        days[day] = _figures(taken, before)
    return days


def _matched(fills: Iterable[Fill], method: Method) -> Iterator[tuple[Step, Step]]:
    """Yield how things stood after each trade by the method, and by FIFO, which says how long things were held."""
    chosen, first = Tally(method), Tally(Method.FIFO)
    for fill in fills:
        step = chosen.take(fill)
        yield step, step if method is Method.FIFO else first.take(fill)


def _figures(both: Sequence[tuple[Step, Step]], before: Decimal) -> Figures:
    taken = [step for step, _ in both]
    counted = [step.fill for step in taken]
    realized = [sum((close.pnl for close in step.closed), ZERO) for step in taken if step.closed]
    wins = [outcome for outcome in realized if outcome > 0]
    losses = [outcome for outcome in realized if outcome < 0]
    decided = len(wins) + len(losses)
    began = _began(taken, before)
    return Figures(
        trades=len(taken),
        volume=sum((fill.notional for fill in counted), ZERO),
        realized=sum(realized, ZERO),
        unrealized=taken[-1].unrealized if taken else before,
        unrealized_before=before,
        fees=sum((fill.fee or ZERO for fill in counted), ZERO),
        fees_by_token=fees_by_token(counted),
        unpriced_fees=sum(fill.fee is None for fill in counted),
        closes=len(realized),
        wins=len(wins),
        win_rate=Decimal(len(wins)) / decided if decided else None,
        profit_factor=sum(wins, ZERO) / -sum(losses, ZERO) if losses else None,
        maximum_drawdown=maximum_drawdown(step.net - began for step in taken),
        sharpe=sharpe(daily(taken, began)),
        mean_holding_seconds=mean_holding_seconds(close for _, fifo in both for close in fifo.closed),
        exposure=exposure(taken),
    )


def _began(taken: Sequence[Step], unrealized: Decimal) -> Decimal:
    """Return what had been earned before the first of these steps."""
    if not taken:
        return ZERO
    first = taken[0]
    realized = first.realized - sum((close.pnl for close in first.closed), ZERO)
    return realized + unrealized - (first.fees - (first.fill.fee or ZERO))


def fees_by_token(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """Return token → what was paid in it."""
    paid: dict[str, Decimal] = {}
    for fill in fills:
        for token, amount in fill.fees.items():
            paid[token] = paid.get(token, ZERO) + amount
    return paid


def maximum_drawdown(equity: Iterable[Decimal]) -> Decimal:
    """Return the largest fall from a height to a later depth; the height before the first value is 0."""
    height = deepest = ZERO
    for value in equity:
        height = max(height, value)
        deepest = max(deepest, height - value)
    return deepest


def daily(taken: Sequence[Step], began: Decimal = ZERO) -> dict[date, Decimal]:
    """Return day (UTC) → what was earned on it after fees, each day from the first trade's to the last one's.

    `began` is what had been earned before.
    """
    if not taken:
        return {}
    ends: dict[date, Decimal] = {step.fill.at.date(): step.net for step in taken}
    day, last, before, earned = taken[0].fill.at.date(), taken[-1].fill.at.date(), began, {}
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


def mean_holding_seconds(closes: Iterable[Close]) -> Decimal | None:
    """Return how long what was closed had been held, weighted by notional at entry; None if nothing was."""
    weighted = weight = ZERO
    for close in closes:
        held = close.closed_at - close.opened_at
        seconds = Decimal(held // timedelta(microseconds=1)).scaleb(-6)
        weighted += seconds * close.cost
        weight += close.cost
    return weighted / weight if weight else None


def exposure(taken: Sequence[Step]) -> Decimal | None:
    """Return the mean notional that was held between the first trade and the last one, long and short alike.

    Each market counts at the price of its own last trade. None when no time passed.
    """
    held: dict[tuple[str, ...], Decimal] = {}
    total, seconds, now = ZERO, ZERO, ZERO
    for step, following in pairwise(taken):
        value = abs(step.market.ledger.position) * step.fill.price
        now += value - held.get(step.fill.market, ZERO)
        held[step.fill.market] = value
        lasted = Decimal((following.fill.at - step.fill.at) // timedelta(microseconds=1)).scaleb(-6)
        total += now * lasted
        seconds += lasted
    return total / seconds if seconds else None
