"""Take in what venues tell, in order, and record it in batches.

One queue for each account on each connector. What is told after a quiet time is recorded at once; then beats are at
least so far apart that what gathers between them is worth a commit. At a beat all that waits for an account becomes one
report, but for reports that stand alone, and the reports of all accounts share a read and a commit. Commits of orders
that are to be sent stand in line with these, so fewer of them is what makes orders leave sooner.

A log that cannot be reached stops an account's worker until it can; nothing that a venue told is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from uuid import UUID

import structlog

from commands.bus import Bus, origin_of_process
from commands.reports import RecordReport
from domain.errors import StreamMoved, Unavailable
from domain.reports import AccountReport, merge

logger = structlog.get_logger()

RETRY_SECONDS = 0.2
BEAT_SECONDS = 0.01
MOST_AT_ONCE = 500

Key = tuple[str, str]
Waiting = tuple[AccountReport, "asyncio.Future[int]"]


class Intake:
    """The account sink of every connector: call it with a report, await what it returns if you need the position."""

    def __init__(self, new_id: Callable[[], UUID]) -> None:
        """Begin with nothing waiting; reports are recorded once `run` runs."""
        self._new_id = new_id
        self._queues: dict[Key, deque[Waiting]] = {}
        self._news = asyncio.Event()
        self._working: set[Key] = set()

    def __call__(self, report: AccountReport) -> asyncio.Future[int]:
        """Put a report behind those of the same account and connector.

        A caller that is canceled while it waits takes nothing away from the others.
        """
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queues.setdefault((report.account, report.connector), deque()).append((report, recorded))
        self._news.set()
        return asyncio.shield(recorded)

    @property
    def waiting(self) -> int:
        """How many reports are not recorded yet."""
        return sum(len(queue) for queue in self._queues.values())

    async def run(self, bus: Bus) -> None:
        """Record what comes in until canceled."""
        async with asyncio.TaskGroup() as workers:
            while True:
                await self._news.wait()
                self._news.clear()
                for key, queue in self._queues.items():
                    if queue and key not in self._working:
                        self._working.add(key)
                        workers.create_task(self._work(key, bus), name=f"intake {key[0]} {key[1]}")
                await asyncio.sleep(BEAT_SECONDS)

    async def drain(self) -> None:
        """Wait until all that came in so far is recorded."""
        last = [queue[-1][1] for queue in self._queues.values() if queue]
        if last:
            await asyncio.wait(last)

    async def _work(self, key: Key, bus: Bus) -> None:
        queue = self._queues[key]
        try:
            batch = _next(queue)
            position = await self._record(merge([report for report, _ in batch]), bus)
            for _, recorded in batch:
                queue.popleft()
                if not recorded.done():
                    recorded.set_result(position)
        finally:
            self._working.discard(key)
            if queue:
                self._news.set()  # for the next beat

    async def _record(self, report: AccountReport, bus: Bus) -> int:
        """Record a report, however long the log cannot be reached.

        All attempts are one command, so that what was recorded although the answer was lost is known by its id.
        """
        origin = origin_of_process("intake", self._new_id)
        while True:
            try:
                outcome = await bus.dispatch(RecordReport(report=report), origin)
            except (Unavailable, StreamMoved) as reason:
                logger.warning("intake_waits", account=report.account, connector=report.connector, why=reason.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return outcome.position


def _next(queue: deque[Waiting]) -> list[Waiting]:
    """Return what is recorded next: the report at the head, and those behind it that may be made one with it."""
    if queue[0][0].stands_alone:
        return [queue[0]]
    return list(takewhile(lambda waiting: not waiting[0].stands_alone, islice(queue, MOST_AT_ONCE)))
