"""What the archived bots' routes answer with, and long answers that are kept."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec

from domain.analytics.figures import Market
from domain.values import ZERO
from projections.archives.queries import Archive

_CHECKED = {
    "trade_fill": "trades",
    "orders": "orders",
    "order_status": "statuses",
    "executors": "executors",
    "controllers": "controllers",
    "positions": "positions",
}
"""The contract's name of a table's check → ours of the table."""
_KEPT_BYTES = 64 * 1024 * 1024


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page of an archive's rows stands."""

    total: int
    limit: int
    offset: int
    has_more: bool


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """How many trades, orders and executors of a database are in the log, and how many it has."""

    rows: int
    total: int


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether each table of a database could be read: `Correct`, or what is wrong with it.

    `progress` says how many of its rows are in the log while it is imported.
    """

    db_path: str
    status: Mapping[str, object]
    healthy: bool
    state: str
    progress: Taken | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How much a database holds, and of which markets."""

    db_path: str
    total_orders: int
    total_trades: int
    total_executors: int
    total_positions: int
    total_controllers: int
    trading_pairs: Sequence[str]
    exchanges: Sequence[str]


class PerformanceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What all trades of an archive come to, over all markets; in quote, positions in base."""

    total_trades: int
    final_net_pnl_quote: float
    final_realized_pnl_quote: float
    final_unrealized_pnl_quote: float
    total_fees_quote: float
    total_volume_quote: float
    final_net_position: float
    trading_pairs: Sequence[str]
    connector_names: Sequence[str]


class Kept:
    """Long answers that were made, the last ones, by database and the position in the log that they were made at."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        """Keep so many bytes."""
        self._most = most_bytes
        self._bytes = 0
        self._answers: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def get(self, path: str, position: int) -> bytes | None:
        """Return an answer that was kept."""
        answer = self._answers.get((path, position))
        if answer is not None:
            self._answers.move_to_end((path, position))
        return answer

    def keep(self, path: str, position: int, answer: bytes) -> None:
        """Keep an answer, and let go of those that were not asked for longest."""
        self._bytes += len(answer) - len(self._answers.pop((path, position), b""))
        self._answers[path, position] = answer
        while self._bytes > self._most:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest)


def status_on_the_wire(archive: Archive, progress: Taken | None) -> StatusAnswer:
    """Return how a database is; one that could not be read has the same reason for each table."""
    checks = {}
    for name, table in _CHECKED.items():
        if archive.reason is not None:
            checks[name] = f"Error - {archive.reason}"
        elif table in archive.missing:
            checks[name] = f"Error - {archive.missing[table]}"  # type: ignore[index]
        elif not archive.rows.get(table):  # type: ignore[call-overload]
            checks[name] = "Error - No records matched"
        else:
            checks[name] = "Correct"
    healthy = all(check == "Correct" for check in checks.values())
    status = {
        "db_name": archive.path.rsplit("/", 1)[-1],
        "db_path": f"sqlite:///{archive.path}",
        **checks,
        "general_status": healthy,
    }
    return StatusAnswer(db_path=archive.path, status=status, healthy=healthy, state=archive.state, progress=progress)


def performance_on_the_wire(trades: int, markets: Mapping[tuple[str, str], Market]) -> PerformanceSummary:
    """Return the sums over all markets."""
    every = list(markets.values())
    return PerformanceSummary(
        total_trades=trades,
        final_net_pnl_quote=float(sum((market.net for market in every), ZERO)),
        final_realized_pnl_quote=float(sum((market.realized for market in every), ZERO)),
        final_unrealized_pnl_quote=float(sum((market.unrealized for market in every), ZERO)),
        total_fees_quote=float(sum((market.fees for market in every), ZERO)),
        total_volume_quote=float(sum((market.volume for market in every), ZERO)),
        final_net_position=float(sum((market.ledger.position for market in every), ZERO)),
        trading_pairs=list(dict.fromkeys(pair for _, pair in markets)),
        connector_names=list(dict.fromkeys(connector for connector, _ in markets)),
    )
