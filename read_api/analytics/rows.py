"""Rows of analysis, made of trades: figures by group, equity over time, trades with what they closed, tax lots."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec

from domain.analytics.figures import Figures, Fill, Reckoning, Step, Tally
from domain.analytics.lots import Close, Deal, Ledger, Lot, Method, OpenLots
from domain.values import ZERO, Side, split_pair
from projections.analytics import Traded

Row = dict[str, object]

_PARTS: Mapping[str, Callable[[Traded], str | None]] = {
    "account": lambda told: told.owner if told.kind == "account" else None,
    "bot": lambda told: told.owner if told.kind == "bot" else None,
    "controller": lambda told: told.controller,
    "connector": lambda told: told.connector,
    "pair": lambda told: told.trading_pair,
}
GROUPS = (*_PARTS, "day")
"""What figures can be grouped by."""


class Fold(Protocol):
    """Makes rows of trades, which come in their order, some at a time."""

    def take(self, traded: Iterable[Traded]) -> list[Row]:
        """Count trades, and return the rows that are ready."""
        ...

    def rest(self) -> list[Row]:
        """Return the rows that had to wait for the last trade."""
        ...


class Performance:
    """The figures of each group, in the order of its first trade."""

    def __init__(self, *, groups: Sequence[str], method: Method, since: datetime | None) -> None:
        self._parts = [group for group in groups if group != "day"]
        self._by_controller = "controller" in groups
        self._by_day = "day" in groups
        self._new = partial(Reckoning, method, since, by_day=self._by_day)
        self._groups: dict[tuple[str | None, ...], Reckoning] = {}

    def take(self, traded: Iterable[Traded]) -> list[Row]:
        """Count trades."""
        for told in traded:
            key = tuple(_PARTS[part](told) for part in self._parts)
            reckoning = self._groups.get(key)
            if reckoning is None:
                reckoning = self._groups[key] = self._new()
            reckoning.take(_of_controller(told) if self._by_controller else told.fill)
        return []

    def rest(self) -> list[Row]:
        """Return the rows."""
        rows: list[Row] = []
        for key, reckoning in self._groups.items():
            named: Row = dict(zip(self._parts, key, strict=True))
            if self._by_day:
                found = reckoning.days().items()
                rows += [{**named, "day": day.isoformat(), **_figures(of_day)} for day, of_day in found]
            else:
                rows.append({**named, **_figures(reckoning.whole())})
        return rows


def _of_controller(told: Traded) -> Fill:
    """Return a trade whose position keeps apart by controller, too."""
    return msgspec.structs.replace(told.fill, market=(*told.fill.market, told.controller or ""))


def _figures(found: Figures) -> Row:
    return {
        "trades": found.trades,
        "volume": found.volume,
        "realized_pnl": found.realized,
        "unrealized_pnl": found.unrealized,
        "unrealized_pnl_before": found.unrealized_before,
        "fees": found.fees,
        "net_pnl": found.net,
        "fees_by_token": found.fees_by_token,
        "trades_with_unpriced_fees": found.unpriced_fees,
        "closing_trades": found.closes,
        "winning_trades": found.wins,
        "win_rate": found.win_rate,
        "profit_factor": found.profit_factor,
        "maximum_drawdown": found.maximum_drawdown,
        "sharpe": found.sharpe,
        "mean_holding_seconds": found.mean_holding_seconds,
        "mean_exposure": found.exposure,
    }


class Equity:
    """How things stood at the end of each interval that had a trade; what was earned before `since` is in."""

    def __init__(self, *, every: timedelta, method: Method, since: datetime | None) -> None:
        self._every = every
        self._since = since
        self._tally = Tally(method)
        self._last: tuple[datetime, Step] | None = None

    def take(self, traded: Iterable[Traded]) -> list[Row]:
        """Count trades, and return the points of intervals that are over."""
        points: list[Row] = []
        for told in traded:
            at = told.fill.at
            end = _interval(at, self._every) + self._every
            if self._last is not None and self._last[0] != end:
                points.append(_point(*self._last, self._tally))
            step = self._tally.take(told.fill)
            self._last = None if self._since is not None and at < self._since else (end, step)
        return points

    def rest(self) -> list[Row]:
        """Return the last point."""
        return [] if self._last is None else [_point(*self._last, self._tally)]


def _interval(at: datetime, every: timedelta) -> datetime:
    seconds = int(every.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, tz=at.tzinfo)


def _point(end: datetime, step: Step, tally: Tally) -> Row:
    exposure = sum((abs(market.ledger.position) * market.price for market in tally.markets.values()), ZERO)
    return {
        "at": end,
        "realized_pnl": step.realized,
        "unrealized_pnl": step.unrealized,
        "fees": step.fees,
        "net_pnl": step.net,
        "volume": step.volume,
        "exposure": exposure,
    }


class Trades:
    """Trades with the position after each and what it closed, a page of them or all; `counted` are there."""

    def __init__(self, *, method: Method, since: datetime | None, limit: int | None, offset: int) -> None:
        self.counted = 0
        self._tally = Tally(method)
        self._since = since
        self._first, self._last = offset, None if limit is None else offset + limit

    def take(self, traded: Iterable[Traded]) -> list[Row]:
        """Count trades, and return those that are asked for."""
        rows: list[Row] = []
        for told in traded:
            if self._last is not None and self.counted >= self._last:
                self.counted += 1  # behind the page: nobody asks for positions any more
                continue
            step = self._tally.take(told.fill)
            if self._since is not None and told.fill.at < self._since:
                continue
            self.counted += 1
            if self.counted > self._first:
                rows.append(_trade(told, step))
        return rows

    def rest(self) -> list[Row]:
        """Return nothing: no trade waits for another."""
        return []


def _trade(told: Traded, step: Step) -> Row:
    fill = told.fill
    return {
        "at": fill.at,
        **{part: read(told) for part, read in _PARTS.items()},
        "order_id": told.order_id,
        "trade_id": fill.trade_id,
        "side": fill.side.value,
        "amount": fill.amount,
        "price": fill.price,
        "notional": fill.notional,
        "fee": fill.fee,
        "fees_by_token": fill.fees,
        "position": step.market.ledger.position,
        "entry_price": step.market.ledger.entry_price,
        "realized_pnl": sum((close.pnl for close in step.closed), ZERO),
    }


class Lots:
    """The tax lots of each account's assets: those that are held, or those that were sold.

    Of spot trades alone. What was paid to buy is part of the cost and what was paid to sell is taken off the proceeds;
    a fee in the asset itself makes the lot smaller, and what it is above the lot comes from earlier ones. Fees in other
    tokens are not in these figures.
    """

    def __init__(self, *, method: Method, closed: bool) -> None:
        self._new = Ledger(method=method)
        self._closed = closed
        self._open: dict[tuple[str, str, str], OpenLots] = {}

    def take(self, traded: Iterable[Traded]) -> list[Row]:
        """Count trades, and return the lots that were sold, if those are asked for."""
        rows: list[Row] = []
        for told in traded:
            if told.kind != "account" or told.connector.endswith("_perpetual"):
                continue
            base, quote = split_pair(told.trading_pair)
            key = (told.owner, base, quote)
            lots = self._open.get(key)
            if lots is None:
                lots = self._open[key] = OpenLots(self._new)
            deal = _taxed(told.fill, base, quote)
            closes = () if deal is None else lots.take(deal)
            if self._closed:
                rows += [_sold(key, close) for close in closes]
        return rows

    def rest(self) -> list[Row]:
        """Return the lots that are held, if those are asked for."""
        if self._closed:
            return []
        return [_held(key, lot) for key, open_ in self._open.items() for lot in open_.lots]


def _sold(key: tuple[str, str, str], close: Close) -> Row:
    owner, base, quote = key
    return {
        "account": owner,
        "asset": base,
        "currency": quote,
        "amount": close.amount,
        "cost": close.cost,
        "proceeds": close.proceeds,
        "gain": close.pnl,
        "opened_at": close.opened_at,
        "closed_at": close.closed_at,
        "opened_by": close.entry_name,
        "closed_by": close.exit_name,
    }


def _held(key: tuple[str, str, str], lot: Lot) -> Row:
    owner, base, quote = key
    return {
        "account": owner,
        "asset": base,
        "currency": quote,
        "amount": lot.amount,
        "cost": lot.cost,
        "price": lot.price,
        "opened_at": lot.opened_at,
        "opened_by": lot.name,
    }


def _taxed(fill: Fill, base: str, quote: str) -> Deal | None:
    """Return what a trade brought and took, fees among it; None where they leave nothing of the asset to tell of."""
    sign = 1 if fill.side is Side.BUY else -1
    came = sign * fill.amount - fill.fees.get(base, ZERO)
    paid = sign * fill.notional + fill.fees.get(quote, ZERO)
    if not came:
        return None
    side = Side.BUY if came > 0 else Side.SELL
    return Deal(side=side, amount=abs(came), price=paid / came, at=fill.at, name=fill.trade_id)
