"""What the views answer to handlers is what the log says."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from adapters.lookup import Views
from commands.ports import Log
from domain.orders import OrderObserved, OrderPlaced
from projections.pool import Pool
from projections.replay import rebuild
from projections.views import VIEWS
from tests.fakes.lookup import ScanningLookup
from tests.projections.given import EVERYTHING, accepted, at, canceled, filled, observed, placed, tell
from tests.projections.strategies import controller, script

LATER = datetime(2100, 1, 1, tzinfo=UTC)


async def seen(_views: Sequence[str]) -> None:
    """Have the views seen the log: they were built from all of it."""


async def test_the_memory_of_an_account_is_what_the_whole_log_says(database_url: str, log: Log) -> None:
    story = [*EVERYTHING, filled("h", "t5", "0.5", "90"), filled("h", "t6", "0.25", "91"), observed("o", 20)]
    await tell(log, [*story, filled("o", "t7", "0.5", "50"), placed("waits")])
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        views, plain = Views(pool, seen), ScanningLookup(log)
        for account, connector in (("master_account", "paper"), ("master_account", "paper_perpetual"), ("x", "y")):
            remembered, expected = await views.memory(account, connector), await plain.memory(account, connector)
            assert remembered.pairs == expected.pairs
            assert remembered.positions == expected.positions
            assert remembered.unanswered == expected.unanswered
            assert [_fixed(o.order) for o in remembered.open_orders] == [_fixed(o.order) for o in expected.open_orders]
            assert [(o.exchange_order_id, o.filled, o.trade_ids) for o in remembered.open_orders] == [
                (o.exchange_order_id, o.filled, o.trade_ids) for o in expected.open_orders
            ]
        memory = await views.memory("master_account", "paper")
        assert [type(o.order) for o in memory.open_orders] == [OrderPlaced, OrderObserved]
        assert [o.trade_ids for o in memory.open_orders] == [{"t5", "t6"}, {"t7"}]
        assert memory.pairs == ["BTC-USDT", "ETH-USDT"]
        assert [order.client_order_id for order in memory.unanswered] == ["waits"]
        assert (await views.memory("master_account", "paper_perpetual")).pairs == ["BTC-USDT", "ETH-USDT"]
        assert await views.unanswered(placed_before=LATER) == await plain.unanswered(placed_before=LATER)
        assert await views.cancels_unanswered(requested_before=LATER) == await plain.cancels_unanswered(
            requested_before=LATER
        )


async def test_the_memory_of_an_account_has_the_orders_that_ended_recently(database_url: str, log: Log) -> None:
    stream, late = filled("new", "t2", "1", "90")
    await tell(
        log,
        [
            *(told(name) for name in ("old", "new", "open") for told in (placed, accepted)),
            *(filled("old", "t1", "1", "90"), canceled("old")),
            *((stream, msgspec.structs.replace(late, filled_at=at(2000))), canceled("new")),
            filled("open", "t3", "1", "90"),
        ],
    )
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        memory = await Views(pool, seen).memory("master_account", "paper")
    assert [(o.exchange_order_id, o.filled, o.trade_ids) for o in memory.ended_orders] == [("xnew", 1, {"t2"})]
    assert len(memory.open_orders) == 1


def _fixed(order: OrderPlaced | OrderObserved) -> tuple[object, ...]:
    """Return what an order was placed with, without the words that views do not keep."""
    return (order.account, order.connector, order.trading_pair, order.side, order.amount, order.price)


async def test_the_sources_are_what_the_whole_log_says(database_url: str, log: Log) -> None:
    await tell(log, [script("watch", "a = 1\n"), controller("generic", "grid", "b\n"), script("gone", "")])
    await tell(log, [script("gone", None), script("watch", "a = 2\n")])
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        found = await Views(pool, seen).sources()
    assert found == await ScanningLookup(log).sources()
    assert found == {"scripts/watch.py": "a = 2\n", "controllers/generic/grid.py": "b\n"}
