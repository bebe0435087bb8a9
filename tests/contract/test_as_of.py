"""A real server's answers, recorded while it trades, are its answers about that time later, killed or not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from tests.contract.serving import Nectar, until
from tests.contract.trading import SECOND, order, place, trade

FAR = {"order_type": "LIMIT", "price": 20_000}
ASKED: list[tuple[str, dict[str, Any] | None]] = [
    ("/accounts/", None),
    (f"/accounts/{SECOND}/credentials", None),
    ("/trading/orders/search", {}),
    ("/trading/orders/active", {}),
    ("/trading/trades", {}),
    ("/trading/positions", {}),
    ("/portfolio/state", {}),
    ("/portfolio/history", {}),
    ("/analytics/performance", None),
    ("/audit/events", None),
]


class Seen(NamedTuple):
    """What was answered while the log stood at a position, and when that was recorded."""

    position: int
    recorded_at: str
    answers: list[Any]


def asked(client: httpx.Client, as_of: str | None = None) -> list[Any]:
    """Return status and body of each question."""
    headers = {} if as_of is None else {"X-As-Of": as_of}
    found = []
    for path, body in ASKED:
        answer = client.request("GET" if body is None else "POST", path, json=body, headers=headers)
        told = answer.json()
        if path == "/trading/positions":
            for one in told["data"]:
                del one["unrealized_pnl"]  # it moves with the market now, and then it did not
        found.append((answer.status_code, told))
    return found


def seen(client: httpx.Client) -> Seen:
    """Return the answers of a time in which nothing was recorded."""

    def last() -> tuple[int, str]:
        event = client.get("/audit/events", params={"limit": 1}).json()["data"][0]
        return event["position"], event["recorded_at"]

    def still() -> Seen | None:
        before, found, after = last(), asked(client), last()
        return Seen(*before, found) if before == after else None

    return until(still)


def test_what_was_answered_then_is_answered_about_then(servers: Callable[..., Nectar]):
    server = servers(PAPER_SEED="7")
    recorded: list[Seen] = []
    with server.client() as client:
        recorded.append(seen(client))
        trade(client)
        recorded.append(seen(client))
        resting = place(client, **FAR)
        recorded.append(seen(client))
        client.post(f"/trading/master_account/paper/orders/{resting}/cancel").raise_for_status()
        place(client, account_name=SECOND, trading_pair="ETH-USDT", amount=0.5)
        recorded.append(seen(client))
        client.post(f"/accounts/delete-credential/{SECOND}/paper").raise_for_status()
        recorded.append(seen(client))
        for then in recorded:
            assert asked(client, str(then.position)) == then.answers
        end = client.get("/audit/events", params={"limit": 1}).json()["data"][0]["position"]
        refused = client.post("/trading/orders", json=order(), headers={"X-As-Of": str(end)})
        assert (refused.status_code, "changes what is" in refused.json()["detail"]) == (400, True)
    server.kill()
    server.start()
    with server.client() as client:
        for then in recorded:
            assert asked(client, then.recorded_at) == then.answers
        found = client.get("/audit/diff", params={"from": recorded[1].position, "to": recorded[2].position}).json()
        assert [one["what"]["order_id"] for one in found["data"] if one["change"] == "new"] == [resting]
