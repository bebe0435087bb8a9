"""Seals: what is sealed, by whom, and that sealing goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import LogCapture

from adapters.audit.verification import verify
from adapters.seals import COLUMNS, EVENTS_PER_SEAL, Seal, Sealer, from_row, genuine, last_seal, make, seal_next
from adapters.seals import SELECT as SELECT_SEALS
from commands.ports import Write
from domain.accounts import AccountAdded
from domain.events import Origin
from tests.cluster import cluster
from tests.sealing import KEY, PUBLIC, connect, record, seal_all


async def stored(connection: psycopg.AsyncConnection) -> list[Seal]:
    cursor = await connection.execute(f"{SELECT_SEALS} order by from_position", binary=True)
    return [from_row(row) for row in await cursor.fetchall()]


@asynccontextmanager
async def sealing(database_url: str, count: int = 1) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run sealers for as long as the context lasts."""
    tasks = [asyncio.create_task(Sealer(database_url, KEY, interval_seconds=0.01).run()) for _ in range(count)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sealed_to(connection: psycopg.AsyncConnection, position: int) -> list[Seal]:
    """Wait until the seals have reached a position, and return them."""
    async with asyncio.timeout(20):
        while True:
            last = await last_seal(connection)
            if last is not None and last.to_position >= position:
                return await stored(connection)
            await asyncio.sleep(0.005)


def unbroken(seals: list[Seal]) -> bool:
    ends = [0, *(s.to_position for s in seals)]
    digests = [bytes(32), *(s.digest for s in seals)]
    return all(
        s.from_position == end + 1 and s.previous == digest and genuine(s, PUBLIC)
        for s, end, digest in zip(seals, ends, digests, strict=False)
    )


async def test_every_column_of_an_event_is_sealed(database_url):
    async with await connect(database_url) as connection:
        cursor = await connection.execute(
            """
            select column_name from information_schema.columns
            where table_schema = 'log' and table_name = 'events' order by ordinal_position
            """
        )
        assert [name for (name,) in await cursor.fetchall()] == ["shard", "position", *COLUMNS]


async def test_seals_follow_each_other_and_a_sealed_log_is_found_intact(database_url):
    async with await connect(database_url) as connection:
        await record(connection, 25)
        seals = await seal_all(connection, limit=10)
        assert [(s.from_position, s.to_position) for s in seals] == [(1, 10), (11, 20), (21, 25)]
        assert await stored(connection) == seals
        assert unbroken(seals)
        await record(connection, 5)
    report = await verify(database_url, PUBLIC)
    assert (report.findings, report.events, report.seals, report.sealed_to, report.tail) == ([], 30, 3, 25, 5)


async def test_what_the_log_appends_is_what_is_sealed(database_url, log):
    origin = Origin(correlation_id=uuid4(), command_id=uuid4(), causation_id=uuid4(), actor="admin")
    await log.append(
        [Write(stream="account-é", expected_version=0, events=[AccountAdded(account="é"), AccountAdded(account="é")])],
        origin,
    )
    async with await connect(database_url) as connection:
        await seal_all(connection)
    report = await verify(database_url, PUBLIC)
    assert (report.findings, report.sealed_to) == ([], 2)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
rows = st.tuples(texts, texts, st.integers(-(2**15), 2**15 - 1), st.none() | st.uuids(), texts, st.binary(max_size=60))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(rows, max_size=8))
async def test_postgres_and_python_hash_any_row_alike(database_url, written):
    async with await connect(database_url) as connection:
        await connection.execute("truncate log.events, log.seals")
        for position, (stream, type_, schema_version, causation_id, actor, data) in enumerate(written, start=1):
            await connection.execute(
                """
                insert into log.events (position, stream, version, type, schema_version, recorded_at,
                                        correlation_id, causation_id, command_id, actor, data)
                values (%s, %s, %s, %s, %s, clock_timestamp(), gen_random_uuid(), %s, gen_random_uuid(), %s, %s)
                """,
                (position, stream, position, type_, schema_version, causation_id, actor, data),
            )
        await seal_all(connection, limit=3)
    report = await verify(database_url, PUBLIC)
    assert (report.findings, report.sealed_to) == ([], len(written))


async def test_an_empty_log_has_no_seals_and_nothing_wrong(database_url):
    async with await connect(database_url) as connection:
        assert await seal_all(connection) == []
    report = await verify(database_url, PUBLIC)
    assert (report.findings, report.events, report.seals, report.sealed_to, report.tail) == ([], 0, 0, 0, 0)


async def test_a_hole_is_put_on_record_and_what_follows_is_sealed(database_url):
    async with await connect(database_url) as connection:
        await record(connection, 10)
        await connection.execute("delete from log.events where position in (1, 4, 5)")
        seals = await seal_all(connection)
    assert [(s.from_position, s.to_position, len(s.leaves)) for s in seals] == [
        (1, 1, 0), (2, 3, 16), (4, 5, 0), (6, 10, 40),
    ]  # fmt: skip
    report = await verify(database_url, PUBLIC)
    assert [(f.kind, f.first, f.last) for f in report.findings] == [("hole", 1, 1), ("hole", 4, 5)]


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_the_database_keeps_one_unbroken_chain(database_url, lost):
    async with await connect(database_url) as connection:
        await record(connection, 30)
        seals = await seal_all(connection, limit=10)
        await connection.execute("set session_replication_role = origin")
        # As a sealer would that has not seen the last `lost` seals.
        after = seals[-lost - 1] if lost < len(seals) else None
        with pytest.raises(psycopg.IntegrityError):
            await seal_next(connection, KEY, after)
        if lost > 1:
            with pytest.raises(psycopg.IntegrityError):
                await connection.execute("delete from log.seals where to_position = %s", (seals[-lost].to_position,))
        await record(connection, 5)
        ahead = make(KEY, seals[-1], 32, bytes(64), datetime.now(UTC))
        with pytest.raises(psycopg.IntegrityError):
            await seal_next(connection, KEY, ahead)


async def test_a_sealer_follows_the_log(database_url):
    async with await connect(database_url) as connection, sealing(database_url):
        await record(connection, 3)
        await sealed_to(connection, 3)
        await record(connection, 2500)
        seals = await sealed_to(connection, 2503)
    assert unbroken(seals)
    assert max(s.to_position - s.from_position + 1 for s in seals) <= EVENTS_PER_SEAL
    assert (await verify(database_url, PUBLIC)).findings == []


async def test_of_several_sealers_one_works_and_another_takes_over(database_url):
    async with await connect(database_url) as connection, sealing(database_url, 3):
        for round_ in range(1, 4):
            await record(connection, 10)
            assert unbroken(await sealed_to(connection, 10 * round_))
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'nectar-sealer'"
                " and datname = current_database()"
            )
        await record(connection, 10)
        assert unbroken(await sealed_to(connection, 40))


async def test_a_sealer_waits_while_the_database_is_read_only(database_url, monkeypatch):
    told = LogCapture()
    monkeypatch.setattr("adapters.seals.logger", structlog.wrap_logger(None, processors=[told]))
    async with await connect(database_url) as connection:
        await record(connection, 5)
        name = connection.info.dbname
        await connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
        async with sealing(database_url), asyncio.timeout(20):
            while not told.entries:
                await asyncio.sleep(0.005)
            await connection.execute(f'alter database "{name}" set default_transaction_read_only = off')
            await sealed_to(connection, 5)
    assert told.entries[0]["event"] == "sealer_waits"


async def test_a_sealer_stops_and_mends_nothing_when_its_seals_are_taken_away(database_url):
    async with await connect(database_url) as connection, sealing(database_url) as tasks:
        await record(connection, 5)
        await sealed_to(connection, 5)
        await connection.execute("delete from log.seals")
        await record(connection, 5)
        async with asyncio.timeout(20):
            await tasks[0]
        assert await stored(connection) == []


async def test_a_sealer_tells_of_a_log_that_ends_before_its_seals(database_url, monkeypatch):
    told = LogCapture()
    monkeypatch.setattr("adapters.seals.logger", structlog.wrap_logger(None, processors=[told]))
    async with await connect(database_url) as connection:
        await record(connection, 9)
        await seal_all(connection)
        await connection.execute("delete from log.events where position > 5")
        async with sealing(database_url), asyncio.timeout(20):
            while not told.entries:
                await asyncio.sleep(0.005)
    assert told.entries == [{"event": "log_ends_before_its_seals", "log_level": "error", "position": 5, "sealed_to": 9}]


async def test_a_sealer_goes_on_after_postgres_was_killed():
    with cluster() as server:
        async with sealing_on(server) as url:
            async with await connect(url) as connection:
                await record(connection, 10)
                await sealed_to(connection, 10)
            for end in (server.kill, server.stop):
                end()
                server.start()
                async with await connect(url) as connection:
                    await record(connection, 10)
                    cursor = await connection.execute("select max(position) from log.events")
                    row = await cursor.fetchone()
                    assert row is not None
                    assert unbroken(await sealed_to(connection, row[0]))
        assert (await verify(url, PUBLIC)).findings == []


@asynccontextmanager
async def sealing_on(server) -> AsyncIterator[str]:
    from adapters.migrations import migrate

    url = server.url()
    await migrate(url)
    async with sealing(url):
        yield url
