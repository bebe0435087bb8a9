"""What changed between two moments."""

from itertools import pairwise
from typing import Any

import pytest

from tests.projections.fleet import FLEET
from tests.projections.given import (
    EVERYTHING,
    accepted,
    account,
    balances,
    canceled,
    filled,
    placed,
    position,
    rejected,
)
from tests.projections.strategies import STRATEGIES, config, controller, script


async def changes(server, start: object, end: object = None, **query: object) -> list[Any]:
    """Return all changes between two moments, page by page."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        to = {} if end is None else {"to": end}
        params = {"from": start, **to, **query, **({"cursor": cursor} if cursor else {})}
        answer = await server.client.get("/audit/diff", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["pagination"]["has_more"] is (page["pagination"]["next_cursor"] is not None)
        found += page["data"]
        cursor = page["pagination"]["next_cursor"]
    return found


async def test_orders_are_new_changed_or_ended(server):
    await server.told([*account("master_account", "paper"), placed("a"), placed("b"), placed("same")])
    start = await server.told([accepted("a")])
    end = await server.told([filled("a", "t1", "0.5", "100"), canceled("b"), placed("c"), placed("d"), rejected("d")])
    await server.told([filled("a", "t2", "1.5", "100")])  # behind the second moment
    found = await changes(server, start, end)
    assert [(one["what"]["order_id"], one["change"]) for one in found] == [
        ("a", "changed"),
        ("b", "ended"),
        ("c", "new"),
        ("d", "new"),
    ]
    first = found[0]
    assert (first["before"]["filled"], first["after"]["filled"]) == ("0", "0.5")
    assert (found[1]["before"]["state"], found[1]["after"]["state"]) == ("placed", "canceled")
    assert (found[2]["before"], found[3]["after"]["state"]) == (None, "rejected")
    assert (first["stream"], first["events"], first["first_position"]) == ("order-a", 1, start + 1)


async def test_balances_and_positions_say_before_and_after_to_the_last_digit(server):
    start = await server.told(
        [
            *account("master_account", "paper", "paper_perpetual"),
            balances({"USDT": "1000.10", "BTC": "2"}),
            position("0.5"),
            position("1", pair="ETH-USDT"),
        ]
    )
    await server.told([balances({"USDT": "900.000000000000000001", "BTC": "2", "ETH": "1"}, 5)])
    await server.told([position("0"), position("-3", pair="ETH-USDT")])
    found = await changes(server, start, kinds="balances")
    assert [(one["what"]["token"], one["change"], one["before"], one["after"]) for one in found] == [
        (
            "USDT",
            "changed",
            {"units": "1000.10", "available": "1000.10"},
            {"units": "900.000000000000000001", "available": "900.000000000000000001"},
        ),
        ("ETH", "new", None, {"units": "1", "available": "1"}),
    ]
    found = await changes(server, start, kinds="positions")
    assert [(one["what"]["trading_pair"], one["change"]) for one in found] == [
        ("BTC-USDT", "ended"),
        ("ETH-USDT", "changed"),
    ]
    assert (found[1]["before"]["amount"], found[1]["after"]["amount"]) == ("1", "-3")
    assert found[0]["after"] is None


async def test_bots_and_configs(server):
    start = await server.told([*FLEET[:3], *STRATEGIES])
    await server.told([*FLEET[3:], config("controllers", "grid_btc", {"leverage": 7}), script("watch", None)])
    await server.told([controller("generic", "grid", "a = 4\n"), script("new", "a = 1\n")])
    found = await changes(server, start, kinds="configs,bots")
    assert {(one["kind"], *one["what"].values(), one["change"]) for one in found} == {
        ("bots", "grid", "changed"),
        ("bots", "maker", "new"),
        ("bots", "broken", "new"),
        ("bots", "stranger", "new"),
        ("configs", "controllers/grid_btc", "changed"),
        ("configs", "scripts/watch.py", "ended"),
        ("configs", "scripts/new.py", "new"),
        ("configs", "controllers/generic/grid.py", "changed"),
    }
    (changed,) = [one for one in found if one["what"].get("config") == "controllers/grid_btc"]
    assert (changed["before"], changed["after"]) == ({"content": {"leverage": 6}}, {"content": {"leverage": 7}})


async def test_pages_of_any_size_hold_the_same_changes(server):
    await server.told(account())
    await server.told([*EVERYTHING[1:], *FLEET, *STRATEGIES])
    expected = await changes(server, 1)
    assert {one["kind"] for one in expected} == {"orders", "positions", "balances", "bots", "configs"}
    for limit in (1, 7):
        assert await changes(server, 1, limit=limit) == expected


async def test_what_became_of_it_since_a_moment_and_the_other_way_round_add_up(server):
    ends = [await server.told(part) for part in (EVERYTHING[:12], EVERYTHING[12:], FLEET, STRATEGIES)]
    states: dict[str, Any] = {}
    for start, end in pairwise(ends):
        for one in await changes(server, start, end):
            key = f"{one['kind']} {one['what']}"
            if key in states:
                assert states[key] == one["before"]
            states[key] = one["after"]
    whole = {f"{one['kind']} {one['what']}": one["after"] for one in await changes(server, ends[0], ends[-1])}
    assert whole.items() <= states.items()


async def test_nothing_changes_in_no_time(server):
    end = await server.told(account())
    assert await changes(server, end, end) == []


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 422, "from"),
        ("from=yesterday", 422, "from should be a position in the log, or a time in ISO 8601 with its time zone"),
        ("from=1&to=soon", 422, "to should be a position"),
        ("from=2&to=1", 400, "from '2', position 2, is after to, position 1"),
        ("from=1&to=99", 400, "to '99' is beyond the end of the log, position 2"),
        ("from=0", 400, "from '0' is before the first event, at position 1"),
        ("from=1&kinds=orders,dogs", 400, "kinds 'dogs' is none of orders, positions, balances, bots, configs"),
        ("from=1&cursor=dogs|x", 422, "next_cursor of an earlier answer"),
        ("from=1&limit=501", 422, "500"),
    ],
    ids=["nothing", "no from", "no to", "backwards", "beyond", "before", "kinds", "cursor", "limit"],
)
async def test_what_cannot_be_compared_is_refused(server, query, status, says):
    await server.told([*account("master_account", "paper")])
    answer = await server.client.get(f"/audit/diff?{query}")
    assert answer.status_code == status, answer.text
    assert says in str(answer.json()["detail"])


async def test_two_moments_are_asked_for_and_no_third(server):
    await server.told(account())
    answer = await server.client.get("/audit/diff?from=1", headers={"X-As-Of": "1"})
    detail = "GET /audit/diff takes no X-As-Of: it shows what changed between the moments that are its from and to"
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)
