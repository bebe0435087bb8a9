"""Lists that are read page by page, newest first, without a cost that grows with the log.

Each row carries its item as it stands on the wire (`wire`, a JSON object), so that a page is read without building it.
A page begins behind the key of the last item before it; how many items there are is added up when they are written.
"""

# ruff: noqa: S608 - queries are put together from constants of this package

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import LiteralString
from zlib import crc32

import msgspec

from projections.view import Changes, Connection

Key = tuple[datetime, int]
"""Where an item stands in a list: its time, and the position in the log that made it."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is read page by page: the column of an item's time, and the table that counts its items.

    `item` is the item as JSON text; `only` leaves rows out, and `only_counts` the counts of the same rows. `in_series`
    says that rows have the number of their series, and an index by it.
    """

    table: LiteralString
    time: LiteralString
    counts: LiteralString
    item: LiteralString = "wire"
    only: LiteralString = "true"
    only_counts: LiteralString = "true"
    in_series: bool = False


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Items of a list as JSON objects, the key to go on behind (None: it ends here), and how many match in all."""

    items: Sequence[str]
    next: Key | None
    total: int


_encode = msgspec.json.Encoder().encode


def iso(at: datetime) -> str:
    """Return a time in UTC as `isoformat` does, which takes several times as long."""
    return _encode(at)[1:-2].decode() + "+00:00"  # without the quotes, and Z in the other spelling


@lru_cache(10_000)
def series_of(account: str, connector: str, trading_pair: str) -> int:
    """Return a number for what is traded where, by which rows are found: an index of three names is slow to make.

    Two may have the same one, so that whoever asks for rows of a series names it, too.
    """
    return crc32(f"{account}\n{connector}\n{trading_pair}".encode()) - 2**31


async def page(
    connection: Connection,
    listing: Listing,
    *,
    limit: int,
    after: Key | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    **filters: Sequence[str] | None,
) -> Page:
    """Return up to `limit` items, newest first, that match every filter: column → values, none of them for any.

    `since` and `until` are inclusive; counting what is between them costs as much as there is between them.
    """
    conditions, values = _conditions(listing, filters, since, until)
    wanted = [*conditions, *await _in_series(connection, listing, filters, values)]
    timed = since is not None or until is not None
    total = _total(listing, wanted if timed else conditions, timed=timed)
    if after is not None:
        wanted.append(f"({listing.time}, position) < (%(after_at)s, %(after_position)s)")
        values |= {"after_at": after[0], "after_position": after[1]}
    found = await connection.execute(
        f"select {listing.time}, position, {listing.item}, ({total}) from {listing.table}{_where(listing.only, wanted)}"
        f" order by {listing.time} desc, position desc limit %(limit)s",
        values | {"limit": limit + 1},
    )
    rows = await found.fetchall()
    if not rows:
        counted = await (await connection.execute(total, values)).fetchone()
        return Page(items=[], next=None, total=counted[0] if counted else 0)
    shown = rows[:limit]
    return Page(
        items=[row[2] for row in shown],
        next=(shown[-1][0], shown[-1][1]) if len(rows) > limit else None,
        total=rows[0][3],
    )


async def add(
    changes: Changes,
    counts: LiteralString,
    columns: Sequence[LiteralString],
    more: Iterable[tuple[tuple[str, ...], int]],
) -> None:
    """Add to a table of counts: key → how many more, or fewer. A count that comes to nothing leaves the table."""
    sums: Counter[tuple[str, ...]] = Counter()
    for key, change in more:
        sums[key] += change
    changed = sorted((key, change) for key, change in sums.items() if change)
    if not changed:
        return
    names = ", ".join(columns)
    rows = [dict(zip(columns, key, strict=True)) | {"total": change} for key, change in changed]
    if all(change > 0 for _, change in changed):
        grown = f"on conflict ({names}) do update set total = {counts}.total + excluded.total"
        await changes.put(counts, rows, grown)
        return
    # Two statements that see the same rows, of which each changes its own: one those that go, one those that stay.
    given: LiteralString = f"json_populate_recordset(null::{counts}, %s::json) n"
    same = " and ".join([f"c.{column} = n.{column}" for column in columns])
    values = [msgspec.json.encode(rows).decode()]
    await changes.write(
        counts,
        f"insert into {counts} select n.* from {given}"
        f" where not exists (select from {counts} c where {same} and c.total + n.total = 0)"
        f" on conflict ({names}) do update set total = {counts}.total + excluded.total",
        values,
        beside=(f"delete from {counts} c using {given} where {same} and c.total + n.total = 0", values),
    )


def _conditions(
    listing: Listing, filters: Mapping[str, Sequence[str] | None], since: datetime | None, until: datetime | None
) -> tuple[list[LiteralString], dict[str, object]]:
    conditions: list[LiteralString] = []
    values: dict[str, object] = {}
    for column, wanted in filters.items():
        if wanted:
            conditions.append(_MATCHES[column])
            values[column] = list(wanted)
    if since is not None:
        conditions.append(f"{listing.time} >= %(since)s")
        values["since"] = since
    if until is not None:
        conditions.append(f"{listing.time} <= %(until)s")
        values["until"] = until
    return conditions, values


async def _in_series(
    connection: Connection, listing: Listing, filters: Mapping[str, Sequence[str] | None], values: dict[str, object]
) -> list[LiteralString]:
    """Return the condition that rows are of a series that the filters name, and add its value."""
    named = [_MATCHES[column] for column in _SERIES if filters.get(column)]
    if not listing.in_series or not named:
        return []
    query = f"select distinct account, connector, trading_pair from {listing.counts} where {' and '.join(named)}"
    values["series"] = [series_of(*names) async for names in await connection.execute(query, values)]
    return ["series = any(%(series)s::integer[])"]


def _total(listing: Listing, conditions: Sequence[LiteralString], *, timed: bool) -> LiteralString:
    if timed:
        return f"select count(*) from {listing.table}{_where(listing.only, conditions)}"
    return f"select coalesce(sum(total), 0)::bigint from {listing.counts}{_where(listing.only_counts, conditions)}"


def _where(only: LiteralString, conditions: Sequence[LiteralString]) -> LiteralString:
    return " where " + " and ".join((only, *conditions))


_SERIES = ("account", "connector", "trading_pair")
_MATCHES: dict[str, LiteralString] = {
    "account": "account = any(%(account)s)",
    "connector": "connector = any(%(connector)s)",
    "trading_pair": "trading_pair = any(%(trading_pair)s)",
    "status": "status = any(%(status)s)",
    "side": "side = any(%(side)s)",
}
