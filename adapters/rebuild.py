"""`nectar rebuild`: build views anew on all cores, with bars that say how fast and how long.

Most of a rebuild is Python, which decodes events and folds rows: it is shared out to as many processes as there are
cores. A view with many events is built alone, and in parts of the streams where it can be; those with few events are
built together, with one pass through the log.
"""

import asyncio
import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
from adapters.garbage import collect_by_hand
from adapters.logging import configure
from adapters.migrations import migrate
from domain.errors import NotFound, Unavailable
from projections.filling import SPAN
from projections.replay import begin, fill_part, rebuild
from projections.view import WHOLE, Part, Stuck, View, checkpoints, connect, prepare
from projections.views import VIEWS

_LOOK_SECONDS = 0.1
_SPAN = 20_000  # positions at a time: most orders begin and end within them, and their rows are written once
_SPANS_OF_GARBAGE = 8  # what cycles keep of so many spans is little; to look for it after each costs a tenth
_STEPS = 50  # a shorter log is taken in so many, as long as each is worth it
_MANY = 100_000  # a view with fewer events is not worth a process of its own
_SAMPLE = 100_000
_TYPES = (
    "select type, count(*) from log.events tablesample system (least(100, 100.0 * %s / greatest(%s, 1)))"
    " repeatable (1) group by type"
)

_Step = tuple[str, int, int, float]
"""View, position, where the log ends, positions a second."""


class _Job(msgspec.Struct, frozen=True):
    """What one process does at a time: build some views, or fill a part of one."""

    views: Sequence[str]
    part: Part = WHOLE


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

    steps: "SimpleQueue[tuple[_Job, int, int, float]]"
    ending: Event
    spans = 0


def chosen(name: str) -> list[View]:
    """Return the views that a name means, `all` for all of them. Raises `NotFound`."""
    views = [view for view in VIEWS if name in ("all", view.name)]
    if not views:
        raise NotFound(f"View '{name}' not found. Views: all, changed, {', '.join(view.name for view in VIEWS)}")
    return views


async def rebuild_command(database_url: str, name: str) -> int:
    """Build a view anew, or all, while the old ones serve, and print how it goes. Goes on where one was cut off.

    `changed` names those of which what serves has another definition. Returns 1 when a view cannot take an event.
    Raises `Conflict` when one of them is being rebuilt already.
    """
    views = [] if name == "changed" else chosen(name)
    console = Console()
    await migrate(database_url)
    if not (views := views or await _changed(database_url, VIEWS)):
        console.print("No view has changed.")
        return 0
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
        if beside := await _changed(
            database_url, [view for view in views if view.name in {outcome.view for outcome in built}]
        ):
            console.print(
                f"A server of another version keeps {', '.join(view.name for view in beside)}: what was built stays"
                " beside, for a server of this version to put in place when it starts.",
                soft_wrap=True,
            )
    return 0 if len(built) == len(views) else 1


async def _changed(database_url: str, views: Sequence[View]) -> list[View]:
    async with await connect(database_url) as connection:
        await prepare(connection, views)
        known = await checkpoints(connection, views)
    return [view for view in views if known[view.name][0] != view.fingerprint]


async def rebuild_on_all_cores(
    database_url: str, views: Sequence[View], told: Callable[[_Step], None], *, processes: int | None = None
) -> list[Built]:
    """Build views anew in processes, and return what became of each.

    Raises `Conflict` before anything is begun, `Unavailable`, and what else ends a rebuild; others are ended then, and
    go on with the next one.
    """
    cores = processes or len(os.sched_getaffinity(0))
    ready, waiting = await _jobs(database_url, views, cores)
    context = get_context("spawn")
    steps: SimpleQueue[tuple[_Job, int, int, float]] = context.SimpleQueue()
    ending = context.Event()
    pool = ProcessPoolExecutor(cores, mp_context=context, initializer=_begin, initargs=(steps, ending))
    loop = asyncio.get_running_loop()
    running: dict[asyncio.Future[list[Built]], _Job] = {}
    built: dict[str, Built] = {}
    bars = _Bars(told)
    try:
        while ready or running:
            while ready and len(running) < cores:
                job = ready.popleft()
                running[loop.run_in_executor(pool, _do, database_url, job)] = job
            done, _ = await asyncio.wait(running, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            while not steps.empty():
                bars.step(*steps.get())
            for ended in done:
                job = running.pop(ended)
                built |= {outcome.view: outcome for outcome in ended.result()}
                _release(job, [*running.values(), *ready], waiting, built, ready)
    except BrokenProcessPool as broken:
        raise Unavailable(
            "A process that built views has ended. Begin again: the rebuild goes on where it was"
        ) from broken
    finally:
        ending.set()
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.gather(*running, return_exceptions=True)
    return [built[view.name] for view in views]


def _release(
    done: _Job, left: Sequence[_Job], waiting: dict[str, _Job], built: Mapping[str, Built], ready: deque[_Job]
) -> None:
    # When all parts of a view are filled it is finished before anything else is begun: Postgres does most of that.
    [name, *_] = done.views
    if name in waiting and not any(job.views == done.views for job in left):
        job = waiting.pop(name)
        if name not in built:
            ready.appendleft(job)


class _Bars:
    """Makes one step of a view out of those of its parts, and those of each view out of one of many."""

    def __init__(self, told: Callable[[_Step], None]) -> None:
        self._told = told
        self._at: dict[str, dict[Part, tuple[int, float]]] = {}

    def step(self, job: _Job, position: int, total: int, rate: float) -> None:
        """Tell how far the views of a job are."""
        for view in job.views:
            parts = self._at.setdefault(view, {})
            if job.part == WHOLE:
                parts.clear()
            parts[job.part] = position, rate
            mean = sum(at for at, _ in parts.values()) // job.part.of
            self._told((view, mean, total, sum(each for _, each in parts.values()) / job.part.of))


async def _jobs(database_url: str, views: Sequence[View], cores: int) -> tuple[deque[_Job], dict[str, _Job]]:
    # What may be begun, views in parts before others, because they have their indexes still to come, and the largest
    # first; and view → what is to be done when its parts are filled.
    async with await connect(database_url) as connection:
        cursor = await connection.execute("select coalesce(max(position), 0) from log.events where shard = 0")
        (total,) = await cursor.fetchone() or (0,)
        counted = dict(await (await connection.execute(_TYPES, [_SAMPLE, total])).fetchall())
    scale = max(1.0, total / _SAMPLE)
    sizes = {view.name: scale * sum(counted.get(event.__name__, 0) for event in view.handles) for view in views}
    sizes |= {view.name: float(total) for view in views if not view.handles}
    large = sorted((view for view in views if sizes[view.name] >= _MANY), key=lambda view: -sizes[view.name])
    parts = await begin(database_url, {view: cores if view in large and view.by_stream else 1 for view in views})
    waiting = {name: _Job([name]) for name, dealt in parts.items() if len(dealt) > 1}
    ready = deque(_Job([name], part) for name in waiting for part in parts[name])
    ready.extend(_Job([view.name]) for view in large if view.name not in waiting)
    if small := [view.name for view in views if view not in large and view.name not in waiting]:
        ready.append(_Job(small))
    return ready, waiting


def _begin(steps: "SimpleQueue[tuple[_Job, int, int, float]]", ending: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    Thread(target=_end_with_parent, daemon=True).start()
    configure("warning")
    collect_by_hand()
    _Worker.steps, _Worker.ending = steps, ending


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a parent that was killed cannot say that it wants no more


def _do(database_url: str, job: _Job) -> list[Built]:
    def told(position: int, total: int, rate: float) -> None:
        if _Worker.ending.is_set():
            raise _Ended
        _Worker.spans += 1
        if not _Worker.spans % _SPANS_OF_GARBAGE:
            gc.collect()
        _Worker.steps.put((job, position, total, rate))

    async def do() -> int | None:
        views = [view for name in job.views for view in chosen(name)]
        async with PostgresLog.open(database_url) as log:
            span = min(_SPAN, max(SPAN, await log.position() // _STEPS))
            if job.part == WHOLE:
                return await rebuild(database_url, log, views, told=told, span=span)
            await fill_part(database_url, log, views[0], job.part, told=told, span=span)
            return None

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            position = runner.run(do())
    except Stuck as stuck:
        if len(job.views) > 1:  # the others can be built
            return [built for view in job.views for built in _do(database_url, _Job([view]))]
        return [Built(view=job.views[0], stuck=str(stuck))]
    except _Ended:
        return [Built(view=view) for view in job.views]
    return [] if position is None else [Built(view=view, position=position) for view in job.views]
