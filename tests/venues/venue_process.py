"""A test venue in a process of its own: it outlives the server that trades there, and is steered by its back door."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from domain.portfolio import Holding
from domain.positions import FundingPaid, PositionObserved
from tests.contract.serving import until
from tests.venues.floor import Keys
from tests.venues.ledger import Market, Order, Trade
from tests.venues.levers import Pull

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 30


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """All that the venue knows, as its back door tells it. `received` counts client ids, `pulled` levers."""

    orders: Sequence[Order]
    trades: Sequence[Trade]
    received: Mapping[str, int]
    pulled: Mapping[str, int]
    holdings: Mapping[str, Mapping[Market, Sequence[Holding]]]
    positions: Mapping[str, Sequence[PositionObserved]]
    funding: Mapping[str, Sequence[tuple[int, FundingPaid]]]


class VenueProcess:
    """`python -m tests.venues` in a folder. Prices stand until they are moved. Start and stop it as a block."""

    def __init__(self, folder: Path, *, accounts: Sequence[str], seed: int = 1) -> None:
        """Prepare; nothing runs yet."""
        self.urls = folder / "venue_urls.json"
        self.keys: dict[str, Keys] = {}
        self._folder = folder
        self._arguments = ["--seed", str(seed), "--accounts", ",".join(accounts), "--fixed"]
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        printed = self._folder / "venue.out"
        with printed.open("wb") as output, (self._folder / "venue.log").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.venues", "--urls", str(self.urls), *self._arguments],
                cwd=_ROOT,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        said = json.loads(until(lambda: self._said(printed), _START_SECONDS))
        self.keys = {keys.account: keys for keys in msgspec.convert(said["keys"], list[Keys])}
        self._client = httpx.Client(base_url=f"http://{said['listening']}", timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._client is not None:
            self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def pull(self, pull: Pull, *, times: int = 1, probability: float | None = None) -> None:
        """Pull a lever for the next so many occasions, or give it a chance at each."""
        self._post("levers", pull=pull, times=times, probability=probability)

    def skew(self, seconds: float) -> None:
        """Let the venue's clock be ahead by so much."""
        self._post("levers", skew_seconds=seconds)

    def release(self) -> None:
        """Pull no lever any more."""
        self._post("levers", release=True)

    def move(self, trading_pair: str, price: Decimal, *, market: Market | None = None) -> None:
        """Move a pair's market to a price."""
        self._post("move", trading_pair=trading_pair, price=price, market=market)

    def place(self, **order: Any) -> httpx.Response:
        """Place an order as somebody else who has the account's keys; the venue may refuse it."""
        return self._ask("orders", order)

    def pay_funding(self) -> None:
        """Have a funding time now."""
        self._post("funding")

    def delist(self, trading_pair: str) -> None:
        """Trade a pair no more."""
        self._post("delist", trading_pair=trading_pair)

    def revoke(self, account: str) -> None:
        """Let an account's keys open nothing any more."""
        self._post("keys", account=account, revoke=True)

    def books(self) -> Books:
        """Return all that the venue knows."""
        assert self._client is not None
        return msgspec.json.decode(self._client.get("/-/ledger").raise_for_status().content, type=Books)

    def _said(self, printed: Path) -> str:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "venue.log").read_text()
        line, end, _ = printed.read_text().partition("\n")
        return line if end else ""

    def _post(self, path: str, **body: object) -> None:
        self._ask(path, body).raise_for_status()

    def _ask(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        assert self._client is not None
        return self._client.post(f"/-/{path}", content=msgspec.json.encode(body))
