"""What all accounts of one connector share: its markets, its ways, its last prices, and where facts are told."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from adapters.exchanges.dialects import Dialect, dialect
from adapters.exchanges.markets import Markets
from adapters.exchanges.names import Connector
from adapters.exchanges.readings import reading
from adapters.exchanges.standing import Raw
from commands.ports import Clock, Sink
from domain.orders import OrderPlaced


class Venue:
    """One venue. `markets` are there once they are loaded; `prices` are the last mids, quote per base, by pair."""

    markets: Markets

    def __init__(self, connector: Connector, *, sink: Sink, clock: Clock) -> None:
        """Begin with no markets and no prices."""
        self.connector = connector
        self.dialect: Dialect = dialect(connector.name)
        self.reading = reading(connector.exchange_id)
        self.sink = sink
        self.clock = clock
        self.prices: Mapping[str, Decimal] = {}

    def recall(self, orders: Iterable[OrderPlaced]) -> None:
        """Know again under which ids the venue may have orders, where those cannot be read back."""
        for order in orders:
            self.dialect.venue_id(order.client_order_id)

    def pair(self, symbol: str) -> str | None:
        """Return the pair of ccxt's symbol, None for one that is not traded here."""
        return self.markets.pair(symbol)

    def contract_size(self, pair: str) -> Decimal:
        """Return the base in one contract, 1 on spot."""
        return self.markets.contract_size(pair)

    def our_id(self, raw: Raw) -> str | None:
        """Return our client order id of an order, None when the venue's cannot be one of ours."""
        return self.dialect.our_id(self.reading.client_order_id(raw))

    def is_canceled_by_venue(self, raw: Raw) -> bool:
        """Whether the venue itself ended an order that it calls canceled."""
        return self.reading.is_canceled_by_venue(raw)
