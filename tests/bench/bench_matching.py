"""The matching engine alone: orders placed a second of processor time, and ticks that cross nothing."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from time import process_time

from adapters.exchanges.paper_feed import RULES
from domain.matching.depth import Quote, ladder
from domain.matching.engine import Engine, Standing
from domain.matching.fees import Fees
from domain.matching.floor import Terms
from domain.orders import OrderPlaced
from domain.values import OrderType, PositionAction, Side
from tests.bench.table import at_least, at_most, show

ORDERS = 20_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPTH = ladder(
    Quote(bid=Decimal(58_300), ask=Decimal(58_301), bid_size=Decimal(50), ask_size=Decimal(50)), RULES["BTC-USDT"]
)


def engine(*, perpetual: bool) -> Engine:
    terms = Terms(
        connector="paper", perpetual=perpetual, rules=RULES, fees=Fees(maker=Decimal("0.001"), taker=Decimal("0.001"))
    )
    made = Engine(terms, NOW)
    made.tick({"BTC-USDT": DEPTH}, NOW)
    units = {"USDT": Decimal(10**9), "BTC": Decimal(2), "ETH": Decimal(30)}
    made.join("main", Standing(units=units), NOW)
    return made


def orders(kind: OrderType) -> list[OrderPlaced]:
    """Return buys: limits over 2,000 prices below the market, or small market orders."""
    limit = kind is OrderType.LIMIT
    return [
        OrderPlaced(
            client_order_id=f"{kind}{number:026x}",
            account="main",
            connector="paper",
            trading_pair="BTC-USDT",
            side=Side.BUY,
            order_type=kind,
            amount=Decimal("0.0001"),
            price=Decimal(50_000) + Decimal(number % 2_000) / 100 if limit else None,
            position_action=PositionAction.OPEN,
            server="bench",
            placed_at=NOW,
        )
        for number in range(ORDERS)
    ]


def rate(on: Engine, placed: Sequence[OrderPlaced]) -> float:
    started = process_time()
    for order in placed:
        on.place(order, NOW)
    return len(placed) / (process_time() - started)


def tick_ms(on: Engine) -> float:
    started = process_time()
    for _ in range(100):
        on.tick({"BTC-USDT": DEPTH}, NOW)
    return (process_time() - started) * 10


def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    limits, markets = orders(OrderType.LIMIT), orders(OrderType.MARKET)
    spot = [engine(perpetual=False) for _ in range(3)]
    resting = max(rate(on, limits) for on in spot)
    return show(
        "Matching engine",
        [
            at_least("spot, orders that rest", resting, 20_000, "/s"),
            at_least("spot, market orders", max(rate(on, markets) for on in spot), 20_000, "/s"),
            at_least(
                "perpetual, orders that rest", max(rate(engine(perpetual=True), limits) for _ in range(3)), 20_000, "/s"
            ),
            at_least(
                "perpetual, market orders", max(rate(engine(perpetual=True), markets) for _ in range(3)), 10_000, "/s"
            ),
            at_most(f"tick over {ORDERS:,} open orders", min(tick_ms(on) for on in spot), 1, "ms"),
        ],
    )


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
