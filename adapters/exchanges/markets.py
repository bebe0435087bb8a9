"""The markets of a venue: trading pairs and ccxt's symbols, trading rules, sizes of contracts."""

from collections.abc import Mapping
from decimal import Decimal

from adapters.exchanges.clients import VenueClient
from adapters.exchanges.names import Connector
from domain.connectors import TradingRule


class Markets:
    """The pairs of one connector."""

    rules: Mapping[str, TradingRule]

    def symbol(self, trading_pair: str) -> str:
        """Return ccxt's symbol of a pair. Raises `Invalid` for a pair that the connector does not have."""
        raise NotImplementedError

    def pair(self, symbol: str) -> str | None:
        """Return the pair of ccxt's symbol, None for a market that is not traded here."""
        raise NotImplementedError

    def contract_size(self, trading_pair: str) -> Decimal:
        """Return how much base one contract is; 1 on spot. Raises `Invalid` as `symbol`."""
        raise NotImplementedError


async def load(client: VenueClient, connector: Connector) -> Markets:
    """Ask the venue for its markets. Raises `Unavailable` or `Refused`."""
    raise NotImplementedError
