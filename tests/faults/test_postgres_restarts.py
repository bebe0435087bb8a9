"""Postgres goes away and comes back while orders come in: the server says so, stays, and goes on."""

import asyncio
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.cluster import Cluster, cluster
from tests.contract.serving import Nectar, until
from tests.faults.books import check_books, database_of, prepare, settle
from tests.faults.conftest import Make
from tests.faults.load import Traders

PATIENCE_SECONDS = 6.0
Route = tuple[str, str, dict[str, object] | None]
READS: tuple[Route, ...] = (
    ("GET", "/accounts/", None),
    ("GET", "/accounts/master_account/credentials", None),
    ("POST", "/trading/orders/search", {}),
    ("POST", "/trading/orders/active", {}),
    ("POST", "/trading/trades", {}),
    ("POST", "/trading/positions", {}),
    ("POST", "/portfolio/state", {}),
    ("POST", "/portfolio/state", {"refresh": True}),
    ("POST", "/portfolio/history", {}),
    ("GET", "/audit/events", None),
    ("GET", "/ready", None),
)
WRITES: tuple[Route, ...] = (
    ("POST", "/accounts/add-account?account_name=third", None),
    ("POST", "/accounts/add-credential/second/paper", {}),
    ("POST", "/accounts/delete-credential/second/paper", None),
    ("POST", "/trading/master_account/paper_perpetual/leverage", {"trading_pair": "BTC-USDT", "leverage": 3}),
    ("POST", "/trading/master_account/paper/orders/n1/cancel", None),
)


@pytest.fixture
def postgres() -> Iterator[Cluster]:
    """A Postgres of the test's own."""
    with cluster() as started:
        yield started


async def test_postgres_may_stop_and_start_while_orders_come_in(nectar: Make, postgres: Cluster):
    server = nectar(DATABASE_URL=postgres.url()).start()
    traders = Traders(server.url)
    prepare(server)
    for end in (postgres.stop, postgres.kill):
        async with traders.trading():
            await traders.placed(100)
            await asyncio.to_thread(end)
            await asyncio.gather(traders.denied(100), _check_refusals(server))
            await asyncio.to_thread(postgres.start)
            await traders.placed(100)
        assert {refused.status for refused in traders.refused} == {503}
        assert all("cannot be reached" in refused.detail for refused in traders.refused)
        assert max(refused.seconds for refused in traders.refused) < PATIENCE_SECONDS
        assert traders.lost == 0
        refused = len(traders.refused)
        await traders.ask_again([asked for asked in traders.asked if asked.key is not None])
        assert len(traders.refused) == refused
    assert server.process is not None
    assert server.process.poll() is None
    _check_all_goes_on(server)
    check_books(server, traders)


async def _check_refusals(server: Nectar) -> None:
    """Everything that needs the database says that it is away; the server itself is alive."""
    async with httpx.AsyncClient(base_url=server.url, auth=("admin", "admin"), timeout=30) as client:
        assert (await client.get("/health")).status_code == 200
        asked = (*READS, *WRITES)
        answers = await asyncio.gather(*(client.request(how, path, json=body) for how, path, body in asked))
        for (how, path, body), answer in zip(asked, answers, strict=True):
            said = f"{how} {path} {body}: {answer.status_code} {answer.text} after {answer.elapsed}"
            assert answer.status_code == 503, said
            assert answer.json()["detail"], said
            assert answer.elapsed.total_seconds() < PATIENCE_SECONDS, said


def _check_all_goes_on(server: Nectar) -> None:
    """Orders get their outcomes, views, seals and processes catch up, and the server is ready."""
    with server.client() as client:
        client.post("/accounts/add-account", params={"account_name": "third"}).raise_for_status()
    # An order that was committed although its caller heard that this is not known is asked for a while later.
    settle(server)
    until(lambda: _laggards(server) == [])
    until(server.is_ready)


def _laggards(server: Nectar) -> list[str]:
    with psycopg.connect(database_of(server)) as connection:
        position, account, views, seals, process = connection.execute(
            "select (select max(position) from log.events),"
            " (select max(position) from log.events where stream = 'account-third'),"
            " (select min(position) from read.checkpoints), (select max(to_position) from log.seals),"
            " (select position from work.process_checkpoints where process = 'accounts')"
        ).fetchone() or (0, 0, 0, 0, 0)
    reached = {"views": (views, position), "seals": (seals, position), "process": (process, account)}
    return [name for name, (there, end) in reached.items() if there < end]
