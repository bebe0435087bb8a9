"""The projector: one leads, the others stand by, and what fails stops alone."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing

import msgspec
import pytest
from structlog.testing import capture_logs

from commands.ports import Log
from domain.events import Recorded
from domain.orders import OrderFailed
from projections import accounts, orders, runner
from projections.runner import Progress
from projections.shadows import claimed
from projections.view import Changes, Connection, dump, take
from projections.views import VIEWS
from tests.appends import added, origin, write
from tests.projections.conftest import projecting
from tests.projections.given import EVERYTHING, accepted, account, canceled, placed, tell

PATIENCE = 10.0


async def reached(progress: Progress, position: int, *views: str) -> bool:
    return await progress.reached(position, views or progress.views, PATIENCE) == 0


async def test_whoever_waits_for_a_position_is_woken_when_the_views_show_it(
    log: Log, connection: Connection, progress: Progress
):
    end = await tell(log, account())
    assert await reached(progress, end)
    for n in range(5):
        end = await tell(log, [placed(f"n{n}")])
        assert await reached(progress, end)
        assert await (await connection.execute("select count(*) from orders")).fetchone() == (n + 1,)


async def test_events_gather_for_as_long_as_nobody_waits_for_them(
    database_url: str, log: Log, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "_RESTS", 1e9)
    monkeypatch.setattr(runner, "_LONGEST_REST_SECONDS", 3600.0)
    batches: list[list[int]] = []

    async def note(changes: Changes, events: Sequence[Recorded]) -> None:
        batches.append([recorded.position for recorded in events])

    view = msgspec.structs.replace(accounts.VIEW, apply=note)
    async with (
        projecting(database_url, log, [view]) as progress,
        aclosing(log.follow(0)) as follower,  # type: ignore[type-var]
    ):
        assert await reached(progress, 0)
        await log.append([write("a", 0, added("x"))], origin())
        assert await reached(progress, 1)
        for version in (1, 2):
            await log.append([write("a", version, added("x"))], origin())
        async for batch in follower:  # by the tail that the projector reads, too
            if batch[-1].position == 3:
                break
        assert await reached(progress, 3)
    assert batches == [[1], [2, 3]]


async def test_a_position_that_is_not_reached_leaves_its_lag(log: Log, progress: Progress):
    end = await tell(log, account())
    assert await reached(progress, end)
    assert await progress.reached(end + 5, ["orders"], 0.01) == 5
    assert await progress.reached(end + 5, [], 0.01) == 0


async def test_a_view_that_cannot_be_applied_stops_alone(database_url: str, log: Log, connection: Connection):
    async def choke(changes: Changes, events: Sequence[Recorded]) -> None:
        if any(isinstance(recorded.event, OrderFailed) for recorded in events):
            raise ValueError("not like this")
        await orders.VIEW.apply(changes, events)

    broken = msgspec.structs.replace(orders.VIEW, apply=choke)
    views = [broken if view is orders.VIEW else view for view in VIEWS]
    async with projecting(database_url, log, views) as progress:
        assert await reached(progress, 0)
        end = await tell(log, EVERYTHING)
        others = [view.name for view in VIEWS if view is not orders.VIEW]
        assert await reached(progress, end, *others)
        async with asyncio.timeout(PATIENCE):  # nobody waits for a view that has stopped
            assert await progress.reached(end, ["orders"], 100 * PATIENCE) > 0
        assert progress.failures == {"orders": "ValueError: not like this"}
        stuck_at = progress.stuck_at["orders"]
        [event] = await log.page(stuck_at - 1, 1)
        assert isinstance(event.event, OrderFailed)
        assert progress.positions["orders"] == stuck_at - 1
    async with projecting(database_url, log) as progress:  # mended, and started again
        assert await reached(progress, end)


async def test_a_statement_that_postgres_refuses_stops_its_view_alone(database_url: str, log: Log):
    async def refused(changes: Changes, events: Sequence[Recorded]) -> None:
        await changes.write("accounts", "insert into accounts (account, position) values (null, 1)")

    views = [msgspec.structs.replace(accounts.VIEW, apply=refused), orders.VIEW]
    async with projecting(database_url, log, views) as progress:
        assert await reached(progress, 0)
        end = await tell(log, [*account(), placed("a")])
        assert await reached(progress, end, "orders")
        assert "NotNullViolation" in progress.failures["accounts"]


async def test_a_view_that_cannot_be_built_does_not_keep_others_from_being_built(database_url: str, log: Log):
    end = await tell(log, EVERYTHING)

    async def refuse(_changes: Changes, _events: Sequence[Recorded]) -> None:
        raise KeyError("order")

    views = [msgspec.structs.replace(orders.VIEW, apply=refuse), accounts.VIEW]
    async with projecting(database_url, log, views) as progress:
        assert await reached(progress, end, "accounts")
        assert list(progress.failures) == list(progress.stuck_at) == ["orders"]


async def test_what_somebody_else_builds_is_waited_for_and_all_else_goes_on(database_url: str, log: Log):
    changed = msgspec.structs.replace(orders.VIEW, revision=orders.VIEW.revision + 1)
    others = [view.name for view in VIEWS if view is not orders.VIEW]
    async with AsyncExitStack() as elsewhere:
        await elsewhere.enter_async_context(claimed(database_url, changed))  # as `nectar rebuild` does
        with capture_logs() as lines:
            async with projecting(database_url, log, [changed if v is orders.VIEW else v for v in VIEWS]) as progress:
                async with asyncio.timeout(PATIENCE):
                    while not any(line["event"] == "views_put_off" for line in lines):
                        await asyncio.sleep(0.01)
                end = await tell(log, [*account(), placed("a")])
                assert await reached(progress, end, *others)
                assert (progress.led, progress.positions["orders"]) == (frozenset(others), -1)
                await elsewhere.aclose()
                assert await reached(progress, end)
    assert [line["event"] for line in lines] == ["views_building", "views_put_off"]


async def test_who_stands_by_sees_the_progress_and_takes_over(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log) as second_or_first:
        assert await reached(second_or_first, 0)
        async with projecting(database_url, log) as standby:
            end = await tell(log, EVERYTHING[:20])
            assert await reached(standby, end)
        async with projecting(database_url, log, lead=False) as watching:
            assert await reached(watching, end)
    async with projecting(database_url, log) as first:
        assert await reached(first, end)
        async with projecting(database_url, log) as standby:
            assert await reached(standby, end)
            await _disconnect_leader(connection)
            end = await tell(log, EVERYTHING[20:])
            assert await reached(standby, end)
            assert await reached(first, end)


async def _disconnect_leader(connection: Connection) -> None:
    await connection.execute(
        "select pg_terminate_backend(pid) from (select distinct pid from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())) holders"
    )


async def test_two_that_both_believe_to_lead_apply_nothing_twice(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log) as first:
        assert await reached(first, await tell(log, account()))
        async with connection.transaction():  # the other one is faster
            await connection.execute("select from read.checkpoints where view = 'orders' for update")
            end = await tell(log, [placed("a"), accepted("a")])
            await take(connection, [orders.VIEW], await log.page(end - 2, 2))
            await connection.execute("update read.checkpoints set position = %s where view = 'orders'", [end])
        assert await reached(first, end)
        counted = await (await connection.execute("select status, total from order_counts")).fetchall()
        assert counted == [("OPEN", 1)]
        end = await tell(log, [canceled("a")])
        assert await reached(first, end)
        assert first.failures == {}


async def test_another_version_of_a_view_ends_the_older_one(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log) as progress:
        assert await reached(progress, 0)
        await connection.execute("update read.checkpoints set fingerprint = 'newer' where view = 'orders'")
        end = await tell(log, [*account(), placed("a")])
        assert await reached(progress, end, "accounts", "audit")
        assert await progress.reached(end, ["orders"], 0.01) > 0
        assert "another version" in progress.failures["orders"]
        assert progress.positions["orders"] == -1  # so that nobody is answered from its tables


async def test_a_server_that_lost_a_view_to_another_version_answers_from_it_no_more(
    database_url: str, log: Log, connection: Connection
):
    async with projecting(database_url, log, lead=False) as progress:
        assert await reached(progress, 0)
        await connection.execute("update read.checkpoints set fingerprint = 'newer' where view = 'orders'")
        end = await tell(log, [placed("a")])
        await connection.execute("update read.checkpoints set position = %s", [end])
        assert await reached(progress, end, "accounts")
        assert progress.positions["orders"] == -1
        await connection.execute(
            "update read.checkpoints set fingerprint = %s where view = 'orders'", [orders.VIEW.fingerprint]
        )
        assert await reached(progress, end)


async def test_the_projector_survives_the_loss_of_its_connections(database_url: str, log: Log, connection: Connection):
    async with projecting(database_url, log) as progress:
        for cut in (0, 10, 20, 30):
            end = await tell(log, EVERYTHING[cut : cut + 10])
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                " and query not like '%notify%' and pid <> pg_backend_pid() and pid in (select pid from pg_locks"
                " where locktype = 'advisory')"
            )
            assert await reached(progress, end)
    end = await tell(log, [accepted("g")])
    async with projecting(database_url, log) as progress:
        assert await reached(progress, end)


async def test_an_order_of_which_nothing_is_known_stops_the_view(database_url: str, log: Log):
    async with projecting(database_url, log) as progress:
        assert await reached(progress, 0)
        end = await tell(log, [accepted("never_placed")])
        assert await reached(progress, end, "audit")
        assert "KeyError" in progress.failures["orders"]


async def test_a_dump_tells_tables_apart(log: Log, connection: Connection, progress: Progress):
    end = await tell(log, account("master_account", "paper"))
    assert await reached(progress, end)
    assert await dump(connection, accounts.VIEW) == (
        b"-- accounts\nmaster_account\t1\n-- account_connectors\nmaster_account\tpaper\t2\n"
    )
