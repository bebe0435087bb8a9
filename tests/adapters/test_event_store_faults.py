"""The event log when its connections break and its server goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from psycopg import AsyncConnection

from adapters.event_store import PostgresLog, writer
from adapters.event_store.batches import Item
from adapters.migrations import migrate
from commands.ports import Appended, Write
from domain.accounts import AccountAdded
from domain.errors import Invalid, StreamMoved, Unavailable
from domain.events import Event
from tests.appends import added, origin, write
from tests.cluster import cluster
from tests.wire import Wire, wired

_WAITING = """
select count(*) from pg_locks l join pg_database d on d.oid = l.database
 where d.datname = current_database() and l.locktype = 'advisory' and not l.granted
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def wired_writer(database_url: str) -> AsyncIterator[tuple[Wire, writer.Writer]]:
    """Yield a writer alone on a wire."""
    async with wired(database_url) as (wire, address):
        made = writer.Writer(address, appended=lambda position: None)
        await made.open()
        running = asyncio.create_task(made.run())
        try:
            yield wire, made
        finally:
            made.close()
            await running


def item(writes: list[Write], key: str | None = None) -> Item:
    return Item(writes, origin(key), b"answer", b"request")


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_an_append_whose_connection_breaks_happens_once(database_url: str, log: PostgresLog, lost: str, key):
    async with wired_writer(database_url) as (wire, made):
        await made.append(item([write("a", 0, added("before"))]))
        wire.lose_question, wire.lose_answer, wire.up = lost == "question", lost == "answer", False
        appends = [
            item([write("b", 0), write("a", 1, added("x"), added("y"))], key),
            *(item([write(f"c{n}", 0, added("z"))]) for n in range(5)),
        ]
        waiting = asyncio.gather(*map(made.append, appends))
        await until(lambda: wire.broken == 1)
        assert await log.position() == (8 if lost == "answer" else 1)
        wire.up = True
        assert await waiting == [Appended(position=position) for position in range(3, 9)]
        assert await log.position() == 8
        assert (await made.append(item([write("a", 3, added("after"))]))).position == 9


async def test_an_answer_without_events_survives_a_broken_connection(database_url: str):
    async with wired_writer(database_url) as (wire, made):
        await made.append(item([write("a", 0, added("before"))]))
        wire.lose_answer = True
        done = await made.append(item([], "k"))
        assert (done.position, done.answer) == (1, b"answer")


async def test_another_commands_event_is_not_taken_for_ours(database_url: str, log: PostgresLog):
    async with wired_writer(database_url) as (wire, made):
        wire.up = False
        wire.lose_question = True
        mine = asyncio.create_task(made.append(item([write("a", 0, added("mine"))])))
        await until(lambda: wire.broken == 1)
        await log.append([write("a", 0, added("other"))], origin())
        wire.up = True
        with pytest.raises(StreamMoved):
            await mine


async def test_new_appends_are_refused_while_the_server_is_away(database_url: str, log: PostgresLog):
    async with wired_writer(database_url) as (wire, made):
        wire.up = False
        wire.lose_question = True
        waiting = asyncio.create_task(made.append(item([write("a", 0, added("x"))])))
        await until(lambda: made._lost is not None)
        with pytest.raises(Unavailable, match="The event log cannot be reached: "):
            await made.append(item([write("b", 0, added("y"))]))
        wire.up = True
        assert await waiting == Appended(position=1)


async def test_an_append_is_given_up_when_the_server_stays_away(
    database_url: str, log: PostgresLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "SETTLE_SECONDS", 0.05)
    async with wired_writer(database_url) as (wire, made):
        wire.up = False
        wire.lose_question = True
        with pytest.raises(Unavailable, match="It is not known whether this was recorded"):
            await made.append(item([write("a", 0, added("x"))]))
        wire.up = True
        await until(lambda: made._lost is None)
        assert await made.append(item([write("a", 0, added("y"))])) == Appended(position=1)
    assert [e.event for e in await log.page(0, 10)] == [added("y")], "what was given up is never sent later"


async def test_what_waits_behind_a_lost_batch_is_refused(database_url: str, log: PostgresLog):
    async with wired_writer(database_url) as (wire, made):
        wire.up = False
        wire.lose_question = True
        first = asyncio.create_task(made.append(item([write("a", 0, added("x"))])))
        second = asyncio.create_task(made.append(item([write("a", 1, added("y"))])))
        with pytest.raises(Unavailable, match="cannot be reached"):
            await second
        wire.up = True
        assert await first == Appended(position=1)


async def test_the_server_is_looked_for_also_when_nobody_waits_any_more(database_url: str, log: PostgresLog):
    async with wired_writer(database_url) as (wire, made):
        async with await AsyncConnection.connect(database_url) as holder:
            await holder.execute("select log.lock()")
            before = made._connection
            waiting = asyncio.create_task(made.append(item([write("a", 0, added("x"))])))
            while (await (await holder.execute(_WAITING)).fetchone()) == (0,):
                await asyncio.sleep(0.005)
            waiting.cancel()
            await asyncio.wait([waiting])
            await wire.cut()
            await until(lambda: made._connection not in {before, None})
        assert (await made.append(item([write("b", 0, added("y"))]))).position in {1, 2}


async def test_closing_does_not_wait_for_a_server_that_is_away(database_url: str):
    async with wired_writer(database_url) as (wire, made):
        wire.up = False
        wire.lose_question = True
        waiting = asyncio.create_task(made.append(item([write("a", 0, added("x"))])))
        await until(lambda: made._lost is not None)
        made.close()
        with pytest.raises(Unavailable):
            await waiting


async def test_a_server_that_refuses_to_write_is_unavailable_until_it_does(database_url: str, log: PostgresLog):
    async with await AsyncConnection.connect(database_url, autocommit=True) as operator:
        await operator.execute("alter function log.append rename to away")
        with pytest.raises(Unavailable, match="The event log cannot be written: "):
            await log.append([write("a", 0, added("x"))], origin())
        await operator.execute("alter function log.away rename to append")
    assert await log.append([write("a", 0, added("x"))], origin()) == Appended(position=1)


async def test_what_the_table_does_not_take_fails_alone(database_url: str, log: PostgresLog):
    async with await AsyncConnection.connect(database_url, autocommit=True) as operator:
        await operator.execute("alter table log.events add check (stream <> 'bad')")
    done = await asyncio.gather(
        *(log.append([write(stream, 0, added("x"))], origin()) for stream in ("a", "bad", "b")), return_exceptions=True
    )
    assert done[0] == Appended(position=1)
    assert isinstance(done[1], Invalid)
    assert done[2] == Appended(position=2)


async def test_ended_connections_are_replaced(database_url: str, log: PostgresLog):
    await log.append([write("a", 0, added("x"))], origin())
    async with aclosing(log.follow(0)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
        assert [e.position for e in await anext(batches)] == [1]
        async with await AsyncConnection.connect(database_url, autocommit=True) as operator:
            await operator.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        assert await log.append([write("a", 1, added("y"))], origin()) == Appended(position=2)
        assert [e.position for e in await anext(batches)] == [2]
    assert len((await log.read(["a"]))["a"]) == 2


async def test_a_server_that_is_not_there_is_named_at_the_start():
    with pytest.raises(Unavailable, match="The event log cannot be reached: "):
        async with PostgresLog.open("postgresql://postgres@127.0.0.1:1/postgres"):
            pass


async def test_a_fault_of_the_log_itself_stops_whoever_opened_it(database_url: str, monkeypatch):
    def broken(waiting: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(writer, "_take", broken)

    async def serve() -> None:
        async with PostgresLog.open(database_url) as log:
            with pytest.raises(Unavailable, match="closed"):
                await log.append([write("a", 0, added("x"))], origin())
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="broken"):
        await serve()


async def look(log: PostgresLog, stream: str) -> list[Event]:
    """Return the events of a stream as soon as the server says them."""
    while True:
        try:
            return [e.event for e in (await log.read([stream]))[stream]]
        except Unavailable:
            await asyncio.sleep(0.01)


async def append_numbers(log: PostgresLog, stream: str, number: int, acknowledged: dict[str, tuple[int, int]]) -> None:
    """Append one event after the other, each once; note version and position of those that were acknowledged."""
    version, n = 0, 0
    while n < number:
        name = f"{stream}-{n}"
        try:
            appended = await log.append([write(stream, version, added(name))], origin())
        except Unavailable:
            events = await look(log, stream)
            version = len(events)
            n = n + 1 if added(name) in events else n
        else:
            version, n = version + 1, n + 1
            acknowledged[name] = (version, appended.position)


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed():
    clients, kills, appends = 12, 3, 40
    total = clients * appends
    acknowledged: dict[str, tuple[int, int]] = {}
    seen: list[int] = []

    async def follow(log: PostgresLog) -> None:
        async with aclosing(log.follow(0, limit=50)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen.extend(e.position for e in batch)
                if len(seen) >= total:
                    return

    with cluster() as server:
        await migrate(server.url())
        async with PostgresLog.open(server.url()) as log:
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(follow(log))
                for number in range(clients):
                    tasks.create_task(append_numbers(log, f"s{number}", appends, acknowledged))
                for kill in range(kills):
                    goal = (kill + 1) * total // (kills + 1)
                    await until(lambda goal=goal: len(acknowledged) >= goal)  # type: ignore[misc]
                    await asyncio.to_thread(server.stop if kill % 2 else server.kill)
                    await asyncio.to_thread(server.start)
            events = await log.page(0, 2 * total)
    assert [e.position for e in events] == list(range(1, total + 1))
    assert seen == list(range(1, total + 1)), "the follower skipped nothing and saw nothing twice"
    at = {e.event.account: (e.version, e.position) for e in events if isinstance(e.event, AccountAdded)}
    assert len(at) == total, "nothing was appended twice"
    assert acknowledged.items() <= at.items()


async def test_a_lock_that_somebody_keeps_is_told_and_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "_LOCK_SECONDS", 1)
    async with PostgresLog.open(database_url) as log, await AsyncConnection.connect(database_url) as stuck:
        await stuck.execute("select log.lock()")
        with pytest.raises(Unavailable, match="lock timeout"):
            await log.append([write("a", 0, added("x"))], origin())
        await stuck.rollback()
        assert (await log.append([write("a", 0, added("x"))], origin())).position == 1


async def test_a_server_that_comes_back_after_another_took_over_appends_nothing(
    database_url: str, log: PostgresLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "SETTLE_SECONDS", 0.2)
    async with (
        await AsyncConnection.connect(database_url, autocommit=True) as other,
        wired_writer(database_url) as (wire, made),
    ):
        await other.execute("insert into work.turns (taken) values (1)")
        made.hold(1)
        await made.append(item([write("a", 0, added("before"))]))
        await wire.cut()
        await other.execute("update work.turns set taken = 2")
        with pytest.raises(Unavailable):  # it was under way when the connection was found to be gone
            await made.append(item([write("a", 1, added("stale"))]))
        with pytest.raises(Unavailable, match="taken over"):
            await made.append(item([write("a", 1, added("stale"))]))
        assert await look(log, "a") == [added("before")]
        await other.execute("update work.turns set taken = 1")
