"""Rows of a bot's SQLite database as values: exact numbers, aware times.

Amounts are integers times 1e6. Times are milliseconds, but those of executors and controllers, which are seconds.
Schema: hummingbot 20260922 `hummingbot/model/`, `local_db_version` 20230516.
"""

import math
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from domain.archives import Controller, Executor, Funding, Order, Position, Status, Table, Trade
from domain.values import ZERO

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Flat(msgspec.Struct, frozen=True):
    token: str
    amount: Decimal


class _Fee(msgspec.Struct, frozen=True):
    percent: Decimal | None = None
    percent_token: str | None = None
    flat_fees: list[_Flat] | None = None


_fee = msgspec.json.Decoder(_Fee).decode


def millions(value: int) -> Decimal:
    """Return a number that is stored times 1e6."""
    return Decimal(value).scaleb(-6)


def maybe_millions(value: int | None) -> Decimal | None:
    """Return a number that is stored times 1e6, if there is one."""
    return None if value is None else millions(value)


def real(value: float | None) -> Decimal | None:
    """Return the shortest number that is this float; None for none, NaN or an infinity."""
    return None if value is None or not math.isfinite(value) else Decimal(repr(float(value)))


def from_milliseconds(value: int) -> datetime:
    """Return the time."""
    return EPOCH + timedelta(milliseconds=value)


def from_seconds(value: float) -> datetime:
    """Return the time, to the microsecond."""
    return EPOCH + timedelta(microseconds=int(Decimal(repr(float(value))).scaleb(6)))


def fees(text: str, *, base: str, quote: str, amount: Decimal, price: Decimal) -> dict[str, Decimal]:
    """Return token → amount of a fee as the bot stores it: flat ones, and a share of the trade in some token.

    A share without a token is one of the notional, in quote (`TradeFeeBase.fee_amount_in_token`).
    """
    fee = _fee(text)
    paid: dict[str, Decimal] = {}
    for flat in fee.flat_fees or ():
        paid[flat.token] = paid.get(flat.token, ZERO) + flat.amount
    if share := fee.percent:
        token = fee.percent_token or quote
        paid[token] = paid.get(token, ZERO) + share * (amount if token == base else amount * price)
    return paid


def _of_a_bot(row: sqlite3.Row) -> dict[str, Any]:
    """Return what trades and orders say alike."""
    return {
        "connector": row["market"],
        "trading_pair": row["symbol"],
        "order_type": row["order_type"],
        "amount": millions(row["amount"]),
        "price": millions(row["price"]),
        "leverage": row["leverage"],
        "position": row["position"],
        "strategy": row["strategy"],
        "config": row["config_file_path"],
    }


def trade(row: sqlite3.Row) -> Trade:
    """Return a row of TradeFill."""
    said = _of_a_bot(row)
    amount, price = said["amount"], said["price"]
    return Trade(
        **said,
        order_id=row["order_id"],
        trade_id=row["exchange_trade_id"],
        side=row["trade_type"],
        fees=fees(row["trade_fee"], base=row["base_asset"], quote=row["quote_asset"], amount=amount, price=price),
        fee=maybe_millions(row["trade_fee_in_quote"]),
        at=from_milliseconds(row["timestamp"]),
    )


def order(row: sqlite3.Row) -> Order:
    """Return a row of Order."""
    return Order(
        **_of_a_bot(row),
        order_id=row["id"],
        exchange_order_id=row["exchange_order_id"],
        status=row["last_status"],
        created_at=from_milliseconds(row["creation_timestamp"]),
        updated_at=from_milliseconds(row["last_update_timestamp"]),
    )


def status(row: sqlite3.Row) -> Status:
    """Return a row of OrderStatus."""
    return Status(order_id=row["order_id"], status=row["status"], at=from_milliseconds(row["timestamp"]))


def executor(row: sqlite3.Row) -> Executor:
    """Return a row of Executors."""
    closed = row["close_timestamp"]
    return Executor(
        executor_id=row["id"],
        kind=row["type"],
        controller=row["controller_id"],
        status=row["status"],
        close_type=row["close_type"],
        created_at=from_seconds(row["timestamp"]),
        closed_at=None if closed is None else from_seconds(closed),
        net_pnl_pct=real(row["net_pnl_pct"]),
        net_pnl=real(row["net_pnl_quote"]),
        fees=real(row["cum_fees_quote"]),
        filled=real(row["filled_amount_quote"]),
        is_active=bool(row["is_active"]),
        is_trading=bool(row["is_trading"]),
        config=row["config"],
        custom_info=row["custom_info"],
    )


def controller(row: sqlite3.Row) -> Controller:
    """Return a row of Controllers."""
    return Controller(
        number=row["controller_id"],
        controller=row["id"],
        kind=row["type"],
        config=row["config"],
        at=from_seconds(row["timestamp"]),
    )


def position(row: sqlite3.Row) -> Position:
    """Return a row of Position."""
    return Position(
        position_id=row["id"],
        controller=row["controller_id"],
        connector=row["connector_name"],
        trading_pair=row["trading_pair"],
        side=row["side"],
        amount=millions(row["amount"]),
        entry_price=millions(row["breakeven_price"]),
        volume=millions(row["volume_traded_quote"]),
        unrealized_pnl=millions(row["unrealized_pnl_quote"]),
        realized_pnl=millions(row["realized_pnl_quote"]),
        fees=millions(row["cum_fees_quote"]),
        at=from_milliseconds(row["timestamp"]),
    )


def funding(row: sqlite3.Row) -> Funding:
    """Return a row of FundingPayment."""
    return Funding(
        connector=row["market"],
        trading_pair=row["symbol"],
        rate=real(row["rate"]) or ZERO,
        amount=real(row["amount"]) or ZERO,
        at=from_milliseconds(row["timestamp"]),
    )


Reading = Callable[[sqlite3.Row], object]

TABLES: Mapping[Table, tuple[str, Reading]] = {
    "trades": ("TradeFill", trade),
    "orders": ("Order", order),
    "statuses": ("OrderStatus", status),
    "executors": ("Executors", executor),
    "controllers": ("Controllers", controller),
    "positions": ("Position", position),
    "funding": ("FundingPayment", funding),
}
"""Ours → the database's name of the table, and what reads a row of it."""
