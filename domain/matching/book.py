"""One pair's book: our orders and the market's depth, by price and then by time.

A side keeps prices as *keys* that grow towards the better price: the price itself for bids, its negative for asks. The
best is last in every list, so what trades is taken off the end, and one code serves both sides.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from decimal import Decimal

from domain.matching.depth import Depth
from domain.matching.working import Working
from domain.values import ZERO, Side, Utc

Offer = tuple[Decimal, Decimal, Working | None]
"""A price, the base to be had at it, and the order behind it; None is the market's depth."""


class Half:
    """One side of a book."""

    __slots__ = ("_depth", "_keys", "_orders", "_sign", "_touched")

    def __init__(self, sign: int) -> None:
        """Make an empty side: `sign` is 1 for bids and -1 for asks."""
        self._sign = sign
        self._depth: list[tuple[Decimal, Decimal]] = []
        self._touched: dict[Decimal, tuple[Decimal, Decimal]] = {}  # levels taken from: what they show, what is left
        self._keys: list[Decimal] = []
        self._orders: dict[Decimal, dict[int, Working]] = {}

    def reach(self, price: Decimal) -> Decimal:
        """Return the key up to which an order of the other side with this limit trades."""
        return price * self._sign

    def refresh(self, levels: Sequence[tuple[Decimal, Decimal]], *, lasting: bool = False) -> None:
        """Put new depth, best price first, in the place of what is left of the old."""
        before, self._touched = self._touched if lasting else {}, {}
        self._depth = []
        for price, amount in reversed(levels):
            key, offered = price * self._sign, amount
            if key in before:
                shown, left = before[key]
                offered = min(amount, left + max(ZERO, amount - shown))
                self._touched[key] = amount, offered
            if offered:
                self._depth.append((key, offered))

    def add(self, order: Working) -> None:
        """Let an order rest, behind those at its price that came before it."""
        key = order.limit * self._sign
        queue = self._orders.get(key)
        if queue is None:
            self._keys.insert(bisect_left(self._keys, key), key)
            self._orders[key] = {order.number: order}
            return
        came_last = next(reversed(queue)) < order.number
        queue[order.number] = order
        if not came_last:  # an order from before a restart, its account connected after another one's
            self._orders[key] = dict(sorted(queue.items()))

    def remove(self, order: Working) -> None:
        """Take a resting order out."""
        key = order.limit * self._sign
        queue = self._orders[key]
        del queue[order.number]
        if not queue:
            del self._orders[key]
            del self._keys[bisect_left(self._keys, key)]

    def first(self) -> Working | None:
        """Return the order of ours that is next to trade."""
        return next(iter(self._orders[self._keys[-1]].values())) if self._keys else None

    def ahead_of(self, price: Decimal, at: Utc) -> Working | None:
        """Return the order of ours that is next to trade of those at better prices that rested before a time."""
        bound = price * self._sign
        for key in reversed(self._keys):
            if key <= bound:
                return None
            for order in self._orders[key].values():
                if order.rested_at is not None and order.rested_at < at:
                    return order
        return None

    def best(self, reach: Decimal | None) -> Offer | None:
        """Return the best offer within reach (None: at any price). At one price our orders come before the depth.

        The depth is as new as the last quote, so whatever rests was there before it.
        """
        key = self._keys[-1] if self._keys else None
        if self._depth and (key is None or self._depth[-1][0] > key):
            level, amount = self._depth[-1]
            return (abs(level), amount, None) if reach is None or level >= reach else None
        if key is None or (reach is not None and key < reach):
            return None
        order = next(iter(self._orders[key].values()))
        return abs(key), order.remaining, order

    def offers(self, reach: Decimal | None) -> Iterator[Offer]:
        """Yield all offers within reach in the order in which they trade, changing nothing."""
        at = len(self._depth) - 1
        for key in reversed(self._keys):
            while at >= 0 and self._depth[at][0] > key:
                if reach is not None and self._depth[at][0] < reach:
                    return
                yield abs(self._depth[at][0]), self._depth[at][1], None
                at -= 1
            if reach is not None and key < reach:
                return
            for order in self._orders[key].values():
                yield abs(key), order.remaining, order
        while at >= 0 and (reach is None or self._depth[at][0] >= reach):
            yield abs(self._depth[at][0]), self._depth[at][1], None
            at -= 1

    def consume(self, amount: Decimal) -> None:
        """Take base out of the best level of the depth, which holds at least as much."""
        key, there = self._depth.pop()
        shown = self._touched[key][0] if key in self._touched else there
        self._touched[key] = shown, there - amount
        if there > amount:
            self._depth.append((key, there - amount))

    def take(self, reach: Decimal, most: Decimal) -> Decimal:
        """Take base out of the depth within reach, at most `most`, and return how much it was."""
        taken = ZERO
        while taken < most and self._depth and self._depth[-1][0] >= reach:
            amount = min(self._depth[-1][1], most - taken)
            self.consume(amount)
            taken += amount
        return taken


class Book:
    """Both sides of one pair."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        """Make an empty book."""
        self.bids = Half(1)
        self.asks = Half(-1)

    def refresh(self, depth: Depth) -> None:
        """Take in the market's new depth."""
        self.bids.refresh(depth.bids, lasting=depth.lasting)
        self.asks.refresh(depth.asks, lasting=depth.lasting)

    def own(self, side: Side) -> Half:
        """Return the side on which orders of `side` rest."""
        return self.bids if side is Side.BUY else self.asks

    def other(self, side: Side) -> Half:
        """Return the side against which orders of `side` trade."""
        return self.asks if side is Side.BUY else self.bids
