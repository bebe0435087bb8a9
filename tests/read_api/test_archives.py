"""What the archived bots' routes answer, from the log alone."""

import pytest

from read_api import archives
from tests.archives import path_of
from tests.projections.archived import ARCHIVES, TRADES, archived, deleted, trade, unreadable
from tests.read_api.conftest import Server, pool, server, template

__all__ = ["pool", "server", "template"]

KEPT = f"/archived-bots/{path_of('kept')}"


async def test_the_list_names_every_archive_that_is_not_deleted(server: Server):
    await server.told(ARCHIVES)
    assert await server.ask("/archived-bots/") == [path_of(bot) for bot in ("corrupt", "gone", "kept")]


async def test_an_archive_that_is_another_one_by_now_shows_nothing_of_the_old_one(server: Server):
    await server.told(ARCHIVES)
    trades = await server.ask(f"/archived-bots/{path_of('gone')}/trades")
    assert [item["price"] for item in trades["trades"]] == [200.0]


async def test_performance_is_by_average_cost_over_all_markets_with_all_fees(server: Server):
    await server.told(ARCHIVES)
    answer = await server.ask(f"{KEPT}/performance")
    # BTC: sold 2 at 100, bought 1 at 90 (+10), bought 3 at 80: one closes (+20), two are open at 80.
    # ETH: bought 1 at 10, sold 1 at 20 (+10), the fee of which nobody knows.
    assert answer["summary"] == {
        "total_trades": 5,
        "final_net_pnl_quote": 39.6,
        "final_realized_pnl_quote": 40.0,
        "final_unrealized_pnl_quote": 0.0,
        "total_fees_quote": 0.4,
        "total_volume_quote": 560.0,
        "final_net_position": 2.0,
        "trading_pairs": ["BTC-USDT", "ETH-USDT"],
        "connector_names": ["binance"],
    }
    last = answer["performance_data"][3]
    assert (last["net_position"], last["realized_trade_pnl_quote"], last["net_pnl_quote"]) == (2.0, 30.0, 29.7)
    assert (last["buy_avg_price"], last["sell_avg_price"]) == (82.5, 100.0)


async def test_the_performance_of_more_trades_than_are_kept_is_the_same_made_while_it_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    await server.told([*ARCHIVES, *archived("more", TRADES)])
    more = f"/archived-bots/{path_of('more')}/performance"
    monkeypatch.setattr(archives, "_KEPT_TRADES", 0)
    long = await server.ask(more)  # asked first, so that it was not kept
    monkeypatch.undo()
    assert await server.ask(more) == long
    assert len(long["performance_data"]) == long["summary"]["total_trades"] == 5


async def test_a_first_trade_that_sells_is_a_short_position(server: Server):
    await server.told(archived("short", [[trade(1, "SELL", "1", "100")]]))
    answer = await server.ask(f"/archived-bots/{path_of('short')}/performance")
    (row,) = answer["performance_data"]
    assert (row["net_position"], row["realized_trade_pnl_pct"], row["net_pnl_quote"]) == (-1.0, 0.0, -0.1)


async def test_a_page_tells_how_many_there_are_and_fees_add_up_by_pair(server: Server):
    await server.told(ARCHIVES)
    page = await server.ask(f"{KEPT}/trades?limit=2&offset=3")
    assert page["pagination"] == {"total": 5, "limit": 2, "offset": 3, "has_more": False}
    fees = [(item["trading_pair"], item["trade_fee_in_quote"], item["cum_fees_in_quote"]) for item in page["trades"]]
    assert fees == [("BTC-USDT", 0.1, 0.3), ("ETH-USDT", None, 0.1)]


async def test_orders_are_chosen_by_status(server: Server):
    await server.told(ARCHIVES)
    assert (await server.ask(f"{KEPT}/orders?status=BuyOrderCompleted"))["pagination"]["total"] == 1
    assert (await server.ask(f"{KEPT}/orders?status=nope"))["orders"] == []


async def test_what_a_position_has_earned_is_not_a_million_times_too_much(server: Server):
    await server.told(ARCHIVES)
    (position,) = (await server.ask(f"{KEPT}/positions"))["positions"]
    assert position["realized_pnl_quote"] == -0.253261


async def test_one_that_cannot_be_read_says_why_everywhere(server: Server):
    await server.told([unreadable("corrupt")])
    corrupt = f"/archived-bots/{path_of('corrupt')}"
    status = await server.ask(f"{corrupt}/status")
    assert not status["healthy"]
    assert status["status"]["trade_fill"] == "Error - SQLite cannot read it: file is not a database"
    for word in ("summary", "performance", "trades", "orders", "executors", "positions", "controllers"):
        refused = await server.ask(f"{corrupt}/{word}", status=400)
        assert "file is not a database" in refused["detail"]


async def test_one_that_is_being_imported_says_so(server: Server):
    await server.told(archived("half", TRADES)[:3])
    half = f"/archived-bots/{path_of('half')}"
    status = await server.ask(f"{half}/status")
    assert (status["state"], status["progress"]) == ("importing", {"rows": 4, "total": 7})
    assert "is being imported: 4 of 7 rows are in the log" in (await server.ask(f"{half}/trades", status=409))["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bots/archived/x/data/x.sqlite", 404),
        ("bots/credentials/master_account/conf_client.yml", 400),
        ("/etc/passwd", 400),
        ("bots/archived/../../etc/passwd", 400),
        ("x", 400),
    ],
)
async def test_a_path_that_is_no_archive_is_refused(server: Server, path: str, status: int):
    for word in ("status", "performance"):
        refused = await server.ask(f"/archived-bots/{path}/{word}", status=status)
        assert isinstance(refused["detail"], str)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "limit=a"])
async def test_a_page_that_cannot_be_is_malformed(server: Server, query: str):
    refused = await server.ask(f"{KEPT}/trades?{query}", status=422)
    assert refused["detail"][0]["loc"][0] == "query"


async def test_a_deleted_one_is_gone(server: Server):
    await server.told([*archived("gone", TRADES), deleted("gone")])
    await server.ask(f"/archived-bots/{path_of('gone')}/status", status=404)
    assert await server.ask("/archived-bots/") == []
