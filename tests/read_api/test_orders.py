import asyncio

from psycopg import AsyncCursor

from tests.projections.given import (
    AT,
    accepted,
    account,
    balances,
    cancel_rejected,
    cancel_requested,
    canceled,
    disconnected,
    expired,
    failed,
    filled,
    observed,
    placed,
    rejected,
    unknown,
)

MASTER = account("master_account", "paper")


async def only(server, *story):
    await server.told([*MASTER, *story])
    answer = await server.ask("/trading/orders/search", {})
    assert answer["pagination"]["total_count"] == len(answer["data"]) == 1
    return answer["data"][0]


async def test_a_placed_order_has_every_key_of_the_contract(server):
    order = await only(server, placed("a"))
    assert order.pop("updated_at").endswith("+00:00")
    assert order == {
        "order_id": "a",
        "account_name": "master_account",
        "connector_name": "paper",
        "trading_pair": "BTC-USDT",
        "trade_type": "BUY",
        "order_type": "LIMIT",
        "amount": 2.0,
        "price": 100.0,
        "status": "SUBMITTED",
        "filled_amount": 0.0,
        "average_fill_price": None,
        "fee_paid": None,
        "fee_currency": None,
        "created_at": "2026-03-01T12:00:00+00:00",
        "exchange_order_id": None,
        "error_message": None,
    }


STATES = {
    "placed": ([], "SUBMITTED", "SUBMITTED"),
    "unknown": ([unknown("unknown")], "SUBMITTED", "SUBMITTED"),
    "accepted": ([accepted("accepted")], "OPEN", "OPEN"),
    "part": ([accepted("part"), filled("part", "t", "0.5", "99")], "PARTIALLY_FILLED", "PARTIALLY_FILLED"),
    "early": ([filled("early", "t", "0.5", "99")], "PARTIALLY_FILLED", "PARTIALLY_FILLED"),
    "canceling": ([accepted("canceling"), cancel_requested("canceling")], "OPEN", "PENDING_CANCEL"),
    "kept": ([accepted("kept"), cancel_requested("kept"), cancel_rejected("kept")], "OPEN", "OPEN"),
    "filled": ([accepted("filled"), filled("filled", "t", "2", "99")], "FILLED", None),
    "canceled": ([accepted("canceled"), cancel_requested("canceled"), canceled("canceled")], "CANCELLED", None),
    "expired": ([accepted("expired"), expired("expired")], "CANCELLED", None),
    "rejected": ([rejected("rejected")], "FAILED", None),
    "failed": ([unknown("failed"), failed("failed")], "FAILED", None),
}


async def test_each_state_has_its_word_and_its_place(server):
    story = [*MASTER]
    for n, (order_id, (facts, _, _)) in enumerate(STATES.items()):
        story += [placed(order_id, n), *facts]
    await server.told(story)
    found = (await server.ask("/trading/orders/search", {}))["data"]
    assert {order["order_id"]: order["status"] for order in found} == {
        name: word for name, (_, word, _) in STATES.items()
    }
    answer = await server.ask("/trading/orders/active", {})
    listed = {name: word for name, (_, _, word) in STATES.items() if word}
    assert {order["order_id"]: order["status"] for order in answer["data"]} == listed
    assert answer["pagination"]["total_count"] == len(listed)
    for word in {word for _, word, _ in STATES.values()}:
        counted = sum(word == other for _, other, _ in STATES.values())
        answer = await server.ask("/trading/orders/search", {"status": word.lower()})
        assert len(answer["data"]) == answer["pagination"]["total_count"] == counted


async def test_an_open_order_is_listed_before_the_venue_has_spoken(server):
    await server.told([*MASTER, placed("a"), observed("b")])
    listed = (await server.ask("/trading/orders/active", {"account_names": ["master_account"]}))["data"]
    found = {order["order_id"]: (order["exchange_order_id"], order["price"]) for order in listed}
    assert found == {"a": (None, 100.0), "b": ("9", None)}


async def test_an_order_that_nobody_follows_any_more_is_not_listed_as_active_but_kept(server):
    await server.told([*MASTER, placed("a"), accepted("a"), disconnected("master_account", "paper")])
    active = await server.ask("/trading/orders/active", {})
    assert (active["data"], active["pagination"]["total_count"]) == ([], 0)
    assert [order["status"] for order in (await server.ask("/trading/orders/search", {}))["data"]] == ["OPEN"]


async def test_a_rejected_order_keeps_what_it_was(server):
    order = await only(server, placed("a"), rejected("a", "no \0 balance"))
    assert order["trading_pair"] == "BTC-USDT"
    assert order["amount"] == 2.0
    assert order["error_message"] == "no \ufffd balance"


async def test_the_average_price_is_weighted_and_fees_add_up(server):
    order = await only(
        server,
        placed("a"),
        accepted("a"),
        filled("a", "1", "0.5", "90", fee="0.3"),
        filled("a", "2", "1.5", "100", fee="0.1"),
    )
    assert order["average_fill_price"] == 97.5
    assert (order["fee_paid"], order["fee_currency"], order["filled_amount"]) == (0.4, "USDT", 2.0)


async def test_fees_in_another_currency_are_not_added(server):
    order = await only(
        server, placed("a"), filled("a", "1", "0.5", "90"), filled("a", "2", "0.5", "90", fee="7", currency="BNB")
    )
    assert (order["fee_paid"], order["fee_currency"]) == (0.1, "USDT")


async def test_a_fill_after_the_cancel_still_counts(server):
    order = await only(server, placed("a"), accepted("a"), canceled("a"), filled("a", "1", "2", "100"))
    assert (order["status"], order["filled_amount"]) == ("FILLED", 2.0)


async def pages(server, path, **wanted):
    cursor, found, totals, more = None, [], set(), True
    while more:
        answer = await server.ask(path, {**wanted, "cursor": cursor})
        found += answer["data"]
        totals.add(answer["pagination"]["total_count"])
        cursor, more = answer["pagination"]["next_cursor"], answer["pagination"]["has_more"]
        assert more == (cursor is not None)
    return found, totals


async def test_pages_show_every_order_once_whatever_is_filtered(server):
    story = [*MASTER]
    for n in range(23):
        pair = "BTC-USDT" if n % 3 else "ETH-USDT"
        story += [placed(f"n{n:02}", n // 2, trading_pair=pair), accepted(f"n{n:02}", n)]
        story += [filled(f"n{n:02}", f"t{n}", "1", "100")] if n % 2 else []
    await server.told(story)
    found, totals = await pages(server, "/trading/orders/search", limit=4)
    assert [order["order_id"] for order in found] == [f"n{n:02}" for n in reversed(range(23))]
    assert totals == {23}
    eth, totals = await pages(server, "/trading/orders/search", limit=3, trading_pairs=["ETH-USDT", "SOL-USDT"])
    assert (len(eth), totals) == (8, {8})
    trades, totals = await pages(server, "/trading/trades", limit=5)
    assert (len({trade["trade_id"] for trade in trades}), totals) == (11, {11})
    active, totals = await pages(server, "/trading/orders/active", limit=7, connector_names=["paper"])
    assert (len({order["order_id"] for order in active}), totals) == (23, {23})


# Defect 31: a page must not cost a question for each order on it.
async def test_a_full_page_asks_the_database_no_more_than_an_empty_one(server, monkeypatch):
    asked, mine, execute = [], asyncio.current_task(), AsyncCursor.execute

    async def counted(cursor, query, *rest, **options):
        if asyncio.current_task() is mine:  # and not the projector
            asked.append(query)
        return await execute(cursor, query, *rest, **options)

    monkeypatch.setattr(AsyncCursor, "execute", counted)

    async def cost_of(orders: int) -> int:
        asked.clear()
        for path in ("/trading/orders/search", "/trading/orders/active", "/trading/trades"):
            assert len((await server.ask(path, {"limit": 1000}))["data"]) == orders
        return len(asked)

    await server.told(MASTER)
    cost = await cost_of(0)
    assert cost > 0
    ids = [f"n{n}" for n in range(200)]
    await server.told([told for i in ids for told in (placed(i), accepted(i), filled(i, f"t{i}", "1", "100"))])
    assert await cost_of(200) <= cost


async def test_times_are_milliseconds_and_both_ends_count(server):
    await server.told([*MASTER, *(placed(f"n{n}", n) for n in range(5))])
    start = int(AT.timestamp())
    answer = await server.ask(
        "/trading/orders/search", {"start_time": (start + 1) * 1000, "end_time": start * 1000 + 3000}
    )
    assert [order["order_id"] for order in answer["data"]] == ["n3", "n2", "n1"]
    assert answer["pagination"]["total_count"] == 3
    answer = await server.ask("/trading/orders/search", {"start_time": start + 4})  # from a client that sends seconds
    assert [order["order_id"] for order in answer["data"]] == ["n4"]
    answer = await server.ask("/trading/orders/search", {"start_time": (start + 99) * 1000})
    assert answer["pagination"]["total_count"] == 0


async def test_a_trade_has_every_key_of_the_contract(server):
    await server.told([*MASTER, placed("a"), filled("a", "t1", "0.5", "99.5", fee="-0.01")])
    answer = await server.ask("/trading/trades", {"trade_types": ["buy"], "trading_pairs": ["BTC-USDT"]})
    assert answer["data"] == [
        {
            "trade_id": "a_t1",
            "order_id": "a",
            "account_name": "master_account",
            "connector_name": "paper",
            "trading_pair": "BTC-USDT",
            "trade_type": "BUY",
            "amount": 0.5,
            "price": 99.5,
            "fee_paid": -0.01,
            "fee_currency": "USDT",
            "timestamp": "2026-03-01T12:00:02+00:00",
        }
    ]
    assert (await server.ask("/trading/trades", {"trade_types": ["SELL"]}))["data"] == []


async def test_trades_of_different_orders_with_one_id_at_their_venues_are_told_apart(server):
    told = [filled("a", "7", "0.5", "100"), filled("b", "7", "0.5", "100")]
    await server.told([*MASTER, placed("a"), placed("b", trading_pair="ETH-USDT"), *told])
    answer = await server.ask("/trading/trades", {})
    assert {trade["trade_id"] for trade in answer["data"]} == {"a_7", "b_7"}


async def test_an_unknown_account_has_no_orders(server):
    await server.told([*MASTER, placed("a")])
    for path in ("/trading/orders/search", "/trading/orders/active", "/trading/trades"):
        answer = await server.ask(path, {"limit": 50, "account_names": ["nobody"]})
        assert answer == {
            "data": [],
            "pagination": {"limit": 50, "has_more": False, "next_cursor": None, "total_count": 0},
        }


WRONG = [
    ({"limit": 5000}, "limit"),
    ({"limit": 0}, "limit"),
    ({"cursor": "0:"}, "cursor"),
    ({"cursor": "999999999999999999-1"}, "cursor"),
    ({"start_time": -1}, "start_time"),
    ({"account_names": "master_account"}, "account_names"),
    ({"account_names": ["a\0b"]}, "account_names"),
]


async def test_a_wrong_filter_is_refused_by_name(server):
    for body, place in WRONG:
        answer = await server.ask("/trading/orders/search", body, 422)
        assert place in answer["detail"][0]["loc"]


async def test_a_read_shows_what_its_caller_wrote(server):
    await server.told(MASTER)
    for n in range(20):
        await server.told([placed(f"n{n}", n), balances({"USDT": str(n)}, n)])
        newest = (await server.ask("/trading/orders/search", {"limit": 1}))["data"][0]
        assert newest["order_id"] == f"n{n}"


async def test_a_read_waits_for_the_position_it_names_and_tells_its_lag(server):
    end = await server.told(MASTER)
    answer = await server.client.post("/trading/trades", json={}, headers={"X-After-Position": str(end)})
    assert "x-lag" not in answer.headers
    answer = await server.client.post("/trading/trades", json={}, headers={"X-After-Position": str(end + 7)})
    assert (answer.status_code, answer.headers["x-lag"]) == (200, "7")
    answer = await server.client.post("/trading/trades", json={}, headers={"X-After-Position": "soon"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["header", "X-After-Position"])
