"""What the read routes ask of the outside. The composition root fills these."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol, runtime_checkable

from domain.connectors import ConfigField, TradingRule
from domain.values import OrderType


class Market(Protocol):
    """One connector, as far as it can be asked without an account."""

    @property
    def perpetual(self) -> bool:
        """Whether it trades perpetuals."""
        ...

    @property
    def order_types(self) -> Sequence[OrderType]:
        """The types of order it takes."""
        ...

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair. Raises `Unavailable`."""
        ...

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the last known mid price of every pair that is followed, quote per base. Never asks the venue."""
        ...


@runtime_checkable
class Markets(Protocol):
    """The connectors of this server."""

    def connectors(self) -> Sequence[str]:
        """Return the names of all connectors that can be traded on."""
        ...

    def exchange(self, connector: str) -> Market:
        """Return a connector. Raises `NotFound`, or `Invalid` for one that this server cannot trade on."""
        ...

    def connected(self, account: str, connector: str) -> Market:
        """Return a connector that an account is connected to. Raises `NotFound` or `Invalid`."""
        ...

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        """Return the fields of a connector's credentials. Raises `NotFound`."""
        ...


@runtime_checkable
class Refresh(Protocol):
    """Has balances recorded as they are now, by the part that writes."""

    async def __call__(self, accounts: Sequence[str] | None, connectors: Sequence[str] | None, /) -> int:
        """Have the balances of all accounts and connectors recorded, or of those named.

        Returns the position in the log behind which they stand. Raises `Unavailable`.
        """
        ...


@runtime_checkable
class Readiness(Protocol):
    """Knows whether this server can do its work."""

    async def __call__(self) -> str | None:
        """Return what is still waited for, None when commands and queries work."""
        ...
