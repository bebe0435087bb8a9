"""Migrations: each once, in order, and never changed afterwards."""

import asyncio

import psycopg
import pytest
from psycopg import AsyncConnection

from adapters.migrations import WrongMigration, apply, found, migrate
from domain.errors import Unavailable

ONE = {"0001_one.sql": "create table one (id int); insert into one values (1);"}
TWO = {**ONE, "0002_two.sql": "create table two as select id + 1 as id from one"}


async def values(database_url: str, query: str) -> list[tuple[object, ...]]:
    async with await AsyncConnection.connect(database_url) as connection:
        return await (await connection.execute(query.encode())).fetchall()


def test_the_programs_migrations_are_in_the_order_of_their_names():
    assert list(found()) == sorted(found())
    assert next(iter(found())) == "0001_log.sql"


async def test_a_database_that_is_not_there_is_said_to_be_unavailable():
    with pytest.raises(Unavailable, match="The database cannot be reached: connection failed"):
        await migrate("postgresql://nobody@127.0.0.1:1/nothing")


async def test_the_programs_migrations_make_the_schemas(empty_database_url: str):
    assert await migrate(empty_database_url) == list(found())
    assert await migrate(empty_database_url) == []
    schemas = await values(empty_database_url, "select nspname from pg_namespace")
    assert {("log",), ("read",), ("work",), ("vault",)} <= set(schemas)


async def test_each_migration_is_applied_once(empty_database_url: str):
    assert await apply(empty_database_url, ONE) == ["0001_one.sql"]
    assert await apply(empty_database_url, TWO) == ["0002_two.sql"]
    assert await apply(empty_database_url, TWO) == []
    assert await values(empty_database_url, "select one.id, two.id from one, two") == [(1, 2)]


async def test_servers_that_start_together_apply_them_once(empty_database_url: str):
    applied = await asyncio.gather(*(apply(empty_database_url, TWO) for _ in range(5)))
    assert sorted(name for names in applied for name in names) == list(TWO)


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str):
    with pytest.raises(psycopg.errors.DivisionByZero):
        await apply(empty_database_url, {**ONE, "0002_two.sql": "create table two (id int); select 1 / 0"})
    assert await values(empty_database_url, "select to_regclass('two')") == [(None,)]
    assert await apply(empty_database_url, TWO) == ["0002_two.sql"]


async def test_a_migration_that_was_changed_is_refused(empty_database_url: str):
    await apply(empty_database_url, TWO)
    changed = {**TWO, "0001_one.sql": "create table one (id bigint)", "0003_three.sql": "create table three (id int)"}
    with pytest.raises(WrongMigration, match=r"0001_one\.sql was changed after it was applied"):
        await apply(empty_database_url, changed)
    assert await values(empty_database_url, "select to_regclass('three')") == [(None,)]


async def test_a_database_of_a_newer_program_is_refused(empty_database_url: str):
    await apply(empty_database_url, TWO)
    with pytest.raises(WrongMigration, match=r"0002_two\.sql, which only a newer program knows"):
        await apply(empty_database_url, ONE)


LAYOUT = "0004_log_layout.sql"


async def test_a_log_is_laid_out_anew_without_a_rewrite_while_somebody_appends(empty_database_url: str):
    before = {name: sql for name, sql in found().items() if name < LAYOUT}
    await apply(empty_database_url, before)
    files = (
        "select relname, relfilenode from pg_class"
        " where oid in ('log.events'::regclass, 'log.events_pkey'::regclass) order by 1"
    )
    stored = await values(empty_database_url, files)
    async with await AsyncConnection.connect(empty_database_url) as appending:
        await appending.execute("lock table log.events in row exclusive mode")  # as an insert does, until the commit
        async with asyncio.timeout(10):
            assert await apply(empty_database_url, {**before, LAYOUT: found()[LAYOUT]}) == [LAYOUT]
    assert await values(empty_database_url, files) == stored
    [(options,)] = await values(
        empty_database_url, "select reloptions from pg_class where oid = 'log.events'::regclass"
    )
    assert isinstance(options, list)
    assert {"autovacuum_freeze_min_age=0", "autovacuum_vacuum_insert_threshold=100000"} <= set(options)
