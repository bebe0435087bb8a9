"""What anybody may ask of the test venues: their public sides, closed with the block."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from adapters.exchanges.names import Connector
from adapters.market_data.ccxt_source import CcxtSource
from adapters.market_data.public_clients import PublicClients, opener
from adapters.market_data.sources import USUAL, Patience


@asynccontextmanager
async def public_clients(urls: Mapping[str, Mapping[str, object]]) -> AsyncIterator[PublicClients]:
    """Give the public sides of connectors whose venues answer at other addresses."""
    clients = PublicClients(opener(urls))
    try:
        yield clients
    finally:
        await clients.close()


def sources_of(clients: PublicClients, patience: Patience = USUAL) -> Callable[[Connector], CcxtSource]:
    """Return what makes the source of a connector's market."""

    def source(connector: Connector) -> CcxtSource:
        return CcxtSource(connector, clients.of(connector), clock=lambda: datetime.now(UTC), patience=patience)

    return source
