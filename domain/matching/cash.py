"""What an account owns on a spot venue.

A resting buy locks what it can cost at most, its fee included; a resting sell locks what it sells. Everything is exact,
so what is locked follows from the open orders alone.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from domain.matching.fees import Fees
from domain.matching.working import Working
from domain.portfolio import Holding
from domain.values import ZERO, Side, plain


class Cash:
    """The tokens of one account and how much of each its orders hold."""

    def __init__(self, units: Mapping[str, Decimal], fees: Fees) -> None:
        """Begin with units of tokens, none of them locked."""
        self.units = dict(units)
        self.locked: dict[str, Decimal] = {}
        self._fees = fees
        self._holdings: dict[str, Holding] = {}
        self._changed = dict.fromkeys(units)  # in order, so that a holding keeps its place

    def refusal(self, order: Working, trades: Sequence[tuple[Decimal, Decimal]], rest: Decimal) -> str | None:
        """Say why the account cannot have this order, None if it can.

        `trades` are the (price, amount) that it would do at once, `rest` the base that would rest in the book.
        """
        if order.side is Side.SELL:
            token, needed = order.base, order.remaining
        else:
            token = order.quote
            needed = sum((price * amount for price, amount in trades), ZERO) * self._fees.taken
            if rest:
                needed += rest * order.limit * self._fees.reserved
        available = self._available(token)
        if needed <= available:
            return None
        return (
            f"Insufficient {token} balance: {order.side} {plain(order.remaining):f} {order.trading_pair} needs"
            f" {plain(needed):f}, available {plain(available):f}"
        )

    def room(self, order: Working) -> Decimal:
        """Return how much base an order may trade: all of it."""
        return order.remaining

    def hold(self, order: Working) -> None:
        """Lock what an order needs that begins to rest."""
        self._lock(order, order.remaining)

    def release(self, order: Working) -> None:
        """Free what an order holds that rests no more."""
        self._lock(order, -order.remaining)

    def settle(self, order: Working, amount: Decimal, price: Decimal, fee: Decimal) -> None:
        """Pay for one trade of an order; one that rests pays out of what it holds."""
        if order.resting:
            self._lock(order, -amount)
        paid = amount * price
        if order.side is Side.BUY:
            self._add(order.base, amount)
            self._add(order.quote, -paid - fee)
        else:
            self._add(order.base, -amount)
            self._add(order.quote, paid - fee)

    def holdings(self) -> list[Holding]:
        """Return all tokens that the account has."""
        for token in self._changed:
            units = self.units.get(token, ZERO)
            if units:
                self._holdings[token] = Holding(
                    token=token, units=plain(units), available=plain(self._available(token))
                )
            else:
                self._holdings.pop(token, None)
        self._changed.clear()
        return list(self._holdings.values())

    def _available(self, token: str) -> Decimal:
        return self.units.get(token, ZERO) - self.locked.get(token, ZERO)

    def _lock(self, order: Working, amount: Decimal) -> None:
        if order.side is Side.SELL:
            token = order.base
        else:
            token, amount = order.quote, amount * order.limit * self._fees.reserved
        self.locked[token] = self.locked.get(token, ZERO) + amount
        self._changed[token] = None

    def _add(self, token: str, amount: Decimal) -> None:
        self.units[token] = self.units.get(token, ZERO) + amount
        self._changed[token] = None
