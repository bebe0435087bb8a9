"""The connectors of this server: each made when it is first used, and which account is connected to which."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from adapters.exchanges import names
from commands.ports import AccountMemory, Exchange, Spawn, Vault
from domain.connectors import ConfigField
from domain.errors import DomainError, Invalid, NotFound, Unavailable

Memory = Callable[[str, str], Awaitable[AccountMemory]]
"""Account and connector → what the log knows."""


@runtime_checkable
class Running(Protocol):
    """An exchange that has work of its own to do for as long as the server runs."""

    async def run(self) -> None:
        """Work until canceled."""
        ...


class ConnectedVenues:
    """Implements `commands.ports.Venues`. What an exchange has to run is spawned when the exchange is made."""

    def __init__(
        self, factories: Mapping[str, Callable[[], Exchange]], *, vault: Vault, memory: Memory, spawn: Spawn
    ) -> None:
        """Begin with no exchange made and no account known; `factories` by connector name."""
        self._factories = factories
        self._vault = vault
        self._memory = memory
        self._spawn = spawn
        self._made: dict[str, Exchange] = {}
        self._accounts: dict[str, dict[str, bytes]] = {}  # account → connector → digest of its credentials
        self._refused: dict[tuple[str, str], DomainError] = {}  # why an account is not connected, though it has keys
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    def admit(self, account: str, connectors: Iterable[str] = ()) -> None:
        """Know an account, and that it has credentials for connectors."""
        connected = self._accounts.setdefault(account, {})
        for name in connectors:
            if name not in connected:
                self._refused.setdefault((account, name), Unavailable("it is not connected yet"))

    def accounts(self) -> Mapping[str, frozenset[str]]:
        """Return account → connectors connected now."""
        return {account: frozenset(connected) for account, connected in self._accounts.items()}

    def connectors(self) -> Sequence[str]:
        """Return the names of the connectors that can be traded on, in alphabetical order.

        Each real one can also be traded on paper, under its name and `_paper_trade`; clients do not expect those here.
        """
        return sorted(name for name in self._factories if name in names.CONNECTORS)

    def exchange(self, connector: str) -> Exchange:
        """Return a connector. Raises `NotFound`, or `Invalid` for one that this server cannot trade on."""
        made = self._made.get(connector)
        if made is not None:
            return made
        names.connector(connector)
        factory = self._factories.get(connector)
        if factory is None:
            raise Invalid(
                f"Connector '{connector}' cannot be traded on by this server."
                f" Connectors that can: {', '.join(self.connectors())}"
            )
        made = self._made[connector] = factory()
        if isinstance(made, Running):
            self._spawn(made.run())
        return made

    def connected(self, account: str, connector: str) -> Exchange:
        """Return a connector for trading with an account. Raises `NotFound`, `Invalid` or `Unavailable`."""
        connected = self._accounts.get(account)
        if connected is None:
            raise NotFound(f"Account '{account}' not found")
        if connector in connected:
            return self._made[connector]
        exchange = self.exchange(connector)
        refused = self._refused.get((account, connector))
        if refused is not None:
            why = f"Account '{account}' is not connected to {connector}: {refused.message}"
            raise (Unavailable if isinstance(refused, Unavailable) else Invalid)(why)
        raise Invalid(
            f"Account '{account}' has no credentials for connector '{exchange.name}'."
            f" Add them with POST /accounts/add-credential/{account}/{exchange.name}"
        )

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        """Return the fields of a connector's credentials. Raises `NotFound`."""
        return names.connector(connector).fields

    def check_credentials(self, connector: str, credentials: Mapping[str, object]) -> None:
        """Raise `Invalid` for an unknown connector or a field that is unknown, missing or wrong."""
        names.check_credentials(connector, credentials)

    async def verify(self, connector: str, credentials: Mapping[str, object]) -> None:
        """Ask the venue whether it takes credentials. Raises `Invalid` in its words, `Unavailable`."""
        await self.exchange(connector).verify(credentials)

    async def connect(self, account: str, connector: str) -> None:
        """Connect an account; its other connectors need not wait for this one.

        Raises `Invalid` for credentials that are wrong or not in the vault, and what the exchange raises.
        """
        self.admit(account)
        async with self._turn(account, connector):
            exchange = self.exchange(connector)
            try:
                credentials = await self._vault.read(account, connector)
            except DomainError as reason:
                self._refused[account, connector] = reason
                raise
            if credentials is None:
                self._refused.pop((account, connector), None)
                raise Invalid(f"Account '{account}' has no credentials for connector '{connector}'")
            connected = self._accounts.get(account, {})
            digest = hashlib.sha256(msgspec.json.encode(credentials, order="deterministic")).digest()
            if connected.get(connector) == digest:
                return
            if connector in connected:
                del connected[connector]
                await exchange.disconnect(account)
            self._refused[account, connector] = Unavailable("it is being connected")
            try:
                await exchange.connect(await self._memory(account, connector), credentials)
            except DomainError as reason:
                self._refused[account, connector] = reason
                raise
            except BaseException:
                self._refused[account, connector] = Unavailable("connecting it did not end")
                raise
            self._refused.pop((account, connector), None)
            self._accounts.setdefault(account, {})[connector] = digest

    async def disconnect(self, account: str, connector: str | None = None) -> None:
        """Disconnect an account from a connector, or from all and forget the account."""
        known = {name for owner, name in (*self._turns, *self._refused) if owner == account}
        for name in [connector] if connector is not None else sorted(known):
            async with self._turn(account, name):
                self._refused.pop((account, name), None)
                if self._accounts.get(account, {}).pop(name, None) is not None:
                    await self._made[name].disconnect(account)
        if connector is None:
            self._accounts.pop(account, None)

    def _turn(self, account: str, connector: str) -> asyncio.Lock:
        return self._turns.setdefault((account, connector), asyncio.Lock())
