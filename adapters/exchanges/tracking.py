"""What a venue says of an account's orders, turned into facts, each of them once and in an order that can be told.

A venue speaks by two ways, its stream and its answers, and each may be late, repeated or in another order than it
happened. So nothing here trusts the last message: the base filled only grows, an end is never undone, a trade counts
by its id. The end of an order is told when all its trades are: until then the order is *lacking*, and whoever runs the
tracker asks the venue for them.

Orders and trades come in ccxt's unified shapes (ccxt manual, "Order Structure" and "Trade Structure"), with exact
numbers.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from adapters.exchanges.standing import Raw, Symbols, number, time
from commands.ports import Clock, OpenOrder
from domain.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    OrderRejected,
    observed_id,
)
from domain.values import ZERO, OrderType, PositionAction, Side

_DONE_KEPT, _DONE_MOST = 2_000, 50_000
"""Orders that are through and still recognized, as a venue may repeat itself; more while they are asked about."""
_ORPHANS_KEPT = 1_000


class Ways(Protocol):
    """What a venue's words mean beyond what ccxt reads."""

    def our_id(self, raw: Raw) -> str | None:
        """Return our id of an order, None when its client order id cannot be one of ours, or is not told."""
        ...

    def is_canceled_by_venue(self, raw: Raw) -> bool:
        """Whether the venue itself ended an order that it calls canceled."""
        ...


class Tracked(msgspec.Struct, kw_only=True):
    """One order as its venue has told it so far.

    `filled` and `traded` in base: what the venue says of the order, and what its trades that were told add up to.
    """

    order_id: str
    trading_pair: str
    order: OrderPlaced | OrderObserved
    exchange_order_id: str | None = None
    trade_ids: set[str] = msgspec.field(default_factory=set)
    filled: Decimal = ZERO
    traded: Decimal = ZERO
    end: OrderCanceled | OrderExpired | OrderFilled | None = None  # OrderFilled: by its last trade
    ended: bool = False  # the end is told
    through_at: datetime | None = None  # on our clock

    @property
    def is_lacking(self) -> bool:
        """Whether the venue has filled more of it than the trades that were told."""
        return self.traded < self.filled


class Told(msgspec.Struct, kw_only=True):
    """Facts in their order, for a report. `observed` are orders that we did not place, before their facts."""

    orders: list[tuple[str, OrderFact]] = []
    observed: list[OrderObserved] = []

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.orders or self.observed)

    def add(self, more: "Told") -> None:
        """Take in what comes after."""
        self.orders += more.orders
        self.observed += more.observed


class Tracker:
    """The orders of one account on one venue. Knows nothing of how messages come.

    `all_told_at`: what the venue did before is not asked for again, so that orders that were through by then may go.
    """

    def __init__(self, *, account: str, connector: str, symbols: Symbols, ways: Ways, clock: Clock) -> None:
        """Begin with no order."""
        self._account = account
        self._connector = connector
        self._symbols = symbols
        self._ways = ways
        self._clock = clock
        self.all_told_at = clock()
        self._live: dict[str, Tracked] = {}
        self._lacking: dict[str, Tracked] = {}
        self._done: OrderedDict[str, Tracked] = OrderedDict()
        self._by_venue_id: dict[str, Tracked] = {}
        self._orphans: dict[str, list[Raw]] = {}

    @property
    def live(self) -> Sequence[Tracked]:
        """The orders that may still trade, or whose trades are not all told."""
        return list(self._live.values())

    @property
    def lacking(self) -> Sequence[Tracked]:
        """The orders that have trades at the venue that were not told."""
        return list(self._lacking.values())

    @property
    def orphans(self) -> Mapping[str, Sequence[Raw]]:
        """The trades of orders that nobody has told of, by the venue's order id."""
        return self._orphans

    def known(self, order_id: str) -> Tracked | None:
        """Return an order by our id."""
        return self._live.get(order_id) or self._done.get(order_id)

    def expect(self, order: OrderPlaced) -> Tracked:
        """Know an order of ours that the venue may hear of from now on."""
        tracked = self.known(order.client_order_id)
        if tracked is None:
            tracked = Tracked(order_id=order.client_order_id, trading_pair=order.trading_pair, order=order)
            self._live[tracked.order_id] = tracked
        return tracked

    def remember(self, known: OpenOrder, *, ended: bool = False) -> None:
        """Know an order as the log has it, open or `ended`."""
        order = known.order
        order_id = (
            order.client_order_id
            if isinstance(order, OrderPlaced)
            else observed_id(order.account, order.connector, order.exchange_order_id)
        )
        tracked = Tracked(
            order_id=order_id,
            trading_pair=order.trading_pair,
            order=order,
            exchange_order_id=known.exchange_order_id,
            trade_ids=set(known.trade_ids),
            filled=known.filled,
            traded=known.filled,
            ended=ended,
        )
        self._by_venue_id[known.exchange_order_id] = tracked
        if ended:
            self._keep_done(tracked)
        else:
            self._live[order_id] = tracked

    def give_up(self, order_id: str) -> None:
        """Forget an order that never reached the venue, or that it refused."""
        tracked = self._live.get(order_id)
        if tracked is not None and tracked.exchange_order_id is None:
            del self._live[order_id]

    def take_order(self, raw: Raw, *, order_id: str | None = None) -> Told:
        """Take in an order as the venue has it. `order_id` is our id where the venue does not repeat it.

        What cannot be read raises, and changes nothing.
        """
        told = Told()
        venue_id = _text(raw.get("id"))
        pair = self._symbols.pair(_text(raw.get("symbol")))
        if not venue_id or (pair is None and order_id is None and venue_id not in self._by_venue_id):
            return told
        tracked = self._find(venue_id, raw, order_id)
        if tracked is None and (pair is None or self._is_old_news(raw)):
            return told
        at = _time(raw.get("lastUpdateTimestamp") or raw.get("timestamp"), self._clock)
        accepted_at = _time(raw.get("timestamp"), self._clock)
        traded_pair = pair or "" if tracked is None else tracked.trading_pair
        size = self._symbols.contract_size(traded_pair)
        filled, amount = number(raw.get("filled")) * size, number(raw.get("amount")) * size
        trades = [self._read(trade, traded_pair, venue_id, settled=False) for trade in raw.get("trades") or ()]
        trades += [self._read(trade, traded_pair, venue_id, settled=True) for trade in self._orphans.get(venue_id, ())]
        if tracked is None:
            tracked = self._observe(raw, venue_id, traded_pair, told)
        status = _text(raw.get("status"))
        if status == "rejected" and not tracked.exchange_order_id and not tracked.traded:
            reason = _text(raw.get("rejectReason")) or f"{self._connector} rejected the order"
            self.give_up(tracked.order_id)
            told.orders.append((tracked.order_id, OrderRejected(reason=reason, rejected_at=at)))
            return told
        self._accept(tracked, venue_id, accepted_at, told)
        tracked.filled = max(tracked.filled, filled)
        self._orphans.pop(venue_id, None)
        for trade in trades:
            self._trade(tracked, trade, told)
        if tracked.end is None and not tracked.ended:
            tracked.end = self._end(status, amount or tracked.order.amount, tracked, at, raw)
        self._settle(tracked, told)
        return told

    def take_trade(self, raw: Raw, *, settled: bool = False) -> Told:
        """Take in a trade. `settled` says that the venue's records were asked: a fee that is not there is none.

        A trade of an order that is not known waits until the order is.
        """
        told = Told()
        venue_id = _text(raw.get("order"))
        tracked = self._by_venue_id.get(venue_id)
        if tracked is not None:
            self._trade(tracked, self._read(raw, tracked.trading_pair, venue_id, settled=settled), told)
            self._settle(tracked, told)
        elif venue_id and (pair := self._symbols.pair(_text(raw.get("symbol")))) and (settled or self._has_room):
            waiting = self._orphans.setdefault(venue_id, [])
            if settled:
                self._read(raw, pair, venue_id, settled=True)  # what cannot be read must not wait for its order
                waiting.append(raw)
        return told

    @property
    def _has_room(self) -> bool:
        """Whether one more order may be looked up for a trade of the stream; else the next comparison finds it."""
        return len(self._orphans) < _ORPHANS_KEPT

    def settle(self, tracked: Tracked) -> Told:
        """Tell the end of an order that was found by other ways, if it is through."""
        told = Told()
        self._settle(tracked, told)
        return told

    def drop_orphans(self, venue_id: str) -> None:
        """Forget the trades of an order that the venue does not tell of."""
        self._orphans.pop(venue_id, None)

    def _find(self, venue_id: str, raw: Raw, order_id: str | None) -> Tracked | None:
        tracked = self._by_venue_id.get(venue_id)
        if tracked is None:
            ours = order_id or self._ways.our_id(raw)
            tracked = self.known(ours) if ours else None
            if tracked is not None and tracked.exchange_order_id not in (None, venue_id):
                return None  # another order that bears the same client id
        return tracked

    @staticmethod
    def _is_old_news(raw: Raw) -> bool:
        """Whether an order of somebody else ended without a trade before we heard of it: nothing came of it."""
        return _text(raw.get("status")) not in {"open", ""} and not number(raw.get("filled"))

    def _observe(self, raw: Raw, venue_id: str, pair: str, told: Told) -> Tracked:
        """Know an order that is not expected: somebody else's, or one of ours that only the log knows by now."""
        ours = self._ways.our_id(raw)
        if ours is not None and self.known(ours) is not None:
            ours = None  # that is another order
        size = self._symbols.contract_size(pair)
        order_type = _order_type(raw)
        price = number(raw.get("price"))
        order = OrderObserved(
            account=self._account,
            connector=self._connector,
            trading_pair=pair,
            exchange_order_id=venue_id,
            side=Side(_text(raw.get("side")).upper()),
            order_type=order_type,
            amount=max(number(raw.get("amount")), number(raw.get("filled"))) * size,
            price=price if price and order_type is not OrderType.MARKET else None,
            position_action=PositionAction.CLOSE if raw.get("reduceOnly") else PositionAction.OPEN,
            observed_at=_time(raw.get("timestamp"), self._clock),
            client_order_id=ours,
        )
        order_id = ours or observed_id(self._account, self._connector, venue_id)
        tracked = Tracked(order_id=order_id, trading_pair=pair, order=order)
        self._live[order_id] = tracked
        told.observed.append(order)
        return tracked

    def _accept(self, tracked: Tracked, venue_id: str, at: datetime, told: Told) -> None:
        if tracked.exchange_order_id is None:
            tracked.exchange_order_id = venue_id
            self._by_venue_id[venue_id] = tracked
            if isinstance(tracked.order, OrderPlaced) or tracked.order.client_order_id:
                fact = OrderAccepted(exchange_order_id=venue_id, accepted_at=at)
                told.orders.append((tracked.order_id, fact))

    def _read(self, raw: Raw, pair: str, venue_id: str, *, settled: bool) -> OrderFilled | None:
        """Return a trade as a fact, None for one that is not told in full."""
        trade_id, fee = _text(raw.get("id")), _fee(raw)
        if not trade_id or (fee is None and not settled):
            return None
        cost, currency = fee or (ZERO, pair.partition("-")[2])
        return OrderFilled(
            trade_id=trade_id,
            amount=number(raw.get("amount")) * self._symbols.contract_size(pair),
            price=number(raw.get("price")),
            fee=cost,
            fee_currency=currency,
            is_maker=raw.get("takerOrMaker") == "maker",
            filled_at=_time(raw.get("timestamp"), self._clock),
            exchange_order_id=venue_id,
        )

    @staticmethod
    def _trade(tracked: Tracked, fact: OrderFilled | None, told: Told) -> None:
        if fact is None or fact.trade_id in tracked.trade_ids:
            return
        tracked.trade_ids.add(fact.trade_id)
        tracked.traded += fact.amount
        tracked.filled = max(tracked.filled, tracked.traded)
        told.orders.append((tracked.order_id, fact))
        if tracked.traded >= tracked.order.amount and tracked.end is None:
            tracked.end = fact

    def _end(
        self, status: str, amount: Decimal, tracked: Tracked, at: datetime, raw: Raw
    ) -> OrderCanceled | OrderExpired | OrderFilled | None:
        if status == "canceled" and not self._ways.is_canceled_by_venue(raw):
            return OrderCanceled(canceled_at=at)
        if status in {"canceled", "expired", "rejected"}:
            words = _text(raw.get("rejectReason")) or f"{self._connector} ended the order by its own rules"
            return OrderExpired(reason=words, expired_at=at)
        if status == "closed" and tracked.filled < tracked.order.amount:
            reason = f"{self._connector} closed the order with {tracked.filled:f} of {amount:f} filled"
            return OrderExpired(reason=reason, expired_at=at)
        return None

    def _settle(self, tracked: Tracked, told: Told) -> None:
        """Tell the end of an order once all its trades are told; one that traded after its end is live again."""
        if tracked.is_lacking:
            self._lacking[tracked.order_id] = tracked
        else:
            self._lacking.pop(tracked.order_id, None)
        if (tracked.end is None and not tracked.ended) or tracked.is_lacking:
            self._done.pop(tracked.order_id, None)
            self._live[tracked.order_id] = tracked
            return
        if tracked.end is not None and not tracked.ended and not isinstance(tracked.end, OrderFilled):
            told.orders.append((tracked.order_id, tracked.end))
        tracked.ended = True
        self._live.pop(tracked.order_id, None)
        self._keep_done(tracked)

    def _keep_done(self, tracked: Tracked) -> None:
        tracked.through_at = self._clock()
        self._done.pop(tracked.order_id, None)
        self._done[tracked.order_id] = tracked
        while len(self._done) > _DONE_KEPT:
            oldest = next(iter(self._done.values()))
            if oldest.through_at and oldest.through_at >= self.all_told_at and len(self._done) <= _DONE_MOST:
                break
            del self._done[oldest.order_id]
            self._by_venue_id.pop(_text(oldest.exchange_order_id), None)


def told_at(fact: OrderFact) -> datetime:
    """Return when a fact happened, on the venue's clock."""
    match fact:
        case OrderAccepted():
            return fact.accepted_at
        case OrderFilled():
            return fact.filled_at
        case OrderCanceled():
            return fact.canceled_at
        case OrderExpired():
            return fact.expired_at
        case _:
            return fact.rejected_at


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _time(milliseconds: object, clock: Clock) -> datetime:
    """Return the venue's time, ours where it has none."""
    if milliseconds is None:
        return clock()
    return time(milliseconds)


def _order_type(raw: Raw) -> OrderType:
    if _text(raw.get("type")).startswith("market"):
        return OrderType.MARKET
    return OrderType.LIMIT_MAKER if raw.get("postOnly") else OrderType.LIMIT


def _fee(raw: Raw) -> tuple[Decimal, str] | None:
    """Return cost and currency of a trade's fee, None where the message has none."""
    fees = [fee for fee in [raw.get("fee"), *(raw.get("fees") or ())] if fee and fee.get("cost") is not None]
    paid = next((fee for fee in fees if number(fee["cost"])), fees[0] if fees else None)
    if paid is None or paid.get("currency") is None:
        return None
    return number(paid["cost"]), _text(paid["currency"])
