"""Of two servers on one database one works; the other takes over when it is gone."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster import Cluster, cluster
from tests.contract.serving import Nectar, until
from tests.contract.trading import order
from tests.faults.books import database_of, settle
from tests.faults.conftest import Make, market
from tests.faults.ledger import Ledger

PLACE = ("master_account", "paper")


@pytest.fixture
def postgres() -> Iterator[Cluster]:
    """A Postgres of the test's own."""
    with cluster() as started:
        yield started


def stands_by(server: Nectar) -> bool:
    """Return whether a server says that it waits for its turn."""
    try:
        answer = httpx.get(f"{server.url}/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 503 and "Standing by" in answer.json()["detail"]


def test_a_second_server_takes_over_and_no_order_fills_twice(nectar: Make, postgres: Cluster, tmp_path: Path):
    environment = {"DATABASE_URL": postgres.url(), "PAPER_TICK_SECONDS": "0.1"}
    first = nectar("first", **environment, PAPER_FEED=market(tmp_path / "before.csv", 50_000)).start()
    with first.client() as client:
        client.post("/trading/orders", json=order(order_type="LIMIT", price=49_990)).raise_for_status()
    settle(first)
    second = nectar("second", **environment, PAPER_FEED=market(tmp_path / "after.csv", 49_000)).launch()
    until(lambda: stands_by(second))
    with second.client() as client:
        assert client.post("/trading/orders", json=order()).status_code == 503
    assert len(Ledger(database_of(first)).open) == 1
    first.kill()
    until(second.is_ready)
    until(lambda: Ledger(database_of(second)).open == set())
    Ledger(database_of(second)).check_balances(PLACE)
    second.stop()


def test_of_two_servers_one_goes_on_after_postgres_was_restarted(nectar: Make, postgres: Cluster):
    servers = [nectar(name, DATABASE_URL=postgres.url()) for name in ("first", "second")]
    servers[0].start()
    servers[1].launch()
    until(lambda: stands_by(servers[1]))
    postgres.stop()
    postgres.start()
    until(lambda: [is_up(server) for server in servers].count(True) == 1, 30)


def is_up(server: Nectar) -> bool:
    """Return whether a server works; one that has lost its turn has ended."""
    assert server.process is not None
    return server.process.poll() is None and server.is_ready()
