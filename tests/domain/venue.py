"""A paper venue to say given, when and then about: what it told so far is kept."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.connectors import TradingRule
from domain.matching.depth import Depth
from domain.matching.engine import Engine, Standing
from domain.matching.fees import Fees
from domain.matching.floor import Terms
from domain.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderPlaced,
    OrderRejected,
)
from domain.portfolio import Holding
from domain.positions import PositionObserved
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, PositionMode, PositionSide, Side, split_pair

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAIRS = ("BTC-USDT", "ETH-USDT", "ETH-BTC")


def rule(pair: str) -> TradingRule:
    token = split_pair(pair)[1]
    return TradingRule(
        trading_pair=pair,
        min_order_size=Decimal("0.001"),
        min_price_increment=Decimal("0.01"),
        min_base_amount_increment=Decimal("0.001"),
        buy_order_collateral_token=token,
        sell_order_collateral_token=token,
    )


def levels(*pairs: tuple[str, str]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(amount)) for price, amount in pairs]


class Venue:
    def __init__(self, *, perpetual: bool = False, maker: str = "0.001", taker: str = "0.002") -> None:
        self.now = START
        terms = Terms(
            connector="paper",
            perpetual=perpetual,
            rules={pair: rule(pair) for pair in PAIRS},
            fees=Fees(maker=Decimal(maker), taker=Decimal(taker)),
        )
        self.terms = terms
        self.engine = Engine(terms, self.now)
        self.reports: list[AccountReport] = []

    def take(self, reports: list[AccountReport]) -> list[AccountReport]:
        self.reports += reports
        return reports

    def join(self, account: str = "ann", **units: str) -> "Venue":
        standing = Standing(units={token: Decimal(amount) for token, amount in units.items()})
        self.take(self.engine.join(account, standing, self.now, tell=True))
        return self

    def market(
        self,
        bids: list[tuple[str, str]] | None = None,
        asks: list[tuple[str, str]] | None = None,
        *,
        pair: str = "BTC-USDT",
        mark: str = "100",
    ) -> list[AccountReport]:
        depth = Depth(bids=levels(*(bids or [])), asks=levels(*(asks or [])), mark=Decimal(mark))
        return self.take(self.engine.tick({pair: depth}, self.now))

    def placed(
        self,
        order_id: str,
        side: str,
        amount: str,
        price: str | None = None,
        *,
        account: str = "ann",
        pair: str = "BTC-USDT",
        maker: bool = False,
        close: bool = False,
    ) -> OrderPlaced:
        limit = OrderType.LIMIT_MAKER if maker else OrderType.LIMIT
        return OrderPlaced(
            client_order_id=order_id,
            account=account,
            connector="paper",
            trading_pair=pair,
            side=Side(side),
            order_type=limit if price else OrderType.MARKET,
            amount=Decimal(amount),
            price=Decimal(price) if price else None,
            position_action=PositionAction.CLOSE if close else PositionAction.OPEN,
            server="s1",
            placed_at=self.now,
        )

    def buy(self, order_id: str, amount: str, price: str | None = None, **more) -> list[AccountReport]:
        return self.take(self.engine.place(self.placed(order_id, "BUY", amount, price, **more), self.now))

    def sell(self, order_id: str, amount: str, price: str | None = None, **more) -> list[AccountReport]:
        return self.take(self.engine.place(self.placed(order_id, "SELL", amount, price, **more), self.now))

    def cancel(self, order_id: str, account: str = "ann") -> list[AccountReport]:
        return self.take(self.engine.cancel(account, order_id, self.now))

    def leverage(self, leverage: int, *, account: str = "ann", pair: str = "BTC-USDT") -> list[AccountReport]:
        return self.take(self.engine.set_leverage(account, pair, leverage, self.now))

    def hedge(self, account: str = "ann") -> None:
        self.engine.set_mode(account, PositionMode.HEDGE)

    def facts(self, order_id: str) -> list[OrderFact]:
        return [fact for report in self.reports for told, fact in report.orders if told == order_id]

    def story(self, order_id: str) -> list[str]:
        return [type(fact).__name__.removeprefix("Order") for fact in self.facts(order_id)]

    def reason(self, order_id: str) -> str:
        last = self.facts(order_id)[-1]
        assert isinstance(last, OrderRejected | OrderExpired)
        return last.reason

    def number(self, order_id: str) -> str:
        """Return the exchange order id of an order."""
        first = self.facts(order_id)[0]
        assert isinstance(first, OrderAccepted)
        return first.exchange_order_id

    def trades(self, order_id: str) -> list[OrderFilled]:
        return [fact for fact in self.facts(order_id) if isinstance(fact, OrderFilled)]

    def fills(self, order_id: str) -> list[tuple[str, str]]:
        """Return (amount, price) of an order's trades."""
        return [(f"{f.amount:f}", f"{f.price:f}") for f in self.trades(order_id)]

    def holdings(self, account: str = "ann") -> dict[str, tuple[str, str]]:
        """Return token → (units, available)."""
        report = self.engine.report(account)
        assert report is not None
        return {h.token: (f"{h.units:f}", f"{h.available:f}") for h in report.holdings or ()}

    def positions(self, account: str = "ann") -> dict[tuple[str, str], tuple[str, str]]:
        """Return (pair, side) → (amount, entry price)."""
        report = self.engine.report(account)
        assert report is not None
        return {(p.trading_pair, p.side): (f"{p.amount:f}", f"{p.entry_price:f}") for p in report.positions}


class Memory:
    """What a log would hold of one account: its reports folded, as the venue's port promises them."""

    def __init__(self) -> None:
        self.units: dict[str, Decimal] = {}
        self.holdings: list[Holding] = []
        self.open: dict[str, tuple[OrderPlaced, str, Decimal]] = {}
        self.placed: dict[str, OrderPlaced] = {}
        self.positions: dict[tuple[str, PositionSide], PositionObserved] = {}
        self.leverage: dict[str, int] = {}
        self.mode = PositionMode.ONEWAY
        self.seen_at: datetime | None = None

    def take(self, report: AccountReport) -> None:
        self.seen_at = report.reported_at
        for order_id, fact in report.orders:
            self._order(order_id, fact)
        if report.holdings is not None:
            self.holdings = list(report.holdings)
            self.units = {h.token: h.units for h in report.holdings}
        for position in report.positions:
            self.positions[position.trading_pair, position.side] = position

    def _order(self, order_id: str, fact: OrderFact) -> None:
        match fact:
            case OrderAccepted():
                self.open[order_id] = (self.placed[order_id], fact.exchange_order_id, Decimal(0))
            case OrderFilled() if order_id in self.open:
                placed, exchange_order_id, filled = self.open.pop(order_id)
                filled += fact.amount
                if filled < placed.amount:
                    self.open[order_id] = (placed, exchange_order_id, filled)
            case OrderCanceled() | OrderExpired():
                self.open.pop(order_id, None)

    def standing(self) -> Standing:
        return Standing(
            units=self.units,
            orders=list(self.open.values()),
            positions=list(self.positions.values()),
            leverage=self.leverage,
            mode=self.mode,
            seen_at=self.seen_at,
        )
