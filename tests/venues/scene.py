"""A venue, a database and servers that trade there with two accounts, for a test of what may go wrong."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import httpx

from tests.contract.serving import Nectar, until
from tests.faults.ledger import Ledger
from tests.venues.traders import ACCOUNTS, PLACES, Traders
from tests.venues.truth import differences
from tests.venues.venue_process import VenueProcess

Place = tuple[str, str]
"""One of our accounts, and a connector."""


class Scene:
    """All that takes part."""

    def __init__(self, folder: Path, venue: VenueProcess, database_url: str) -> None:
        """Prepare; nothing is started."""
        self.folder = folder
        self.venue = venue
        self.database_url = database_url
        self.places: Sequence[Place] = PLACES
        self.nectar = self.server("nectar")

    def server(self, name: str) -> Nectar:
        """Return one more server on the same database, not started."""
        return Nectar(
            self.folder / name,
            {
                "DATABASE_URL": self.database_url,
                "VENUE_URLS": str(self.venue.urls),
                "BROKER_HOST": "127.0.0.1",
                "LOG_LEVEL": "info",
                "RECONCILE_INTERVAL": "1",
            },
        )

    def credentials(self, account: str, connector: str) -> Mapping[str, str]:
        """Return the credentials of one of our accounts, as the connector names them."""
        keys = self.venue.keys[ACCOUNTS[account]]
        return {f"{connector}_api_key": keys.api_key, f"{connector}_api_secret": keys.secret}

    def open_accounts(self, places: Sequence[Place] = PLACES) -> None:
        """Start the server, and give it the accounts' keys."""
        self.nectar.start()
        self.places = places
        with self.nectar.client() as client, ThreadPoolExecutor() as threads:
            client.post("/accounts/add-account", params={"account_name": "second"}).raise_for_status()
            list(threads.map(lambda place: self._open(client, *place), places))

    def _open(self, client: httpx.Client, account: str, connector: str) -> None:
        credentials = self.credentials(account, connector)
        answer = client.post(f"/accounts/add-credential/{account}/{connector}", json=credentials)
        assert answer.is_success, answer.text
        if connector == "binance_perpetual":
            leverage = {"trading_pair": "BTC-USDT", "leverage": 5}
            client.post(f"/trading/{account}/{connector}/leverage", json=leverage).raise_for_status()

    def connected(self, server: Nectar | None = None) -> None:
        """Wait until the accounts are connected again, after a start."""
        lines = [f'"account":"{a}","connector":"{name}","event":"account_connected"' for a, name in self.places]
        printed = (server or self.nectar).output

        def all_are() -> bool:
            since = printed().rpartition('"event":"migrated"')[2]
            return all(line in since for line in lines)

        until(all_are, 45)

    def log(self) -> Ledger:
        """Return the whole log."""
        return Ledger(self.database_url)

    def refresh(self, server: Nectar | None = None) -> None:
        """Have balances and positions recorded as the venue has them now."""
        with (server or self.nectar).client() as client:
            answer = client.post("/portfolio/state", json={"refresh": True})
            assert answer.status_code == 200, answer.text

    def differences(self, traders: Traders | None = None) -> list[str]:
        """Return what the log and the venue do not agree on."""
        asked = traders.asked if traders is not None else None
        return differences(self.log(), self.venue.books(), asked, self.places)

    def agree(self, traders: Traders | None = None, server: Nectar | None = None, *, seconds: float = 30) -> None:
        """Wait until log and venue say the same."""
        found: list[str] = []

        def none_left() -> bool:
            self.refresh(server)
            found[:] = self.differences(traders)
            return not found

        try:
            until(none_left, seconds)
        except AssertionError as late:
            raise AssertionError("\n".join(found)) from late

    def move(self, trading_pair: str, price: str) -> None:
        """Move a pair to a price on both markets."""
        self.venue.move(trading_pair, Decimal(price))


def stands_by(server: Nectar) -> bool:
    """Return whether a server says that it waits for its turn."""
    try:
        answer = httpx.get(f"{server.url}/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 503 and "Standing by" in answer.json()["detail"]
