"""What the reference does to its own tables, and ours does not. The number in a comment is the defect's."""

import psycopg

from tests.contract.serving import Nectar, until


# 45
def test_a_start_leaves_tables_of_others_alone(servers, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table hummingbot_orders as select 1 as kept")
        servers(DATABASE_URL=database_url).stop()
        assert connection.execute("select kept from hummingbot_orders").fetchall() == [(1,)]


# 45
def test_a_migration_that_went_another_way_stops_the_start(tmp_path, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update work.migrations set checksum = 'another' where name = '0001_log.sql'")
    server = Nectar(tmp_path / "data", {"DATABASE_URL": database_url}).launch()
    process = server.process
    assert process is not None
    until(lambda: process.poll() is not None)
    assert process.returncode == 2
    assert "0001_log.sql" in server.output()
