"""A rebuild that is cut off goes on from there, and nobody who reads notices any of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
import pytest
from psycopg import sql

from commands.ports import Log
from domain.errors import Conflict
from domain.events import Recorded
from domain.orders import OrderFailed
from projections import accounts, filling, orders, replay, strategies
from projections.view import Changes, Connection, Stuck, View, dump
from projections.views import VIEWS
from tests.projections.conftest import projecting
from tests.projections.given import EVERYTHING, account, placed, tell
from tests.projections.strategies import STRATEGIES
from tests.projections.test_replay import dumps

PATIENCE = 10.0

rebuild = partial(replay.rebuild, span=3)


class Cut(BaseException):
    """Ends a rebuild as the end of its process does: nothing of it gets to clean up."""


def told_until(end: int) -> Callable[[int, int, float], None]:
    def told(position: int, _total: int, _rate: float) -> None:
        if position >= end:
            raise Cut

    return told


async def left_at(connection: Connection, view: View) -> int:
    row = await (await connection.execute("select position from read.rebuilds where view = %s", [view.name])).fetchone()
    return row[0] if row else -1


def counting(view: View) -> tuple[View, list[int]]:
    """Return a view of the same definition, and the positions that it is given."""
    given: list[int] = []

    async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
        given.extend(recorded.position for recorded in events)
        await view.apply(changes, events)

    return msgspec.structs.replace(view, apply=apply), given


@pytest.mark.parametrize("at", [1, 10, 24])
async def test_what_was_cut_off_goes_on_from_there_and_gives_the_same(
    database_url: str, log: Log, connection: Connection, at: int
):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dumps(connection)
    with pytest.raises(Cut):
        await rebuild(database_url, log, VIEWS, told=told_until(at))
    assert await dumps(connection) == expected
    reached = await left_at(connection, orders.VIEW)
    assert at <= reached < end
    again, given = counting(orders.VIEW)
    assert await rebuild(database_url, log, [again if view is orders.VIEW else view for view in VIEWS]) == end
    assert min(given) > reached
    assert await dumps(connection) == expected
    found = await connection.execute("select nspname from pg_namespace where starts_with(nspname, 'rebuild')")
    assert await found.fetchall() == []
    assert await left_at(connection, orders.VIEW) == -1


async def test_what_was_cut_off_before_its_swap_is_not_filled_again(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dumps(connection)

    async def cut(*_: object) -> int:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(replay, "swap", cut)
        with pytest.raises(Cut):
            await rebuild(database_url, log, VIEWS)
    assert await _options(connection, "rebuild_orders") == {"autovacuum_enabled=off"}
    again, given = counting(orders.VIEW)
    assert await rebuild(database_url, log, [again]) == end
    assert given == []
    assert await dumps(connection) == expected
    assert await _options(connection, "read") == {None}  # what serves is vacuumed


async def test_long_events_are_taken_few_at_a_time(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    end = await tell(log, STRATEGIES)
    await replay.rebuild(database_url, log, [strategies.VIEW], span=1_000)
    expected = await dump(connection, strategies.VIEW)
    monkeypatch.setattr(filling, "_MOST_BYTES", 300)
    steps: list[int] = []

    def told(position: int, _total: int, _rate: float) -> None:
        steps.append(position)

    assert await replay.rebuild(database_url, log, [strategies.VIEW], told=told, span=1_000) == end
    assert len(steps) > 3
    assert await dump(connection, strategies.VIEW) == expected


async def _options(connection: Connection, schema: str) -> set[str | None]:
    """Return what tables of orders are set to in a schema."""
    found = await connection.execute(
        "select array_to_string(reloptions, ' ') from pg_class"
        " where relnamespace = %s::regnamespace and relname in ('orders', 'trades')",
        [schema],
    )
    return {options async for (options,) in found}


async def _another_definition(connection: Connection) -> None:
    await connection.execute("update read.rebuilds set fingerprint = 'of yesterday'")


async def _another_log(connection: Connection) -> None:
    await connection.execute("update read.rebuilds set mark = gen_random_uuid()")


async def _a_shorter_log(connection: Connection) -> None:
    await connection.execute("update read.rebuilds set position = 1000000")


async def _no_shadow(connection: Connection) -> None:
    await connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier("rebuild_orders")))


@pytest.mark.parametrize("change", [_another_definition, _another_log, _a_shorter_log, _no_shadow])
async def test_what_was_begun_otherwise_is_begun_anew(
    database_url: str, log: Log, connection: Connection, change: Callable[[Connection], Awaitable[None]]
):
    await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dump(connection, orders.VIEW)
    with pytest.raises(Cut):
        await rebuild(database_url, log, [orders.VIEW], told=told_until(10))
    await change(connection)
    again, given = counting(orders.VIEW)
    await rebuild(database_url, log, [again])
    assert min(given) < 10
    assert await dump(connection, orders.VIEW) == expected


async def test_the_old_view_serves_and_goes_on_while_it_is_rebuilt(database_url: str, log: Log, connection: Connection):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
        begun.set()
        await go_on.wait()
        await orders.VIEW.apply(changes, events)

    async with projecting(database_url, log) as progress:
        end = await tell(log, [*account(), placed("a")])
        assert await progress.reached(end, progress.views, PATIENCE) == 0
        building = asyncio.create_task(rebuild(database_url, log, [msgspec.structs.replace(orders.VIEW, apply=apply)]))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        with pytest.raises(Conflict, match="'orders' is being rebuilt already"):
            await rebuild(database_url, log, VIEWS)
        end = await tell(log, [placed("b")])
        assert await progress.reached(end, progress.views, PATIENCE) == 0
        assert await (await connection.execute("select count(*) from orders")).fetchone() == (2,)
        go_on.set()
        assert await building == end
        end = await tell(log, [placed("c")])
        assert await progress.reached(end, progress.views, PATIENCE) == 0
        assert await (await connection.execute("select count(*) from orders")).fetchone() == (3,)
        assert progress.failures == {}


async def test_whoever_is_refused_leaves_nothing_behind(database_url: str, log: Log, connection: Connection):
    await rebuild(database_url, log, VIEWS)
    await connection.execute("select pg_advisory_lock(hashtextextended('nectar.rebuild_orders', 0))")
    with pytest.raises(Conflict):
        await rebuild(database_url, log, [accounts.VIEW, orders.VIEW])
    assert await left_at(connection, accounts.VIEW) == -1


async def test_a_rebuild_says_which_event_a_view_cannot_take_and_goes_on_there(
    database_url: str, log: Log, connection: Connection
):
    await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dump(connection, orders.VIEW)

    async def choke(changes: Changes, events: Sequence[Recorded]) -> None:
        if any(isinstance(recorded.event, OrderFailed) for recorded in events):
            raise ValueError("not like this")
        await orders.VIEW.apply(changes, events)

    with pytest.raises(Stuck, match=r"View 'orders' cannot take event .* ValueError: not like this") as stuck:
        await rebuild(database_url, log, [msgspec.structs.replace(orders.VIEW, apply=choke)])
    at = stuck.value.position
    [event] = await log.page(at - 1, 1)
    assert isinstance(event.event, OrderFailed)
    assert await left_at(connection, orders.VIEW) == at - 1
    mended, given = counting(orders.VIEW)
    await rebuild(database_url, log, [mended])
    assert given[0] == at
    assert await dump(connection, orders.VIEW) == expected


async def test_a_changed_view_is_built_while_the_old_one_serves(database_url: str, log: Log, connection: Connection):
    end = await tell(log, [*account(), placed("a")])
    await rebuild(database_url, log, VIEWS)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
        begun.set()
        await go_on.wait()
        await orders.VIEW.apply(changes, events)

    changed = msgspec.structs.replace(orders.VIEW, apply=apply, revision=orders.VIEW.revision + 1)
    views = [changed if view is orders.VIEW else view for view in VIEWS]
    async with projecting(database_url, log, views) as progress:
        await asyncio.wait_for(begun.wait(), PATIENCE)
        assert await (await connection.execute("select count(*) from orders")).fetchone() == (1,)
        end = await tell(log, [placed("b")])
        assert await progress.reached(end, ["accounts"], PATIENCE) == 0  # nobody waits for it but its own readers
        assert progress.positions["orders"] == -1
        go_on.set()
        assert await progress.reached(end, ["orders"], PATIENCE) == 0
        assert await (await connection.execute("select count(*) from orders")).fetchone() == (2,)
