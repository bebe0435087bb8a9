"""Take candles out of a file into the store, all of them or none."""

import time
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.candles import files
from adapters.candles.store import SLOTS, CandleStore
from adapters.exchanges import names
from domain.candles import Candle, Interval, Known, Series, interval, slot
from domain.errors import Invalid
from domain.values import split_pair


def import_command(
    root: Path, file: Path, *, connector: str, trading_pair: str, interval_name: str, console: Console
) -> int:
    """Import a file, with a bar while it takes, and return the exit code.

    Raises `Invalid` for a connector, pair or interval that cannot be, and naming the lines that are wrong.
    """
    series = series_of(connector, trading_pair, interval_name)
    size = file.stat().st_size
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
    )
    with bar:
        checking = bar.add_task("Checking", total=size)
        keeping = bar.add_task("Keeping", total=size)
        now = time.time()
        count = files.check(file, series.interval, now, lambda read: bar.update(checking, completed=read))
        found = files.candles(file, series.interval, now, lambda read: bar.update(keeping, completed=read))
        added = keep(CandleStore(root), series, found, int(now))
    console.print(
        f"{count:,} candles of {series.trading_pair} {series.interval.name} for {series.connector}:"
        f" {added:,} new, {count - added:,} in the place of others",
        soft_wrap=True,
    )
    return 0


def series_of(connector: str, trading_pair: str, interval_name: str) -> Series:
    """Return the series that a connector's candles are kept as. Raises `Invalid` or `NotFound`."""
    known = names.connector(connector)
    if not known.exchange_id:
        raise Invalid(f"{connector} makes its candles of its own market; import them for the connector they are of")
    split_pair(trading_pair)
    return Series(known.paper_trade_of or known.name, trading_pair, interval(interval_name))


def keep(store: CandleStore, series: Series, candles: Iterable[Candle], now: int) -> int:
    """Keep candles, and return how many are new; what lies between them stays to be asked for."""
    added = 0
    rest = iter(candles)
    while rows := sorted(islice(rest, SLOTS)):
        added += store.keep(series, rows, _runs(rows, series.interval, now), now)
    return added


def _runs(candles: Iterable[Candle], of: Interval, now: int) -> Iterator[Known]:
    slots = sorted({slot(of, candle.timestamp) for candle in candles})
    for _, run in groupby(enumerate(slots), key=lambda numbered: numbered[1] - numbered[0]):
        together = [each for _, each in run]
        yield Known(together[0], together[-1] + 1, now)
