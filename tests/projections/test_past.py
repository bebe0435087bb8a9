"""Views as they were: built once for all who ask, few at a time, and gone when nobody asks."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from commands.ports import Log
from domain.bots import RETENTION, UPDATE_EVENTS, UpdatesDropped
from domain.errors import Gone, Unavailable
from domain.events import Recorded
from projections.moments import Moment
from projections.past import Past, building
from projections.replay import rebuild
from projections.view import Connection, dump
from projections.views import VIEWS
from tests.projections.conftest import remembering
from tests.projections.fleet import FLEET
from tests.projections.given import EVERYTHING, account, at, tell
from tests.projections.strategies import STRATEGIES

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
NAMES = [view.name for view in VIEWS]

# Shows the past in a process of its own, and stops reading the log in the middle of it.
CHILD = """
import asyncio, sys
from adapters.event_store import PostgresLog
from projections.past import Past
from projections.views import VIEWS
from tests.projections.test_past import Gate

async def main(url):
    async with PostgresLog.open(url) as log, Past.open(url, Gate(log), VIEWS, owner="killed") as past:
        running = asyncio.create_task(past.run())
        await past.ready(await past.moment(await log.position(), "now"), ["orders"])

asyncio.run(main(sys.argv[1]))
"""


class Gate:
    """A log of which only so many ranges are read until the gate opens."""

    def __init__(self, log: Log, *, open_for: int = 0) -> None:
        self._log = log
        self._left = open_for
        self.opened = asyncio.Event()
        self.spans = 0

    async def position(self) -> int:
        return await self._log.position()

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        return await self._log.reach(after, through, types, most_bytes)

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        self.spans += 1
        if self._left <= 0:
            await self.opened.wait()
        self._left -= 1
        return await self._log.between(after, through, types, part)

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        return self._log.follow(after, limit=limit, types=types)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail when that takes too long."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def schemas(connection: Connection) -> list[str]:
    """Return the schemas of the past."""
    found = await connection.execute("select nspname from pg_namespace where starts_with(nspname, 'past_')")
    return [name async for (name,) in found]


async def until_gone(connection: Connection, left: int = 0) -> None:
    """Wait until so many schemas of the past are left."""
    async with asyncio.timeout(PATIENCE):
        while len(await schemas(connection)) != left:
            await asyncio.sleep(0.01)


async def shown(past: Past, position: int, *views: str) -> Moment:
    """Wait for views as they were at a position."""
    moment = await past.moment(position, "Position")
    await past.ready(moment, views)
    return moment


async def test_the_end_of_the_log_is_shown_as_the_views_are(database_url: str, log: Log, connection: Connection):
    end = await tell(log, [*EVERYTHING, *FLEET, *STRATEGIES])
    await rebuild(database_url, log, VIEWS)
    async with remembering(database_url, log) as past:
        moment = await shown(past, end, *NAMES)
        async with past.connection(moment, NAMES) as then:
            for view in VIEWS:
                assert await dump(then, view) == await dump(connection, view)


async def test_who_asks_meanwhile_is_told_how_far_it_is_and_the_building_goes_on(
    database_url: str, log: Log, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(building, "_SPAN", 5)
    end = await tell(log, EVERYTHING)
    gate = Gate(log, open_for=6)
    async with remembering(database_url, gate, patience_seconds=0.3) as past:  # type: ignore[arg-type]
        moment = await past.moment(end, "Position")
        with pytest.raises(Unavailable):
            await past.ready(moment, ["orders"])
        await until(lambda: past.standings()[0].reached > 0)
        with pytest.raises(Unavailable) as told:
            await past.ready(moment, ["orders"])
        assert f"The views as of position {end} are being built: {past.standings()[0].reached} of {end}" in str(
            told.value
        )
        assert told.value.retry_after_seconds is not None
        gate.opened.set()
        await until(lambda: past.standings()[0].ready)
        await past.ready(moment, ["orders"])


async def test_many_who_ask_at_once_have_it_built_once(database_url: str, log: Log, connection: Connection):
    end = await tell(log, EVERYTHING)
    async with remembering(database_url, log) as past:
        await asyncio.gather(*(shown(past, end, "orders", "accounts") for _ in range(25)))
        assert len(await schemas(connection)) == 2
        gate = Gate(log, open_for=99)
    async with remembering(database_url, gate) as past:  # type: ignore[arg-type]
        await shown(past, end, "accounts")
        alone = gate.spans
        await asyncio.gather(*(shown(past, end - 1, "accounts") for _ in range(25)))
        assert gate.spans == 2 * alone


async def test_a_new_moment_takes_the_place_of_the_one_not_asked_for_longest(
    database_url: str, log: Log, connection: Connection
):
    end = await tell(log, EVERYTHING)
    async with remembering(database_url, log, most=2) as past:
        first = await shown(past, end, "accounts")
        second = await shown(past, end - 1, "accounts")
        await shown(past, end, "accounts")
        await shown(past, end - 2, "accounts")
        assert [one.position for one in past.standings()] == [end, end - 2]
        await until_gone(connection, left=2)
        with pytest.raises(Unavailable, match="have given way to others"):
            async with past.connection(second, ["accounts"]):
                pass
        async with past.connection(first, ["accounts"]):
            await shown(past, end - 3, "accounts")
            assert end in [one.position for one in past.standings()]  # for it is in use


async def test_more_than_can_be_kept_at_a_time_is_refused(database_url: str, log: Log):
    end = await tell(log, EVERYTHING)
    async with remembering(database_url, log, most=1) as past:
        moment = await shown(past, end, "accounts")
        other = await past.moment(end - 1, "Position")
        async with past.connection(moment, ["accounts"]):
            with pytest.raises(Unavailable, match="1 moments of the past are being shown or built"):
                await past.ready(other, ["accounts"])
        await past.ready(other, ["accounts"])


async def test_what_nobody_asks_for_is_dropped(database_url: str, log: Log, connection: Connection):
    end = await tell(log, EVERYTHING)
    async with remembering(database_url, log, idle_seconds=0.2) as past:
        await shown(past, end, "accounts", "orders")
        await until(lambda: not past.standings())
        await until_gone(connection)
        await shown(past, end, "accounts")
    assert await schemas(connection) == []  # for a server that ends takes its own with it


async def test_a_view_that_cannot_be_built_is_said_to_and_can_be_asked_for_again(
    database_url: str, log: Log, connection: Connection
):
    end = await tell(log, EVERYTHING)

    class Broken(Gate):
        broken = True

        async def between(
            self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
        ) -> list[Recorded]:
            if self.broken:
                raise Unavailable("The event log cannot be reached")
            return await log.between(after, through, types, part)

    source = Broken(log)
    async with remembering(database_url, source) as past:  # type: ignore[arg-type]
        moment = await past.moment(end, "Position")
        why = f"View 'accounts' as of position {end} cannot be built: The event log cannot be reached"
        with pytest.raises(Unavailable, match=why):
            await past.ready(moment, ["accounts"])
        assert await schemas(connection) == []
        source.broken = False
        await past.ready(moment, ["accounts"])


async def test_what_a_killed_server_left_is_dropped_by_the_next(database_url: str, log: Log, connection: Connection):
    end = await tell(log, EVERYTHING)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, database_url, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):
            while not any(name.startswith("past_killed") for name in await schemas(connection)):
                await asyncio.sleep(0.02)
        async with remembering(database_url, log) as beside:
            await shown(beside, end, "orders")
            assert len(await schemas(connection)) == 2  # what belongs to one that lives is left alone
    finally:
        child.send_signal(signal.SIGKILL)
        await child.wait()
    async with remembering(database_url, log) as past:
        moment = await shown(past, end, "orders")
        await until_gone(connection, left=1)
        async with past.connection(moment, ["orders"]) as then:
            assert await (await then.execute("select count(*) from orders")).fetchone() != (0,)


async def test_it_goes_on_after_its_connection_was_cut(database_url: str, log: Log, connection: Connection):
    end = await tell(log, EVERYTHING)
    async with remembering(database_url, log, idle_seconds=0.3) as past:
        await shown(past, end, "accounts")
        await connection.execute(
            "select pg_terminate_backend(l.pid) from pg_locks l join pg_database d on d.oid = l.database"
            " where l.locktype = 'advisory' and d.datname = current_database() and l.pid <> pg_backend_pid()"
        )
        await until(lambda: not past.standings())
        await shown(past, end, "accounts")
        await until_gone(connection, left=1)


async def test_inside_a_gap_of_the_retention_bots_are_gone_and_the_others_are_there(
    database_url: str, log: Log, connection: Connection
):
    end = await tell(log, [*account(), *FLEET])
    first, last = 10, end - 5
    dropped = UpdatesDropped(first=first, last=last, count=2, runs=[], digest=b"", signature=b"", dropped_at=at(9))
    await tell(log, [(RETENTION, dropped)])
    async with remembering(database_url, log) as past:
        for position in (first, last):
            moment = await past.moment(position, "Position")
            with pytest.raises(Gone, match=f"between the positions {first} and {last} was dropped"):
                await past.ready(moment, ["bots"])
            await shown(past, position, "accounts")
        await shown(past, first - 1, "bots")
        await shown(past, last + 1, "bots")


def test_the_views_that_need_what_bots_tell_are_those_that_are_refused():
    assert [view.name for view in VIEWS if set(view.handles) & set(UPDATE_EVENTS)] == ["bots"]
