"""One ccxt exchange object made safe: errors translated, deadlines kept, back-off obeyed, numbers exact."""

from collections.abc import Mapping
from typing import Any

from adapters.exchanges.names import Connector
from domain.errors import Invalid, Unavailable


class NotSent(Unavailable):
    """Say that nothing left this process."""


class Refused(Invalid):
    """Say no in the venue's own words."""


class NotKnown(Refused):
    """Say that the venue positively does not know the order."""


class WrongKeys(Refused):
    """Say that the venue does not accept the credentials."""


class Repeated(Refused):
    """Say that the venue has seen this client order id before."""


class VenueClient:
    """One account on one venue, or its public side where there are no credentials."""

    def __init__(
        self, connector: Connector, *, credentials: Mapping[str, object] | None = None, urls: Mapping[str, object] = {}
    ) -> None:
        """Make the exchange object; nothing is sent. `urls` is merged over ccxt's own."""
        self.connector = connector

    def share(self, other: "VenueClient") -> None:
        """Use the markets of another client of the same connector, which has loaded them."""
        raise NotImplementedError

    def has(self, capability: str) -> bool:
        """Whether ccxt offers something on this exchange (`watchOrders`, `fetchMyTrades`)."""
        raise NotImplementedError

    async def call(self, method: str, *args: object, deadline: float | None = None, **options: object) -> Any:  # noqa: ANN401
        """Call a REST method by ccxt's snake_case name; nothing leaves after `deadline` (`time.monotonic()`)."""
        raise NotImplementedError

    async def watch(self, method: str, *args: object, **options: object) -> Any:  # noqa: ANN401
        """Wait for the next answer of a `watch_*` method. Raises `Unavailable` or `Refused`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError
