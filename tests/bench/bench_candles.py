"""The candle store: a year of minutes to JSON and to arrays, what that takes of memory, and what is new of a minute."""

import asyncio
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from adapters.candles.store import CandleStore
from domain.candles import INTERVALS, Candle, Columns, Known, Series, Span
from read_api.candles import pieces
from tests.bench.table import Row, at_most, show

YEAR = 525_600
SERIES = Series("binance", "BTC-USDT", INTERVALS["1m"])
FIRST = 28_927_680  # the first minute of 2025
SPAN: Span = (FIRST, FIRST + YEAR)
TIMES = 7


def year() -> list[Candle]:
    """Return a year of candles with as many digits as Binance writes."""
    chance, candles, price = random.Random(1), [], 60_000.0
    for number in range(FIRST, FIRST + YEAR):
        opened, price = round(price, 2), price * (1 + chance.gauss(0, 3e-4))
        closed, volume = round(price, 2), round(chance.expovariate(0.1), 5)
        high, low = round(max(opened, closed) * 1.0001, 2), round(min(opened, closed) * 0.9999, 2)
        amounts = (volume, round(volume * closed, 8), float(int(volume * 30)), round(volume / 2.1, 5))
        candles.append(Candle(number * 60.0, opened, high, low, closed, *amounts, round(volume * closed / 2.1, 8)))
    return candles


def best(work: Callable[..., object], *arguments: object) -> float:
    """Return the seconds of the quickest of some runs."""
    taken = []
    for _ in range(TIMES):
        began = perf_counter()
        work(*arguments)
        taken.append(perf_counter() - began)
    return min(taken)


def to_json(store: CandleStore) -> int:
    """Return the length of the answer that has the whole year."""
    return sum(map(len, pieces(store.read(SERIES, SPAN))))


def memory_of_an_answer(root: Path) -> float:
    """Return the megabytes that a new process takes to make the answer, beyond those that it began with."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_candles", str(root)], check=True, capture_output=True, text=True
    )
    return float(told.stdout)


def answer_alone(root: Path) -> None:
    """Make the answer once, and print the megabytes that it took."""
    before = peak_megabytes()
    to_json(CandleStore(root))
    print(peak_megabytes() - before)


def peak_megabytes() -> float:
    """Return the most memory that this process has had; what `getrusage` says may be its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def longest_pause(candles: Columns) -> float:
    """Return how long, in seconds, others wait at most while a year is made into an answer."""
    longest, done = 0.0, asyncio.Event()

    async def others() -> None:
        nonlocal longest
        last = perf_counter()
        while not done.is_set():
            await asyncio.sleep(0)
            longest, last = max(longest, perf_counter() - last), perf_counter()

    waiting = asyncio.create_task(others())
    for _ in pieces(candles):
        await asyncio.sleep(0)
    done.set()
    await waiting
    return longest


def figures(root: Path) -> list[Row]:
    """Return the rows of the table."""
    store, candles = CandleStore(root), year()
    began = perf_counter()
    store.keep(SERIES, candles, [Known(*SPAN, 0)], 0)
    kept = perf_counter() - began
    disk = sum(path.stat().st_size for path in root.rglob("*.candles")) / 1e6
    one = candles[-1:]
    del candles
    pauses = min(asyncio.run(longest_pause(store.read(SERIES, SPAN))) for _ in range(3))
    arrays, text = best(store.read, SERIES, SPAN), best(to_json, store)
    return [
        at_most("a year of minutes from the store to JSON", text, 1.5, "s"),
        at_most("a year of minutes from the store to arrays", arrays * 1000, 60, "ms"),
        Row(name="the longest others wait meanwhile", figure=pauses * 1000, unit="ms"),
        Row(name="memory for a year's answer", figure=memory_of_an_answer(root), unit="MB"),
        Row(name="a year of minutes into the store", figure=kept, unit="s"),
        Row(name="one candle more", figure=best(store.keep, SERIES, one, [Known(*SPAN, 0)], 0) * 1000, unit="ms"),
        Row(name="on disk", figure=disk, unit="MB"),
    ]


def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    with tempfile.TemporaryDirectory() as root:
        return show("Candles", figures(Path(root)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        answer_alone(Path(sys.argv[1]))
    else:
        sys.exit(0 if main() else 1)
