"""`nectar rebuild`: build views anew on all cores, with bars that say how fast and how long.

Each view is built in a process, as many at a time as there are cores, the one with the largest tables first: the
decoding of events and the folding of rows are what a rebuild waits for, and Python does them one at a time.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from threading import Thread
from time import perf_counter

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.logging import configure
from adapters.migrations import migrate
from domain.errors import NotFound, Unavailable
from projections.replay import rebuild, refuse_second
from projections.view import Stuck, View, connect, prepare
from projections.views import VIEWS

_LOOK_SECONDS = 0.1
_BY_SIZE = (
    "select view from read.checkpoints"
    " left join lateral (select sum(pg_total_relation_size(to_regclass('read.' || name))) as bytes"
    " from unnest(tables) as names (name)) sizes on true"
    " where view = any(%s) order by bytes desc nulls last, view"
)

_Step = tuple[str, int, int, float]
"""View, position, where the log ends, positions a second."""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a view: the position that it has seen, or why it is stuck, neither when it was ended."""

    view: str
    position: int | None = None
    stuck: str | None = None


class _Rate(ProgressColumn):
    """Positions per second, as the rebuild itself counts them."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['rate']:,.0f} events/s")


class _Ended(BaseException):
    """End the rebuild of a process whose parent does not want it any more; what it has done is kept."""


class _Worker:
    """What a process that builds views is given when it starts."""

    steps: "SimpleQueue[_Step]"
    ending: Event


def chosen(name: str) -> list[View]:
    """Return the views that a name means, `all` for all of them. Raises `NotFound`."""
    views = [view for view in VIEWS if name in ("all", view.name)]
    if not views:
        raise NotFound(f"View '{name}' not found. Views: all, {', '.join(view.name for view in VIEWS)}")
    return views


async def rebuild_command(database_url: str, name: str) -> int:
    """Build a view anew, or all, while the old ones serve, and print how it goes. Goes on where one was cut off.

    Returns 1 when a view cannot take an event. Raises `Conflict` when one of them is being rebuilt already.
    """
    views = chosen(name)
    console = Console()
    await migrate(database_url)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    began = perf_counter()
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {view.name: bar.add_task(view.name, total=None, rate=0.0) for view in views}

        def told(step: _Step) -> None:
            view, position, total, rate = step
            bar.update(tasks[view], completed=position, total=total, rate=rate)

        outcomes = await rebuild_on_all_cores(database_url, views, told)
    seconds = perf_counter() - began
    for outcome in outcomes:
        if outcome.stuck is not None:
            console.print(f"{outcome.stuck}. The old view serves on; a rebuild goes on from there.", soft_wrap=True)
    built = [outcome for outcome in outcomes if outcome.position is not None]
    if built:
        reached = max(outcome.position or 0 for outcome in built)
        names = ", ".join(outcome.view for outcome in built)
        rate = f"{reached / seconds:,.0f} events/s"
        console.print(f"Built {names} from {reached:,} events in {seconds:.1f} s ({rate}).", soft_wrap=True)
    return 0 if len(built) == len(views) else 1


async def rebuild_on_all_cores(
    database_url: str, views: Sequence[View], told: Callable[[_Step], None], *, processes: int | None = None
) -> list[Built]:
    """Build views anew, each in a process, and return what became of them, the largest first.

    Raises `Conflict` before anything is begun, `Unavailable`, and what else ends a rebuild; others are ended then, and
    go on with the next one.
    """
    names = await _largest_first(database_url, views)
    await refuse_second(database_url, views)
    context = get_context("spawn")
    steps: SimpleQueue[_Step] = context.SimpleQueue()
    ending = context.Event()
    pool = ProcessPoolExecutor(
        min(processes or len(os.sched_getaffinity(0)), len(views)),
        mp_context=context,
        initializer=_begin,
        initargs=(steps, ending),
    )
    building = [asyncio.get_running_loop().run_in_executor(pool, _build, database_url, name) for name in names]
    try:
        pending: set[asyncio.Future[Built]] = set(building)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            while not steps.empty():
                told(steps.get())
            for ended in done:
                ended.result()
    except BrokenProcessPool as broken:
        raise Unavailable(
            "A process that built views has ended. Begin again: the rebuild goes on where it was"
        ) from broken
    finally:
        ending.set()
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.gather(*building, return_exceptions=True)
    return [future.result() for future in building]


async def _largest_first(database_url: str, views: Sequence[View]) -> list[str]:
    async with await connect(database_url) as connection:
        await prepare(connection, views)
        cursor = await connection.execute(_BY_SIZE, [[view.name for view in views]])
        return [view for (view,) in await cursor.fetchall()]


def _begin(steps: "SimpleQueue[_Step]", ending: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    Thread(target=_end_with_parent, daemon=True).start()
    configure("warning")
    collect_rarely()
    _Worker.steps, _Worker.ending = steps, ending


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a parent that was killed cannot say that it wants no more


def _build(database_url: str, name: str) -> Built:
    def told(position: int, total: int, rate: float) -> None:
        if _Worker.ending.is_set():
            raise _Ended
        _Worker.steps.put((name, position, total, rate))

    async def build() -> int:
        async with PostgresLog.open(database_url) as log:
            return await rebuild(database_url, log, chosen(name), told=told)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return Built(view=name, position=runner.run(build()))
    except Stuck as stuck:
        return Built(view=name, stuck=str(stuck))
    except _Ended:
        return Built(view=name)
