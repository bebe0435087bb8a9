"""Positions on perpetuals, their leverage and mode, and the funding paid for them."""

# ruff: noqa: S608 - queries are put together from constants of this package

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from domain.events import Recorded
from domain.positions import FundingPaid, LeverageSet, PositionModeSet, PositionObserved
from domain.values import PositionMode, PositionSide
from projections import paging
from projections.accounts import CONNECTED
from projections.paging import Listing
from projections.view import Changes, Connection, View

_TABLES = """
    create table positions (
        account        text        not null,
        connector      text        not null,
        trading_pair   text        not null,
        side           text        not null,
        amount         numeric     not null,
        entry_price    numeric     not null,
        mark_price     numeric     not null,
        unrealized_pnl numeric     not null,
        leverage       integer     not null,
        observed_at    timestamptz not null,
        primary key (account, connector, trading_pair, side)
    );
    create table position_pairs (
        account      text not null,
        connector    text not null,
        trading_pair text not null,
        primary key (account, connector, trading_pair)
    );
    create table leverages (
        account      text    not null,
        connector    text    not null,
        trading_pair text    not null,
        leverage     integer not null,
        primary key (account, connector, trading_pair)
    );
    create table position_modes (
        account   text not null,
        connector text not null,
        mode      text not null,
        primary key (account, connector)
    );
    create table funding_payments (
        position     bigint      not null,
        account      text        not null,
        connector    text        not null,
        trading_pair text        not null,
        currency     text        not null,
        payment      numeric     not null,
        at           timestamptz not null,
        wire         text        not null
    );
    create table funding_payment_counts (
        account      text   not null,
        connector    text   not null,
        trading_pair text   not null,
        total        bigint not null,
        primary key (account, connector, trading_pair)
    );
"""

_INDEXES = """
    alter table funding_payments add primary key (position);
    create index on funding_payments (at, position);
    create index on funding_payments (account, connector, trading_pair, at, position);
"""


class Held(msgspec.Struct, frozen=True):
    """A position as the venue last told it; fields as in `PositionObserved`."""

    account: str
    connector: str
    trading_pair: str
    side: PositionSide
    amount: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealized_pnl: Decimal
    leverage: int
    observed_at: datetime


class _FundingRow(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    account: str
    connector: str
    trading_pair: str
    currency: str
    payment: Decimal
    at: datetime
    wire: str


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A funding payment on the wire. `id` is its place in the log; `funding_payment` is negative when we paid."""

    id: int
    funding_payment_id: str
    timestamp: str
    account_name: str
    connector_name: str
    trading_pair: str
    funding_rate: float
    funding_payment: float
    fee_currency: str
    position_size: float | None
    position_side: str
    exchange_funding_id: str


def on_the_wire(position: int, paid: FundingPaid) -> str:
    """Return a funding payment as clients read it; a one-way position is LONG or SHORT by its sign."""
    side = paid.position_side
    if side is PositionSide.BOTH:
        side = PositionSide.SHORT if paid.position_size < 0 else PositionSide.LONG
    return msgspec.json.encode(
        FundingPayment(
            id=position,
            funding_payment_id=paid.funding_id,
            timestamp=paid.paid_at.isoformat(),
            account_name=paid.account,
            connector_name=paid.connector,
            trading_pair=paid.trading_pair,
            funding_rate=float(paid.rate),
            funding_payment=float(paid.payment),
            fee_currency=paid.currency,
            position_size=float(paid.position_size),
            position_side=side.value,
            exchange_funding_id=paid.funding_id,
        )
    ).decode()


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: the last word on each position, leverage and mode, and every funding payment."""
    positions: dict[tuple[str, str, str, str], Held] = {}
    leverages: dict[tuple[str, str, str], LeverageSet] = {}
    modes: dict[tuple[str, str], PositionModeSet] = {}
    paid: list[_FundingRow] = []
    pairs: set[tuple[str, str, str]] = set()
    for recorded in events:
        match recorded.event:
            case PositionObserved() as seen:
                pairs.add((seen.account, seen.connector, seen.trading_pair))
                positions[seen.account, seen.connector, seen.trading_pair, seen.side] = _held(seen)
            case LeverageSet() as leverage:
                leverages[leverage.account, leverage.connector, leverage.trading_pair] = leverage
            case PositionModeSet() as mode:
                modes[mode.account, mode.connector] = mode
            case FundingPaid() as payment:
                pairs.add((payment.account, payment.connector, payment.trading_pair))
                paid.append(_funding_row(recorded.position, payment))
    if positions:
        await changes.put(
            "positions",
            list(positions.values()),
            "on conflict (account, connector, trading_pair, side) do update set amount = excluded.amount,"
            " entry_price = excluded.entry_price, mark_price = excluded.mark_price,"
            " unrealized_pnl = excluded.unrealized_pnl, leverage = excluded.leverage,"
            " observed_at = excluded.observed_at",
        )
        await changes.write("positions", "delete from positions where amount = 0")
    if pairs:
        names = ("account", "connector", "trading_pair")
        rows = [dict(zip(names, pair, strict=True)) for pair in sorted(pairs)]
        await changes.put("position_pairs", rows, "on conflict do nothing")
    if leverages:
        await changes.put(
            "leverages",
            list(leverages.values()),
            "on conflict (account, connector, trading_pair) do update set leverage = excluded.leverage",
        )
    if modes:
        await changes.put(
            "position_modes",
            list(modes.values()),
            "on conflict (account, connector) do update set mode = excluded.mode",
        )
    if paid:
        await changes.add("funding_payments", paid)
        counts = [((row.account, row.connector, row.trading_pair), 1) for row in paid]
        await paging.add(changes, "funding_payment_counts", ("account", "connector", "trading_pair"), counts)


def _held(seen: PositionObserved) -> Held:
    return Held(
        account=seen.account,
        connector=seen.connector,
        trading_pair=seen.trading_pair,
        side=seen.side,
        amount=seen.amount,
        entry_price=seen.entry_price,
        mark_price=seen.mark_price,
        unrealized_pnl=seen.unrealized_pnl,
        leverage=seen.leverage,
        observed_at=seen.observed_at,
    )


def _funding_row(position: int, paid: FundingPaid) -> _FundingRow:
    return _FundingRow(
        position=position,
        account=paid.account,
        connector=paid.connector,
        trading_pair=paid.trading_pair,
        currency=paid.currency,
        payment=paid.payment,
        at=paid.paid_at,
        wire=on_the_wire(position, paid),
    )


VIEW = View(
    name="positions",
    tables=_TABLES,
    indexes=_INDEXES,
    handles=(PositionObserved, FundingPaid, LeverageSet, PositionModeSet),
    apply=apply,
)

FUNDING = Listing(table="funding_payments", time="at", counts="funding_payment_counts")


Place = tuple[str, str, str, str]
"""Where a position stands in their order: account, connector, trading pair, side."""


async def held(
    connection: Connection,
    *,
    limit: int,
    after: Place | None = None,
    account: Sequence[str] | None = None,
    connector: Sequence[str] | None = None,
    followed: bool = False,
) -> tuple[list[Held], Place | None, int]:
    """Return open positions in order, the place to go on behind (None: no more), and how many match in all.

    With `followed` only those of accounts that are connected now.
    """
    values = {
        "account": list(account) if account else None,
        "connector": list(connector) if connector else None,
        "after": list(after) if after else None,
        "limit": limit + 1,
        "followed": followed,
    }
    found = await connection.execute(
        "select account, connector, trading_pair, side, amount, entry_price, mark_price, unrealized_pnl, leverage,"
        " observed_at, total from (select *, count(*) over () as total from positions"
        " where (%(account)s::text[] is null or account = any(%(account)s))"
        " and (%(connector)s::text[] is null or connector = any(%(connector)s))"
        f" and (not %(followed)s or {CONNECTED})) p"
        " where %(after)s::text[] is null or array[account, connector, trading_pair, side] > %(after)s::text[]"
        " order by account, connector, trading_pair, side limit %(limit)s",
        values,
    )
    rows = await found.fetchall()
    shown = [Held(*row[:10]) for row in rows[:limit]]
    last = shown[-1] if len(rows) > limit else None
    place = None if last is None else (last.account, last.connector, last.trading_pair, str(last.side))
    return shown, place, rows[0][10] if rows else 0


async def mode(connection: Connection, *, account: str, connector: str) -> PositionMode:
    """Return the position mode last set; one-way before any was."""
    found = await connection.execute(
        "select mode from position_modes where account = %s and connector = %s", [account, connector]
    )
    row = await found.fetchone()
    return PositionMode.ONEWAY if row is None else PositionMode(row[0])


async def leverages(connection: Connection, *, account: str, connector: str) -> dict[str, int]:
    """Return trading pair → leverage, of the pairs for which one was set."""
    found = await connection.execute(
        "select trading_pair, leverage from leverages where account = %s and connector = %s order by trading_pair",
        [account, connector],
    )
    return dict(await found.fetchall())


async def pairs(connection: Connection, *, account: str, connector: str) -> list[str]:
    """Return every pair that an account ever held a position in, or was paid funding for, on a connector."""
    found = await connection.execute(
        "select trading_pair from position_pairs where account = %s and connector = %s order by trading_pair",
        [account, connector],
    )
    return [pair async for (pair,) in found]
