"""Balances, positions and funding as ccxt reads them, in our words.

ccxt's shapes: manual, "Balance Structure", "Position Structure", "Funding History Structure"; numbers are exact.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from domain.values import ZERO, PositionMode, PositionSide

Raw = Mapping[str, Any]
"""One of ccxt's unified structures."""
Held = dict[tuple[str, PositionSide], PositionObserved]


class Symbols(Protocol):
    """What the venue's symbols mean here."""

    def pair(self, symbol: str) -> str | None:
        """Return the pair of a symbol, None for one that is not traded here."""
        ...

    def contract_size(self, pair: str) -> Decimal:
        """Return the base in one contract, 1 on spot."""
        ...


def holdings(raw: Raw) -> list[Holding]:
    """Return every token that is owned or owed, by name."""
    total, free, used = (raw.get(key) or {} for key in ("total", "free", "used"))
    found = []
    for token in sorted({*total, *free}):
        available = number(free.get(token)) if free.get(token) is not None else None
        units = number(total.get(token)) if total.get(token) is not None else (available or ZERO)
        if available is None:
            available = units - number(used.get(token))
        if units or available:
            found.append(Holding(token=token, units=units, available=available))
    return found


def positions(
    raws: Iterable[Raw], *, symbols: Symbols, account: str, connector: str, mode: PositionMode, at: datetime
) -> Held:
    """Return the open positions by pair and side."""
    found: Held = {}
    for raw in raws:
        pair = symbols.pair(str(raw.get("symbol")))
        contracts = number(raw.get("contracts"))
        if pair is None or not contracts:
            continue
        is_short = raw.get("side") == "short"
        hedged = raw.get("hedged") if raw.get("hedged") is not None else mode is PositionMode.HEDGE
        side = (PositionSide.SHORT if is_short else PositionSide.LONG) if hedged else PositionSide.BOTH
        amount = abs(contracts) * symbols.contract_size(pair)
        found[pair, side] = PositionObserved(
            account=account,
            connector=connector,
            trading_pair=pair,
            side=side,
            amount=-amount if is_short else amount,
            entry_price=number(raw.get("entryPrice")),
            mark_price=number(raw.get("markPrice") or raw.get("entryPrice")),
            unrealized_pnl=number(raw.get("unrealizedPnl")),
            leverage=_leverage(raw),
            observed_at=at,
        )
    return found


def _leverage(raw: Raw) -> int:
    """Return the leverage of a position; where the venue does not name it any more (Binance), its margin tells."""
    named = number(raw.get("leverage"))
    if named:
        return max(int(named), 1)
    # ccxt's own margin counts that of open orders in.
    margin = number((raw.get("info") or {}).get("positionInitialMargin") or raw.get("initialMargin"))
    return max(round(abs(number(raw.get("notional"))) / margin), 1) if margin else 1


def closed(before: Held, now: Held, at: datetime) -> list[PositionObserved]:
    """Return the positions that are there no more, at amount 0."""
    return [
        PositionObserved(
            account=gone.account,
            connector=gone.connector,
            trading_pair=gone.trading_pair,
            side=gone.side,
            amount=ZERO,
            entry_price=ZERO,
            mark_price=gone.mark_price,
            unrealized_pnl=ZERO,
            leverage=gone.leverage,
            observed_at=at,
        )
        for key, gone in before.items()
        if key not in now
    ]


def funding(raw: Raw, *, pair: str, held: Held, rate: Decimal, account: str, connector: str) -> FundingPaid:
    """Return one funding payment. The position is the one that is held now: venues do not say which one it was.

    Its side is LONG or SHORT in one-way mode, too, BOTH where nothing is held any more.
    """
    side, position = next(
        ((side, position) for (held_pair, side), position in held.items() if held_pair == pair),
        (PositionSide.BOTH, None),
    )
    if side is PositionSide.BOTH and position is not None:
        side = PositionSide.LONG if position.amount > ZERO else PositionSide.SHORT
    return FundingPaid(
        account=account,
        connector=connector,
        trading_pair=pair,
        funding_id=_funding_id(raw, pair),
        rate=rate,
        payment=number(raw.get("amount")),
        currency=str(raw.get("code") or pair.partition("-")[2]),
        position_size=ZERO if position is None else abs(position.amount),
        position_side=side,
        paid_at=time(raw["timestamp"]),
    )


def _funding_id(raw: Raw, pair: str) -> str:
    """Return the venue's id of a payment; one without, or with nothing but zeros (Hyperliquid), goes by its time."""
    told = str(raw.get("id") or "")
    return told if told.strip("0x") else f"{pair}-{raw['timestamp']}"


def number(value: object, default: Decimal = ZERO) -> Decimal:
    """Return a number of ccxt's. Raises `ArithmeticError` for what is none, infinity and `NaN` included."""
    if value is None:
        return default
    found = Decimal(str(value))
    if not found.is_finite():
        raise InvalidOperation(f"{found} is no number that can be counted with")
    return found


def time(milliseconds: object) -> datetime:
    """Return a time of ccxt's."""
    return datetime.fromtimestamp(int(str(milliseconds).partition(".")[0]) / 1000, UTC)


def milliseconds(at: datetime) -> int:
    """Return a time as ccxt takes it."""
    return int(at.timestamp() * 1000)
