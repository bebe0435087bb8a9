"""Views as they were: built from the log up to a position when somebody asks, kept while somebody does.

Each view of a moment is built in a schema of its own, once for all who ask, and only the views that are asked for.
Moments are few: a new one takes the place of the one that was not asked for longest, and one that nobody asks for goes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Self
from weakref import WeakKeyDictionary

import msgspec
import psycopg
import structlog

from domain.bots import UPDATE_EVENTS
from domain.errors import DomainError, Gone, Unavailable
from projections.moments import Moment, dropped_around, moment_of
from projections.past import schemas
from projections.past.building import Building, build
from projections.pool import Pool
from projections.view import Connection, Source, View, connect

_AT_A_TIME, _CONNECTIONS, _KNOWN = 2, 4, 1_000
_LOOK_SECONDS, _SOON_SECONDS = 1.0, 1

logger = structlog.get_logger()


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the past is kept, and for how long.

    `most` moments at a time; one that nobody has asked for so long is dropped. A question waits `patience_seconds` for
    its views; they are built on without it.
    """

    most: int = 3
    idle_seconds: float = 900.0
    patience_seconds: float = 30.0


BOUNDS = Bounds()


class _Kept(msgspec.Struct):
    """A moment with the views that were asked for; `used_at` is by the loop's clock."""

    position: int
    used_at: float
    views: dict[str, Building] = {}
    users: int = 0

    @property
    def idle(self) -> bool:
        """Whether nobody uses it, and nothing of it is being built."""
        return not self.users and all(view.done.is_set() for view in self.views.values())


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a view of a moment is built: it has seen the log up to `reached`."""

    position: int
    view: str
    reached: int
    ready: bool


class Past:
    """Lends connections that see views as they were. Nothing is built before `run`."""

    def __init__(
        self,
        database_url: str,
        source: Source,
        views: Iterable[View],
        pool: Pool,
        *,
        owner: str,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """Use `open` instead."""
        self._database_url = database_url
        self._source = source
        self._views = {view.name: view for view in views}
        self._pool = pool
        self._owner = owner
        self._bounds = bounds
        self._moments: OrderedDict[int, _Kept] = OrderedDict()
        self._paths: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        self._known: OrderedDict[int | datetime, Moment] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._tasks: asyncio.TaskGroup | None = None
        self._running = asyncio.Event()
        self._life, self._number = 0, 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database_url: str,
        source: Source,
        views: Iterable[View],
        *,
        owner: str,
        bounds: Bounds = BOUNDS,
    ) -> AsyncIterator[Self]:
        """Open what lends connections. `owner` is a name of this process alone, of letters and digits."""
        async with Pool.open(database_url, schema="pg_catalog", size=_CONNECTIONS) as pool:
            yield cls(database_url, source, views, pool, owner=owner, bounds=bounds)

    async def run(self) -> None:
        """Build what is asked for and drop what is not, until cancelled. Survives a restart of Postgres."""
        while True:
            try:
                async with await connect(self._database_url, "pg_catalog") as connection:
                    await self._keep(connection)
            except psycopg.OperationalError as error:
                logger.warning("past_disconnected", error=str(error).strip())
            await asyncio.sleep(_LOOK_SECONDS)

    async def moment(self, when: int | datetime, name: str) -> Moment:
        """Return the moment that a position or a time means: a time, the last event recorded at it or before.

        `name` is what the user calls it. Raises `Invalid` for one that is not in the log, `Unavailable`.
        """
        known = self._known.get(when)
        if known is None:
            async with self._pool.connection() as connection:
                known = await moment_of(connection, when, name)
            if known.final:
                self._known[when] = known
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return known

    async def last(self) -> Moment:
        """Return the moment behind the last event of the log. Raises `Invalid` for an empty log, `Unavailable`."""
        return await self.moment(await self._source.position(), "The end of the log")

    async def ready(self, moment: Moment, views: Sequence[str]) -> None:
        """Wait until views as they were at a moment are built; they are built on where it takes too long.

        Raises `Gone` where a view needs events that were dropped from the log, `Unavailable` with how far it is.
        """
        kept = await self._kept(moment, views)
        kept.users += 1
        building: list[Building] = []
        try:
            async with asyncio.timeout(self._bounds.patience_seconds):
                await self._running.wait()
                building = [self._begun(kept, name) for name in views]
                for view in building:
                    await view.done.wait()
        except TimeoutError:
            reached = [view.reached for view in building]
            logger.info("past_is_being_built", position=kept.position, views=views, reached=reached)
        finally:
            kept.users -= 1
            kept.used_at = asyncio.get_running_loop().time()
        if not building:
            raise Unavailable("The past cannot be shown yet", retry_after_seconds=_SOON_SECONDS)
        for name, view in zip(views, building, strict=True):
            if view.failure is not None:
                if kept.views.get(name) is view:  # it may be built again already
                    del kept.views[name]
                raise Unavailable(f"View '{name}' as of position {kept.position} cannot be built: {view.failure}")
            if not view.done.is_set():
                raise _not_yet(kept.position, building)

    @asynccontextmanager
    async def connection(self, moment: Moment, views: Sequence[str]) -> AsyncIterator[Connection]:
        """Lend a connection that sees views as they were; they were waited for. Raises `Unavailable`."""
        kept = self._moments.get(moment.position)
        if kept is None or not all(name in kept.views for name in views):
            raise _replaced(moment)
        path = ", ".join(kept.views[name].schema for name in views)
        kept.users += 1
        try:
            async with self._pool.connection() as connection:
                # Every caller sets it, so it need not be set back; plans that Postgres keeps follow it by themselves.
                if self._paths.get(connection) != path:
                    await connection.execute("select set_config('search_path', %s, false)", [path])
                    self._paths[connection] = path
                yield connection
        finally:
            kept.users -= 1
            kept.used_at = asyncio.get_running_loop().time()

    def standings(self) -> Sequence[Standing]:
        """Return the views that are kept or being built, by moment, the one not asked for longest first."""
        return [
            Standing(position=kept.position, view=name, reached=view.reached, ready=view.done.is_set())
            for kept in self._moments.values()
            for name, view in kept.views.items()
        ]

    async def _kept(self, moment: Moment, views: Sequence[str]) -> _Kept:
        kept = self._moments.get(moment.position)
        if kept is None or not all(name in kept.views for name in views):
            await self._refuse_gaps(moment, views)
            kept = self._moments.get(moment.position)  # somebody else may have asked for it meanwhile
        if kept is None:
            self._make_room()
            kept = _Kept(position=moment.position, used_at=asyncio.get_running_loop().time())
            self._moments[moment.position] = kept
        self._moments.move_to_end(moment.position)
        return kept

    async def _refuse_gaps(self, moment: Moment, views: Sequence[str]) -> None:
        if not any(set(self._views[name].handles) & set(UPDATE_EVENTS) for name in views):
            return
        async with self._pool.connection() as connection:
            dropped = await dropped_around(connection, moment.position)
        if dropped is not None:
            raise Gone(
                f"What bots told between the positions {dropped[0]} and {dropped[1]} was dropped from the log:"
                f" how they were at position {moment.position} is not known any more"
            )

    def _make_room(self) -> None:
        if len(self._moments) < self._bounds.most:
            return
        idle = next((kept for kept in self._moments.values() if kept.idle), None)
        if idle is None:
            raise Unavailable(
                f"{self._bounds.most} moments of the past are being shown or built, the most at a time",
                retry_after_seconds=_SOON_SECONDS,
            )
        self._forget(idle)

    def _forget(self, kept: _Kept) -> None:
        del self._moments[kept.position]
        self._begin(self._drop([view.schema for view in kept.views.values()]))

    def _begun(self, kept: _Kept, name: str) -> Building:
        if name not in kept.views:
            self._number += 1
            schema = schemas.name_of(self._name, self._number, name)
            kept.views[name] = building = Building(schema=schema, done=asyncio.Event())
            self._begin(self._build(kept.position, self._views[name], building))
        return kept.views[name]

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        if self._tasks is None:  # what was built is dropped when it runs again
            work.close()
        else:
            self._tasks.create_task(work)

    async def _build(self, position: int, view: View, building: Building) -> None:
        try:
            async with self._slots:
                await build(self._database_url, self._source, view, position, building)
        except Exception as error:
            building.failure = str(error).strip() if isinstance(error, DomainError) else type(error).__name__
            logger.warning("past_not_built", view=view.name, position=position, exc_info=error)
            await self._drop([building.schema])
        finally:
            building.done.set()

    async def _drop(self, names: Sequence[str]) -> None:
        try:
            async with await connect(self._database_url, "pg_catalog") as connection:
                await schemas.drop(connection, names)
        except psycopg.OperationalError as error:
            # What is left is dropped when the connection that holds the lock is made anew, or at the next start.
            logger.warning("past_not_dropped", schemas=names, error=str(error).strip())

    @property
    def _name(self) -> str:
        # Another one after each connection that was lost: Postgres may hold the lock of the old one for a while.
        return f"{self._owner}x{self._life}"

    async def _keep(self, connection: Connection) -> None:
        self._life += 1
        await schemas.hold(connection, self._name)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._running.set()
                while True:
                    await asyncio.sleep(min(_LOOK_SECONDS, self._bounds.idle_seconds))
                    await connection.execute("select")  # raises when the lock is gone with its connection
                    self._forget_idle()
        except* psycopg.OperationalError as lost:
            raise psycopg.OperationalError(str(lost.exceptions[0])) from lost
        finally:
            self._running.clear()
            self._tasks = None
            self._moments.clear()
            # What cannot be dropped now, the next start drops; and an error here would take the place of the
            # cancellation that ends this.
            with suppress(psycopg.Error):
                await schemas.drop_all(connection, self._name)

    def _forget_idle(self) -> None:
        before = asyncio.get_running_loop().time() - self._bounds.idle_seconds
        for kept in [kept for kept in self._moments.values() if kept.idle and kept.used_at <= before]:
            self._forget(kept)


def _not_yet(position: int, building: Sequence[Building]) -> Unavailable:
    reached = min(view.reached for view in building if not view.done.is_set())
    rate = max((view.rate for view in building if not view.done.is_set()), default=0.0)
    left = max(1, round((position - reached) / rate)) if rate else 10
    return Unavailable(
        f"The views as of position {position} are being built: {reached} of {position} events are in them,"
        f" about {left} seconds are left. Ask again",
        retry_after_seconds=left,
    )


def _replaced(moment: Moment) -> Unavailable:
    return Unavailable(
        f"The views as of position {moment.position} have given way to others: ask again",
        retry_after_seconds=_SOON_SECONDS,
    )
