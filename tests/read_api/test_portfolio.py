from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.portfolio import Balance
from projections import portfolio
from tests.projections.given import AT, account, balances, disconnected, removed

TWO = [*account("master_account", "paper_perpetual", "paper"), *account("second", "paper")]


def token(name: str, units: float) -> dict[str, object]:
    return {"token": name, "units": units, "price": 2.0, "value": units * 2, "available_units": units}


async def state(server, **wanted):
    return await server.ask("/portfolio/state", wanted)


async def test_the_state_is_the_last_balances_in_order_of_connection(server):
    await server.told([*TWO, balances({"USDT": "7"}), balances({"USDT": "5", "BTC": "0", "ETH": "1.5"}, 1)])
    await server.told([balances({"USDT": "50"}, connector="paper_perpetual")])
    answer = await state(server)
    assert answer == {
        "master_account": {"paper_perpetual": [token("USDT", 50)], "paper": [token("USDT", 5), token("ETH", 1.5)]},
        "second": {},
    }
    assert list(answer["master_account"]) == ["paper_perpetual", "paper"]


async def test_a_filter_changes_only_its_own_answer(server):
    await server.told([*TWO, balances({"USDT": "5"}), balances({"USDT": "1"}, name="second")])
    whole = await state(server)
    assert await state(server, connector_names=["paper_perpetual"]) == {"master_account": {}, "second": {}}
    assert await state(server, account_names=["second"]) == {"second": {"paper": [token("USDT", 1)]}}
    assert await state(server, account_names=["nobody"]) == {}
    assert await state(server, account_names=[], connector_names=[]) == whole
    assert await state(server) == whole


async def test_what_is_disconnected_or_banned_is_not_shown(server):
    banned = Balance(token="SPAM", units=Decimal(9), available=Decimal(9), banned=True)
    unpriced = Balance(token="NEW", units=Decimal(3), available=Decimal(1))
    await server.told([*TWO, balances({"SPAM": banned, "NEW": unpriced}), balances({"USDT": "1"}, name="second")])
    await server.told([disconnected("second", "paper"), *account("third", "paper"), removed("third")])
    assert await state(server) == {
        "master_account": {
            "paper": [{"token": "NEW", "units": 3.0, "price": 0.0, "value": 0.0, "available_units": 1.0}]
        },
        "second": {},
    }
    assert (await server.ask("/portfolio/distribution", {}))["distribution"][0]["token"] == "NEW"


async def test_a_banned_token_is_kept_but_counts_in_no_answer(server, pool):
    spam = Balance(
        token="SPAM", units=Decimal(9), available=Decimal(8), price=Decimal(2), value=Decimal(18), banned=True
    )
    await server.told([*TWO, balances({"USDT": "5", "SPAM": spam})])
    assert (await state(server))["master_account"] == {"paper": [token("USDT", 5)]}
    history = await server.ask("/portfolio/history", {})
    assert [moment["state"] for moment in history["data"]] == [{"master_account": {"paper": [token("USDT", 5)]}}]
    spread = await server.ask("/portfolio/distribution", {})
    assert [entry["token"] for entry in spread["distribution"]] == ["USDT"]
    for answer in (spread, await server.ask("/portfolio/accounts-distribution")):
        assert answer["total_portfolio_value"] == 10.0
    async with pool.connection() as connection:
        kept = await portfolio.balances(connection, account="master_account", connector="paper")
    assert kept is not None
    assert spam in kept[0]


async def test_a_refresh_is_asked_for_and_waited_for(server):
    await server.told([*TWO, balances({"USDT": "5"})])
    assert not server.refreshed
    await state(server, refresh=True, account_names=["second"], skip_gateway=True)
    assert server.refreshed == [(["second"], None)]


async def test_the_distribution_adds_up_over_any_accounts(server):
    await server.told([*TWO, balances({"USDT": "30", "BTC": "10"}), balances({"USDT": "60"}, name="second")])
    await server.told([balances({"USDT": "100"}, connector="paper_perpetual")])
    whole = await server.ask("/portfolio/distribution", {})
    assert whole["total_portfolio_value"] == 400.0
    assert whole["token_count"] == 2
    assert whole["account_filter"] == "all_accounts"
    usdt, btc = whole["distribution"]
    assert (usdt["token"], usdt["total_value"], usdt["total_units"], usdt["percentage"]) == ("USDT", 380.0, 190.0, 95.0)
    assert usdt["accounts"]["master_account"] == {
        "value": 260.0,
        "units": 130.0,
        "percentage": 65.0,
        "connectors": {"paper_perpetual": {"value": 200.0, "units": 100.0}, "paper": {"value": 60.0, "units": 30.0}},
    }
    assert btc["percentage"] == 5.0
    both = await server.ask("/portfolio/distribution", {"account_names": ["second", "master_account"]})
    assert both == {**whole, "account_filter": "second, master_account"}
    one = await server.ask("/portfolio/distribution", {"account_names": ["second"], "connector_names": ["paper"]})
    assert (one["total_portfolio_value"], one["account_filter"]) == (120.0, "second")
    none = await server.ask("/portfolio/distribution", {"account_names": ["nobody"]})
    assert none == {"total_portfolio_value": 0, "token_count": 0, "distribution": [], "account_filter": "nobody"}


async def test_accounts_share_the_portfolio(server):
    assert await server.ask("/portfolio/accounts-distribution") == {
        "total_portfolio_value": 0,
        "account_count": 0,
        "distribution": [],
    }
    await server.told([*TWO, balances({"USDT": "30"}), balances({"USDT": "70"}, name="second")])
    answer = await server.ask("/portfolio/accounts-distribution")
    assert answer["account_count"] == 2
    assert answer["distribution"][0] == {
        "account": "second",
        "total_value": 140.0,
        "percentage": 70.0,
        "connectors": {"paper": {"value": 140.0, "percentage": 70.0}},
    }


def usdt(moment: dict[str, Any], account: str = "master_account", connector: str = "paper") -> float | None:
    held = moment["state"].get(account, {}).get(connector)
    return None if held is None else held[0]["units"]


async def test_the_history_has_the_last_state_of_each_interval_that_has_one(server):
    minute = 60
    await server.told(
        [
            *TWO,
            balances({"USDT": "1"}, 0),
            balances({"USDT": "2"}, 4 * minute),
            balances({"USDT": "20"}, 3 * minute, name="second"),
            balances({"USDT": "3"}, 16 * minute),
            balances({"USDT": "4"}, 26 * 60 * minute),
        ]
    )
    answer = await server.ask("/portfolio/history", {"limit": 100})
    assert [(usdt(m), usdt(m, "second")) for m in answer["data"]] == [(4, None), (3, None), (2, 20)]
    assert answer["data"][2]["timestamp"] == (AT + timedelta(minutes=4)).isoformat()
    assert answer["pagination"] == {
        "limit": 100,
        "has_more": False,
        "next_cursor": None,
        "current_cursor": None,
        "filters": {
            "account_names": None, "connector_names": None, "start_time": None, "end_time": None, "interval": "5m",
        },
    }  # fmt: skip
    daily = await server.ask("/portfolio/history", {"interval": "1d"})
    assert [(usdt(m), usdt(m, "second")) for m in daily["data"]] == [(4, None), (3, 20)]
    second = await server.ask("/portfolio/history", {"interval": None, "account_names": ["second"]})
    assert [m["state"] for m in second["data"]] == [{"second": {"paper": [token("USDT", 20)]}}]
    assert (await server.ask("/portfolio/history", {"connector_names": ["nowhere"]}))["data"] == []


async def test_the_history_is_read_page_by_page_and_between_times(server):
    await server.told([*TWO, *(balances({"USDT": str(n + 1)}, 300 * n) for n in range(7))])
    found, cursor = [], None
    while True:
        answer = await server.ask("/portfolio/history", {"limit": 3, "cursor": cursor})
        assert answer["pagination"]["current_cursor"] == cursor
        found += [usdt(moment) for moment in answer["data"]]
        cursor = answer["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert found == [7, 6, 5, 4, 3, 2, 1]
    start = int(AT.timestamp())
    between = {"start_time": (start + 300) * 1000, "end_time": (start + 900) * 1000}
    answer = await server.ask("/portfolio/history", between)
    assert [usdt(moment) for moment in answer["data"]] == [4, 3, 2]


@pytest.mark.parametrize("body", [{"interval": "7m"}, {"cursor": "yesterday"}, {"cursor": "2026-03-01T12:00:00"}])
async def test_a_wrong_interval_or_cursor_is_refused_by_name(server, body):
    answer = await server.ask("/portfolio/history", body, 422)
    assert set(body) <= set(answer["detail"][0]["loc"])


async def test_the_portfolio_outlives_the_process(server, database_url):
    from projections.pool import Pool
    from projections.portfolio import balances as last

    await server.told([*TWO, balances({"USDT": "5.000000000000000001"})])
    await state(server)
    async with Pool.open(database_url, size=1) as pool, pool.connection() as connection:
        found = await last(connection, account="master_account", connector="paper")
    assert found is not None
    kept, seen_at = found
    assert kept[0].units == Decimal("5.000000000000000001")
    assert seen_at == AT.astimezone(UTC) == datetime(2026, 3, 1, 12, tzinfo=UTC)
