"""The registry of connectors: names, credential fields, and who is connected to what."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.exchanges.names import CONNECTORS, check_credentials
from adapters.exchanges.venues import ConnectedVenues
from commands.ports import AccountMemory, Venues
from domain.errors import Invalid, NotFound, Unavailable
from domain.reports import AccountReport
from tests.fakes.exchange import MemoryExchange
from tests.fakes.vault import MemoryVault

OKX = {"okx_api_key": "k", "okx_secret_key": "s", "okx_passphrase": "p"}


class Working(MemoryExchange):
    """A fake that has something to run, and counts its connections."""

    running = False
    connections = 0

    async def run(self) -> None:
        self.running = True

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        self.connections += 1
        if self.unreachable:
            raise Unavailable(f"{self.name} does not answer")
        turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(turn.set)
        await turn.wait()  # a second connection begins now, if it may
        await super().connect(memory, {})


class Registry:
    def __init__(self) -> None:
        self.vault = MemoryVault()
        self.spawned: list[Coroutine[object, object, None]] = []
        self.made: list[MemoryExchange] = []
        self.venues = ConnectedVenues(
            {name: lambda name=name: self.make(name) for name in ("paper_perpetual", "paper", "okx")},  # type: ignore[misc]
            vault=self.vault,
            memory=self.memory,
            spawn=self.spawned.append,
        )

    def make(self, name: str) -> MemoryExchange:
        kind = MemoryExchange if name == "paper_perpetual" else Working
        exchange = kind(
            name=name,
            perpetual=name == "paper_perpetual",
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            sink=self.sink,
            starting={"USDT": Decimal(1)},
        )
        self.made.append(exchange)
        return exchange

    def sink(self, report: AccountReport) -> asyncio.Future[int]:
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        recorded.set_result(0)
        return recorded

    async def memory(self, account: str, connector: str) -> AccountMemory:
        return AccountMemory(account=account, connector=connector, balances=None)

    async def run_spawned(self) -> None:
        for coroutine in self.spawned:
            await coroutine


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def venues(registry: Registry) -> Venues:
    return registry.venues


async def test_exchanges_are_made_when_they_are_first_used_and_once(registry, venues):
    assert registry.made == []
    assert venues.exchange("paper") is venues.exchange("paper")
    assert [exchange.name for exchange in registry.made] == ["paper"]
    assert venues.connectors() == ["okx", "paper", "paper_perpetual"]
    await registry.run_spawned()
    assert registry.made[0].running


async def test_what_has_nothing_to_run_is_not_run(registry, venues):
    venues.exchange("paper_perpetual")
    assert registry.spawned == []


def test_an_unknown_connector_is_not_found(venues):
    for ask in (venues.exchange, venues.config_map):
        with pytest.raises(NotFound, match="Connector 'nope' not found"):
            ask("nope")


def test_a_connector_that_is_only_known_by_name_cannot_be_traded_on(venues):
    with pytest.raises(Invalid, match=r"Connector 'binance' cannot be traded on .* can: okx, paper, paper_perpetual"):
        venues.exchange("binance")


async def test_trading_needs_an_account_a_connector_and_credentials(registry, venues):
    with pytest.raises(NotFound, match="Account 'main' not found"):
        venues.connected("main", "paper")
    venues.admit("main")
    with pytest.raises(NotFound, match="Connector 'nope' not found"):
        venues.connected("main", "nope")
    with pytest.raises(Invalid, match="Account 'main' has no credentials for connector 'paper'"):
        venues.connected("main", "paper")
    with pytest.raises(Invalid, match="Account 'main' has no credentials for connector 'paper'"):
        await venues.connect("main", "paper")
    await registry.vault.store("main", "paper", {})
    await venues.connect("main", "paper")
    assert venues.connected("main", "paper") is venues.exchange("paper")
    assert venues.accounts() == {"main": frozenset({"paper"})}
    await registry.run_spawned()


async def test_an_account_is_connected_once_with_the_same_credentials_and_again_with_new_ones(registry, venues):
    await registry.vault.store("main", "okx", OKX)
    await asyncio.gather(venues.connect("main", "okx"), venues.connect("main", "okx"))
    (exchange,) = registry.made
    assert exchange.connections == 1
    await registry.vault.store("main", "okx", {**OKX, "okx_passphrase": "new"})
    await venues.connect("main", "okx")
    assert exchange.connections == 2
    await registry.run_spawned()


async def test_a_connection_that_fails_is_not_there_and_can_be_tried_again(registry, venues):
    await registry.vault.store("main", "paper", {})
    venues.exchange("paper").unreachable = True
    with pytest.raises(Unavailable):
        await venues.connect("main", "paper")
    assert venues.accounts() == {"main": frozenset()}
    venues.exchange("paper").unreachable = False
    await venues.connect("main", "paper")
    assert venues.accounts() == {"main": frozenset({"paper"})}
    await registry.run_spawned()


async def test_what_an_account_has_credentials_for_is_unavailable_until_it_is_connected(registry, venues):
    venues.admit("main", ["paper"])
    with pytest.raises(Unavailable, match="Account 'main' is not connected to paper: it is not connected yet"):
        venues.connected("main", "paper")
    with pytest.raises(Invalid, match="has no credentials"):
        await venues.connect("main", "paper")
    with pytest.raises(Invalid, match="has no credentials"):
        venues.connected("main", "paper")
    venues.admit("main", ["paper"])
    await registry.vault.store("main", "paper", {})
    await venues.connect("main", "paper")
    assert venues.connected("main", "paper") is venues.exchange("paper")
    venues.admit("main", ["okx"])
    await venues.disconnect("main")
    venues.admit("main")
    with pytest.raises(Invalid, match="has no credentials"):
        venues.connected("main", "okx")
    await registry.run_spawned()


async def test_an_account_leaves_one_connector_or_all(registry, venues):
    for connector in ("paper", "paper_perpetual"):
        await registry.vault.store("main", connector, {})
        await venues.connect("main", connector)
    await venues.disconnect("main", "paper")
    await venues.disconnect("main", "paper")
    assert venues.accounts() == {"main": frozenset({"paper_perpetual"})}
    await venues.disconnect("main")
    assert venues.accounts() == {}
    await venues.disconnect("nobody")
    await registry.run_spawned()


async def test_an_account_that_is_known_stays_as_it_is(registry, venues):
    await registry.vault.store("main", "paper_perpetual", {})
    await venues.connect("main", "paper_perpetual")
    venues.admit("main")
    assert venues.accounts() == {"main": frozenset({"paper_perpetual"})}


def test_config_maps_are_those_of_the_connectors(venues):
    assert venues.config_map("paper") == {}
    assert list(venues.config_map("hyperliquid_perpetual")) == [
        "hyperliquid_perpetual_mode",
        "use_vault",
        "hyperliquid_perpetual_address",
        "hyperliquid_perpetual_secret_key",
    ]
    for connector in CONNECTORS.values():
        assert connector.perpetual == ("_perpetual" in connector.name)


@pytest.mark.parametrize(
    ("connector", "credentials", "message"),
    [
        ("nope", {}, "Connector 'nope' not found"),
        ("paper", {"a": 1}, "Connector 'paper' has no credential field 'a'. Its fields: none"),
        ("okx", {"wrong_field": "x"}, "Connector 'okx' has no credential field 'wrong_field'. Its fields: okx_api_key"),
        ("okx", {"okx_api_key": "k"}, "Credential field 'okx_secret_key' of connector 'okx' is missing"),
        ("okx", {**OKX, "okx_api_key": 5}, "field 'okx_api_key' of connector 'okx' must be a text that is not empty"),
        ("okx", {**OKX, "okx_api_key": ""}, "field 'okx_api_key' of connector 'okx' must be a text that is not empty"),
        ("okx", {**OKX, "okx_registration_sub_domain": "eu"}, "'okx_registration_sub_domain' .* one of www, app, my"),
        (
            "coinbase_advanced_trade",
            {"use_auth_for_public_endpoints": "yes"},
            "field 'use_auth_for_public_endpoints' .* must be true or false",
        ),
    ],
)
def test_wrong_credentials_are_refused_by_the_name_of_the_field(venues, connector, credentials, message):
    with pytest.raises(Invalid, match=message):
        venues.check_credentials(connector, credentials)


@pytest.mark.parametrize(
    ("connector", "credentials"),
    [
        ("paper", {}),
        ("okx", OKX),
        ("okx", {**OKX, "okx_registration_sub_domain": "my"}),
        (
            "coinbase_advanced_trade",
            {
                "use_auth_for_public_endpoints": True,
                "coinbase_advanced_trade_api_key": "k",
                "coinbase_advanced_trade_api_secret": "s",
            },
        ),
    ],
)
def test_right_credentials_are_taken(connector, credentials):
    check_credentials(connector, credentials)


def test_a_secret_never_stands_in_a_message():
    with pytest.raises(Invalid) as refused:
        check_credentials("okx", json.loads('{"okx_api_key": {"s3cret": 1}}'))
    assert "s3cret" not in refused.value.message
