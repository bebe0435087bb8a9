"""The venue's truth: every order that it took, its trades and fees, and how often each client id came in.

It lives as long as the venue's process, whatever becomes of the server that trades there. What a server believes at the
end is compared with this, to the last digit.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.positions import FundingPaid
from domain.values import ZERO, OrderType, PositionAction, PositionSide, Side, Utc


class Market(StrEnum):
    """What is traded: tokens themselves, or perpetual contracts on them."""

    SPOT = "spot"
    SWAP = "swap"


class Status(StrEnum):
    """Where an order stands at the venue. One that was refused never became an order."""

    NEW = "NEW"
    PARTLY_FILLED = "PARTLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self in {Status.NEW, Status.PARTLY_FILLED}


class TimeInForce(StrEnum):
    """For how long an order rests."""

    UNTIL_CANCELED = "GTC"
    AT_ONCE = "IOC"
    MAKER = "GTX"


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one order. `amount` in base, `price` in quote per base, `fee` in `fee_currency`."""

    trade_id: int
    order_id: int
    client_id: str
    account: str
    market: Market
    trading_pair: str
    side: Side
    position_side: PositionSide
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    at: Utc


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands after one of its changes. `client_id` is the one that the client gave, or the venue made.

    `amount` and `filled` in base, `spent` is the sum of amount times price of its trades, `fees` are by currency.
    """

    order_id: int
    client_id: str
    account: str
    market: Market
    trading_pair: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    amount: Decimal
    price: Decimal | None
    action: PositionAction
    position_side: PositionSide
    created_at: Utc
    updated_at: Utc
    status: Status = Status.NEW
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    fees: Mapping[str, Decimal] = {}
    reason: str = ""

    @property
    def average_price(self) -> Decimal:
        """The volume-weighted price of its trades, 0 without any."""
        return self.spent / self.filled if self.filled else ZERO


class Ledger:
    """All orders, trades and funding payments, by account and market, in the order in which they came."""

    def __init__(self) -> None:
        """Begin empty."""
        self.received: Counter[str] = Counter()
        self._orders: defaultdict[tuple[str, Market], dict[int, Order]] = defaultdict(dict)
        self._named: dict[tuple[str, Market, str], int] = {}
        self._open: defaultdict[tuple[str, Market], dict[int, Order]] = defaultdict(dict)
        self._trades: defaultdict[tuple[str, Market], list[Trade]] = defaultdict(list)
        self._made: defaultdict[tuple[Market, int], list[Trade]] = defaultdict(list)
        self._funding: defaultdict[str, list[tuple[int, FundingPaid]]] = defaultdict(list)

    def arrived(self, client_id: str) -> None:
        """Note that a request to place an order came in, whatever becomes of it."""
        self.received[client_id] += 1

    def keep(self, order: Order) -> None:
        """Take in an order as it stands now."""
        place = order.account, order.market
        self._orders[place][order.order_id] = order
        self._named[*place, order.client_id] = order.order_id
        if order.status.is_open:
            self._open[place][order.order_id] = order
        else:
            self._open[place].pop(order.order_id, None)

    def keep_trade(self, trade: Trade) -> None:
        """Take in a trade."""
        self._trades[trade.account, trade.market].append(trade)
        self._made[trade.market, trade.order_id].append(trade)

    def keep_funding(self, number: int, payment: FundingPaid) -> None:
        """Take in a funding payment under the venue's number for it."""
        self._funding[payment.account].append((number, payment))

    def find(
        self, account: str, market: Market, *, order_id: int | None = None, client_id: str | None = None
    ) -> Order | None:
        """Return an order by the venue's id or else the client's (the last one under it), None if there is none."""
        if order_id is None and client_id is not None:
            order_id = self._named.get((account, market, client_id))
        return self._orders[account, market].get(order_id) if order_id is not None else None

    def orders(self, account: str, market: Market, trading_pair: str | None = None) -> list[Order]:
        """Return all orders of an account, oldest first."""
        return [o for o in self._orders[account, market].values() if trading_pair in {None, o.trading_pair}]

    def open_orders(self, account: str, market: Market, trading_pair: str | None = None) -> list[Order]:
        """Return the orders that may still trade, oldest first."""
        return [o for o in self._open[account, market].values() if trading_pair in {None, o.trading_pair}]

    def trades(self, account: str, market: Market, trading_pair: str | None = None) -> list[Trade]:
        """Return all trades of an account, oldest first."""
        return [t for t in self._trades[account, market] if trading_pair in {None, t.trading_pair}]

    def trades_of(self, order: Order) -> list[Trade]:
        """Return the trades of one order, oldest first."""
        return list(self._made[order.market, order.order_id])

    def funding(self, account: str, trading_pair: str | None = None) -> list[tuple[int, FundingPaid]]:
        """Return an account's funding payments with the venue's numbers for them, oldest first."""
        return [(n, p) for n, p in self._funding[account] if trading_pair in {None, p.trading_pair}]

    def all_orders(self) -> list[Order]:
        """Return every order of every account."""
        return [order for orders in self._orders.values() for order in orders.values()]

    def all_trades(self) -> list[Trade]:
        """Return every trade of every account."""
        return [trade for trades in self._trades.values() for trade in trades]

    def all_funding(self) -> list[tuple[int, FundingPaid]]:
        """Return every funding payment of every account, with the venue's numbers for them."""
        return [paid for payments in self._funding.values() for paid in payments]
