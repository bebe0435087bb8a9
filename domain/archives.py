"""Archives: what a bot's own database says, taken into the log once. Stream `archive-<path>`.

The path is that of the SQLite file below the bots' folder, as the wire contract names it
(`bots/archived/<bot>/data/<name>.sqlite`). Rows come in batches, in the order in which the bot wrote them, so that an
import that was cut off goes on behind its last batch. Schema: hummingbot 20260922, `local_db_version` 20230516, whose
amounts are integers times 1e6, truncated by the bot.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from domain.events import Event
from domain.values import Utc

Table = Literal["trades", "orders", "statuses", "executors", "controllers", "positions", "funding"]

BATCH = 1000
"""Rows in one event."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A fill. `amount` in base, `price` in quote per base, `fee` in quote as the bot reckoned it (None: it could not).

    `fees` are token → amount: the flat fees, and the share of the notional where the fee is a share.
    """

    connector: str
    trading_pair: str
    order_id: str
    trade_id: str
    side: str
    order_type: str
    amount: Decimal
    price: Decimal
    leverage: int
    position: str | None
    fees: Mapping[str, Decimal]
    fee: Decimal | None
    at: Utc
    strategy: str
    config: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the bot saw it last. `price` is 0 for a market order."""

    order_id: str
    exchange_order_id: str | None
    connector: str
    trading_pair: str
    order_type: str
    amount: Decimal
    price: Decimal
    leverage: int
    position: str | None
    status: str
    created_at: Utc
    updated_at: Utc
    strategy: str
    config: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an order's status."""

    order_id: str
    status: str
    at: Utc


class Executor(msgspec.Struct, frozen=True, kw_only=True):
    """An executor that has ended.

    `config` and `custom_info` are the bot's JSON texts; figures are the bot's floats, None where it had no number.
    `close_type` and `status` are Hummingbot's numbers.
    """

    executor_id: str
    kind: str
    controller: str | None
    status: int
    close_type: int | None
    created_at: Utc
    closed_at: Utc | None
    net_pnl_pct: Decimal | None
    net_pnl: Decimal | None
    fees: Decimal | None
    filled: Decimal | None
    is_active: bool
    is_trading: bool
    config: str
    custom_info: str


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """A controller as it was at one start of the bot; `config` is the bot's JSON text."""

    number: int
    controller: str | None
    kind: str
    config: str
    at: Utc


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller held when the bot stopped. Amount in base, the rest in quote."""

    position_id: str
    controller: str
    connector: str
    trading_pair: str
    side: str
    amount: Decimal
    entry_price: Decimal
    volume: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    fees: Decimal
    at: Utc


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """A funding payment; `amount` in quote, negative when the bot paid."""

    connector: str
    trading_pair: str
    rate: Decimal
    amount: Decimal
    at: Utc


class ArchiveFound(Event, frozen=True, kw_only=True):
    """A database that is not in the log yet, or was something else then: its import begins.

    `rows` are table → how many there are to come; `missing` the tables that it does not have, table → why.
    """

    path: str
    bot: str
    sha256: str
    size: int
    rows: Mapping[Table, int]
    missing: Mapping[Table, str] = {}
    found_at: Utc


class ArchiveTradesRead(Event, frozen=True, kw_only=True):
    """Some trades of an archive; `first` of them came before."""

    path: str
    sha256: str
    first: int
    trades: Sequence[Trade]


class ArchiveOrdersRead(Event, frozen=True, kw_only=True):
    """Some orders of an archive; `first` of them came before."""

    path: str
    sha256: str
    first: int
    orders: Sequence[Order]


class ArchiveStatusesRead(Event, frozen=True, kw_only=True):
    """Some changes of orders of an archive; `first` of them came before."""

    path: str
    sha256: str
    first: int
    statuses: Sequence[Status]


class ArchiveExecutorsRead(Event, frozen=True, kw_only=True):
    """Some executors of an archive; `first` of them came before."""

    path: str
    sha256: str
    first: int
    executors: Sequence[Executor]


class ArchiveRestRead(Event, frozen=True, kw_only=True):
    """The small tables of an archive, whole."""

    path: str
    sha256: str
    controllers: Sequence[Controller] = ()
    positions: Sequence[Position] = ()
    funding: Sequence[Funding] = ()


class ArchiveImported(Event, frozen=True, kw_only=True):
    """All of an archive is in the log."""

    path: str
    sha256: str
    imported_at: Utc


class ArchiveUnreadable(Event, frozen=True, kw_only=True):
    """A file that is no database of a bot, or is damaged. `sha256` tells when it is another file."""

    path: str
    bot: str
    sha256: str
    size: int
    reason: str
    found_at: Utc


class ArchiveDeleted(Event, frozen=True, kw_only=True):
    """The archive's files were deleted; what was taken into the log stays there and is not shown."""

    path: str
    deleted_at: Utc


EVENTS = (
    ArchiveFound,
    ArchiveTradesRead,
    ArchiveOrdersRead,
    ArchiveStatusesRead,
    ArchiveExecutorsRead,
    ArchiveRestRead,
    ArchiveImported,
    ArchiveUnreadable,
    ArchiveDeleted,
)


IN_ORDER: Sequence[Table] = ("orders", "trades", "statuses", "executors")
"""The large tables, in the order in which they are read; the small ones come behind them, in one event."""


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """How far an archive is in the log; its last event says it, for rows come in a fixed order.

    `sha256` is that of the file that was seen last, None when none is there. `read` is table → rows that are in the
    log, every row of the tables before the last one; `settled`: there is nothing to do until the file is another one.
    """

    sha256: str | None = None
    read: Mapping[Table, int] = {}
    table: Table | None = None
    rest: bool = False
    settled: bool = False


NEW = Archive()


def stream_of(path: str) -> str:
    """Return the stream of an archive."""
    return f"archive-{path}"


def known(last: Event | None) -> Archive:
    """Return how far an archive is, by the last event of its stream."""
    match last:
        case ArchiveFound(sha256=sha256):
            return Archive(sha256=sha256)
        case ArchiveOrdersRead(sha256=sha256, first=first, orders=rows):
            return Archive(sha256=sha256, table="orders", read={"orders": first + len(rows)})
        case ArchiveTradesRead(sha256=sha256, first=first, trades=rows):
            return Archive(sha256=sha256, table="trades", read={"trades": first + len(rows)})
        case ArchiveStatusesRead(sha256=sha256, first=first, statuses=rows):
            return Archive(sha256=sha256, table="statuses", read={"statuses": first + len(rows)})
        case ArchiveExecutorsRead(sha256=sha256, first=first, executors=rows):
            return Archive(sha256=sha256, table="executors", read={"executors": first + len(rows)})
        case ArchiveRestRead(sha256=sha256):
            return Archive(sha256=sha256, rest=True)
        case ArchiveImported(sha256=sha256) | ArchiveUnreadable(sha256=sha256):
            return Archive(sha256=sha256, settled=True)
        case _:
            return NEW


def missing(archive: Archive, found: ArchiveFound) -> dict[Table, int]:
    """Return table → rows to skip of each large table that is not wholly in the log yet."""
    if archive.rest:
        return {}
    begin = 0 if archive.table is None else IN_ORDER.index(archive.table)
    return {table: archive.read.get(table, 0) for table in IN_ORDER[begin:] if table in found.rows}


def find(archive: Archive, found: ArchiveFound) -> list[Event]:
    """Begin an import; nothing where this very file was begun or is imported already."""
    return [] if archive.sha256 == found.sha256 else [found]


def refuse(archive: Archive, unreadable: ArchiveUnreadable) -> list[Event]:
    """Note that a file cannot be read, once for each content."""
    return [] if archive.settled and archive.sha256 == unreadable.sha256 else [unreadable]


def finish(archive: Archive, path: str, at: Utc) -> list[Event]:
    """End an import, all of whose rows are in the log."""
    if archive.sha256 is None or not archive.rest:
        return []
    return [ArchiveImported(path=path, sha256=archive.sha256, imported_at=at)]


def delete(last: Event | None, path: str, at: Utc) -> list[Event]:
    """Note that an archive is deleted, once."""
    return [] if isinstance(last, ArchiveDeleted) else [ArchiveDeleted(path=path, deleted_at=at)]
