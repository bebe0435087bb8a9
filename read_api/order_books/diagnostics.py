"""How the feeds of a connector are, in the shape that clients know; times are in seconds since 1970."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from domain.market_data import FeedState, Shown
from domain.order_books import Book

_BOOK, _TRADES = "order_book", "trades"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The work behind one feed, which goes on until it ends; `exception` is why it has nothing fresh to show."""

    exists: bool = True
    done: bool = False
    cancelled: bool = False
    exception: str | None = None


class BookState(msgspec.Struct, frozen=True, kw_only=True):
    """How one book stands. The ids count what was heard of it: the snapshot it began with, and the last change."""

    best_bid: float | None
    best_ask: float | None
    bid_count: int
    ask_count: int
    snapshot_uid: int
    last_diff_uid: int
    age_seconds: float | None
    stale: bool
    readers: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took to make what is shown of what was heard, which is done when somebody looks."""

    count: int
    total_ms: float
    min_ms: float
    max_ms: float
    avg_ms: float
    recent_avg_ms: float
    recent_samples_count: int


class PerMinute(msgspec.Struct, frozen=True, kw_only=True):
    """How much was heard a minute."""

    diffs: float
    snapshots: float
    trades: float
    total: float


class PairMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What the feeds of one pair have heard; 0 is a time that never was."""

    trading_pair: str
    diffs_processed: int
    diffs_rejected: int
    snapshots_processed: int
    trades_processed: int
    trades_rejected: int
    last_diff_timestamp: float
    last_snapshot_timestamp: float
    last_trade_timestamp: float
    tracking_start_time: float
    messages_per_minute: PerMinute
    diff_latency: Latency
    snapshot_latency: Latency
    trade_latency: Latency


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What all feeds of a connector have heard."""

    total_diffs_processed: int
    total_diffs_rejected: int
    total_diffs_queued: int
    total_snapshots_processed: int
    total_snapshots_rejected: int
    total_trades_processed: int
    total_trades_rejected: int
    tracker_start_time: float
    uptime_seconds: float
    messages_per_minute: PerMinute
    diff_latency: Latency
    snapshot_latency: Latency
    trade_latency: Latency
    per_pair_metrics: dict[str, PairMetrics]


class Diagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """How the feeds of a connector are. `connector_type` is the connector whose market it has.

    A tracker is ready when every book is fresh. `tasks` are by kind and pair.
    """

    connector_type: str
    connector_name: str
    has_order_book_tracker: bool
    tracker_ready: bool
    tasks: dict[str, Task]
    trading_pairs: list[str]
    order_books: dict[str, BookState]
    metrics: Metrics
    websocket_status: str


def on_the_wire(
    connector: str, market: str, states: Sequence[FeedState], books: Mapping[str, Shown[Book] | None], now: datetime
) -> Diagnostics:
    """Return how the feeds of a connector are, as clients read it."""
    followed = [state for state in states if state.kind == _BOOK]
    fresh = [state for state in followed if not state.stale]
    pairs = {
        pair: _metrics(pair, [state for state in states if state.trading_pair == pair], now)
        for pair in sorted({state.trading_pair for state in states})
    }
    return Diagnostics(
        connector_type=market,
        connector_name=connector,
        has_order_book_tracker=True,
        tracker_ready=bool(followed) and len(fresh) == len(followed),
        tasks={f"{state.kind}_{state.trading_pair}": Task(exception=state.why or None) for state in states},
        trading_pairs=sorted(state.trading_pair for state in followed),
        order_books={state.trading_pair: _book(state, books.get(state.trading_pair)) for state in followed},
        metrics=_totals(pairs, states, now),
        websocket_status="connected" if fresh else "not_connected",
    )


def _book(state: FeedState, shown: Shown[Book] | None) -> BookState:
    book = Book(bids=(), asks=()) if shown is None else shown.value
    return BookState(
        best_bid=float(book.bids[0][0]) if book.bids else None,
        best_ask=float(book.asks[0][0]) if book.asks else None,
        bid_count=len(book.bids),
        ask_count=len(book.asks),
        snapshot_uid=state.first,
        last_diff_uid=state.heard,
        age_seconds=None if shown is None else round(shown.age_seconds, 3),
        stale=state.stale,
        readers=state.readers,
    )


def _metrics(pair: str, states: Sequence[FeedState], now: datetime) -> PairMetrics:
    books = [state for state in states if state.kind == _BOOK]
    trades = [state for state in states if state.kind == _TRADES]
    began = min(state.began_at for state in states)
    return PairMetrics(
        trading_pair=pair,
        diffs_processed=_heard(books),
        diffs_rejected=sum(state.unreadable for state in books),
        snapshots_processed=_snapshots(books),
        trades_processed=_heard(trades),
        trades_rejected=sum(state.unreadable for state in trades),
        last_diff_timestamp=_last(books),
        last_snapshot_timestamp=max((state.first_at.timestamp() for state in books if state.first_at), default=0.0),
        last_trade_timestamp=_last(trades),
        tracking_start_time=began.timestamp(),
        messages_per_minute=_per_minute(states, began, now),
        diff_latency=_latency(books),
        snapshot_latency=_latency(books),
        trade_latency=_latency(trades),
    )


def _totals(pairs: dict[str, PairMetrics], states: Sequence[FeedState], now: datetime) -> Metrics:
    books = [state for state in states if state.kind == _BOOK]
    trades = [state for state in states if state.kind == _TRADES]
    began = min((state.began_at for state in states), default=None)
    return Metrics(
        total_diffs_processed=_heard(books),
        total_diffs_rejected=sum(state.unreadable for state in books),
        total_diffs_queued=0,  # each is taken as it comes
        total_snapshots_processed=_snapshots(books),
        total_snapshots_rejected=sum(state.failures for state in books),
        total_trades_processed=_heard(trades),
        total_trades_rejected=sum(state.unreadable for state in trades),
        tracker_start_time=began.timestamp() if began else 0.0,
        uptime_seconds=(now - began).total_seconds() if began else 0.0,
        messages_per_minute=_per_minute(states, began or now, now),
        diff_latency=_latency(books),
        snapshot_latency=_latency(books),
        trade_latency=_latency(trades),
        per_pair_metrics=pairs,
    )


def _heard(states: Iterable[FeedState]) -> int:
    return sum(state.heard for state in states)


def _snapshots(states: Iterable[FeedState]) -> int:
    return sum(state.began for state in states)


def _last(states: Iterable[FeedState]) -> float:
    return max((state.heard_at.timestamp() for state in states if state.heard_at), default=0.0)


def _per_minute(states: Sequence[FeedState], began: datetime, now: datetime) -> PerMinute:
    minutes = (now - began).total_seconds() / 60
    diffs, trades = (
        _heard(state for state in states if state.kind == kind) / minutes if minutes else 0.0
        for kind in (_BOOK, _TRADES)
    )
    snapshots = _snapshots(state for state in states if state.kind == _BOOK) / minutes if minutes else 0.0
    return PerMinute(diffs=diffs, snapshots=snapshots, trades=trades, total=diffs + snapshots + trades)


def _latency(states: Iterable[FeedState]) -> Latency:
    timed = [state.making for state in states if state.making.count]
    count, recent = sum(one.count for one in timed), sum(one.recent for one in timed)
    total = sum(one.total_ms for one in timed)
    return Latency(
        count=count,
        total_ms=total,
        min_ms=min((one.least_ms for one in timed), default=0.0),
        max_ms=max((one.most_ms for one in timed), default=0.0),
        avg_ms=total / count if count else 0.0,
        recent_avg_ms=sum(one.recent_ms for one in timed) / recent if recent else 0.0,
        recent_samples_count=recent,
    )
