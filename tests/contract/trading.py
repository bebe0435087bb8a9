"""One day of trading: orders of every kind, on spot and perpetual, by two accounts."""

from typing import Any, NamedTuple

import httpx

from tests.contract.serving import until

Json = dict[str, Any]
SECOND = "acc2"


class Traded(NamedTuple):
    """The orders by what became of them."""

    filled: str
    open: str
    canceled: str
    rejected: str
    position: str


def order(**change: object) -> Json:
    """Return a small order at the market, changed as asked."""
    return {
        "account_name": "master_account",
        "connector_name": "paper",
        "trading_pair": "BTC-USDT",
        "trade_type": "BUY",
        "amount": 0.01,
        "order_type": "MARKET",
        "position_action": "OPEN",
        **change,
    }


def place(client: httpx.Client, **change: object) -> str:
    """Place an order and return its id, when the venue has said its word."""
    answer = client.post("/trading/orders", json=order(**change), headers={"Prefer": "wait=20"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["order_id"])


def found(client: httpx.Client, order_id: str) -> Json:
    """Return an order as `orders/search` shows it, `{}` if it does not."""
    cursor = None
    while True:
        page = client.post("/trading/orders/search", json={"limit": 1000, "cursor": cursor}).json()
        for item in page["data"]:
            if item["order_id"] == order_id:
                return dict(item)
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            return {}


def settled(client: httpx.Client, order_id: str, status: str) -> Json:
    """Return an order when it has that status."""

    def seen() -> Json | None:
        item = found(client, order_id)
        return item if item.get("status") == status else None

    return until(seen)


def trade(client: httpx.Client) -> Traded:
    """Trade, and return when everything has its outcome."""
    client.post("/accounts/add-account", params={"account_name": SECOND}).raise_for_status()
    client.post(f"/accounts/add-credential/{SECOND}/paper", json={}).raise_for_status()
    far_below = {"order_type": "LIMIT", "price": 20_000}
    traded = Traded(
        filled=place(client),
        open=place(client, **far_below),
        canceled=place(client, **far_below),
        rejected=place(client, amount=100_000, **far_below),
        position=place(client, connector_name="paper_perpetual", amount=0.05),
    )
    client.post(f"/trading/master_account/paper/orders/{traded.canceled}/cancel").raise_for_status()
    place(client, account_name=SECOND, trading_pair="ETH-USDT", amount=1)
    for order_id, status in (
        (traded.filled, "FILLED"),
        (traded.open, "OPEN"),
        (traded.canceled, "CANCELLED"),
        (traded.rejected, "FAILED"),
        (traded.position, "FILLED"),
    ):
        settled(client, order_id, status)
    client.post("/portfolio/state", json={"refresh": True}).raise_for_status()
    return traded
