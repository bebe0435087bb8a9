"""What differs between venues in placing, finding and canceling an order: one table of exceptions over one default."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adapters.exchanges.clients import VenueClient
from adapters.exchanges.markets import Markets
from domain.orders import OrderPlaced
from domain.values import PositionMode

Arguments = tuple[str, str, str, str, str | None, dict[str, object]]
"""Symbol, type, side, amount, price and params of ccxt's `create_order`."""


class Dialect:
    """How one connector speaks of orders."""

    def venue_id(self, client_order_id: str) -> str:
        """Return a client order id of ours as the venue takes it."""
        raise NotImplementedError

    def our_id(self, venue_client_id: str) -> str | None:
        """Return our client order id, None for one that cannot be ours."""
        raise NotImplementedError

    def arguments(
        self, order: OrderPlaced, *, markets: Markets, mode: PositionMode, price_hint: Decimal | None
    ) -> Arguments:
        """Return the arguments of ccxt's `create_order`. Raises `Invalid` where a price is needed and unknown."""
        raise NotImplementedError

    async def find(
        self, client: VenueClient, markets: Markets, order: OrderPlaced, exchange_order_id: str | None
    ) -> Mapping[str, Any] | None:
        """Return the order as ccxt reads it, None when the venue positively does not know it."""
        raise NotImplementedError

    async def cancel(
        self,
        client: VenueClient,
        markets: Markets,
        trading_pair: str,
        client_order_id: str,
        exchange_order_id: str | None,
    ) -> Mapping[str, Any] | None:
        """Cancel by the venue's id or ours; return the venue's answer as a ccxt order where it has one."""
        raise NotImplementedError


def dialect(name: str) -> Dialect:
    """Return a connector's dialect."""
    raise NotImplementedError(name)
