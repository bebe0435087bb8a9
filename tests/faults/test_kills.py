"""The server is killed again and again under load: nothing is lost, and nothing is there twice."""

from domain.orders import OrderCanceled, OrderFailed, OrderFilled, OrderRejected
from tests.faults.books import check_books, prepare, settle
from tests.faults.conftest import Make
from tests.faults.load import Traders
from tests.faults.replaying import check_views, run

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
    await check_views(server)
    assert run(server, "audit", "verify") == 0
