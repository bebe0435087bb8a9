from domain.values import PositionMode, PositionSide
from tests.projections.given import AT, account, disconnected, funding, mode, position

MASTER = account("master_account", "paper", "paper_perpetual")
EMPTY = {"limit": 50, "has_more": False, "next_cursor": None, "total_count": 0}


async def test_a_position_is_marked_at_the_price_now(server):
    await server.told([*MASTER, position("0.5"), position("-3", pair="ETH-USDT", side=PositionSide.SHORT)])
    answer = await server.ask("/trading/positions", {"limit": 50})
    assert answer["data"] == [
        {
            "account_name": "master_account",
            "connector_name": "paper_perpetual",
            "trading_pair": "BTC-USDT",
            "side": "BOTH",
            "amount": 0.5,
            "entry_price": 100.0,
            "unrealized_pnl": 5.0,  # 0.5 x (110 - 100)
            "leverage": 10.0,
        },
        {
            "account_name": "master_account",
            "connector_name": "paper_perpetual",
            "trading_pair": "ETH-USDT",
            "side": "SHORT",
            "amount": -3.0,
            "entry_price": 100.0,
            "unrealized_pnl": -3.0,  # as the venue marked it: there is no price now
            "leverage": 10.0,
        },
    ]
    assert answer["pagination"] == {**EMPTY, "total_count": 2}


async def test_a_closed_position_is_gone(server):
    await server.told([*MASTER, position("0.5"), position("0")])
    assert await server.ask("/trading/positions", {"limit": 50}) == {"data": [], "pagination": EMPTY}


async def test_a_position_that_nobody_follows_any_more_is_not_listed(server):
    await server.told([*MASTER, position("0.5"), disconnected("master_account", "paper_perpetual")])
    assert await server.ask("/trading/positions", {"limit": 50}) == {"data": [], "pagination": EMPTY}


async def test_positions_are_read_page_by_page(server):
    await server.told([*MASTER, *(position("1", pair=f"{name}-USDT") for name in "ABCDE")])
    found, cursor = [], None
    while True:
        answer = await server.ask("/trading/positions", {"limit": 2, "cursor": cursor})
        found += [p["trading_pair"][0] for p in answer["data"]]
        assert answer["pagination"]["total_count"] == 5
        cursor = answer["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert found == list("ABCDE")
    answer = await server.ask("/trading/positions", {"cursor": "nowhere"}, 422)
    assert answer["detail"][0]["loc"] == ["body", "cursor"]
    assert (await server.ask("/trading/positions", {"account_names": ["nobody"]}))["data"] == []


async def test_the_mode_is_one_way_until_another_was_set(server):
    path = "/trading/master_account/paper_perpetual/position-mode"
    await server.told(MASTER)
    expected = {"position_mode": "ONEWAY", "connector": "paper_perpetual", "account": "master_account"}
    assert await server.ask(path) == expected
    await server.told([mode(PositionMode.HEDGE)])
    assert await server.ask(path) == {**expected, "position_mode": "HEDGE"}


async def test_there_is_no_mode_where_there_are_no_positions(server):
    spot = await server.ask("/trading/master_account/paper/position-mode", status=400)
    assert spot == {"detail": "Connector 'paper' is not a perpetual connector"}
    await server.ask("/trading/nobody/paper_perpetual/position-mode", status=404)
    await server.ask("/trading/unconnected/paper_perpetual/position-mode", status=400)


async def test_a_funding_payment_has_every_key_of_the_contract(server):
    end = await server.told([*MASTER, funding("f1"), funding("f2", "0.5", size="3", seconds=20)])
    answer = await server.ask("/trading/funding-payments", {"limit": 50})
    assert answer["pagination"] == {**EMPTY, "total_count": 2}
    assert answer["data"][1] == {
        "id": end - 1,
        "funding_payment_id": "f1",
        "timestamp": "2026-03-01T12:00:10+00:00",
        "account_name": "master_account",
        "connector_name": "paper_perpetual",
        "trading_pair": "BTC-USDT",
        "funding_rate": 0.0001,
        "funding_payment": -0.25,
        "fee_currency": "USDT",
        "position_size": -3.0,
        "position_side": "SHORT",
        "exchange_funding_id": "f1",
    }
    assert answer["data"][0]["position_side"] == "LONG"
    since = {"start_time": int(AT.timestamp() + 15) * 1000, "trading_pair": "BTC-USDT"}
    assert [p["id"] for p in (await server.ask("/trading/funding-payments", since))["data"]] == [end]
    assert (await server.ask("/trading/funding-payments", {"trading_pair": "ETH-USDT"}))["data"] == []
