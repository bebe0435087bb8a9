"""A view may be built in parts of the streams, each at its own pace, and is the same."""

import asyncio

import msgspec
import pytest

from commands.ports import Log
from domain.errors import Conflict
from projections import audit, orders
from projections.filling import fill
from projections.replay import begin, fill_part, rebuild
from projections.shadows import claimed, left_behind
from projections.view import Connection, Part, View, dump
from projections.views import VIEWS
from tests.projections.given import EVERYTHING, placed, tell
from tests.projections.test_rebuild import Cut, told_until

THREE = [Part(number, 3) for number in range(3)]


async def positions(connection: Connection) -> list[tuple[int, int]]:
    found = await connection.execute("select part, position from read.rebuilds where view = 'orders' order by part")
    return await found.fetchall()


@pytest.mark.parametrize("view", [view for view in VIEWS if view.by_stream], ids=lambda view: view.name)
async def test_parts_that_are_filled_at_the_same_time_make_the_view(
    database_url: str, log: Log, connection: Connection, view: View
):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, [view])
    expected = await dump(connection, view)
    assert await begin(database_url, {view: 3}) == {view.name: THREE}
    await asyncio.gather(*(fill_part(database_url, log, view, part, span=5) for part in THREE))
    assert await positions(connection) == [(0, end), (1, end), (2, end)]
    assert await rebuild(database_url, log, [view]) == end
    assert await dump(connection, view) == expected


async def test_parts_that_were_cut_off_anywhere_are_gone_on_with(database_url: str, log: Log, connection: Connection):
    await tell(log, EVERYTHING)
    await begin(database_url, {orders.VIEW: 3})
    with pytest.raises(Cut):
        await fill_part(database_url, log, orders.VIEW, THREE[1], told=told_until(9), span=3)
    await fill_part(database_url, log, orders.VIEW, THREE[2])
    (_, never), (_, half), (_, whole) = await positions(connection)
    assert 0 == never < half < whole
    assert await begin(database_url, {orders.VIEW: 2}) == {"orders": THREE}  # as they were begun
    end = await tell(log, [placed("z", 50)])
    assert await rebuild(database_url, log, [orders.VIEW]) == end
    built = await dump(connection, orders.VIEW)
    await rebuild(database_url, log, [orders.VIEW])
    assert await dump(connection, orders.VIEW) == built


async def test_whoever_builds_a_part_excludes_those_who_build_it_or_the_whole(database_url: str, log: Log):
    await begin(database_url, {orders.VIEW: 3})
    async with claimed(database_url, orders.VIEW, THREE[0]), claimed(database_url, orders.VIEW, THREE[1]):
        for part in (THREE[0], Part()):
            with pytest.raises(Conflict, match="View 'orders' is being rebuilt already"):
                async with claimed(database_url, orders.VIEW, part):
                    pass


async def test_a_part_that_another_rebuild_has_taken_further_is_not_filled_twice(database_url: str, log: Log):
    end = await tell(log, EVERYTHING)
    await begin(database_url, {orders.VIEW: 3})
    async with claimed(database_url, orders.VIEW, THREE[0]) as connection:
        part, *_ = await left_behind(connection, orders.VIEW)
        await connection.execute("update read.rebuilds set position = 7 where part = 0")
        with pytest.raises(Conflict, match="View 'orders' is being rebuilt by somebody else: its shadow is not at pos"):
            await fill(log, [part], lambda *_: None, upto=end)


def test_a_range_that_is_copied_leaves_out_what_is_skipped():
    view = msgspec.structs.replace(audit.VIEW, skips=frozenset({3, 5, 9}))
    assert view.ranges(2, 8) == [(3, 4), (5, 8)]
    assert view.ranges(5, 8) == [(5, 8)]


async def test_what_a_version_without_parts_left_behind_is_begun_anew(
    database_url: str, log: Log, connection: Connection
):
    end = await tell(log, EVERYTHING)
    await connection.execute(
        "drop table read.rebuilds;"
        " create table read.rebuilds (view text primary key, fingerprint text, position bigint, mark uuid,"
        " indexed boolean, total bigint, rate double precision);"
        " insert into read.rebuilds (view, position) values ('orders', 5)"
    )
    assert await rebuild(database_url, log, [orders.VIEW]) == end
    assert await positions(connection) == []
