"""A view that cannot take an event goes on without it, and is the same wherever it is built from then on."""

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
import pytest
from rich.console import Console

from adapters import skip
from commands.deciding import decide
from commands.ports import Log
from domain.bots import UpdatesDropped
from domain.errors import Conflict, Invalid, NotFound
from domain.events import Event, Recorded
from domain.views import STREAM, EventSkipped
from projections import accounts, audit, orders, replay
from projections.filling import Filling
from projections.replay import rebuild, replay_into
from projections.runner import Progress
from projections.shadows import claimed, swap
from projections.skips import leaving_out, skips
from projections.view import Changes, Connection, Source, Stuck, View, connect, dump, make_tables, take
from tests.projections.conftest import projecting, remembering
from tests.projections.given import EVERYTHING, accepted, account, filled, placed, tell

PATIENCE = 30.0
FEW = [accounts.VIEW, orders.VIEW, audit.VIEW]
# In the middle there is what the view of orders cannot take: nobody placed that order.
STORY = [
    *account(),
    placed("a"),
    accepted("a"),
    accepted("never_placed"),
    filled("a", "t1", "1", "100"),
    placed("b"),
    accepted("b"),
]
STUCK_AT = len([*account()]) + 3


async def skipped(
    database_url: str, position: int = STUCK_AT, *, view: str = "orders", reason: str = "Not ours"
) -> None:
    await skip.skip_command(
        database_url, Console(quiet=True), name=view, position=position, reason=reason, actor="admin"
    )


async def reached(progress: Progress, position: int, *views: str) -> bool:
    return await progress.reached(position, views or progress.views, PATIENCE) == 0


async def has_stopped(progress: Progress, position: int) -> None:
    assert await reached(progress, position, *(name for name in progress.views if name != "orders"))
    assert await progress.reached(position, ["orders"], PATIENCE) > 0
    assert progress.stuck_at == {"orders": STUCK_AT}


async def goes_on(progress: Progress, position: int) -> bool:
    """Wait until nothing has stopped any more, then for a position."""
    async with asyncio.timeout(PATIENCE):
        while progress.failures:
            await asyncio.sleep(0.01)
    return await reached(progress, position)


async def without(database_url: str, log: Log, view: View, position: int, upto: int) -> bytes:
    """Return what a view comes to that is given all events up to a position but one."""
    story = [event for event in await log.page(0, upto) if event.position != position]
    schema = f"without_{view.name}"
    async with await connect(database_url, schema) as here:
        await here.execute(f"create schema {schema}".encode())
        await make_tables(here, [view])
        await take(here, [view], story[: position - 1])
        await take(here, [view], story[position - 1 :])
        return await dump(here, view)


class Killed(BaseException):
    """Ends a command as a signal does that nothing can catch."""


async def has_the_event_beside(connection: Connection) -> None:
    """Have a shadow stand beside, of a mended program, that has the event."""
    await connection.execute(
        "insert into read.rebuilds (view, fingerprint, position, mark) values ('orders', 'mended', %s, %s)",
        [STUCK_AT, UUID(int=1)],
    )


async def kept_at(connection: Connection) -> int:
    row = await (await connection.execute("select position from read.checkpoints where view = 'orders'")).fetchone()
    return row[0] if row else -1


async def events_of(log: Log, stream: str) -> list[Event]:
    return [recorded.event for recorded in (await log.read([stream]))[stream]]


async def test_a_view_goes_on_without_the_event_and_is_rebuilt_as_it_was_kept(
    database_url: str, log: Log, connection: Connection
):
    async with projecting(database_url, log, FEW) as progress:
        end = await tell(log, STORY)
        await has_stopped(progress, end)
        await skipped(database_url)
        assert await goes_on(progress, end + 1)
        assert progress.stuck_at == {}
        end = await tell(log, [filled("b", "t2", "1", "100")])
        assert await reached(progress, end)
        kept = await dump(connection, orders.VIEW)
        assert kept == await without(database_url, log, orders.VIEW, STUCK_AT, end)
        await rebuild(database_url, log, [orders.VIEW])
        assert await dump(connection, orders.VIEW) == kept
        assert await reached(progress, await tell(log, [placed("c")]))
    [event] = await events_of(log, STREAM)
    assert event == EventSkipped(
        view="orders",
        position=STUCK_AT,
        type="OrderAccepted",
        stream="order-never_placed",
        error="KeyError: 'never_placed'",
        reason="Not ours",
    )
    [known] = await skips(connection)
    assert (known.view, known.position, known.skipped_by) == ("orders", STUCK_AT, "admin")


async def test_moments_before_the_skip_leave_the_event_out_too(database_url: str, log: Log):
    async with projecting(database_url, log, FEW) as progress:
        end = await tell(log, STORY)
        await has_stopped(progress, end)
    with pytest.raises(KeyError, match="never_placed"):
        await replay_into(database_url, log, [orders.VIEW], "too_early", upto=end)
    await skipped(database_url)
    async with remembering(database_url, log) as past:
        moment = await past.moment(end, "X-As-Of")
        await past.ready(moment, ["orders"])
        async with past.connection(moment, ["orders"]) as then:
            assert await dump(then, orders.VIEW) == await without(database_url, log, orders.VIEW, STUCK_AT, end)


async def test_another_server_that_takes_over_leaves_it_out_too(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log, FEW) as first:
        end = await tell(log, STORY)
        await has_stopped(first, end)
        async with projecting(database_url, log, FEW) as second:
            await skipped(database_url)
            assert await goes_on(first, end + 1)
            assert await reached(second, end + 1)
    async with projecting(database_url, log, FEW) as third:
        end = await tell(log, [placed("c")])
        assert await reached(third, end)
    assert await dump(connection, orders.VIEW) == await without(database_url, log, orders.VIEW, STUCK_AT, end)


async def test_a_view_that_could_not_be_built_is_built_once_its_event_is_skipped(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    end = await tell(log, STORY)
    changed = msgspec.structs.replace(orders.VIEW, revision=orders.VIEW.revision + 1)
    monkeypatch.setattr(skip, "VIEWS", [changed])
    async with projecting(database_url, log, [accounts.VIEW, changed]) as progress:
        await has_stopped(progress, end)
        assert progress.positions["orders"] == -1
        await skipped(database_url)
        assert await goes_on(progress, end + 1)
    assert await dump(connection, orders.VIEW) == await without(database_url, log, orders.VIEW, STUCK_AT, end)


async def test_an_event_that_comes_right_before_the_swap_is_named_and_can_be_skipped(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    await tell(log, STORY[: STUCK_AT - 1])
    changed = msgspec.structs.replace(orders.VIEW, revision=orders.VIEW.revision + 1)
    monkeypatch.setattr(skip, "VIEWS", [changed])

    async def late(shadow: Filling, source: Source) -> int:
        await tell(log, STORY[STUCK_AT - 1 :])
        return await swap(shadow, source)

    with monkeypatch.context() as patched:
        patched.setattr(replay, "swap", late)
        with pytest.raises(Stuck) as stuck:
            await rebuild(database_url, log, [changed])
    assert stuck.value.position == STUCK_AT
    await skipped(database_url)
    end = await rebuild(database_url, log, [changed])
    assert await dump(connection, orders.VIEW) == await without(database_url, log, orders.VIEW, STUCK_AT, end)


async def _lines(changes: Changes, after: int, through: int) -> None:
    query: LiteralString = "insert into audit select position from log.events where position > %s and position <= %s"
    await changes.write("audit", query, [after, through])


async def _nothing(_changes: Changes, _events: Sequence[Recorded]) -> None:
    pass


LINES = View(
    name="audit",
    tables="create table audit (position bigint primary key);",
    indexes="",
    handles=(UpdatesDropped,),
    apply=_nothing,
    copy=_lines,
)
"""A view that takes ranges of the log and shows each event."""


async def test_a_view_says_which_event_it_cannot_copy_and_goes_on_without_it(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    async def copy(changes: Changes, after: int, through: int) -> None:
        if after < STUCK_AT <= through:
            raise ValueError("not like this")
        await _lines(changes, after, through)

    changed = msgspec.structs.replace(LINES, copy=copy, revision=2)
    monkeypatch.setattr(skip, "VIEWS", [changed])
    end = await tell(log, STORY)
    async with projecting(database_url, log, [accounts.VIEW, changed]) as progress:
        assert await reached(progress, end, "accounts")
        assert await progress.reached(end, ["audit"], PATIENCE) > 0
        assert progress.stuck_at == {"audit": STUCK_AT}
        await skipped(database_url, view="audit")
        assert await goes_on(progress, end + 1)
    counted = await connection.execute("select count(*), bool_or(position = %s) from audit", [STUCK_AT])
    assert await counted.fetchone() == (end, False)


async def test_a_view_that_takes_ranges_of_the_log_leaves_out_what_is_inside_of_one(
    database_url: str, log: Log, connection: Connection
):
    await tell(log, EVERYTHING)
    recorded = EventSkipped(view="audit", position=7, type="T", stream="s", error="none", reason="to see it")
    end = await tell(log, [(STREAM, recorded)])
    await rebuild(database_url, log, [LINES])
    counted = await connection.execute("select array_agg(position order by position) from audit")
    assert await counted.fetchone() == ([position for position in range(1, end + 1) if position != 7],)
    expected = await dump(connection, LINES)
    [view] = await leaving_out(connection, [LINES])
    for size in (1, 6, 7, 8):
        story = await log.page(0, end)
        await connection.execute("truncate audit")
        for start in range(0, end, size):
            await take(connection, [view], story[start : start + size])
        assert await dump(connection, LINES) == expected


async def test_nothing_else_is_skipped(database_url: str, log: Log):
    wishes: list[tuple[str, int, type[Exception], str]] = [
        ("orders", STUCK_AT + 1, Invalid, f"'orders' has stopped at event {STUCK_AT}, not at event {STUCK_AT + 1}"),
        ("audit", STUCK_AT, Invalid, "'audit' has not stopped at event"),
        ("nope", STUCK_AT, NotFound, "View 'nope' not found. Views: accounts, orders"),
        ("all", STUCK_AT, NotFound, "View 'all' not found"),
    ]
    async with projecting(database_url, log, FEW) as progress:
        await has_stopped(progress, await tell(log, STORY))
        for view, position, error, words in wishes:
            with pytest.raises(error, match=words):
                await skipped(database_url, position, view=view)
        async with claimed(database_url, orders.VIEW):
            with pytest.raises(Conflict, match="'orders' is being rebuilt already"):
                await skipped(database_url)
        assert progress.stuck_at == {"orders": STUCK_AT}
    assert await events_of(log, STREAM) == []


async def test_an_event_is_skipped_once_however_often_that_is_said(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log, FEW) as progress:
        await has_stopped(progress, await tell(log, STORY))
        await skipped(database_url)
        await skipped(database_url)
        assert await goes_on(progress, await log.position())
        await skipped(database_url)
    assert len(await events_of(log, STREAM)) == 1


async def test_whoever_could_take_the_event_finds_it_passed(database_url: str, log: Log, connection: Connection):
    """A server of a mended program that starts in the very moment has to leave the event out as well."""
    async with projecting(database_url, log, FEW) as progress:
        await has_stopped(progress, await tell(log, STORY))
    await has_the_event_beside(connection)
    await skipped(database_url)
    assert await kept_at(connection) == STUCK_AT
    assert await (await connection.execute("select view from read.rebuilds")).fetchall() == []


async def test_a_skip_that_was_killed_halfway_is_finished_by_the_next(
    database_url: str, log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    async with projecting(database_url, log, FEW) as progress:
        await has_stopped(progress, await tell(log, STORY))
    await has_the_event_beside(connection)

    async def killed(*arguments: Any, **named: Any) -> None:
        await decide(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(skip, "decide", killed)
        with pytest.raises(Killed):
            await skipped(database_url)
    assert len(await events_of(log, STREAM)) == 1
    assert await kept_at(connection) == STUCK_AT - 1
    await skipped(database_url)
    assert len(await events_of(log, STREAM)) == 1
    assert await kept_at(connection) == STUCK_AT
    assert await (await connection.execute("select view from read.rebuilds")).fetchall() == []


async def test_a_skip_that_is_said_again_passes_nothing_that_is_still_to_be_taken(
    database_url: str, log: Log, connection: Connection
):
    """A crash of Postgres may set a view back by what was committed last; then it has other events to take first."""
    async with projecting(database_url, log, FEW) as progress:
        await has_stopped(progress, await tell(log, STORY))
        await skipped(database_url)
        assert await goes_on(progress, await log.position())
    await connection.execute("update read.checkpoints set position = %s where view = 'orders'", [STUCK_AT - 2])
    await skipped(database_url)
    assert await kept_at(connection) == STUCK_AT - 2


async def test_a_statement_that_is_too_much_for_postgres_stops_its_view_and_no_other(database_url: str, log: Log):
    """Postgres files a row that no index can hold under errors of operation; it is the view's own all the same."""

    async def much(changes: Changes, events: Sequence[Recorded]) -> None:
        raise psycopg.errors.ProgramLimitExceeded("index row size 8192 exceeds maximum 2704")

    end = await tell(log, STORY[: STUCK_AT - 1])
    views = [msgspec.structs.replace(orders.VIEW, apply=much, revision=999), accounts.VIEW]
    async with projecting(database_url, log, views) as progress:
        assert await reached(progress, end, "accounts")
        assert await progress.reached(end, ["orders"], PATIENCE) > 0
        assert "ProgramLimitExceeded" in progress.failures["orders"]
