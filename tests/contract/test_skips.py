"""A real server whose view stops at an event goes on without it, as `nectar skip` is told while it runs."""

import asyncio
import subprocess
import sys

from adapters.event_store import PostgresLog
from tests.contract.serving import Nectar, until
from tests.contract.trading import place
from tests.projections.given import accepted, tell

FAR = {"order_type": "LIMIT", "price": 20_000}


def nectar(server: Nectar, *arguments: str) -> tuple[int, str]:
    """Run a command with the server's settings; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "adapters", *arguments],
        cwd=server.data,
        env={**server.environment, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def append_acceptance_of_nothing(database_url: str) -> int:
    """Append that an order was accepted that was never placed; return the position."""
    async with PostgresLog.open(database_url) as log:
        return await tell(log, [accepted("never_placed")])


def test_a_view_that_has_stopped_goes_on_without_the_event(servers, database_url):
    server = servers(DATABASE_URL=database_url)
    with server.client() as client:

        def found(**headers):
            answer = client.post("/trading/orders/search", json={"limit": 1000}, headers=headers).raise_for_status()
            return answer.json()["data"]

        before = place(client, **FAR)
        at = asyncio.run(append_acceptance_of_nothing(database_url))
        stopped = f"Views have stopped: orders at event {at}"
        until(lambda: client.get("/ready").json().get("detail") == stopped)

        code, said = nectar(server, "skip", "orders", str(at + 1), "--reason", "Not ours")
        assert code == 2
        assert f"View 'orders' has stopped at event {at}, not at event {at + 1}" in said
        code, said = nectar(server, "skip", "orders", str(at), "--reason", "Not ours", "--by", "ada")
        assert code == 0, said
        until(server.is_ready)

        after = place(client, **FAR)
        orders = until(lambda: found() if {item["status"] for item in found()} == {"OPEN"} else None)
        assert {item["order_id"] for item in orders} == {before, after}
        assert [item["order_id"] for item in found(**{"X-As-Of": str(at)})] == [before]
        code, said = nectar(server, "rebuild", "orders")
        assert code == 0, said
        assert found() == orders

        views = {view["view"]: view for view in client.get("/system/projections").json()["views"]}
        [skipped] = views["orders"]["skipped"]
        assert (skipped["position"], skipped["type"], skipped["reason"]) == (at, "OrderAccepted", "Not ours")
        [entry] = client.get("/audit/events", params={"type": "EventSkipped"}).json()["data"]
        assert (entry["stream"], entry["actor"], entry["data"]["view"]) == ("views", "ada", "orders")

        server.kill()
        server.start()
        assert found() == orders
