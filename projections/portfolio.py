"""Portfolio: what each account holds on each connector, now and at each time it was seen."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from domain.events import Recorded
from domain.portfolio import Balance, BalancesObserved
from projections.view import Changes, Connection, View, text

_TABLES = """
    create table holdings (
        account     text        not null,
        connector   text        not null,
        observed_at timestamptz not null,
        tokens      text[]      not null,
        units       numeric[]   not null,
        available   numeric[]   not null,
        prices      numeric[]   not null,
        usd         numeric[]   not null,
        banned      boolean[]   not null,
        wire        text        not null,
        primary key (account, connector)
    );
    create table snapshots (
        account     text        not null,
        connector   text        not null,
        observed_at timestamptz not null,
        position    bigint      not null,
        wire        text        not null
    );
    create table snapshot_series (
        account   text   not null,
        connector text   not null,
        position  bigint not null,
        primary key (account, connector)
    );
"""


_INDEXES = """
    alter table snapshots add primary key (account, connector, observed_at, position);
"""


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    connector: str
    observed_at: datetime
    position: int
    wire: str


class TokenItem(msgspec.Struct, frozen=True, kw_only=True):
    """A token on the wire: `units` in the token, `price` and `value` in USD, 0 when not known."""

    token: str
    units: float
    price: float
    value: float
    available_units: float


_encode = msgspec.json.Encoder().encode


def on_the_wire(balances: Sequence[Balance]) -> str:
    """Return balances as clients read them, without tokens that are banned or that nothing is left of."""
    return _encode(
        [
            TokenItem(
                token=text(b.token) or "",
                units=float(b.units),
                price=float(b.price or 0),
                value=float(b.value or 0),
                available_units=float(b.available),
            )
            for b in balances
            if b.units and not b.banned
        ]
    ).decode()


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: the last balances of each account and connector, and a snapshot for each time.

    Balances outlive an account and its credentials: they are at the venue, and connected again it goes on with them.
    """
    observed = [(each.position, each.event) for each in events if isinstance(each.event, BalancesObserved)]
    await _put_holdings(changes, list({(event.account, event.connector): event for _, event in observed}.values()))
    await _put_snapshots(changes, observed)


async def _put_holdings(changes: Changes, latest: Sequence[BalancesObserved]) -> None:
    await changes.put(
        "holdings",
        [
            {
                "account": observed.account,
                "connector": observed.connector,
                "observed_at": observed.observed_at,
                "tokens": [text(b.token) for b in observed.balances],
                "units": [b.units for b in observed.balances],
                "available": [b.available for b in observed.balances],
                "prices": [b.price for b in observed.balances],
                "usd": [b.value for b in observed.balances],
                "banned": [b.banned for b in observed.balances],
                "wire": on_the_wire(observed.balances),
            }
            for observed in latest
        ],
        "on conflict (account, connector) do update set observed_at = excluded.observed_at, tokens = excluded.tokens,"
        " units = excluded.units, available = excluded.available, prices = excluded.prices, usd = excluded.usd,"
        " banned = excluded.banned, wire = excluded.wire",
    )


async def _put_snapshots(changes: Changes, seen: Sequence[tuple[int, BalancesObserved]]) -> None:
    await changes.add(
        "snapshots",
        [
            _Snapshot(
                account=observed.account,
                connector=observed.connector,
                observed_at=observed.observed_at,
                position=position,
                wire=on_the_wire(observed.balances),
            )
            for position, observed in seen
        ],
    )
    first = {(observed.account, observed.connector): position for position, observed in reversed(seen)}
    await changes.put(
        "snapshot_series",
        [{"account": a, "connector": connector, "position": position} for (a, connector), position in first.items()],
        "on conflict do nothing",
    )


VIEW = View(
    name="portfolio",
    tables=_TABLES,
    indexes=_INDEXES,
    handles=(BalancesObserved,),
    apply=apply,
)


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A token that an account holds on a connector: `units` of it, worth `value` in USD (0 where no price is known)."""

    account: str
    connector: str
    token: str
    units: Decimal
    value: Decimal


async def state(
    connection: Connection, *, accounts: Sequence[str] | None = None, connectors: Sequence[str] | None = None
) -> list[tuple[str, str | None, str | None]]:
    """Return (account, connector, what it holds as JSON), in the order in which they came.

    An account with nothing to show stands there once, without a connector.
    """
    found = await connection.execute(
        "select a.account, h.connector, h.wire from accounts a"
        " left join (account_connectors c join holdings h using (account, connector))"
        " on c.account = a.account and (%(connectors)s::text[] is null or c.connector = any(%(connectors)s))"
        " where %(accounts)s::text[] is null or a.account = any(%(accounts)s) order by a.position, c.position",
        {"accounts": list(accounts) if accounts else None, "connectors": list(connectors) if connectors else None},
    )
    return await found.fetchall()


async def holdings(
    connection: Connection, *, accounts: Sequence[str] | None = None, connectors: Sequence[str] | None = None
) -> list[Holding]:
    """Return the tokens that all accounts and connectors, or those named, hold, in the order in which they came.

    Without those that are banned, or that there is nothing left of.
    """
    found = await connection.execute(
        "select h.account, h.connector, t.token, t.units, coalesce(t.usd, 0) from accounts a"
        " join account_connectors c using (account) join holdings h using (account, connector)"
        " cross join unnest(h.tokens, h.units, h.usd, h.banned) with ordinality as t (token, units, usd, banned, place)"
        " where t.units <> 0 and not t.banned and (%(accounts)s::text[] is null or h.account = any(%(accounts)s))"
        " and (%(connectors)s::text[] is null or h.connector = any(%(connectors)s))"
        " order by a.position, c.position, t.place",
        {"accounts": list(accounts) if accounts else None, "connectors": list(connectors) if connectors else None},
    )
    return [
        Holding(account=account, connector=connector, token=token, units=units, value=value)
        async for account, connector, token, units, value in found
    ]


async def balances(connection: Connection, *, account: str, connector: str) -> tuple[list[Balance], datetime] | None:
    """Return the last balances to the last digit and when they were observed, None before any."""
    found = await connection.execute(
        "select tokens, units, available, prices, usd, banned, observed_at from holdings"
        " where account = %s and connector = %s",
        [account, connector],
    )
    row = await found.fetchone()
    if row is None:
        return None
    *columns, observed_at = row
    kept = [
        Balance(token=token, units=units, available=available, price=price, value=value, banned=banned)
        for token, units, available, price, value, banned in zip(*columns, strict=True)
    ]
    return kept, observed_at


async def history(
    connection: Connection,
    *,
    interval_seconds: int,
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
    before: datetime | None = None,
    accounts: Sequence[str] | None = None,
    connectors: Sequence[str] | None = None,
) -> list[tuple[datetime, datetime, str, str, str]]:
    """Return (start of the interval, time, account, connector, what it held as JSON), newest first.

    For each of the newest `limit` intervals in which anything was seen, the last snapshot of each account and connector
    in it. `before` is the start of an interval to go on behind; `since` and `until` are inclusive.
    """
    found = await connection.execute(
        _HISTORY,
        {
            "interval": f"{interval_seconds} seconds",
            "limit": limit,
            "since": since,
            "until": until,
            "before": before,
            "accounts": list(accounts) if accounts else None,
            "connectors": list(connectors) if connectors else None,
        },
    )
    return await found.fetchall()


# One index lookup for each interval that has snapshots of an account on a connector: from the newest back, the next
# lookup begins where the interval of the last one began.
_HISTORY = """
    with recursive sampled as (
        select s.account, s.connector, s.position as series, n.start, n.observed_at, n.position, 1 as step
        from snapshot_series s
        cross join lateral (
            select date_bin(%(interval)s::interval, observed_at, timestamptz 'epoch') as start, observed_at, position
            from snapshots
            where account = s.account and connector = s.connector
              and observed_at < coalesce(%(before)s::timestamptz, 'infinity')
              and observed_at <= coalesce(%(until)s::timestamptz, 'infinity')
              and observed_at >= coalesce(%(since)s::timestamptz, '-infinity')
            order by observed_at desc, position desc limit 1
        ) n
        where (%(accounts)s::text[] is null or s.account = any(%(accounts)s))
          and (%(connectors)s::text[] is null or s.connector = any(%(connectors)s))
        union all
        select p.account, p.connector, p.series, n.start, n.observed_at, n.position, p.step + 1
        from sampled p
        cross join lateral (
            select date_bin(%(interval)s::interval, observed_at, timestamptz 'epoch') as start, observed_at, position
            from snapshots
            where account = p.account and connector = p.connector
              and observed_at < p.start
              and observed_at >= coalesce(%(since)s::timestamptz, '-infinity')
            order by observed_at desc, position desc limit 1
        ) n
        where p.step < %(limit)s
    ),
    newest as (
        select *, dense_rank() over (order by start desc) as place from sampled
    )
    select n.start, n.observed_at, n.account, n.connector, s.wire
    from newest n join snapshots s using (account, connector, observed_at, position)
    where n.place <= %(limit)s
    order by n.start desc, n.series
"""
