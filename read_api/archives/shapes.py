"""The shapes of long answers about archives, for the API's documentation: they are put together from kept text."""

from collections.abc import Mapping, Sequence

import msgspec

from projections.archives.items import StepItem, TradeItem
from read_api.archives.wire import Numbered, PerformanceSummary

Row = Mapping[str, str | float | None]
"""A row as the bot wrote it, under the names of its columns."""


class PerformanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive's trades come to, and how things stood after each of them, oldest first."""

    db_path: str
    summary: PerformanceSummary
    performance_data: Sequence[StepItem]


class TradesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of trades."""

    db_path: str
    trades: Sequence[TradeItem]
    pagination: Numbered


class OrdersPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of orders."""

    db_path: str
    orders: Sequence[Row]
    pagination: Numbered


class PositionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of positions."""

    db_path: str
    positions: Sequence[Row]
    pagination: Numbered


class ExecutorsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All executors."""

    db_path: str
    executors: Sequence[Row]
    total: int


class ControllersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All controllers."""

    db_path: str
    controllers: Sequence[Row]
    total: int
