"""An order as the venue has it."""

from decimal import Decimal

import msgspec

from domain.orders import OrderPlaced
from domain.values import OrderType, PositionAction, Side, Utc


class Working(msgspec.Struct, kw_only=True, eq=False):
    """An order that is being matched or rests in a book. `remaining` in base is what may still trade.

    `number` is its exchange order id and its place in time: of two orders the smaller number came first. An order of
    the venue's own (a liquidation) has the id under which we keep orders that we did not place. `rested_at` is when it
    went into the book of this run.
    """

    number: int
    client_order_id: str
    account: str
    trading_pair: str
    base: str
    quote: str
    side: Side
    order_type: OrderType
    action: PositionAction
    price: Decimal | None
    remaining: Decimal
    rested_at: Utc | None = None

    @property
    def resting(self) -> bool:
        """Whether it is in a book."""
        return self.rested_at is not None

    @property
    def limit(self) -> Decimal:
        """The price of an order that has one."""
        if self.price is None:
            raise ValueError(f"order '{self.client_order_id}' has no price")
        return self.price

    @property
    def exchange_order_id(self) -> str:
        """The number as the venue tells it."""
        return str(self.number)


def worked(placed: OrderPlaced, *, number: int, base: str, quote: str, filled: Decimal) -> Working:
    """Return a placed order as the venue works it."""
    return Working(
        number=number,
        client_order_id=placed.client_order_id,
        account=placed.account,
        trading_pair=placed.trading_pair,
        base=base,
        quote=quote,
        side=placed.side,
        order_type=placed.order_type,
        action=placed.position_action,
        price=placed.price,
        remaining=placed.amount - filled,
    )
