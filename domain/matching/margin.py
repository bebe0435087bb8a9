"""What an account owns on a perpetual venue: wallets with cross margin, and positions.

The wallet of a pair is kept in its quote token, and all pairs of one quote share it. Of a wallet, not available are:

- per pair, the initial margin at entry and limit prices: in one-way mode the larger of |position + buys| and
  |position - sells|, in hedge mode all of them, over the leverage, rounded up; reduce-only orders need none;
- the highest fee of the orders that may open something.

So `available` does not move with the market and follows from the open orders and positions alone. The market counts
where a new order is checked (losses that are not realized yet cannot be used again) and where a liquidation is due. A
wallet can be below zero as long as profits that are not realized yet cover it.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

import msgspec

from domain.matching.fees import Fees
from domain.matching.working import Working
from domain.portfolio import Holding
from domain.values import ZERO, PositionAction, PositionMode, PositionSide, Side, plain

DEFAULT_LEVERAGE = 1
"""Nobody is leveraged who did not ask for it."""
MAX_LEVERAGE = 125
MAINTENANCE = Decimal("0.005")
"""Equity below this share of the positions' notional is liquidated; 1/125, the lowest initial margin, is above it."""
FINEST = Decimal("1e-12")
"""Entry prices and margins are rounded to this; what rounding an entry price leaves goes to the wallet at once."""


class Position(msgspec.Struct, kw_only=True, eq=False):
    """A position; `amount` in base is negative when short."""

    amount: Decimal = ZERO
    entry: Decimal = ZERO


class Exposure(msgspec.Struct, kw_only=True, eq=False):
    """All that one account has in one pair. `buys` and `sells` are the notional of resting orders that may open."""

    token: str
    leverage: int = DEFAULT_LEVERAGE
    buys: Decimal = ZERO
    sells: Decimal = ZERO
    locked: Decimal = ZERO
    positions: dict[PositionSide, Position] = msgspec.field(default_factory=dict)


def traded(amount: Decimal, entry: Decimal, change: Decimal, price: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Return a position's amount and entry price after it changes by `change` at `price`, and what that realizes.

    Wallet plus unrealized profit is the same before and after, at any mark price, but for `change * (mark - price)`.
    """
    after = amount + change
    if amount * change >= 0:
        cost = amount * entry + change * price
        new_entry = (cost / after).quantize(FINEST, rounding=ROUND_HALF_EVEN)
        return after, new_entry, new_entry * after - cost
    if after * amount > 0:
        return after, entry, (entry - price) * change
    return after, price if after else ZERO, (price - entry) * amount


def side_of(mode: PositionMode, side: Side, action: PositionAction) -> PositionSide:
    """Return which position an order changes."""
    if mode is PositionMode.ONEWAY:
        return PositionSide.BOTH
    return PositionSide.LONG if (side is Side.BUY) == (action is PositionAction.OPEN) else PositionSide.SHORT


class Margin:
    """The wallets and positions of one account. `marks` are the venue's mark prices, pair → quote per base."""

    def __init__(
        self, units: Mapping[str, Decimal], fees: Fees, marks: Mapping[str, Decimal], mode: PositionMode
    ) -> None:
        """Begin with wallets and no position."""
        self.units = dict(units)
        self.locked: dict[str, Decimal] = {}
        self.mode = mode
        self.exposures: dict[str, Exposure] = {}
        self._fees = fees
        self._marks = marks

    def exposure(self, trading_pair: str, token: str) -> Exposure:
        """Return what the account has in a pair; `token` is the pair's quote."""
        found = self.exposures.get(trading_pair)
        if found is None:
            found = self.exposures[trading_pair] = Exposure(token=token)
        return found

    def position(self, order: Working) -> Position:
        """Return the position that an order changes; one without any is empty and not kept."""
        exposure = self.exposure(order.trading_pair, order.quote)
        return exposure.positions.get(side_of(self.mode, order.side, order.action)) or Position()

    def room(self, order: Working) -> Decimal:
        """Return how much base an order may trade: one that closes trades no more than there is to reduce."""
        if order.action is PositionAction.OPEN:
            return order.remaining
        amount = self.position(order).amount
        return min(order.remaining, max(ZERO, amount if order.side is Side.SELL else -amount))

    def refusal(self, order: Working, trades: Sequence[tuple[Decimal, Decimal]], rest: Decimal) -> str | None:
        """Say why the account cannot have this order, None if it can. Arguments as `Cash.refusal`."""
        if order.action is PositionAction.CLOSE:
            return None if self.room(order) else self._nothing_to_reduce(order)
        exposure = self.exposure(order.trading_pair, order.quote)
        key = side_of(self.mode, order.side, order.action)
        before = exposure.positions.get(key) or Position()
        amount, entry, wallet = before.amount, before.entry, self.units.get(order.quote, ZERO)
        for price, quantity in trades:
            change = quantity if order.side is Side.BUY else -quantity
            amount, entry, realized = traded(amount, entry, change, price)
            wallet += realized - price * quantity * self._fees.taker
        resting = rest * order.limit if rest else ZERO
        buys = exposure.buys + (resting if order.side is Side.BUY else ZERO)
        sells = exposure.sells + (resting if order.side is Side.SELL else ZERO)
        positions = {**exposure.positions, key: Position(amount=amount, entry=entry)}
        needed_now = _notional(self.mode, exposure.positions, exposure.buys, exposure.sells)
        needed = _notional(self.mode, positions, buys, sells)
        if needed <= needed_now:
            return None
        locked = self.locked.get(order.quote, ZERO) - exposure.locked + self._lock(needed, buys + sells, exposure)
        losses = min(ZERO, self._unrealized(order.quote, {order.trading_pair: positions}))
        missing = locked - wallet - losses
        if missing <= 0:
            return None
        available = self._available(order.quote)
        return (
            f"Insufficient {order.quote} margin: {order.side} {plain(order.remaining):f} {order.trading_pair}"
            f" at leverage {exposure.leverage} needs {plain(available + missing):f}, available {plain(available):f}"
        )

    def hold(self, order: Working) -> None:
        """Reserve the margin of an order that begins to rest."""
        self._rest(order, order.remaining)

    def release(self, order: Working) -> None:
        """Free what an order holds that rests no more."""
        self._rest(order, -order.remaining)

    def settle(self, order: Working, amount: Decimal, price: Decimal, fee: Decimal) -> None:
        """Change the position by one trade of an order; profit, loss and fee go to the wallet."""
        exposure = self.exposure(order.trading_pair, order.quote)
        position = exposure.positions.setdefault(side_of(self.mode, order.side, order.action), Position())
        change = amount if order.side is Side.BUY else -amount
        position.amount, position.entry, realized = traded(position.amount, position.entry, change, price)
        self.units[order.quote] = self.units.get(order.quote, ZERO) + realized - fee
        if order.resting:
            self._rest(order, -amount)
        else:
            self.reserve(exposure)

    def reserve(self, exposure: Exposure) -> None:
        """Take into account that positions, orders or leverage of a pair have changed."""
        needed = _notional(self.mode, exposure.positions, exposure.buys, exposure.sells)
        lock = self._lock(needed, exposure.buys + exposure.sells, exposure)
        self.locked[exposure.token] = self.locked.get(exposure.token, ZERO) - exposure.locked + lock
        exposure.locked = lock

    def holdings(self) -> list[Holding]:
        """Return the wallets that hold something."""
        return [
            Holding(token=token, units=plain(units), available=plain(self._available(token)))
            for token, units in self.units.items()
            if units
        ]

    def exposed(self) -> Iterable[tuple[str, PositionSide, Position]]:
        """Yield the positions that there are: pair, side and position."""
        for trading_pair, exposure in self.exposures.items():
            for side, position in exposure.positions.items():
                if position.amount:
                    yield trading_pair, side, position

    def pay_funding(self, trading_pair: str, position: Position, rate: Decimal) -> Decimal:
        """Pay or receive funding for a position and return the payment: longs pay shorts while the rate is positive."""
        payment = -position.amount * self.mark(trading_pair, position) * rate
        token = self.exposures[trading_pair].token
        self.units[token] = self.units.get(token, ZERO) + payment
        return payment

    def mark(self, trading_pair: str, position: Position) -> Decimal:
        """Return the mark price; of a pair that the market does not have any more, the entry price."""
        return self._marks.get(trading_pair, position.entry)

    def doomed(self, away: Container[str]) -> list[str]:
        """Return the wallets that do not cover the maintenance margin of their positions.

        Nobody can tell for a wallet with a position in a pair whose market is away.
        """
        short: list[str] = []
        maintenance: dict[str, Decimal] = {}
        blind: set[str] = set()
        for trading_pair, _, position in self.exposed():
            token = self.exposures[trading_pair].token
            if trading_pair in away:
                blind.add(token)
            worth = abs(position.amount) * self.mark(trading_pair, position)
            maintenance[token] = maintenance.get(token, ZERO) + worth * MAINTENANCE
        for token, least in maintenance.items():
            if token not in blind and self.units.get(token, ZERO) + self._unrealized(token, {}) < least:
                short.append(token)
        return short

    def cover(self) -> Decimal:
        """Raise wallets that no position backs to zero and return what that took: the venue bears it."""
        backed = {self.exposures[trading_pair].token for trading_pair, _, _ in self.exposed()}
        borne = ZERO
        for token, units in self.units.items():
            if units < 0 and token not in backed:
                borne -= units
                self.units[token] = ZERO
        return borne

    def leverage_refusal(self, exposure: Exposure, leverage: int) -> str | None:
        """Say why the leverage of a pair cannot become this, None if it can."""
        needed = _notional(self.mode, exposure.positions, exposure.buys, exposure.sells)
        changed = msgspec.structs.replace(exposure, leverage=leverage)
        more = self._lock(needed, exposure.buys + exposure.sells, changed) - exposure.locked
        available = self._available(exposure.token)
        if more <= max(ZERO, available):
            return None
        return (
            f"Insufficient {exposure.token} margin: leverage {leverage} needs {plain(more):f} more,"
            f" available {plain(available):f}"
        )

    def _nothing_to_reduce(self, order: Working) -> str:
        kind = "long" if order.side is Side.SELL else "short"
        return f"There is no {kind} {order.trading_pair} position that {order.side} with CLOSE could reduce"

    def _available(self, token: str) -> Decimal:
        return max(ZERO, self.units.get(token, ZERO) - self.locked.get(token, ZERO))

    def _rest(self, order: Working, amount: Decimal) -> None:
        exposure = self.exposure(order.trading_pair, order.quote)
        if order.action is PositionAction.OPEN:
            if order.side is Side.BUY:
                exposure.buys += amount * order.limit
            else:
                exposure.sells += amount * order.limit
        self.reserve(exposure)

    def _lock(self, needed: Decimal, orders: Decimal, exposure: Exposure) -> Decimal:
        margin = (needed / exposure.leverage).quantize(FINEST, rounding=ROUND_CEILING)
        return margin + orders * self._fees.highest

    def _unrealized(self, token: str, instead: Mapping[str, Mapping[PositionSide, Position]]) -> Decimal:
        total = ZERO
        for trading_pair, exposure in self.exposures.items():
            if exposure.token == token:
                for position in instead.get(trading_pair, exposure.positions).values():
                    total += (self.mark(trading_pair, position) - position.entry) * position.amount
        return total


def _notional(mode: PositionMode, positions: Mapping[PositionSide, Position], buys: Decimal, sells: Decimal) -> Decimal:
    """Return the notional that needs initial margin."""
    held = [position.amount * position.entry for position in positions.values()]
    if mode is PositionMode.HEDGE:
        return sum((abs(notional) for notional in held), buys + sells)
    net = sum(held, ZERO)
    return max(abs(net + buys), abs(net - sells))
