"""What can be asked about archives."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import LiteralString

import msgspec

from domain.analytics.figures import Market
from domain.archives import Table
from domain.errors import Unavailable
from projections.archives import items
from projections.view import Connection

_COUNTED: Sequence[Table] = ("trades", "orders", "executors")


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A database in the log. `state` is importing, imported or unreadable; `rows` table → how many there are.

    `markets` are connector and pair → how things stand after its last trade.
    """

    path: str
    bot: str
    state: str
    reason: str | None
    rows: Mapping[Table, int]
    missing: Mapping[Table, str]
    markets: Mapping[tuple[str, str], Market]
    position: int


async def paths(connection: Connection) -> list[str]:
    """Return the path of every database that is not deleted, in order."""
    found = await connection.execute("select path from archives order by path")
    return [path for (path,) in await found.fetchall()]


async def archive(connection: Connection, path: str) -> Archive | None:
    """Return a database, None where the log has none of that path."""
    found = await connection.execute(
        "select bot, state, reason, rows, missing, markets, position from archives where path = %s", [path]
    )
    row = await found.fetchone()
    if row is None:
        return None
    bot, state, reason, counts, missing, markets, position = row
    named = msgspec.json.decode(markets, type=dict[str, Market])
    return Archive(
        path=path,
        bot=bot,
        state=state,
        reason=reason,
        rows=msgspec.json.decode(counts, type=dict[Table, int]),
        missing=msgspec.json.decode(missing, type=dict[Table, str]),
        markets={items.market(name): market for name, market in named.items()},
        position=position,
    )


async def taken(connection: Connection, archive: Archive) -> tuple[int, int]:
    """Return how many trades, orders and executors of a database are in the log, and how many it has."""
    found = await connection.execute(
        "select coalesce(sum(count), 0)::bigint"
        " + coalesce((select max(number) + 1 from archive_items where path = %(path)s and kind = 'orders'), 0)"
        " + coalesce((select max(number) + 1 from archive_items where path = %(path)s and kind = 'executors'), 0)"
        " from archive_chunks where path = %(path)s and kind = 'trades'",
        {"path": archive.path},
    )
    row = await found.fetchone()
    return (0 if row is None else row[0]), sum(archive.rows.get(table, 0) for table in _COUNTED)


async def page(
    connection: Connection, path: str, kind: str, *, limit: int, offset: int, status: str | None = None
) -> tuple[list[str], int]:
    """Return items as JSON texts in the order in which the bot wrote them, and how many there are in all."""
    if kind == "trades":
        return await _trades(connection, path, limit=limit, offset=offset)
    only = " and status = %s" if status is not None else ""
    chosen = [path, kind, *([status] if status is not None else [])]
    found = await connection.execute(
        f"select wire from archive_items where path = %s and kind = %s{only} order by number limit %s offset %s",  # noqa: S608
        [*chosen, limit, offset],
    )
    wires = [wire for (wire,) in await found.fetchall()]
    counted = await connection.execute(
        f"select count(*) from archive_items where path = %s and kind = %s{only}",  # noqa: S608
        chosen,
    )
    row = await counted.fetchone()
    return wires, 0 if row is None else row[0]


def every(connection: Connection, archive: Archive, kind: str) -> AsyncGenerator[str, None]:
    """Yield all items as JSON texts, in the order in which the bot wrote them. Raises `Unavailable` as `_texts`."""
    return _texts(
        connection,
        archive,
        "select number, wire from archive_items where path = %s and kind = %s and number > %s order by number limit %s",
        kind,
        size=500,
    )


async def _trades(connection: Connection, path: str, *, limit: int, offset: int) -> tuple[list[str], int]:
    found = await connection.execute(
        "select first, wires from archive_chunks"
        " where path = %s and kind = 'trades' and first < %s and first + count > %s order by first",
        [path, offset + limit, offset],
    )
    wires: list[str] = []
    for first, chunk in await found.fetchall():
        items_of = msgspec.json.decode(f"[{chunk}]", type=list[msgspec.Raw])
        wires += [bytes(wire).decode() for wire in items_of[max(offset - first, 0) : offset + limit - first]]
    counted = await connection.execute(
        "select coalesce(sum(count), 0)::bigint from archive_chunks where path = %s and kind = 'trades'", [path]
    )
    row = await counted.fetchone()
    return wires, 0 if row is None else row[0]


def steps(connection: Connection, archive: Archive) -> AsyncGenerator[str, None]:
    """Yield how things stood after each trade, in the order of the trades: JSON texts of some each, commas between.

    Raises `Unavailable` as `_texts`.
    """
    return _texts(
        connection,
        archive,
        "select first, wires from archive_chunks where path = %s and kind = %s and first > %s order by first limit %s",
        "steps",
        size=4,
    )


async def markets_of(connection: Connection, archive: Archive) -> tuple[list[str], list[str]]:
    """Return trading pairs and connectors of an archive's trades and orders, each once, in order of appearance."""
    found = await connection.execute(
        "select wire::json ->> 'connector_name' as connector, wire::json ->> 'trading_pair' as pair, min(number)"
        " from archive_items where path = %s and kind = 'orders' group by 1, 2 order by 3, 1, 2",
        [archive.path],
    )
    markets = [*archive.markets, *((connector, pair) for connector, pair, _ in await found.fetchall())]
    return list(dict.fromkeys(pair for _, pair in markets)), list(dict.fromkeys(name for name, _ in markets))


async def _texts(
    connection: Connection, archive: Archive, statement: LiteralString, kind: str, *, size: int
) -> AsyncGenerator[str, None]:
    """Yield the texts of an archive that is whole, `size` of them in memory, each page by a statement of its own.

    Nothing comes to an archive that is whole, so they are as they were at the beginning. Raises `Unavailable` where it
    was deleted or replaced meanwhile, by another file or by a view that was built anew: each has another table or
    position, and is looked at when a page is read.
    """
    table, last = await _table(connection), -1
    while True:
        found = await connection.execute(statement, [archive.path, kind, last, size])
        page = await found.fetchall()
        standing = await connection.execute(
            "select 1 from archives where path = %s and position = %s", [archive.path, archive.position]
        )
        if await standing.fetchone() is None or await _table(connection) != table:
            raise Unavailable(
                f"Database '{archive.path}' was deleted or replaced while the answer was made: ask again",
                retry_after_seconds=1,
            )
        for last, text in page:  # noqa: B007 - the next page begins behind the last one
            yield text
        if len(page) < size:
            return


async def _table(connection: Connection) -> int:
    found = await connection.execute("select to_regclass('archives')::oid::bigint")
    ((number,),) = await found.fetchall()
    return int(number)
