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

from domain.errors import Invalid
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
    """Some trades of an archive."""

    path: str
    trades: Sequence[Trade]


class ArchiveOrdersRead(Event, frozen=True, kw_only=True):
    """Some orders of an archive."""

    path: str
    orders: Sequence[Order]


class ArchiveStatusesRead(Event, frozen=True, kw_only=True):
    """Some changes of orders of an archive."""

    path: str
    statuses: Sequence[Status]


class ArchiveExecutorsRead(Event, frozen=True, kw_only=True):
    """Some executors of an archive."""

    path: str
    executors: Sequence[Executor]


class ArchiveRestRead(Event, frozen=True, kw_only=True):
    """The small tables of an archive, whole."""

    path: str
    controllers: Sequence[Controller] = ()
    positions: Sequence[Position] = ()
    funding: Sequence[Funding] = ()


class ArchiveImported(Event, frozen=True, kw_only=True):
    """All of an archive is in the log."""

    path: str
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


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import has come. `read` is table → rows that are in the log."""

    found: ArchiveFound | None = None
    read: Mapping[Table, int] = {}
    rest: bool = False
    imported: bool = False
    unreadable: ArchiveUnreadable | None = None
    deleted: bool = False

    @property
    def sha256(self) -> str | None:
        """Of the file that was seen last, None when none was or it is deleted."""
        seen = self.unreadable or self.found
        return None if seen is None or self.deleted else seen.sha256

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do until the file is another one."""
        return self.imported or self.unreadable is not None or self.deleted


NEW = Archive()


def stream_of(path: str) -> str:
    """Return the stream of an archive."""
    return f"archive-{path}"


def evolve(archive: Archive, event: Event) -> Archive:
    """Return the archive after an event."""
    match event:
        case ArchiveFound():
            return Archive(found=event)
        case ArchiveTradesRead(trades=rows):
            return _read(archive, "trades", len(rows))
        case ArchiveOrdersRead(orders=rows):
            return _read(archive, "orders", len(rows))
        case ArchiveStatusesRead(statuses=rows):
            return _read(archive, "statuses", len(rows))
        case ArchiveExecutorsRead(executors=rows):
            return _read(archive, "executors", len(rows))
        case ArchiveRestRead():
            return msgspec.structs.replace(archive, rest=True)
        case ArchiveImported():
            return msgspec.structs.replace(archive, imported=True)
        case ArchiveUnreadable():
            return Archive(unreadable=event)
        case ArchiveDeleted():
            return msgspec.structs.replace(archive, deleted=True)
        case _:
            return archive


def _read(archive: Archive, table: Table, rows: int) -> Archive:
    return msgspec.structs.replace(archive, read={**archive.read, table: archive.read.get(table, 0) + rows})


def find(archive: Archive, found: ArchiveFound) -> list[Event]:
    """Begin an import; nothing where this very file was begun or is imported already."""
    return [] if archive.sha256 == found.sha256 else [found]


def refuse(archive: Archive, unreadable: ArchiveUnreadable) -> list[Event]:
    """Note that a file cannot be read, once for each content."""
    known = archive.unreadable is not None and archive.sha256 == unreadable.sha256
    return [] if known else [unreadable]


def finish(archive: Archive, at: Utc) -> list[Event]:
    """End an import. Raises `Invalid` while rows are missing: what was counted at its beginning has to be there."""
    if archive.found is None or archive.settled:
        return []
    for table, rows in archive.found.rows.items():
        if table in {"controllers", "positions", "funding"}:
            continue
        if archive.read.get(table, 0) != rows:
            have = archive.read.get(table, 0)
            raise Invalid(f"The archive {archive.found.path} has {rows} {table}, and {have} of them were read")
    return [ArchiveImported(path=archive.found.path, imported_at=at)]


def delete(archive: Archive, path: str, at: Utc) -> list[Event]:
    """Note that an archive is deleted."""
    return [] if archive.deleted else [ArchiveDeleted(path=path, deleted_at=at)]
