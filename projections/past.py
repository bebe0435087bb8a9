"""Views as they were: built from the log up to a position when somebody asks, kept while somebody does.

Each view of a moment is built in a schema of its own, once for all who ask, and only the views that are asked for.
Moments are few: a new one takes the place of the one that was not asked for longest, and one that nobody asks for goes.

Schemas are named after the process that built them. It holds a lock in Postgres for as long as it lives; whoever starts
drops what is left of those that are gone.
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
from psycopg import sql

from domain.bots import UPDATE_EVENTS
from domain.errors import DomainError, Gone, Unavailable
from domain.events import Recorded
from projections.moments import Moment, dropped_around, moment_of
from projections.pool import Pool
from projections.replay import replay_into
from projections.view import Connection, Source, View, connect

_PREFIX = "past"
_PAGE = 2_500  # read and decoded in one go: whoever else is served by this process waits for no longer
_AT_A_TIME, _CONNECTIONS, _KNOWN = 2, 4, 1_000
_LOOK_SECONDS, _SOON_SECONDS = 1.0, 1
_OWNERS = r"select distinct split_part(nspname, '_', 2) from pg_namespace where nspname like 'past\_%'"
_SCHEMAS = "select nspname from pg_namespace where starts_with(nspname, %s) order by nspname"
_TRY_LOCK = "select pg_try_advisory_lock(hashtextextended('nectar.past.' || %s, 0))"
_UNLOCK = "select pg_advisory_unlock(hashtextextended('nectar.past.' || %s, 0))"

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


class _Building(msgspec.Struct):
    """A view of a moment. `reached` and `rate` (positions a second) say how far it is, `failure` why it ended."""

    schema: str
    done: asyncio.Event
    reached: int = 0
    rate: float = 0.0
    failure: str | None = None


class _Kept(msgspec.Struct):
    """A moment with the views that were asked for; `used_at` is by the loop's clock."""

    position: int
    used_at: float
    views: dict[str, _Building] = {}
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


class _Part:
    """The events of the log that one view handles, in pages that hold nobody up, as if the log ended at a position."""

    def __init__(self, source: Source, view: View, upto: int) -> None:
        self._source = source
        self._types = [event.__name__ for event in view.handles]
        self._upto = upto

    async def position(self) -> int:
        """Return where it ends."""
        return self._upto

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return events with a position above `after`."""
        if after >= self._upto:
            return []
        return await self._source.page(after, min(limit, _PAGE), types or self._types)

    def follow(self, after: int, *, limit: int = _PAGE, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield events for ever, those behind its end too."""
        return self._source.follow(after, limit=limit, types=types or self._types)


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
        building: list[_Building] = []
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

    def _begun(self, kept: _Kept, name: str) -> _Building:
        if name not in kept.views:
            self._number += 1
            schema = f"{_PREFIX}_{self._name}_{self._number}_{name}"
            kept.views[name] = building = _Building(schema=schema, done=asyncio.Event())
            self._begin(self._build(kept.position, self._views[name], building))
        return kept.views[name]

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        if self._tasks is None:  # what was built is dropped when it runs again
            work.close()
        else:
            self._tasks.create_task(work)

    async def _build(self, position: int, view: View, building: _Building) -> None:
        def told(reached: int, _total: int, rate: float) -> None:
            building.reached, building.rate = min(reached, position), rate

        clock = asyncio.get_running_loop().time
        try:
            async with self._slots:
                began = clock()
                part = _Part(self._source, view, position)
                unlogged = view.unlogged
                await replay_into(self._database_url, part, [unlogged], building.schema, upto=position, told=told)
                await self._clean(building.schema, unlogged)
                building.reached = position
                ms = round((clock() - began) * 1000, 2)
                logger.info("past_built", view=view.name, position=position, ms=ms)
        except Exception as error:
            building.failure = str(error).strip() if isinstance(error, DomainError) else type(error).__name__
            logger.warning("past_not_built", view=view.name, position=position, exc_info=error)
            await self._drop([building.schema])
        finally:
            building.done.set()

    async def _clean(self, schema: str, view: View) -> None:
        # Rows that were written over thousands of times would slow the first questions down, until autovacuum comes.
        async with await connect(self._database_url, schema) as connection:
            for table in view.table_names:
                await connection.execute(sql.SQL("vacuum {}").format(sql.Identifier(table)))

    async def _drop(self, schemas: Sequence[str]) -> None:
        try:
            async with await connect(self._database_url, "pg_catalog") as connection:
                await _drop(connection, schemas)
        except psycopg.OperationalError as error:
            # What is left is dropped when the connection that holds the lock is made anew, or at the next start.
            logger.warning("past_not_dropped", schemas=schemas, error=str(error).strip())

    @property
    def _name(self) -> str:
        # Another one after each connection that was lost: Postgres may hold the lock of the old one for a while.
        return f"{self._owner}x{self._life}"

    async def _keep(self, connection: Connection) -> None:
        self._life += 1
        await connection.execute(_TRY_LOCK, [self._name])
        await _drop_leftovers(connection, self._name)
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
                await _drop(connection, await _schemas(connection, self._name))

    def _forget_idle(self) -> None:
        before = asyncio.get_running_loop().time() - self._bounds.idle_seconds
        for kept in [kept for kept in self._moments.values() if kept.idle and kept.used_at <= before]:
            self._forget(kept)


def _not_yet(position: int, building: Sequence[_Building]) -> Unavailable:
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


async def _schemas(connection: Connection, owner: str) -> list[str]:
    found = await connection.execute(_SCHEMAS, [f"{_PREFIX}_{owner}_"])
    return [schema async for (schema,) in found]


async def _drop_leftovers(connection: Connection, owner: str) -> None:
    owners = [name async for (name,) in await connection.execute(_OWNERS)]
    for other in owners:
        if other != owner and await (await connection.execute(_TRY_LOCK, [other])).fetchone() == (True,):
            schemas = await _schemas(connection, other)
            await _drop(connection, schemas)
            await connection.execute(_UNLOCK, [other])
            logger.info("past_left_over_dropped", schemas=len(schemas))


async def _drop(connection: Connection, schemas: Sequence[str]) -> None:
    for schema in schemas:
        await connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
