"""What a venue takes of every trade, in the quote token."""

from decimal import Decimal

import msgspec

from domain.values import ONE


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the notional; a negative `maker` is a rebate."""

    maker: Decimal
    taker: Decimal

    @property
    def highest(self) -> Decimal:
        """The most that a resting order can be charged."""
        return max(self.maker, self.taker)

    @property
    def taken(self) -> Decimal:
        """What a buyer that takes pays, as a multiple of the notional."""
        return ONE + self.taker

    @property
    def reserved(self) -> Decimal:
        """What is locked for a resting buy, as a multiple of the notional."""
        return ONE + self.highest
