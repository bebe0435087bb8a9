"""The read routes over views of the test database."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.http.protocol import App
from adapters.settings import Settings
from adapters.tables import Tables
from adapters.yaml import HummingbotYaml
from commands.ports import Log
from domain.connectors import ConfigField, TradingRule
from domain.errors import Invalid, NotFound
from domain.rates import Prices, SourcePrices
from domain.values import OrderType
from projections.past import Past
from projections.pool import Pool
from projections.runner import Progress
from read_api.archives.wire import Kept
from read_api.audit.feed import Following
from read_api.bots.roster import Roster
from read_api.controllers import CONTROLLERS
from read_api.settle import Reads
from tests.fakes.feeds import running_feeds
from tests.http.app import client_of
from tests.projections.conftest import pool, projecting, remembering, template
from tests.projections.given import Told, tell

__all__ = ["pool", "template"]

RULE = TradingRule(
    trading_pair="BTC-USDT",
    min_order_size=Decimal("0.00001"),
    min_price_increment=Decimal("0.01"),
    min_base_amount_increment=Decimal("0.00001"),
    min_notional_size=Decimal(5),
    buy_order_collateral_token="USDT",
    sell_order_collateral_token="USDT",
)


class Market:
    """A connector whose prices stand still."""

    order_types = (OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER)

    def __init__(self, *, perpetual: bool) -> None:
        self.perpetual = perpetual

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        return {"BTC-USDT": RULE, "ETH-USDT": RULE}

    async def prices(self) -> Mapping[str, Decimal]:
        return {"BTC-USDT": Decimal(110)}


class TwoMarkets:
    """A spot and a perpetual connector, both connected to the master account."""

    _markets: Mapping[str, Market] = {"paper": Market(perpetual=False), "paper_perpetual": Market(perpetual=True)}

    def connectors(self) -> Sequence[str]:
        return list(self._markets)

    def exchange(self, connector: str) -> Market:
        if connector not in self._markets:
            raise NotFound(f"Connector '{connector}' not found")
        return self._markets[connector]

    def connected(self, account: str, connector: str) -> Market:
        if account == "unconnected":
            raise Invalid(f"Account '{account}' has no credentials for connector '{connector}'")
        if account != "master_account":
            raise NotFound(f"Account '{account}' not found")
        return self.exchange(connector)

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        self.exchange(connector)
        return {"paper_seed": ConfigField(type="Literal", required=False, allowed_values=["1"])}


class Quotes:
    """A source of rates that says what the test tells it; `waited` are the seconds that each reader would have."""

    def __init__(self) -> None:
        self.said = SourcePrices(prices=Prices({}), problem="it is away")
        self.asked: list[str] = []
        self.waited: list[float] = []

    async def prices(self, source: str, *, wait_seconds: float) -> SourcePrices:
        self.asked.append(source)
        self.waited.append(wait_seconds)
        return self.said


class FewBots:
    """The files of bots, as far as one controller of theirs."""

    async def configs(self, instance: str) -> Mapping[str, str]:
        if instance != "bot1":
            raise NotFound(f"Bot '{instance}' not found")
        return {"grid_btc": "controller_name: grid\nleverage: 5\n", "empty": "{}\n"}


class Server(NamedTuple):
    """The read routes; `story` is told before the answer of the next read."""

    client: httpx.AsyncClient
    log: Log
    progress: Progress
    committed: Committed
    refreshed: list[Any]
    quotes: Quotes
    past: Past
    app: App

    async def told(self, story: Sequence[Told]) -> int:
        """Append a story as this user's own, so that reads wait for it."""
        end = await tell(self.log, story)
        self.committed.note("admin", end)
        return end

    async def ask(self, path: str, body: object = None, status: int = 200) -> Any:
        """Return the answer of a route: a POST with a body, a GET without."""
        answer = await (self.client.get(path) if body is None else self.client.post(path, json=body))
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def server(database_url: str, log: Log) -> AsyncIterator[Server]:
    """Return the read routes with views that are kept up to date."""
    committed, refreshed, quotes = Committed(), [], Quotes()

    async def refresh(accounts: Sequence[str] | None, connectors: Sequence[str] | None) -> int:
        refreshed.append((accounts, connectors))
        return await log.position()

    async with (
        Pool.open(database_url, size=2) as pool,
        projecting(database_url, log) as progress,
        remembering(database_url, log) as past,
    ):
        assert await progress.reached(0, progress.views, 10) == 0

        async def readiness() -> str | None:
            return None

        dependencies = {
            "reads": Reads(pool, progress, committed, past),
            "markets": TwoMarkets(),
            "refresh": refresh,
            "readiness": readiness,
            "rate_sources": quotes,
            "bot_files": FewBots(),
            "yaml": HummingbotYaml(),
            "candles": None,  # their own tests bring a venue that has some
            "bot_line": None,  # theirs bring bots
            "roster": Roster(lambda: datetime.now(UTC), heartbeat_seconds=1e9),  # stories are of long ago
            "containers": None,  # theirs bring an engine
            "long_answers": Kept(),
            "tables": Tables(),
            "sockets": None,  # only a real server has those
            "following": Following(tail=log, stopping=asyncio.Event()),
        }
        async with running_feeds() as feeds:
            app = build(CONTROLLERS, [], {**dependencies, "feeds": feeds}, Settings.from_environment({}))
            async with client_of(app) as client:
                yield Server(client, log, progress, committed, refreshed, quotes, past, app)
