"""A long log for benches: written straight into the table, as fast as it goes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from domain import catalog
from domain.accounts import AccountAdded, CredentialsStored
from domain.events import Event
from domain.orders import CancelRequested, OrderAccepted, OrderCanceled, OrderFilled, OrderPlaced
from domain.portfolio import Balance, BalancesObserved
from domain.positions import PositionObserved
from domain.values import OrderType, PositionAction, PositionSide, Side

START = datetime(2026, 1, 1, tzinfo=UTC)
PAIRS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "ETH-BTC")
TOKENS = ("USDT", "BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOT", "LTC", "TRX")


def connected() -> Iterator[tuple[str, Event]]:
    """Yield the account of all that follows."""
    yield "account-master_account", AccountAdded(account="master_account")
    for connector in ("paper", "paper_perpetual"):
        stored = CredentialsStored(account="master_account", connector=connector, fields=[])
        yield "account-master_account", stored


def orders(count: int) -> Iterator[tuple[str, Event]]:
    """Yield what happens to `count` orders: four in five fill in two trades, the others are canceled."""
    for n in range(count):
        order_id = f"n{n:032x}"
        stream, at = f"order-{order_id}", START + timedelta(seconds=n)
        yield (
            stream,
            OrderPlaced(
                client_order_id=order_id,
                account="master_account",
                connector="paper",
                trading_pair=PAIRS[n % len(PAIRS)],
                side=Side.BUY if n % 2 else Side.SELL,
                order_type=OrderType.LIMIT,
                amount=Decimal("0.02"),
                price=Decimal("58327.47"),
                position_action=PositionAction.OPEN,
                server="server-1",
                placed_at=at,
            ),
        )
        yield stream, OrderAccepted(exchange_order_id=str(n), accepted_at=at)
        if n % 5:
            for part in range(2):
                yield (
                    stream,
                    OrderFilled(
                        trade_id=f"{n}-{part}",
                        amount=Decimal("0.01"),
                        price=Decimal("58327.47"),
                        fee=Decimal("0.5832747"),
                        fee_currency="USDT",
                        is_maker=True,
                        filled_at=at,
                    ),
                )
        else:
            yield stream, CancelRequested(server="server-1", requested_at=at)
            yield stream, OrderCanceled(canceled_at=at)
        if not n % 10:
            yield "balances-master_account-paper", balances("paper", at, tokens=3, n=n)
        if not n % 20:
            yield (
                "position-master_account-paper_perpetual-BTC-USDT",
                PositionObserved(
                    account="master_account",
                    connector="paper_perpetual",
                    trading_pair="BTC-USDT",
                    side=PositionSide.BOTH,
                    amount=Decimal(n + 1),
                    entry_price=Decimal("58327.47"),
                    mark_price=Decimal("58330.1"),
                    unrealized_pnl=Decimal("2.63") * n,
                    leverage=10,
                    observed_at=at,
                ),
            )


def balances(connector: str, at: datetime, *, tokens: int, n: int) -> BalancesObserved:
    """Return a snapshot of the account on a connector."""
    return BalancesObserved(
        account="master_account",
        connector=connector,
        observed_at=at,
        balances=[
            Balance(
                token=token,
                units=Decimal("1000.12345678") + n,
                available=Decimal("900.1"),
                price=Decimal("1.5"),
                value=(Decimal("1000.12345678") + n) * Decimal("1.5"),
            )
            for token in TOKENS[:tokens]
        ],
    )


def write(database_url: str, events: Iterator[tuple[str, Event]]) -> int:
    """Write events into an empty log, and return how many there are."""
    versions: dict[str, int] = {}
    story = UUID(int=7)
    position = 0
    with psycopg.connect(database_url) as connection:
        copy = (
            "copy log.events (position, stream, version, type, schema_version, recorded_at, correlation_id, command_id,"
            " actor, data) from stdin (format binary)"
        )
        with connection.cursor() as cursor, cursor.copy(copy) as rows:
            rows.set_types(["int8", "text", "int8", "text", "int2", "timestamptz", "uuid", "uuid", "text", "bytea"])
            for position, (stream, event) in enumerate(events, start=1):
                versions[stream] = version = versions.get(stream, 0) + 1
                at = START + timedelta(milliseconds=position)
                command = UUID(int=position)
                rows.write_row(
                    (
                        position,
                        stream,
                        version,
                        catalog.type_of(event),
                        1,
                        at,
                        command if position % 3 else story,
                        command,
                        "admin",
                        catalog.encode(event),
                    )
                )
        connection.execute("analyze log.events")
    return position
