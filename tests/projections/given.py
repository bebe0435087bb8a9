"""A story of one account, told in events: what views are made from."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from commands.ports import Log, Write
from domain.accounts import AccountAdded, AccountRemoved, CredentialsRemoved, CredentialsStored
from domain.events import Event, Origin
from domain.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFailed,
    OrderFilled,
    OrderObserved,
    OrderOutcomeUnknown,
    OrderPlaced,
    OrderRejected,
)
from domain.portfolio import Balance, BalancesObserved
from domain.positions import FundingPaid, LeverageSet, PositionModeSet, PositionObserved
from domain.rates import STREAM, GlobalTokenChanged, RateSourceChanged
from domain.reconciliation import AccountReconciled, Compared, DifferenceFound, Kind
from domain.values import OrderType, PositionAction, PositionMode, PositionSide, Side

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORY = UUID(int=77)
Told = tuple[str, Event]


def at(seconds: float) -> datetime:
    """Return a time so long after the story began."""
    return AT + timedelta(seconds=seconds)


def placed(order_id: str, seconds: float = 0, **changes: object) -> Told:
    """Return that an order was placed: BUY 2 BTC-USDT at 100, unless changed."""
    facts: dict[str, object] = {
        "client_order_id": order_id,
        "account": "master_account",
        "connector": "paper",
        "trading_pair": "BTC-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "amount": Decimal(2),
        "price": Decimal(100),
        "position_action": PositionAction.OPEN,
        "server": "here",
        "placed_at": at(seconds),
    }
    return f"order-{order_id}", OrderPlaced(**(facts | changes))  # type: ignore[arg-type]


def observed(order_id: str, seconds: float = 0) -> Told:
    """Return that an order was found at the venue."""
    return f"order-{order_id}", OrderObserved(
        account="master_account",
        connector="paper",
        trading_pair="ETH-USDT",
        exchange_order_id="9",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        amount=Decimal(1),
        price=None,
        position_action=PositionAction.CLOSE,
        observed_at=at(seconds),
        reason="liquidation",
    )


def accepted(order_id: str, seconds: float = 1) -> Told:
    return f"order-{order_id}", OrderAccepted(exchange_order_id=f"x{order_id}", accepted_at=at(seconds))


def filled(order_id: str, trade: str, amount: str, price: str, *, fee: str = "0.1", currency: str = "USDT") -> Told:
    return f"order-{order_id}", OrderFilled(
        trade_id=trade,
        amount=Decimal(amount),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_currency=currency,
        is_maker=False,
        filled_at=at(2),
    )


def rejected(order_id: str, reason: str = "insufficient balance") -> Told:
    return f"order-{order_id}", OrderRejected(reason=reason, rejected_at=at(2))


def unknown(order_id: str) -> Told:
    return f"order-{order_id}", OrderOutcomeUnknown(reason="time-out", noticed_at=at(2))


def failed(order_id: str) -> Told:
    return f"order-{order_id}", OrderFailed(reason="asked 3 times", failed_at=at(3))


def cancel_requested(order_id: str, seconds: float = 3) -> Told:
    return f"order-{order_id}", CancelRequested(server="here", requested_at=at(seconds))


def cancel_rejected(order_id: str) -> Told:
    return f"order-{order_id}", CancelRejected(reason="too late", rejected_at=at(4))


def canceled(order_id: str) -> Told:
    return f"order-{order_id}", OrderCanceled(canceled_at=at(5))


def expired(order_id: str) -> Told:
    return f"order-{order_id}", OrderExpired(reason="no depth left", expired_at=at(5))


def account(name: str = "master_account", *connectors: str) -> list[Told]:
    """Return that an account was added and connected."""
    stored = [CredentialsStored(account=name, connector=connector, fields=[]) for connector in connectors]
    return [(f"account-{name}", event) for event in (AccountAdded(account=name), *stored)]


def disconnected(name: str, connector: str) -> Told:
    return f"account-{name}", CredentialsRemoved(account=name, connector=connector)


def removed(name: str) -> Told:
    return f"account-{name}", AccountRemoved(account=name)


def balances(
    units: dict[str, str | Balance], seconds: float = 0, *, name: str = "master_account", connector: str = "paper"
) -> Told:
    """Return balances as they were seen: token → units, each worth 2 USD."""
    return f"balances-{name}-{connector}", BalancesObserved(
        account=name,
        connector=connector,
        observed_at=at(seconds),
        balances=[
            held
            if isinstance(held, Balance)
            else Balance(
                token=token,
                units=Decimal(held),
                available=Decimal(held),
                price=Decimal(2),
                value=Decimal(held) * 2,
            )
            for token, held in units.items()
        ],
    )


def position(amount: str, *, side: PositionSide = PositionSide.BOTH, pair: str = "BTC-USDT") -> Told:
    """Return a position of 10 times leverage, entered at 100."""
    return f"position-master_account-paper_perpetual-{pair}", PositionObserved(
        account="master_account",
        connector="paper_perpetual",
        trading_pair=pair,
        side=side,
        amount=Decimal(amount),
        entry_price=Decimal(100),
        mark_price=Decimal(101),
        unrealized_pnl=Decimal(amount),
        leverage=10,
        observed_at=at(1),
    )


def funding(funding_id: str, payment: str = "-0.25", *, size: str = "-3", seconds: float = 10) -> Told:
    return "position-master_account-paper_perpetual-BTC-USDT", FundingPaid(
        account="master_account",
        connector="paper_perpetual",
        trading_pair="BTC-USDT",
        funding_id=funding_id,
        rate=Decimal("0.0001"),
        payment=Decimal(payment),
        currency="USDT",
        position_size=Decimal(size),
        position_side=PositionSide.BOTH,
        paid_at=at(seconds),
    )


def leverage(pair: str, times: int) -> Told:
    return "margin-master_account-paper_perpetual", LeverageSet(
        account="master_account", connector="paper_perpetual", trading_pair=pair, leverage=times
    )


def mode(word: PositionMode) -> Told:
    return "margin-master_account-paper_perpetual", PositionModeSet(
        account="master_account", connector="paper_perpetual", mode=word
    )


def difference(subject: str, *, name: str = "master_account", connector: str = "paper") -> Told:
    """Return that more of a token was found at the venue."""
    return f"reconciliation-{name}-{connector}", DifferenceFound(
        account=name,
        connector=connector,
        kind=Kind.BALANCE,
        subject=subject,
        ours={"units": "1", "available": "1"},
        venue={"units": "2", "available": "2"},
        found_at=at(30),
    )


def reconciled(differences: int, *, name: str = "master_account", connector: str = "paper") -> Told:
    """Return that an account was compared with its venue."""
    return f"reconciliation-{name}-{connector}", AccountReconciled(
        account=name,
        connector=connector,
        trigger="schedule",
        began_at=at(29),
        finished_at=at(30),
        compared=Compared(orders=1, trades=2, tokens=3, positions=4),
        differences=differences,
    )


def rate_source(source: str) -> Told:
    return STREAM, RateSourceChanged(source=source)


def global_token(token: str, symbol: str) -> Told:
    return STREAM, GlobalTokenChanged(token=token, symbol=symbol)


EVERYTHING: list[Told] = [
    *account("master_account", "paper_perpetual", "paper"),
    *account("second", "paper"),
    balances({"USDT": "1000.50", "BTC": "2"}),
    balances({"USDT": "70"}, name="second"),
    placed("a"),
    accepted("a"),
    filled("a", "t1", "0.5", "99.5"),
    placed("b", 1, side=Side.SELL, trading_pair="ETH-USDT"),
    rejected("b"),
    placed("c", 2, order_type=OrderType.MARKET, price=None),
    unknown("c"),
    filled("a", "t2", "1.5", "100", fee="0.001", currency="BTC"),
    accepted("c"),
    cancel_requested("c"),
    observed("d", 3),
    filled("d", "t3", "1", "50", fee="-0.01"),
    cancel_rejected("c"),
    cancel_requested("c", 9),
    canceled("c"),
    filled("c", "t4", "0.25", "1E+2"),
    placed("e", 4),
    unknown("e"),
    failed("e"),
    placed("f", 5),
    accepted("f"),
    expired("f"),
    balances({"USDT": "900", "ETH": "0"}, 400),
    position("0.5"),
    position("1.25"),
    position("-3", pair="ETH-USDT", side=PositionSide.SHORT),
    position("0"),
    funding("f1"),
    funding("f2", "0.5", size="3", seconds=20),
    leverage("BTC-USDT", 5),
    leverage("BTC-USDT", 20),
    mode(PositionMode.HEDGE),
    placed("g", 6, account="second"),
    disconnected("second", "paper"),
    removed("second"),
    rejected("g", "no such account\0"),
    *account("second"),
    placed("h", 7),
    accepted("h"),
    cancel_requested("h"),
    reconciled(0),
    difference("BTC"),
    difference("U\0"),
    reconciled(2),
    reconciled(0, name="second", connector="paper_perpetual"),
    rate_source("binance"),
    global_token("EUR", "\0"),
    rate_source("paper"),
]


async def tell(log: Log, story: Sequence[Told]) -> int:
    """Append a story to the log, event by event, and return the position of its end."""
    streams = await log.last(sorted({stream for stream, _ in story}))
    versions = {stream: 0 if last is None else last.version for stream, last in streams.items()}
    position = await log.position()
    for number, (stream, event) in enumerate(story):
        origin = Origin(
            correlation_id=STORY, command_id=UUID(int=position + 1), actor="admin" if number % 2 else "<orders>"
        )
        write = Write(stream=stream, expected_version=versions[stream], events=[event])
        position = (await log.append([write], origin)).position
        versions[stream] += 1
    return position
