"""Followers of the event log on Postgres: what wakes them, where they read, and when the server is away."""

import asyncio
from contextlib import aclosing
from types import SimpleNamespace
from uuid import uuid4

import pytest
from psycopg import AsyncConnection

from adapters.event_store import PostgresLog, following, reader
from commands.ports import Appended, Write
from domain.accounts import AccountRemoved
from domain.errors import Unavailable
from domain.events import Event
from tests.appends import added, origin, write
from tests.wire import wired


async def test_the_bell_is_only_a_hint(database_url: str, log: PostgresLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    async with aclosing(log.follow(0)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
        async with await AsyncConnection.connect(database_url, autocommit=True) as operator:
            await operator.execute("notify nectar_events, 'nonsense'")
            await operator.execute("notify nectar_events, '999999999'")  # nothing that comes will be above this
        for position in range(1, 5):
            await log.append([write("a", position - 1, added("x"))], origin())
            assert [e.position for e in await anext(batches)] == [position]


async def test_a_follower_hears_of_other_writers_at_once(database_url: str, log: PostgresLog, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 3600.0)

    async def see(other: PostgresLog, last: int) -> None:
        async with aclosing(other.follow(0)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if batch[-1].position >= last:
                    return

    async with PostgresLog.open(database_url) as other, asyncio.timeout(30):
        version = 0
        while not other._tail._bell._position:  # until the listener is there, and hears
            await log.append([write("a", version, added("x"))], origin())
            version += 1
        seen = asyncio.create_task(see(other, version + 1))
        await log.append([write("a", version, added("x"))], origin())
        await seen


async def test_what_a_process_appends_is_followed_there_without_waiting_for_the_log(log: PostgresLog, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 3600.0)
    async with aclosing(log.follow(0)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
        await log.append([write("a", 0, added("x"))], origin())
        assert [e.position for e in await anext(batches)] == [1]

        async def unanswered(after: int, limit: int) -> list[reader.Row]:
            await asyncio.Event().wait()
            return []

        monkeypatch.setattr(log._tail, "_reader", SimpleNamespace(page_of_rows=unanswered))
        story, cause = uuid4(), uuid4()
        told = Write(
            stream="ä", expected_version=0, events=[added("y"), added("z")], causation_id=cause, stories=[None, story]
        )
        await log.append([write("a", 1, added("ü")), told], origin("key"), answer=b"{}")
        followed = await anext(batches)
    assert [e.position for e in followed] == [2, 3, 4]
    assert followed == await log.page(1, 10)


async def test_a_follower_sees_each_event_once_and_in_order_whoever_appends(database_url: str, log: PostgresLog):
    async def append(to: PostgresLog, stream: str) -> None:
        for version in range(60):
            await to.append([write(stream, version, added("x"))], origin())

    seen: list[int] = []
    async with PostgresLog.open(database_url) as other, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for stream, to in {"a": log, "b": other, "c": log, "d": other}.items():
            tasks.create_task(append(to, stream))
        async with aclosing(log.follow(0)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen += [e.position for e in batch]
                if seen[-1] == 240:
                    break
    assert seen == list(range(1, 241))


async def test_a_follower_of_a_rare_type_goes_through_the_log_in_steps(log: PostgresLog, monkeypatch):
    monkeypatch.setattr(following, "WINDOW", 7)
    events: list[Event] = [added(str(n)) for n in range(50)]
    await log.append([write("a", 0, *events, AccountRemoved(account="a"))], origin())
    async with aclosing(log.follow(0, types=["AccountRemoved"])) as batches, asyncio.timeout(30):  # type: ignore[type-var]
        assert [e.position for e in await anext(batches)] == [51]


async def test_readers_and_followers_wait_for_a_server_that_is_away(database_url: str, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(reader, "WAIT_SECONDS", 0.2)
    async with wired(database_url) as (wire, address), PostgresLog.open(address) as log:
        await log.append([write("a", 0, added("x"))], origin())
        async with aclosing(log.follow(0)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
            assert [e.position for e in await anext(batches)] == [1]
            wire.up = False
            await wire.cut()
            for question in (log.read(["a"]), log.last(["a"]), log.position(), log.page(0, 1)):
                with pytest.raises(Unavailable, match="The event log cannot be reached: "):
                    await question
            wire.up = True
            assert await log.append([write("a", 1, added("y"))], origin()) == Appended(position=2)
            assert [e.position for e in await anext(batches)] == [2]
        assert len((await log.read(["a"]))["a"]) == 2


async def test_a_follower_that_falls_behind_catches_up(log: PostgresLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "KEPT", 10)
    monkeypatch.setattr(following, "FETCHED", 7)
    async with (
        aclosing(log.follow(0, limit=3)) as slow,  # type: ignore[type-var]
        aclosing(log.follow(0, types=["AccountAdded"])) as fast,  # type: ignore[type-var]
        asyncio.timeout(30),
    ):
        await log.append([write("a", 0, added("x"))], origin())
        assert [e.position for e in await anext(slow)] == [1]
        for version in range(1, 100):
            await log.append([write("a", version, added("x"))], origin())
        seen: list[int] = []
        while not seen or seen[-1] < 100:
            seen += [e.position for e in await anext(fast)]
        assert seen == list(range(1, 101))
        assert log._tail.start is not None
        assert log._tail.start > 1
        seen = [1]
        while seen[-1] < 100:
            batch = await anext(slow)
            assert len(batch) <= 3
            seen += [e.position for e in batch]
        assert seen == list(range(1, 101))


async def test_what_was_appended_while_nobody_followed_is_followed_later(log: PostgresLog):
    for version in range(3):
        async with aclosing(log.follow(version * 2)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
            await log.append([write("a", version * 2, added("x"))], origin())
            assert (await anext(batches))[-1].version == version * 2 + 1
        await log.append([write("a", version * 2 + 1, added("y"))], origin())
        async with aclosing(log.follow(0)) as batches, asyncio.timeout(30):  # type: ignore[type-var]
            seen: list[int] = []
            while len(seen) < version * 2 + 2:
                seen += [e.position for e in await anext(batches)]
            assert seen == list(range(1, version * 2 + 3))
