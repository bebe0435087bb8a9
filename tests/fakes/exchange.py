"""An exchange in memory that trades only when the test says so, for tests of what uses one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from commands.ports import AccountMemory, Clock, Sink
from domain.connectors import TradingRule
from domain.errors import Invalid, Unavailable
from domain.orders import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFact,
    OrderFilled,
    OrderPlaced,
    OrderRejected,
)
from domain.portfolio import Holding
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode

RULE = TradingRule(
    trading_pair="BTC-USDT",
    min_order_size=Decimal("0.00001"),
    min_price_increment=Decimal("0.01"),
    min_base_amount_increment=Decimal("0.00001"),
    min_notional_size=Decimal(5),
    buy_order_collateral_token="USDT",
    sell_order_collateral_token="USDT",
)


class MemoryExchange:
    """Takes orders and lets them rest until `fill`; `unreachable` makes every request fail as a network does."""

    order_types: Sequence[OrderType] = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
    settles_within_seconds = 0.0
    reconciles = True

    def __init__(
        self, *, name: str, perpetual: bool, clock: Clock, sink: Sink, starting: Mapping[str, Decimal]
    ) -> None:
        self.name = name
        self.perpetual = perpetual
        self.unreachable = False
        self._clock = clock
        self._sink = sink
        self._starting = starting
        self._units: dict[str, dict[str, Decimal]] = {}
        self._open: dict[str, OrderPlaced] = {}
        self._facts: dict[str, list[OrderFact]] = {}
        self._numbers = 0

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the one rule there is."""
        return {"BTC-USDT": RULE}

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the one price there is."""
        return {"BTC-USDT": Decimal(58_300)}

    async def verify(self, credentials: Mapping[str, object]) -> None:
        """Refuse any credentials at all."""
        self._reach()
        for field in credentials:
            raise Invalid(f"Connector '{self.name}' has no credential field '{field}'")

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        """Go on from what the log knows; any credentials at all are wrong."""
        await self.verify(credentials)
        if memory.account in self._units:
            return
        balances = memory.balances
        self._units[memory.account] = dict(self._starting) if balances is None else {b.token: b.units for b in balances}
        for resting in memory.open_orders:
            placed = resting.order
            if not isinstance(placed, OrderPlaced):
                continue
            self._open[placed.client_order_id] = placed
            self._facts[placed.client_order_id] = [
                OrderAccepted(exchange_order_id=resting.exchange_order_id, accepted_at=placed.placed_at)
            ]
        if balances is None:
            self._tell(memory.account, [])

    async def disconnect(self, account: str) -> None:
        """Forget the account and its orders."""
        self._units.pop(account, None)
        for order_id in [i for i, placed in self._open.items() if placed.account == account]:
            del self._open[order_id], self._facts[order_id]

    async def place(self, order: OrderPlaced) -> None:
        """Accept the order, or reject it when its notional is more than the account's quote."""
        self._reach()
        if order.client_order_id in self._facts:
            return
        worth = order.amount * (order.price or Decimal(58_300))
        units = self._units.get(order.account, {})
        if worth > units.get("USDT", Decimal(0)):
            fact: OrderFact = OrderRejected(reason="Insufficient USDT balance", rejected_at=self._now())
        else:
            self._open[order.client_order_id] = order
            fact = OrderAccepted(exchange_order_id=self._number(), accepted_at=self._now())
        self._facts[order.client_order_id] = [fact]
        self._tell(order.account, [(order.client_order_id, fact)])

    def fill(self, client_order_id: str, amount: Decimal, price: Decimal) -> None:
        """Trade an open order."""
        placed = self._open[client_order_id]
        fact = OrderFilled(
            trade_id=self._number(),
            amount=amount,
            price=price,
            fee=Decimal(0),
            fee_currency="USDT",
            is_maker=True,
            filled_at=self._now(),
        )
        self._facts[client_order_id].append(fact)
        self._tell(placed.account, [(client_order_id, fact)])

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        """Cancel an open order."""
        self._reach()
        if self._open.pop(client_order_id, None) is None:
            refusal = CancelRejected(reason=f"Order '{client_order_id}' is not open", rejected_at=self._now())
            self._tell(account, [(client_order_id, refusal)], balances=False)
            return
        fact = OrderCanceled(canceled_at=self._now())
        self._facts[client_order_id].append(fact)
        self._tell(account, [(client_order_id, fact)])

    async def ask(self, order: OrderPlaced) -> bool:
        """Tell again what is known of an order."""
        self._reach()
        self._present(order.account)
        facts = self._facts.get(order.client_order_id)
        if facts is None:
            return False
        self._tell(order.account, [(order.client_order_id, fact) for fact in facts], balances=False)
        return True

    async def report(self, account: str) -> AccountReport:
        """Return the balances."""
        self._reach()
        self._present(account)
        return self._report(account, [], balances=True, snapshot=True)

    async def reconcile(self, account: str) -> AccountReport:
        """Return the balances and all facts of all orders."""
        self._reach()
        self._present(account)
        facts = [(order_id, fact) for order_id, known in self._facts.items() for fact in known]
        return self._report(account, facts, balances=True)

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Take a leverage up to 125."""
        self._reach()
        if not self.perpetual:
            raise Invalid(f"Connector '{self.name}' is not a perpetual connector")
        if not 1 <= leverage <= 125:
            raise Invalid(f"Leverage {leverage} for {trading_pair} is not between 1 and 125")

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        """Take any mode while no order is open."""
        self._reach()
        if not self.perpetual:
            raise Invalid(f"Connector '{self.name}' is not a perpetual connector")
        if any(placed.account == account for placed in self._open.values()):
            raise Invalid(f"Position mode cannot become {mode} with open orders or positions")

    def _reach(self) -> None:
        if self.unreachable:
            raise Unavailable(f"{self.name} does not answer")

    def _present(self, account: str) -> None:
        if account not in self._units:
            raise Unavailable(f"Account '{account}' is not connected to {self.name}")

    def _now(self) -> datetime:
        return self._clock()

    def _number(self) -> str:
        self._numbers += 1
        return str(self._numbers)

    def _report(
        self, account: str, facts: Sequence[tuple[str, OrderFact]], *, balances: bool, snapshot: bool = False
    ) -> AccountReport:
        units = self._units.get(account, {})
        held = [Holding(token=token, units=amount, available=amount) for token, amount in units.items()]
        return AccountReport(
            account=account,
            connector=self.name,
            reported_at=self._now(),
            orders=facts,
            holdings=held if balances else None,
            snapshot=snapshot,
        )

    def _tell(self, account: str, facts: Sequence[tuple[str, OrderFact]], *, balances: bool = True) -> None:
        _ = self._sink(self._report(account, facts, balances=balances))
