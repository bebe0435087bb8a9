"""Compare what a server answers with its log, and its log with what must be true."""

import httpx
import psycopg

from tests.contract.serving import Nectar, until
from tests.faults.ledger import Ledger
from tests.faults.load import ACCOUNTS, Traders

CONNECTORS = ("paper", "paper_perpetual")


def database_of(server: Nectar) -> str:
    """Return the URL of the database that a server runs on now."""
    return server.environment.get("DATABASE_URL") or (server.data / "database.url").read_text()


def prepare(server: Nectar) -> None:
    """Add the account that the traders use besides the one that is there, and let that one trade with leverage."""
    with server.client() as client:
        client.post("/accounts/add-account", params={"account_name": ACCOUNTS[1]}).raise_for_status()
        for connector in CONNECTORS:
            client.post(f"/accounts/add-credential/{ACCOUNTS[1]}/{connector}", json={}).raise_for_status()
        leverage = {"trading_pair": "BTC-USDT", "leverage": 3}
        client.post(f"/trading/{ACCOUNTS[0]}/paper_perpetual/leverage", json=leverage).raise_for_status()


def settle(server: Nectar) -> None:
    """Wait until every order has an outcome, and every cancel an answer."""
    until(lambda: _is_settled(server), 40)


def _is_settled(server: Nectar) -> bool:
    with psycopg.connect(database_of(server)) as connection:
        waiting = connection.execute(
            "select from read.checkpoints where position < (select max(position) from log.events) union all"
            " select from read.orders where state in ('placed', 'unknown')"
            " or state = 'accepted' and cancel_requested_at is not null"
        ).fetchall()
    return not waiting


def check_books(server: Nectar, traders: Traders) -> Ledger:
    """Check that log, venue and views say the same, and that it is right; every order has its outcome already."""
    with server.client() as client:
        # The venue's own word, recorded whether it is news or not.
        state = client.post("/portfolio/state", json={"refresh": True})
        assert state.status_code == 200, state.text
        ledger = Ledger(database_of(server))
        ledger.check_streams()
        ledger.check_orders(traders.asked)
        assert ledger.unanswered == []
        assert _open_orders(client) == ledger.open
        for account in ACCOUNTS:
            for connector in CONNECTORS:
                ledger.check_balances((account, connector))
                shown = {item["token"]: item for item in state.json()[account][connector]}
                for balance in ledger.balances((account, connector)):
                    assert shown[balance.token]["units"] == float(balance.units)
                    assert shown[balance.token]["available_units"] == float(balance.available)
    return ledger


def _open_orders(client: httpx.Client) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = client.post("/trading/orders/active", json={"limit": 1000, "cursor": cursor}).json()
        found.update(item["order_id"] for item in page["data"])
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            return found
