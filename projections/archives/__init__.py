"""Archives: what the databases of archived bots say, and what their trades come to.

Items stand in the tables as they go over the wire. The trades of an archive are counted while they come in: each has
a step beside it that says how things stood after it, and the sums that the next batch goes on from stand in `archives`.
Trades and steps are many and are asked for in runs, so a batch of them is one row.
"""

import asyncio
from collections.abc import Sequence
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
    Executor,
    Trade,
)
from domain.events import Recorded
from domain.values import ZERO, Side
from projections.archives import items
from projections.view import Changes, View, text

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

    create table archive_fills (
        path         text        not null,
        number       integer     not null,
        bot          text        not null,
        connector    text        not null,
        trading_pair text        not null,
        order_id     text        not null,
        trade_id     text        not null,
        side         text        not null,
        amount       numeric     not null,
        price        numeric     not null,
        fee          numeric,
        fees         text        not null,
        filled_at    timestamptz not null,
        primary key (path, number)
    );

    create table archive_controllers (
        path       text not null,
        order_id   text not null,
        controller text not null,
        primary key (path, order_id)
    );

    create table archive_chunks (
        path  text    not null,
        kind  text    not null,
        first integer not null,
        count integer not null,
        wires text    not null,
        primary key (path, kind, first)
    );
"""
_INDEXES = """
    create index archive_items_by_status on archive_items (path, kind, status, number) where status is not null;
    create index archive_fills_by_time on archive_fills (filled_at);
"""

_TRADES_AT_ONCE = 50


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


class _Fill(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    number: int
    bot: str
    connector: str
    trading_pair: str
    order_id: str
    trade_id: str
    side: str
    amount: Decimal
    price: Decimal
    fee: Decimal | None
    fees: str
    filled_at: datetime


class _Controller(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    order_id: str
    controller: str


class _Chunk(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    kind: str
    first: int
    count: int
    wires: str  # JSON, with commas between


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
                await _controllers(changes, path, executors)
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
    bulky=True,
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
    await changes.write("archive_chunks", "delete from archive_chunks where path = %s", [path])
    await changes.write("archive_fills", "delete from archive_fills where path = %s", [path])
    await changes.write("archive_controllers", "delete from archive_controllers where path = %s", [path])


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


async def _controllers(changes: Changes, path: str, executors: Sequence[Executor]) -> None:
    """Note whose orders were whose: executors name theirs in what they tell about themselves."""
    whose = {
        order_id: one.controller
        for one in executors
        if one.controller is not None
        for order_id in items.orders_of(one.custom_info)
    }
    await changes.put(
        "archive_controllers",
        [_Controller(path=path, order_id=text(order), controller=text(name)) for order, name in whose.items()],
        "on conflict do nothing",
    )


async def _trades(changes: Changes, row: Row, first: int, trades: Sequence[Trade]) -> None:
    tally = Tally(markets=msgspec.json.decode(row.markets, type=dict[str, Market]))
    paid = msgspec.json.decode(row.cum_fees, type=dict[str, Decimal])
    wires, steps, fills = [], [], []
    for number, trade in enumerate(trades):
        if not number % _TRADES_AT_ONCE:
            await asyncio.sleep(0)  # others in this process have a turn
        paid[trade.trading_pair] = paid.get(trade.trading_pair, ZERO) + (trade.fee or ZERO)
        wires.append(items.trade(trade, paid[trade.trading_pair]))
        steps.append(items.step(tally.take(fill_of(trade))))
        fills.append(
            _Fill(
                path=row.path,
                number=first + number,
                bot=row.bot,
                connector=text(trade.connector),
                trading_pair=text(trade.trading_pair),
                order_id=text(trade.order_id),
                trade_id=text(trade.trade_id),
                side=trade.side,
                amount=trade.amount,
                price=trade.price,
                fee=trade.fee,
                fees=_json(trade.fees),
                filled_at=trade.at,
            )
        )
    row.markets = _json(tally.markets)
    row.cum_fees = _json(paid)
    await changes.send()
    await changes.put(
        "archive_chunks",
        [
            _Chunk(path=row.path, kind=kind, first=first, count=len(made), wires=_numbers(made)[1:-1])
            for kind, made in (("trades", wires), ("steps", steps))
        ],
    )
    await changes.add("archive_fills", fills)


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


def _numbers(value: object) -> str:
    return items.ENCODER.encode(value).decode().replace("\\u0000", "\\ufffd")
