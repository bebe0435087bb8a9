"""Stories of archives, told in events."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import msgspec

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
    Controller,
    Executor,
    Order,
    Position,
    Status,
    Table,
    Trade,
    stream_of,
)
from domain.events import Event
from tests.archives import path_of
from tests.projections.given import AT, Told

SHA = "ab" * 32
TRADE = Trade(
    connector="binance",
    trading_pair="BTC-USDT",
    order_id="x-1",
    trade_id="1",
    side="BUY",
    order_type="LIMIT",
    amount=Decimal(1),
    price=Decimal(100),
    leverage=1,
    position="NIL",
    fees={"USDT": Decimal("0.1")},
    fee=Decimal("0.1"),
    at=AT,
    strategy="v2_with_controllers",
    config="b.yml",
)
ORDER = Order(
    order_id="x-1",
    exchange_order_id="9",
    connector="binance",
    trading_pair="BTC-USDT",
    order_type="LIMIT",
    amount=Decimal(1),
    price=Decimal(100),
    leverage=1,
    position="NIL",
    status="BuyOrderCompleted",
    created_at=AT,
    updated_at=AT,
    strategy="v2_with_controllers",
    config="b.yml",
)
EXECUTOR = Executor(
    executor_id="e1",
    kind="position_executor",
    controller="pmm",
    status=4,
    close_type=3,
    created_at=AT,
    closed_at=None,
    net_pnl_pct=None,
    net_pnl=Decimal("1.5"),
    fees=Decimal("0.2"),
    filled=Decimal(210),
    is_active=False,
    is_trading=False,
    config='{"stop_loss": NaN}',
    custom_info='{"order_ids": ["x-1", null]}',
)
POSITION = Position(
    position_id="p1",
    controller="pmm",
    connector="binance",
    trading_pair="BTC-USDT",
    side="BUY",
    amount=Decimal(1),
    entry_price=Decimal(100),
    volume=Decimal(210),
    unrealized_pnl=Decimal(-5),
    realized_pnl=Decimal("-0.253261"),
    fees=Decimal("0.2"),
    at=AT,
)


def trade(number: int, side: str, amount: str, price: str, pair: str = "BTC-USDT", *, fee: str | None = "0.1") -> Trade:
    """Return a trade, each a second after the one before."""
    return msgspec.structs.replace(
        TRADE,
        trade_id=str(number),
        side=side,
        amount=Decimal(amount),
        price=Decimal(price),
        trading_pair=pair,
        fee=None if fee is None else Decimal(fee),
        at=AT + timedelta(seconds=number),
    )


def archived(bot: str, trades: list[list[Trade]], *, missing: Mapping[Table, str] | None = None) -> list[Told]:
    """Return how an archive came into the log, its trades in these batches."""
    path = path_of(bot)
    count = sum(map(len, trades))
    rows: dict[Table, int] = {
        "orders": 1,
        "trades": count,
        "statuses": 1,
        "executors": 1,
        "controllers": 1,
        "positions": 1,
    }
    events: list[Event] = [
        ArchiveFound(path=path, bot=bot, sha256=SHA, size=4096, rows=rows, missing=missing or {}, found_at=AT),
        ArchiveOrdersRead(path=path, sha256=SHA, first=0, orders=[ORDER]),
    ]
    first = 0
    for batch in trades:
        events.append(ArchiveTradesRead(path=path, sha256=SHA, first=first, trades=batch))
        first += len(batch)
    status = Status(order_id="x-1", status="BuyOrderCreated", at=AT)
    controller = Controller(number=1, controller="pmm", kind="market_making", config="{}", at=AT)
    events += [
        ArchiveStatusesRead(path=path, sha256=SHA, first=0, statuses=[status]),
        ArchiveExecutorsRead(path=path, sha256=SHA, first=0, executors=[EXECUTOR]),
        ArchiveRestRead(path=path, sha256=SHA, controllers=[controller], positions=[POSITION]),
        ArchiveImported(path=path, sha256=SHA, imported_at=AT),
    ]
    return [(stream_of(path), event) for event in events]


def unreadable(bot: str) -> Told:
    """Return that a file is no database."""
    path = path_of(bot)
    return stream_of(path), ArchiveUnreadable(
        path=path, bot=bot, sha256=SHA, size=9, reason="SQLite cannot read it: file is not a database", found_at=AT
    )


def deleted(bot: str) -> Told:
    """Return that an archive is deleted."""
    path = path_of(bot)
    return stream_of(path), ArchiveDeleted(path=path, deleted_at=AT)


TRADES = [
    [trade(1, "SELL", "2", "100"), trade(2, "BUY", "1", "90"), trade(3, "BUY", "1", "10", "ETH-USDT")],
    [trade(4, "BUY", "3", "80"), trade(5, "SELL", "1", "20", "ETH-USDT", fee=None)],
]
ARCHIVES: list[Told] = [
    *archived("gone", [[trade(1, "BUY", "1", "100")]]),
    *archived("kept", TRADES),
    unreadable("corrupt"),
    deleted("gone"),
    *archived("gone", [[trade(1, "BUY", "1", "200")]]),
    unreadable("again"),
    *archived("again", [[trade(1, "BUY", "1", "300")]]),
    deleted("again"),
]
