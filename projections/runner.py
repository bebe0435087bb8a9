"""Keep the views: one reader of the log, one transaction a batch, one checkpoint a view.

Of several processes that run a `Projector`, one leads each view and the others stand by, held apart by an advisory
lock that Postgres gives back when its holder dies. Rows and checkpoint move in one transaction and by compare-and-set,
so that whoever believes to lead cannot apply an event twice. A view that cannot take an event stops alone, right before
it; the others go on.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec
import psycopg
import structlog

from domain.errors import Conflict, Unavailable
from domain.events import Recorded
from projections.replay import rebuild
from projections.skips import leaving_out, skips
from projections.view import (
    Connection,
    Moved,
    Source,
    Stuck,
    View,
    checkpoints,
    connect,
    move,
    of_the_server,
    prepare,
    take,
)

__all__ = ["Progress", "Projector", "Source", "View"]

logger = structlog.get_logger()

_POLL_SECONDS = 0.005
_RESTS, _LONGEST_REST_SECONDS = 2.0, 0.02
"""How many times as long as a batch took events gather after it while nobody waits for a view, and the most of that."""
_MUCH = 500
"""A batch of so many is no sign of a log that grows slowly but of views that are behind."""
_NOT_BUILT = -1  # behind the empty log, whose position is 0


class _Wait(msgspec.Struct):
    position: int
    views: Sequence[str]
    done: asyncio.Future[None]


class Building(msgspec.Struct, frozen=True):
    """How far a rebuild is: at a position of the log, which ends at `of`, and how many positions it takes a second."""

    position: int
    of: int
    rate: float

    @property
    def seconds_left(self) -> int | None:
        """How long it will take at this rate, None while that is not known."""
        return round((self.of - self.position) / self.rate) if self.rate else None


class Progress:
    """How far the views have come, as this process knows it."""

    def __init__(self, views: Iterable[str]) -> None:
        self._at = dict.fromkeys(views, _NOT_BUILT)
        self._failures: dict[str, str] = {}
        self._stuck_at: dict[str, int] = {}
        self._building: dict[str, Building] = {}
        self._led: frozenset[str] = frozenset()
        self._waiting: list[_Wait] = []
        self._asked = asyncio.Event()

    @property
    def views(self) -> Sequence[str]:
        """The names of all views."""
        return tuple(self._at)

    @property
    def failures(self) -> Mapping[str, str]:
        """View → why it stopped; it stays where it is until its event is skipped or the process is started again."""
        return self._failures

    @property
    def stuck_at(self) -> Mapping[str, int]:
        """View → position of the event that it cannot take, for those that stopped at one."""
        return self._stuck_at

    def resumed(self, view: str) -> None:
        """Note that a view that had stopped goes on."""
        self._failures.pop(view, None)
        self._stuck_at.pop(view, None)

    @property
    def building(self) -> Mapping[str, Building]:
        """View → how far this process is with building it anew."""
        return self._building

    @property
    def led(self) -> frozenset[str]:
        """The views that this process keeps; others are kept elsewhere, or being built."""
        return self._led

    @property
    def positions(self) -> Mapping[str, int]:
        """View → position of the last event that it has seen, -1 before it is built."""
        return self._at

    def moved(self, positions: Mapping[str, int]) -> None:
        """Note where views are now, and wake who waited for it."""
        self._at.update(positions)
        self._wake()

    def failed(self, view: str, reason: str, stuck_at: int | None = None) -> None:
        """Note that a view has stopped, and at which event; nobody waits for it any more."""
        self._failures[view] = reason
        if stuck_at is not None:
            self._stuck_at[view] = stuck_at
        self._wake()

    def builds(self, views: Iterable[str], at: Building | None) -> None:
        """Note how far views are that are being built, None when that has ended."""
        for view in views:
            self._building.pop(view, None)
            if at is not None:
                self._building[view] = at

    def leads(self, views: Iterable[str]) -> None:
        """Note which views this process keeps."""
        self._led = frozenset(views)

    def lag(self, position: int, views: Sequence[str]) -> int:
        """Return by how many events the slowest of the views is behind a position, 0 for none."""
        return max(0, position - min((self._at[view] for view in views), default=position))

    async def reached(self, position: int, views: Sequence[str], timeout_seconds: float) -> int:
        """Wait until all the views have seen a position; return the lag that is left when the time is over."""
        if not self._hopeful(position, views):
            return self.lag(position, views)
        wait = _Wait(position=position, views=views, done=asyncio.get_running_loop().create_future())
        self._waiting.append(wait)
        self._asked.set()
        try:
            with suppress(TimeoutError):  # the caller is told the lag instead
                async with asyncio.timeout(timeout_seconds):
                    await wait.done
        finally:
            self._waiting.remove(wait)
        return self.lag(position, views)

    async def asked(self) -> None:
        """Wait until somebody waits for a view."""
        while all(wait.done.done() for wait in self._waiting):
            self._asked.clear()
            await self._asked.wait()

    def _wake(self) -> None:
        for wait in self._waiting:
            if not wait.done.done() and not self._hopeful(wait.position, wait.views):
                wait.done.set_result(None)

    def _hopeful(self, position: int, views: Sequence[str]) -> bool:
        behind = self.lag(position, views) > 0
        return behind and not any(view in self._failures for view in views)


class Projector:
    """Keeps the views of one process up to date, leading those that nobody else leads.

    With `lead` False it only watches what another process keeps.
    """

    def __init__(
        self,
        database_url: str,
        source: Source,
        views: Sequence[View],
        progress: Progress,
        *,
        lead: bool = True,
        standby_seconds: float = 1.0,
    ) -> None:
        self._database_url = database_url
        self._source = source
        self._views = views
        self._progress = progress
        self._lead = lead
        self._standby_seconds = standby_seconds
        self._applying = asyncio.Lock()
        self._at: dict[str, int] = {}
        self._put_off: Sequence[str] = ()

    async def run(self) -> None:
        """Work until cancelled. Survives a restart of Postgres; raises when the log holds what cannot be read."""
        while True:
            try:
                async with (
                    await connect(self._database_url) as leading,
                    await connect(self._database_url) as working,
                ):
                    await prepare(working, self._views)
                    await self._work(leading, working)
            except (psycopg.OperationalError, Unavailable) as error:
                logger.warning("projector_disconnected", error=str(error))
                await asyncio.sleep(self._standby_seconds / 2)

    async def _work(self, leading: Connection, working: Connection) -> None:
        following: asyncio.Task[None] | None = None
        building: asyncio.Task[list[View]] | None = None
        held: list[View] = []
        stale: list[View] = []
        led: set[str] = set()
        try:
            while True:
                ready: list[View] = []
                if again := await self._skipped(leading):
                    await self._stop(following)  # before they count as sound: what it reads is far ahead of them
                    for view, at in again.items():
                        logger.info("view_resumed", view=view, skipped=at)
                        self._progress.resumed(view)
                    held = [view for view in held if view.name not in again]
                    led -= again.keys()
                if self._lead and (won := await self._claim(leading, led)):
                    led |= {view.name for view in won}
                    known = await checkpoints(leading, won)
                    ready = [view for view in won if known[view.name][0] == view.fingerprint]
                    stale += [view for view in won if view not in ready]
                if building is not None and building.done():
                    ready, building = ready + building.result(), None
                    led = {view.name for view in (*held, *ready, *stale)}  # the others are looked at again
                if stale and building is None:
                    building, stale = asyncio.create_task(self._build(stale)), []
                if ready or again:
                    await self._stop(following)
                    held += ready
                    self._progress.leads(view.name for view in held)
                    following = asyncio.create_task(self._follow(working, held))
                await self._watch(leading, {view.name for view in held})
                await self._pause(following, building, standby=len(held) < len(self._views))
        finally:
            self._progress.leads(())
            await self._stop(following)
            await _cancel(building)

    async def _claim(self, leading: Connection, led: set[str]) -> list[View]:
        # Session locks: they go to somebody else when this connection ends, however it ends.
        won = []
        for view in self._views:
            if view.name not in led and view.name not in self._progress.failures:
                cursor = await leading.execute(
                    "select pg_try_advisory_lock(hashtextextended('nectar.view.' || %s, 0))", [view.name]
                )
                if await cursor.fetchone() == (True,):
                    won.append(view)
        return won

    async def _skipped(self, leading: Connection) -> dict[str, int]:
        # View → the event that it has stopped at, for those that are to leave it out.
        stuck = self._progress.stuck_at
        recorded = await skips(leading) if stuck else []
        return {skip.view: skip.position for skip in recorded if stuck.get(skip.view) == skip.position}

    async def _build(self, stale: Sequence[View]) -> list[View]:
        # Together first, for one pass through the log; apart when one of them cannot be built.
        names = [view.name for view in stale]
        if names != self._put_off:
            logger.info("views_building", views=names)
        try:
            await rebuild(
                self._database_url,
                self._source,
                stale,
                told=lambda at, of, rate: self._progress.builds(names, Building(at, of, rate)),
                keeper=True,
            )
        except (psycopg.OperationalError, Unavailable):
            raise
        except Conflict as conflict:  # `nectar rebuild` is at work: what it leaves is looked at when it has ended
            if names != self._put_off:
                logger.info("views_put_off", views=names, reason=str(conflict))
            self._put_off = names
            await asyncio.sleep(self._standby_seconds)
            return []
        except Exception as error:  # noqa: BLE001 - whatever a view raises is the view's own
            if len(stale) == 1:
                self._give_up(stale[0], error)
                return []
            return [built for view in stale for built in await self._build([view])]
        finally:
            self._progress.builds(names, None)
        return list(stale)

    async def _watch(self, leading: Connection, held: set[str]) -> None:
        # What others lead; also notices that this connection, and the locks with it, are gone.
        others = [view for view in self._views if view.name not in held]
        self._progress.moved(_shown(others, await checkpoints(leading, others)))

    async def _pause(
        self, following: asyncio.Task[None] | None, building: asyncio.Task[list[View]] | None, *, standby: bool
    ) -> None:
        tasks: list[asyncio.Task[None] | asyncio.Task[list[View]]]
        tasks = [task for task in (following, building) if task is not None and not task.done()]
        asked = asyncio.create_task(self._progress.asked() if standby else asyncio.sleep(self._standby_seconds))
        await asyncio.wait({*tasks, asked}, timeout=self._standby_seconds, return_when=asyncio.FIRST_COMPLETED)
        if standby and asked.done():
            await asyncio.sleep(_POLL_SECONDS)
        await _cancel(asked)
        if following is not None and following.done():
            following.result()

    async def _stop(self, following: asyncio.Task[None] | None) -> None:
        async with self._applying:  # never in the middle of a batch
            await _cancel(following)

    async def _follow(self, working: Connection, views: Sequence[View]) -> None:
        views = [view for view in views if view.name not in self._progress.failures]
        known = await checkpoints(working, views)
        self._at = {view.name: known[view.name][1] for view in views}
        self._progress.moved(self._at)
        views = await leaving_out(working, views)
        clock = asyncio.get_running_loop().time
        async for batch in self._source.follow(min(self._at.values(), default=0)):
            async with self._applying:
                began = clock()
                await self._take(working, views, batch)
            if len(batch) < _MUCH:
                await self._rest(_RESTS * (clock() - began))

    async def _rest(self, seconds: float) -> None:
        # A batch costs the same few round trips whether it has one event or fifty, and they are paid by the process
        # that sends orders; the busier that is, the longer they take. What comes after a quiet time is shown at once.
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_REST_SECONDS)):
                await self._progress.asked()

    async def _take(self, working: Connection, views: Sequence[View], batch: Sequence[Recorded]) -> None:
        last = batch[-1].position
        while waiting := [v for v in views if v.name not in self._progress.failures and self._at[v.name] < last]:
            try:
                await self._commit(working, waiting, batch)
            except Moved:
                await self._look_again(working, waiting)
            except Exception as error:
                if of_the_server(error, working):
                    raise
                await self._take_apart(working, waiting, batch, error)

    async def _take_apart(
        self, working: Connection, views: Sequence[View], batch: Sequence[Recorded], error: Exception
    ) -> None:
        # Find out whose fault it was, and which event's; the others have seen the batch then.
        if len(views) > 1:
            for view in views:
                await self._take(working, [view], batch)
        elif len(batch) > 1:
            half = len(batch) // 2
            for part in (batch[:half], batch[half:]):
                await self._take(working, views, part)
        else:
            self._give_up(views[0], Stuck(views[0].name, batch[0], error))

    async def _commit(self, working: Connection, views: Sequence[View], batch: Sequence[Recorded]) -> None:
        last = batch[-1].position
        async with working.transaction():
            await move(working, views, self._at, last)
            await take(working, views, batch, self._at)
        moved = {view.name: last for view in views}
        self._at.update(moved)
        self._progress.moved(moved)

    async def _look_again(self, working: Connection, views: Sequence[View]) -> None:
        # A rebuild has put a newer view in its place; one by another version of the program ends this view here.
        known = await checkpoints(working, views)
        for view in views:
            if known[view.name][0] != view.fingerprint:
                self._give_up(view, Moved("another version of the program has taken this view over"))
        shown = _shown(views, known)
        self._at.update(shown)
        self._progress.moved(shown)

    def _give_up(self, view: View, error: Exception) -> None:
        stuck_at, why = (error.position, error.why) if isinstance(error, Stuck) else (None, error)
        logger.error("view_stopped", view=view.name, position=self._at.get(view.name), stuck_at=stuck_at, exc_info=why)
        self._progress.failed(view.name, f"{type(why).__name__}: {why}", stuck_at)


def _shown(views: Sequence[View], known: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    # The tables of another definition are not answered from: they are as good as not built.
    return {v.name: known[v.name][1] if known[v.name][0] == v.fingerprint else _NOT_BUILT for v in views}


async def _cancel(task: asyncio.Task[None] | asyncio.Task[list[View]] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
