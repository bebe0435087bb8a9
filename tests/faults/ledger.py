"""What must be true of a log, to the last digit, whatever happened to the server that wrote it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TypeVar

import psycopg

from adapters.event_store.reader import recorded
from commands.folding import fold
from domain import orders
from domain.events import Event, Recorded
from domain.orders import (
    OrderAccepted,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    OrderRejected,
    Status,
    stream_of,
)
from domain.portfolio import Balance, BalancesObserved
from domain.positions import FundingPaid, LeverageSet, PositionObserved
from domain.values import ZERO, Side
from tests.faults.load import Asked

FEE = Decimal("0.001")
STARTING: Mapping[str, Mapping[str, Decimal]] = {
    "paper": {"USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(30)},
    "paper_perpetual": {"USDT": Decimal(50_000)},
}
_FINEST = Decimal("1e-12")

E = TypeVar("E", bound=Event)

Place = tuple[str, str]
"""Account and connector."""


class Ledger:
    """A whole log, read at once."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "select position, stream, version, type, schema_version, recorded_at, correlation_id, causation_id,"
                " command_id, actor, data from log.events order by position"
            ).fetchall()
        self.events = [recorded(row) for row in rows]
        self.streams: dict[str, list[Recorded]] = defaultdict(list)
        for each in self.events:
            self.streams[each.stream].append(each)
        self.histories = {stream: each for stream, each in self.streams.items() if stream.startswith("order-")}
        self.orders = {stream: fold(orders.NEW, orders.evolve, each) for stream, each in self.histories.items()}

    def of(self, kind: type[E]) -> list[E]:
        """Return all events of a type, in order."""
        return [each.event for each in self.events if isinstance(each.event, kind)]

    @property
    def open(self) -> set[str]:
        """The ids of the orders that may still trade."""
        return {stream.removeprefix(stream_of("")) for stream, order in self.orders.items() if order.is_open}

    @property
    def unanswered(self) -> list[str]:
        """The orders that nobody knows the outcome of, and those whose cancel was not answered."""
        waiting = (Status.PLACED, Status.UNKNOWN)
        return [s for s, o in self.orders.items() if o.status in waiting or (o.is_open and o.cancel_requested)]

    def check_streams(self) -> None:
        """Positions and versions have no gaps."""
        assert [each.position for each in self.events] == list(range(1, len(self.events) + 1))
        for stream, history in self.streams.items():
            assert [each.version for each in history] == list(range(1, len(history) + 1)), stream

    def check_orders(self, asked: Sequence[Asked]) -> None:
        """Every order that was acknowledged is there, none is there twice, and none was sent or traded twice."""
        for each in asked:
            if each.order_id is not None:
                placed = self.streams[stream_of(each.order_id)][0].event
                assert isinstance(placed, OrderPlaced)
                assert _mark(placed) == each.mark
        placings = Counter(_mark(event) for event in self.of(OrderPlaced))
        assert set(placings) <= {each.mark for each in asked}
        assert [mark for mark, times in placings.items() if times > 1] == []
        trades = Counter((e.trade_id, _connector(h)) for h in self.histories.values() for e in _fills(h))
        assert [trade for trade, times in trades.items() if times > 1] == []
        for stream, history in self.histories.items():
            words = [r for r in history if isinstance(r.event, OrderAccepted | OrderRejected)]
            assert len(words) <= 1, f"{stream} was sent more than once"
            assert self.orders[stream].filled <= self.orders[stream].amount, stream
            assert self.orders[stream].filled == sum((fill.amount for fill in _fills(history)), ZERO), stream

    def check_balances(self, place: Place) -> None:
        """The last balances told are what the account began with and all that its orders did, to the last digit."""
        told = {balance.token: balance for balance in self.balances(place)}
        owned = self._spot(place) if place[1] == "paper" else self._perpetual(place)
        assert {token: (balance.units, balance.available) for token, balance in told.items()} == owned, place

    def balances(self, place: Place) -> Sequence[Balance]:
        """Return the balances that were told last."""
        last = self.streams["balances-{}-{}".format(*place)][-1].event
        assert isinstance(last, BalancesObserved)
        return last.balances

    def positions(self, place: Place) -> dict[str, PositionObserved]:
        """Return trading pair → position that was told last, without those that are closed."""
        told = {e.trading_pair: e for e in self.of(PositionObserved) if (e.account, e.connector) == place}
        return {pair: position for pair, position in told.items() if position.amount}

    def _of(self, place: Place) -> list[tuple[OrderPlaced | OrderObserved, orders.Order, Sequence[OrderFilled]]]:
        found: list[tuple[OrderPlaced | OrderObserved, orders.Order, Sequence[OrderFilled]]] = []
        for stream, history in self.histories.items():
            first = history[0].event
            assert isinstance(first, OrderPlaced | OrderObserved)
            if (first.account, first.connector) == place:
                found.append((first, self.orders[stream], _fills(history)))
        return found

    def _spot(self, place: Place) -> dict[str, tuple[Decimal, Decimal]]:
        units = dict(STARTING["paper"])
        locked: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for placed, order, fills in self._of(place):
            base, quote = placed.trading_pair.split("-")
            sign = 1 if placed.side is Side.BUY else -1
            for fill in fills:
                assert fill.fee == fill.amount * fill.price * FEE
                units[base] += sign * fill.amount
                units[quote] -= sign * fill.amount * fill.price + fill.fee
            if order.is_open and placed.side is Side.BUY:
                assert placed.price is not None
                locked[quote] += (order.amount - order.filled) * placed.price * (1 + FEE)
            elif order.is_open:
                locked[base] += order.amount - order.filled
        return {token: (owned, owned - locked[token]) for token, owned in units.items() if owned}

    def _perpetual(self, place: Place) -> dict[str, tuple[Decimal, Decimal]]:
        # What was paid for a position is in it and not lost: the wallet is everything that was paid, and the position
        # at its entry price.
        wallet = STARTING["paper_perpetual"]["USDT"]
        held = self.positions(place)
        amounts: dict[str, Decimal] = defaultdict(lambda: ZERO)
        buys: dict[str, Decimal] = defaultdict(lambda: ZERO)
        sells: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for placed, order, fills in self._of(place):
            sign = 1 if placed.side is Side.BUY else -1
            for fill in fills:
                amounts[placed.trading_pair] += sign * fill.amount
                wallet -= sign * fill.amount * fill.price + fill.fee
            if order.is_open:
                assert placed.price is not None
                side = buys if placed.side is Side.BUY else sells
                side[placed.trading_pair] += (order.amount - order.filled) * placed.price
        assert {pair: amount for pair, amount in amounts.items() if amount} == {p: h.amount for p, h in held.items()}
        wallet += sum((position.amount * position.entry_price for position in held.values()), ZERO)
        wallet += sum(
            (e.payment for e in self.of(FundingPaid) if (e.account, e.connector) == place),
            ZERO,
        )
        leverage = {e.trading_pair: e.leverage for e in self.of(LeverageSet) if (e.account, e.connector) == place}
        locked = ZERO
        for pair in {*held, *buys, *sells}:
            notional = held[pair].amount * held[pair].entry_price if pair in held else ZERO
            needed = max(abs(notional + buys[pair]), abs(notional - sells[pair])) / leverage.get(pair, 1)
            locked += needed.quantize(_FINEST, rounding=ROUND_CEILING) + (buys[pair] + sells[pair]) * FEE
        return {"USDT": (wallet, max(ZERO, wallet - locked))}


def _fills(history: Sequence[Recorded]) -> list[OrderFilled]:
    return [each.event for each in history if isinstance(each.event, OrderFilled)]


def _connector(history: Sequence[Recorded]) -> str:
    first = history[0].event
    assert isinstance(first, OrderPlaced | OrderObserved)
    return first.connector


def _mark(placed: OrderPlaced) -> tuple[object, ...]:
    return placed.connector, placed.trading_pair, placed.order_type.value, placed.amount, placed.price
