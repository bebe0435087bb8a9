"""The server stops cleanly when it is asked to, and goes on where it was when it starts again."""

import signal
from pathlib import Path

from adapters.private_postgres import ground
from tests.contract.serving import until
from tests.contract.trading import order
from tests.faults.books import check_books, database_of, prepare, settle
from tests.faults.conftest import Make, market
from tests.faults.ledger import Ledger
from tests.faults.load import Traders

PLACES = (("master_account", "paper"), ("master_account", "paper_perpetual"))


def processes_of(data: Path) -> list[str]:
    """Return the command lines of all processes that have to do with a data folder."""
    cluster = ground.cluster_of(data).resolve()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                folder = (process / "cwd").readlink()
            except OSError:
                continue  # it has ended
            if str(data) in command or folder in (cluster, data):
                found.append(command)
    return found


async def test_a_signal_stops_everything_under_load_and_the_next_start_goes_on(nectar: Make):
    server = nectar(BROKER_HOST="").start()
    traders = Traders(server.url)
    prepare(server)
    for how in (signal.SIGINT, signal.SIGTERM):
        async with traders.trading():
            await traders.answered(100)
            assert server.end(how) == 0
        assert processes_of(server.data) == []
        assert {refused.status for refused in traders.refused} <= {503}
        server.start()
        check_books(server, traders)
    server.kill()
    assert any("postgres" in left for left in processes_of(server.data))
    server.start()
    assert server.end(signal.SIGTERM) == 0
    assert processes_of(server.data) == []


def test_a_second_start_changes_nothing_and_what_rests_still_fills(nectar: Make, tmp_path: Path):
    server = nectar(PAPER_TICK_SECONDS="0.1", PAPER_FEED=market(tmp_path / "before.csv", 50_000)).start()
    with server.client() as client:
        for wanted in (
            order(order_type="LIMIT", price=30_000),
            order(order_type="LIMIT", price=49_990),
            order(),
            order(connector_name="paper_perpetual"),
            order(connector_name="paper_perpetual", order_type="LIMIT", price=49_990),
        ):
            client.post("/trading/orders", json=wanted).raise_for_status()
    settle(server)
    before = Ledger(database_of(server))
    assert len(before.open) == 3
    server.stop()
    server.start()
    after = Ledger(database_of(server))
    assert after.open == before.open
    assert [after.balances(place) for place in PLACES] == [before.balances(place) for place in PLACES]
    server.stop()
    server.environment["PAPER_FEED"] = market(tmp_path / "after.csv", 49_000)
    server.start()
    until(lambda: len(Ledger(database_of(server)).open) == 1)
    for place in PLACES:
        Ledger(database_of(server)).check_balances(place)
