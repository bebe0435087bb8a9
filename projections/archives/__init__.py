"""Archives: what the databases of archived bots say, and what their trades come to.

Items stand in the tables as they go over the wire. The trades of an archive are counted while they come in: each has
a step beside it that says how things stood after it, and the sums that the next batch goes on from stand in `archives`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from domain.analytics.figures import Fill, Market, Tally
from domain.archives import (
    ArchiveDeleted,
    ArchiveExecutorsRead,
    ArchiveFound,
    ArchiveImported,
    ArchiveOrdersRead,
    ArchiveRestRead,
    ArchiveStatusesRead,
    ArchiveTradesRead,
    ArchiveUnreadable,
    Table,
    Trade,
)
from domain.events import Recorded
from domain.values import ZERO, Side
from projections.archives import items
from projections.view import Changes, Connection, View, text

_TABLES = """
    create table archives (
        path        text        primary key,
        bot         text        not null,
        sha256      text        not null,
        size        bigint      not null,
        state       text        not null,
        reason      text,
        rows        text        not null,
        missing     text        not null,
        markets     text        not null,
        cum_fees    text        not null,
        position    bigint      not null,
        found_at    timestamptz not null,
        imported_at timestamptz
    ) with (fillfactor = 50);

    create table archive_items (
        path    text    not null,
        kind    text    not null,
        number  integer not null,
        status  text,
        wire    text    not null,
        primary key (path, kind, number)
    );

    create table archive_steps (
        path    text    not null,
        number  integer not null,
        wire    text    not null,
        primary key (path, number)
    );
"""
_INDEXES = "create index archive_items_by_status on archive_items (path, kind, status, number) where status is not null"


class Row(msgspec.Struct, kw_only=True):
    """A row of `archives`, while a batch is taken in."""

    path: str
    bot: str
    sha256: str
    size: int
    state: str
    reason: str | None
    rows: str
    missing: str
    markets: str
    cum_fees: str
    position: int
    found_at: datetime
    imported_at: datetime | None = None


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    kind: str
    number: int
    status: str | None
    wire: str


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    number: int
    wire: str


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables, in their order; a database that is another one by now begins anew."""
    rows = await _rows(changes, {recorded.event.path for recorded in events})  # type: ignore[attr-defined]
    for recorded in events:
        event = recorded.event
        match event:
            case ArchiveFound():
                await _forget(changes, event.path)
                rows[event.path] = _found(event, recorded.position)
            case ArchiveUnreadable():
                await _forget(changes, event.path)
                rows[event.path] = _unreadable(event, recorded.position)
            case ArchiveDeleted(path=path):
                await _forget(changes, path)
                rows.pop(path, None)
                await changes.write("archives", "delete from archives where path = %s", [path])
            case ArchiveImported(path=path, imported_at=at):
                rows[path].state, rows[path].imported_at = "imported", at
            case ArchiveTradesRead(path=path):
                await _trades(changes, rows[path], event.first, event.trades)
            case ArchiveOrdersRead(path=path, first=first, orders=orders):
                await _put(changes, path, "orders", first, [(items.order(order), order.status) for order in orders])
            case ArchiveExecutorsRead(path=path, first=first, executors=executors):
                await _put(changes, path, "executors", first, [(items.executor(one), None) for one in executors])
            case ArchiveRestRead(path=path, controllers=controllers, positions=positions):
                await _put(changes, path, "controllers", 0, [(items.controller(one), None) for one in controllers])
                await _put(changes, path, "positions", 0, [(items.position(one), None) for one in positions])
            case _:  # changes of orders are in the log for who looks, and on no page
                pass
    await changes.put(
        "archives",
        list(rows.values()),
        "on conflict (path) do update set bot = excluded.bot, sha256 = excluded.sha256, size = excluded.size,"
        " state = excluded.state, reason = excluded.reason, rows = excluded.rows, missing = excluded.missing,"
        " markets = excluded.markets, cum_fees = excluded.cum_fees, position = excluded.position,"
        " found_at = excluded.found_at, imported_at = excluded.imported_at",
    )


VIEW = View(
    name="archives",
    tables=_TABLES,
    indexes=_INDEXES,
    handles=(
        ArchiveFound,
        ArchiveTradesRead,
        ArchiveOrdersRead,
        ArchiveStatusesRead,
        ArchiveExecutorsRead,
        ArchiveRestRead,
        ArchiveImported,
        ArchiveUnreadable,
        ArchiveDeleted,
    ),
    apply=apply,
)


async def _rows(changes: Changes, paths: set[str]) -> dict[str, Row]:
    found = await changes.rows(
        "select path, bot, sha256, size, state, reason, rows, missing, markets, cum_fees, position, found_at,"
        " imported_at from archives where path = any(%s)",
        [sorted(paths)],
    )
    return {row[0]: Row(**dict(zip(Row.__struct_fields__, row, strict=True))) for row in found}


async def _forget(changes: Changes, path: str) -> None:
    await changes.write("archive_items", "delete from archive_items where path = %s", [path])
    await changes.write("archive_steps", "delete from archive_steps where path = %s", [path])


def _found(event: ArchiveFound, position: int) -> Row:
    return Row(
        path=event.path,
        bot=event.bot,
        sha256=event.sha256,
        size=event.size,
        state="importing",
        reason=None,
        rows=msgspec.json.encode(event.rows).decode(),
        missing=msgspec.json.encode(event.missing).decode(),
        markets="{}",
        cum_fees="{}",
        position=position,
        found_at=event.found_at,
    )


def _unreadable(event: ArchiveUnreadable, position: int) -> Row:
    return Row(
        path=event.path,
        bot=event.bot,
        sha256=event.sha256,
        size=event.size,
        state="unreadable",
        reason=text(event.reason),
        rows="{}",
        missing="{}",
        markets="{}",
        cum_fees="{}",
        position=position,
        found_at=event.found_at,
    )


async def _put(
    changes: Changes, path: str, kind: str, first: int, made: Sequence[tuple[dict[str, object], str | None]]
) -> None:
    await changes.send()
    await changes.add(
        "archive_items",
        [
            _Item(
                path=path,
                kind=kind,
                number=first + number,
                status=text(status),
                wire=_json(wire),
            )
            for number, (wire, status) in enumerate(made)
        ],
    )


async def _trades(changes: Changes, row: Row, first: int, trades: Sequence[Trade]) -> None:
    tally = Tally(markets=msgspec.json.decode(row.markets, type=dict[str, Market]))
    paid = msgspec.json.decode(row.cum_fees, type=dict[str, Decimal])
    wires, steps = [], []
    for number, trade in enumerate(trades):
        paid[trade.trading_pair] = paid.get(trade.trading_pair, ZERO) + (trade.fee or ZERO)
        wires.append((items.trade(trade, paid[trade.trading_pair]), None))
        step = tally.take(fill_of(trade))
        steps.append(_Step(path=row.path, number=first + number, wire=_json(items.step(step))))
    row.markets = _json(tally.markets)
    row.cum_fees = _json(paid)
    await _put(changes, row.path, "trades", first, wires)
    await changes.add("archive_steps", steps)


def fill_of(trade: Trade) -> Fill:
    """Return a trade as the arithmetic takes it; its market is connector and pair."""
    return Fill(
        market=(trade.connector, trade.trading_pair),
        trade_id=trade.trade_id,
        side=Side(trade.side),
        amount=trade.amount,
        price=trade.price,
        at=trade.at,
        fees=trade.fees,
        fee=trade.fee,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")


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


async def listed(
    connection: Connection,
    path: str,
    kind: str,
    *,
    limit: int | None = None,
    offset: int = 0,
    status: str | None = None,
) -> tuple[list[str], int]:
    """Return items as JSON texts in the order in which the bot wrote them, and how many there are in all."""
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


async def steps(connection: Connection, path: str) -> list[str]:
    """Return how things stood after each trade, as JSON texts in the order of the trades."""
    found = await connection.execute("select wire from archive_steps where path = %s order by number", [path])
    return [wire for (wire,) in await found.fetchall()]


async def markets_of(connection: Connection, path: str) -> tuple[list[str], list[str]]:
    """Return trading pairs and connectors of an archive's orders and trades, each once, in order of appearance."""
    found = await connection.execute(
        "select wire::json ->> 'trading_pair' as pair, wire::json ->> 'connector_name' as connector, min(number)"
        " from archive_items where path = %s and kind in ('trades', 'orders') group by 1, 2 order by 3, 1, 2",
        [path],
    )
    rows = await found.fetchall()
    return list(dict.fromkeys(pair for pair, _, _ in rows)), list(dict.fromkeys(name for _, name, _ in rows))
