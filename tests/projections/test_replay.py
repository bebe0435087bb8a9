"""A view is a function of the log: however it was cut, whenever it was built."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.ports import Log
from domain.errors import Conflict
from domain.events import Recorded
from projections.replay import rebuild, replay_into
from projections.runner import Progress
from projections.view import Changes, Connection, View, connect, dump, make_tables, take
from projections.views import VIEWS
from tests.projections.archived import ARCHIVES
from tests.projections.conftest import projecting
from tests.projections.fleet import FLEET
from tests.projections.given import EVERYTHING as TRADING
from tests.projections.given import account, balances, filled, funding, placed, rejected, tell
from tests.projections.strategies import STRATEGIES

PATIENCE = 10.0
EVERYTHING = [*TRADING, *FLEET, *ARCHIVES, *STRATEGIES]


async def dumps(connection: Connection) -> dict[str, bytes]:
    return {view.name: await dump(connection, view) for view in VIEWS}


async def test_however_the_log_is_cut_the_views_are_the_same(database_url: str, log: Log, connection: Connection):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = await dumps(connection)
    story = await log.page(0, end)
    numbers = iter(range(1_000_000))

    async def cut_at(cuts: set[int]) -> dict[str, bytes]:
        schema = f"cut_{next(numbers)}"
        async with await connect(database_url, schema) as here:
            await here.execute(f"create schema {schema}".encode())
            await make_tables(here, VIEWS)
            for start, stop in pairwise([0, *sorted(cuts), end]):
                await take(here, VIEWS, story[start:stop])
            found = await dumps(here)
            await here.execute(f"drop schema {schema} cascade".encode())
            return found

    loop = asyncio.get_running_loop()

    @given(st.sets(st.integers(1, end - 1), max_size=8))
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    def however_cut(cuts: set[int]) -> None:
        assert asyncio.run_coroutine_threadsafe(cut_at(cuts), loop).result() == expected

    await asyncio.to_thread(however_cut)
    assert await cut_at(set(range(1, end))) == expected


async def test_a_rebuild_gives_what_was_kept_live(
    database_url: str, log: Log, connection: Connection, progress: Progress
):
    end = await tell(log, EVERYTHING)
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    live = await dumps(connection)
    told: list[tuple[int, int]] = []
    assert await rebuild(database_url, log, VIEWS, told=lambda at, total, _: told.append((at, total))) == end
    assert await dumps(connection) == live
    assert told == [(end, end)]


ODD = ("", "\\", 'say "no"', "a\tb\nc\r", "\\N", "\0", "\x01\u2028é", "{},'")


async def test_rows_that_go_in_bulk_are_those_that_went_one_by_one(
    database_url: str, log: Log, connection: Connection, progress: Progress
):
    story = account("master_account", "paper")
    for n in range(120):
        odd, amount = ODD[n % len(ODD)], ("1E-7", "0.10", "1E+3", "0.000000000000000000000000000001")[n % 4]
        story += [
            placed(f"n{n}", n / 7, amount=Decimal(amount)),
            filled(f"n{n}", f"t{n}{odd}", "1E-8", "100.00", currency=odd),
            rejected(f"n{n}", odd),
            balances({"USDT": amount, f"X{odd}": "1"}, n / 3),
            funding(f"f{n}{odd}", amount, seconds=n / 9),
        ]
    end = await tell(log, story)
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    live = await dumps(connection)
    await rebuild(database_url, log, VIEWS)
    assert await dumps(connection) == live


async def test_live_views_go_on_behind_a_rebuild(
    database_url: str, log: Log, connection: Connection, progress: Progress
):
    await tell(log, EVERYTHING[:20])

    async def keep_telling() -> int:
        return await tell(log, EVERYTHING[20:])

    async def keep_rebuilding() -> None:
        for view in VIEWS:
            await rebuild(database_url, log, [view])

    end, _ = await asyncio.gather(keep_telling(), keep_rebuilding())
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    live = await dumps(connection)
    await rebuild(database_url, log, VIEWS)
    assert await dumps(connection) == live
    end = await tell(log, [placed("z", 50)])
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    assert await dumps(connection) != live


async def test_replaying_up_to_a_position_is_the_view_of_then(database_url: str, log: Log):
    half = await tell(log, EVERYTHING[:18])
    await rebuild(database_url, log, VIEWS)
    async with await connect(database_url) as connection:
        then = await dumps(connection)
    await tell(log, EVERYTHING[18:])
    assert await replay_into(database_url, log, VIEWS, "by_position", upto=half) == half
    async with await connect(database_url, "by_position") as connection:
        assert await dumps(connection) == then


async def test_two_rebuilds_of_a_view_exclude_each_other(database_url: str, log: Log):
    async with await connect(database_url) as other:
        await other.execute("select pg_advisory_lock(hashtextextended('nectar.rebuild_orders', 0))")
        with pytest.raises(Conflict, match="'orders' is being rebuilt"):
            await rebuild(database_url, log, VIEWS)


async def test_a_changed_view_is_built_anew_at_start(database_url: str, log: Log, connection: Connection):
    end = await tell(log, [*account(), placed("a"), rejected("a")])
    async with projecting(database_url, log) as progress:
        assert await progress.reached(end, progress.views, PATIENCE) == 0

    async def count(changes: Changes, events: Sequence[Recorded]) -> None:
        await changes.write("counted", "update counted set events = events + %s", [len(events)])

    changed = View(
        name="orders",
        tables="create table counted (events integer primary key); insert into counted values (0)",
        indexes="",
        handles=(),
        apply=count,
    )
    async with projecting(database_url, log, [changed]) as progress:
        assert await progress.reached(end, ["orders"], PATIENCE) == 0
        assert await (await connection.execute("select events from counted")).fetchone() == (end,)
        assert await (await connection.execute("select to_regclass('read.orders')")).fetchone() == (None,)
