"""How late this machine wakes who sleeps: what any figure of milliseconds holds that is nobody's own.

A process of its own sleeps a millisecond, again and again, and notes by how much each took longer. On a machine that
others share it is late by tens of milliseconds now and then, and whatever ran meanwhile was, too.
"""

import asyncio
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

SLEEP_SECONDS = 0.001


class Wakes(msgspec.Struct):
    """When each sleep ended, in seconds of `perf_counter`, and how many milliseconds late; complete at the end."""

    at: list[float] = []
    late: list[float] = []

    def during(self, begin: float, end: float) -> list[float]:
        """Return how late those were that ended in a span of time."""
        return self.late[bisect_left(self.at, begin) : bisect_left(self.at, end)]


@asynccontextmanager
async def stalls() -> AsyncIterator[Wakes]:
    """Watch the machine while the context lasts; what was seen is there when it has ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.stalls"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    wakes = Wakes()
    try:
        yield wakes
    finally:
        said, _ = await process.communicate(b"")  # closes its stdin
        seen = msgspec.json.decode(said, type=Wakes)
        wakes.at, wakes.late = seen.at, seen.late


def _watch() -> None:
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    wakes = Wakes()
    before = time.perf_counter()
    while not ended.is_set():
        time.sleep(SLEEP_SECONDS)
        now = time.perf_counter()
        wakes.at.append(now)
        wakes.late.append((now - before - SLEEP_SECONDS) * 1000)
        before = now
    sys.stdout.buffer.write(msgspec.json.encode(wakes))


if __name__ == "__main__":
    _watch()
