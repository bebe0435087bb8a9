"""The server is killed again and again under load: nothing is lost, and nothing is there twice."""

import subprocess
import sys
from contextlib import AsyncExitStack

from adapters import database
from adapters.event_store import PostgresLog
from adapters.settings import Settings
from domain.orders import OrderCanceled, OrderFailed, OrderFilled, OrderRejected
from projections.replay import replay_into
from projections.view import SCHEMA, connect, dump
from projections.views import VIEWS
from tests.contract.serving import Nectar
from tests.faults.books import check_books, prepare, settle
from tests.faults.conftest import Make
from tests.faults.load import Traders

KILLS = 10
REQUESTS_A_ROUND = 200


async def test_ten_kills_under_load_lose_nothing_and_repeat_nothing(nectar: Make):
    server = nectar().start()
    traders = Traders(server.url)
    prepare(server)
    for _ in range(KILLS):
        began = len(traders.asked)
        async with traders.trading():
            await traders.answered(REQUESTS_A_ROUND)
            server.kill()
        assert traders.refused == []
        server.start()
        check_books(server, traders)
        await traders.ask_again([asked for asked in traders.asked[began:] if asked.key is not None])
        settle(server)
    ledger = check_books(server, traders)
    assert traders.refused == []
    # The load was one: everything that can become of an order did, and kills came between an order and its outcome.
    assert {OrderFilled, OrderRejected, OrderCanceled, OrderFailed} <= {type(each.event) for each in ledger.events}
    assert {fill.is_maker for fill in ledger.of(OrderFilled)} == {True, False}
    assert len(ledger.open) > KILLS
    settle(server)
    server.stop()
    await _check_views(server)
    assert _run(server, "audit", "verify") == 0


async def _check_views(server: Nectar) -> None:
    """The views that were kept while all this happened are those that the whole log gives."""
    async with AsyncExitStack() as stack:
        url, _ = await stack.enter_async_context(database.opened(Settings.from_environment(server.environment)))
        log = await stack.enter_async_context(PostgresLog.open(url))
        kept = await _dumps(url, SCHEMA)
        await replay_into(url, log, VIEWS, "anew")
        assert await _dumps(url, "anew") == kept
        assert _run(server, "rebuild", "all") == 0
        assert await _dumps(url, SCHEMA) == kept


async def _dumps(url: str, schema: str) -> dict[str, bytes]:
    async with await connect(url, schema) as connection:
        return {view.name: await dump(connection, view) for view in VIEWS}


def _run(server: Nectar, *arguments: str) -> int:
    command = [sys.executable, "-m", "adapters", *arguments]
    return subprocess.run(command, cwd=server.data, env=server.environment, check=False).returncode
