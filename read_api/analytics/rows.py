"""Rows of analysis, made of trades: figures by group, equity over time, trades with what they closed, tax lots."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from domain.analytics.figures import Figures, Fill, Step, Tally, figures, figures_by_day
from domain.analytics.lots import Deal, Ledger, Method, take
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


def of_markets(traded: Iterable[Traded], *, by_controller: bool) -> list[Traded]:
    """Return trades whose positions keep apart by controller, too, if that is asked for."""
    if not by_controller:
        return list(traded)
    return [
        msgspec.structs.replace(
            told, fill=msgspec.structs.replace(told.fill, market=(*told.fill.market, told.controller or ""))
        )
        for told in traded
    ]


def performance(
    traded: Sequence[Traded], *, groups: Sequence[str], method: Method, since: datetime | None
) -> list[Row]:
    """Return the figures of each group, in the order of its first trade."""
    told = of_markets(traded, by_controller="controller" in groups)
    parts = [group for group in groups if group != "day"]
    together: dict[tuple[str | None, ...], list[Fill]] = {}
    for one in told:
        together.setdefault(tuple(_PARTS[part](one) for part in parts), []).append(one.fill)
    rows: list[Row] = []
    for key, fills in together.items():
        named: Row = dict(zip(parts, key, strict=True))
        if "day" not in groups:
            rows.append({**named, **_figures(figures(fills, method, since))})
            continue
        for day, found in figures_by_day(fills, method, since).items():
            rows.append({**named, "day": day.isoformat(), **_figures(found)})
    return rows


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


def equity(traded: Sequence[Traded], *, every: timedelta, method: Method, since: datetime | None) -> list[Row]:
    """Return how things stood at the end of each interval that had a trade; what was earned before `since` is in."""
    tally = Tally(method)
    points: list[Row] = []
    last: tuple[datetime, Step] | None = None
    for told in traded:
        at = told.fill.at
        end = _interval(at, every) + every
        if last is not None and last[0] != end:
            points.append(_point(*last, tally))
        step = tally.take(told.fill)
        last = None if since is not None and at < since else (end, step)
    return points if last is None else [*points, _point(*last, tally)]


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


def trades(
    traded: Sequence[Traded], *, method: Method, since: datetime | None, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Return a page of trades with the position after each and what it closed, oldest first, and how many there are."""
    tally = Tally(method)
    rows: list[Row] = []
    counted = 0
    for told in traded:
        step = tally.take(told.fill)
        if since is not None and told.fill.at < since:
            continue
        counted += 1
        if not offset < counted <= offset + limit:
            continue
        fill = told.fill
        rows.append(
            {
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
        )
    return rows, counted


def lots(traded: Sequence[Traded], *, method: Method, closed: bool) -> list[Row]:
    """Return the tax lots of each account's assets: those that are held, or those that were sold.

    Of spot trades alone. What was paid to buy is part of the cost and what was paid to sell is taken off the proceeds;
    a fee in the asset itself makes the lot smaller. Fees in other tokens are not in these figures.
    """
    ledgers: dict[tuple[str, str, str], Ledger] = {}
    rows: list[Row] = []
    for told in traded:
        if told.connector.endswith("_perpetual"):
            continue
        base, quote = split_pair(told.trading_pair)
        deal = _taxed(told.fill, base, quote)
        key = (told.owner, base, quote)
        ledger, closes = take(ledgers.get(key, Ledger(method=method)), deal)
        ledgers[key] = ledger
        rows += [
            {
                "account": told.owner,
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
            for close in closes
            if closed
        ]
    if closed:
        return rows
    return [
        {
            "account": owner,
            "asset": base,
            "currency": quote,
            "amount": lot.amount,
            "cost": lot.cost,
            "price": lot.price,
            "opened_at": lot.opened_at,
            "opened_by": lot.name,
        }
        for (owner, base, quote), ledger in ledgers.items()
        for lot in ledger.lots
    ]


def _taxed(fill: Fill, base: str, quote: str) -> Deal:
    paid = fill.fees.get(quote, ZERO)
    kept = fill.fees.get(base, ZERO)
    bought = fill.side is Side.BUY
    amount = fill.amount - kept if bought else fill.amount + kept
    worth = fill.notional + paid if bought else fill.notional - paid
    return Deal(side=fill.side, amount=amount, price=worth / amount, at=fill.at, name=fill.trade_id)
