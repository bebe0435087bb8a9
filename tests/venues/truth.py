"""Compare what the log says at the end with what the venue's own ledger says: whatever differs is said in words.

The log's side comes from its events alone. Nothing is rounded, and nothing is left out because it is small.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from adapters.exchanges.dialects import dialect
from domain.orders import OrderFilled, OrderObserved, OrderPlaced, stream_of
from domain.orders import Status as Ours
from domain.portfolio import BalancesObserved
from domain.positions import FundingPaid, PositionObserved
from domain.values import ZERO
from tests.faults.ledger import Ledger
from tests.venues import ledger as venue_ledger
from tests.venues.ledger import Market, Status
from tests.venues.traders import ACCOUNTS, MARKETS, PLACES, Asked
from tests.venues.venue_process import Books

_AT_THE_VENUE: Mapping[Ours, frozenset[Status]] = {
    Ours.ACCEPTED: frozenset({Status.NEW, Status.PARTLY_FILLED}),
    Ours.FILLED: frozenset({Status.FILLED}),
    Ours.CANCELED: frozenset({Status.CANCELED}),
    Ours.EXPIRED: frozenset({Status.EXPIRED}),
}
_NOT_THERE = frozenset({Ours.REJECTED, Ours.FAILED})


class Done(msgspec.Struct, frozen=True):
    """What an order did. `fees` are by currency; `average_price` is None without a fill."""

    filled: Decimal
    average_price: Decimal | None
    fees: Mapping[str, Decimal]
    trades: frozenset[str]


def differences(
    log: Ledger, books: Books, asked: Sequence[Asked] | None = None, places: Collection[tuple[str, str]] = PLACES
) -> list[str]:
    """Return what the log and the venue do not agree on of the accounts and connectors that are `places`.

    With `asked`, all that was asked of the server, also every promise to a client that was not kept.
    """
    log.check_streams()
    promises = _promises(log, asked) if asked is not None else ()
    unanswered = [f"{stream} waits for the venue's word" for stream in log.unanswered]
    return [*promises, *unanswered, *_orders(log, books), *_accounts(log, books, places)]


def finals(log: Ledger) -> Counter[str]:
    """Return how many orders ended in which state, those of others apart."""
    found: Counter[str] = Counter()
    for stream, history in log.histories.items():
        whose = "" if isinstance(history[0].event, OrderPlaced) else "foreign "
        found[f"{whose}{log.orders[stream].status}"] += 1
    return found


def _promises(log: Ledger, asked: Sequence[Asked]) -> Iterator[str]:
    acknowledged = {each.order_id: each for each in asked if each.order_id is not None}
    placed = {event.client_order_id: event for event in log.of(OrderPlaced)}
    if len(acknowledged) < sum(each.order_id is not None for each in asked):
        yield "two requests were given the same order"
    for order_id, each in acknowledged.items():
        event = placed.get(order_id)
        wanted = each.body
        if event is None:
            yield f"{order_id} was acknowledged for {each.key}, and is not in the log"
        elif (
            event.account,
            event.connector,
            event.trading_pair,
            event.side,
            event.order_type,
            event.amount,
            event.price,
        ) != (
            wanted["account_name"],
            wanted["connector_name"],
            wanted["trading_pair"],
            wanted["trade_type"],
            wanted["order_type"],
            Decimal(wanted["amount"]),
            None if wanted["price"] is None else Decimal(wanted["price"]),
        ):
            yield f"{order_id} is not what {each.key} asked for: {event}"
    for order_id in placed.keys() - acknowledged.keys():
        yield f"{order_id} is in the log, and nobody was told: its request was taken twice, or not answered"


def _orders(log: Ledger, books: Books) -> Iterator[str]:
    trades: defaultdict[tuple[str, Market, int], list[venue_ledger.Trade]] = defaultdict(list)
    for trade in books.trades:
        trades[trade.account, trade.market, trade.order_id].append(trade)
    theirs = {(order.account, order.market, order.client_id): order for order in books.orders}
    ours = set()
    for stream, history in log.histories.items():
        placed = history[0].event
        if not isinstance(placed, OrderPlaced) or placed.connector not in MARKETS:
            continue
        account, market = ACCOUNTS[placed.account], MARKETS[placed.connector]
        client_id = dialect(placed.connector).venue_id(placed.client_order_id)
        ours.add((account, market, client_id))
        if books.received.get(client_id, 0) > 1:
            yield f"{stream} came to the venue {books.received[client_id]} times"
        order = theirs.get((account, market, client_id))
        yield from _order(log, stream, order, trades[account, market, order.order_id] if order is not None else ())
    for place, order in theirs.items():
        if place not in ours and not order.client_id.startswith("autoclose"):
            yield from _foreign(log, order, trades[order.account, order.market, order.order_id])


def _order(
    log: Ledger, stream: str, order: venue_ledger.Order | None, trades: Sequence[venue_ledger.Trade]
) -> Iterator[str]:
    state = log.orders[stream].status
    if order is None:
        if state not in _NOT_THERE:
            yield f"{stream} is {state} in the log, and the venue does not have it"
        return
    if order.status not in _AT_THE_VENUE.get(state, frozenset()):
        yield f"{stream} is {state} in the log, and {order.status} at the venue ({order.reason or 'no reason'})"
    here, there = _recorded(log, stream), _traded(trades)
    if here != there:
        yield f"{stream} did {here} by the log, and {there} at the venue"
    if there.filled != order.filled or (there.average_price or ZERO) != order.average_price:
        yield f"{stream}: the venue does not agree with itself"


def _foreign(log: Ledger, order: venue_ledger.Order, trades: Sequence[venue_ledger.Trade]) -> Iterator[str]:
    """Say what is wrong with an order of somebody else; of one that did nothing and is gone nobody need have heard."""
    account = next(name for name, theirs in ACCOUNTS.items() if theirs == order.account)
    connector = next(name for name, market in MARKETS.items() if market is order.market)
    stream = stream_of(f"{account}-{connector}-{order.order_id}")
    if stream in log.histories:
        first = log.histories[stream][0].event
        if not isinstance(first, OrderObserved) or first.amount != order.amount or first.side != order.side:
            yield f"{stream} was observed as {first}, and is {order}"
        yield from _order(log, stream, order, trades)
    elif order.filled or order.status.is_open:
        yield f"{stream} of somebody else was not observed: {order.status}, {order.filled:f} filled"


def _recorded(log: Ledger, stream: str) -> Done:
    fills = [each.event for each in log.histories[stream] if isinstance(each.event, OrderFilled)]
    return _done([(fill.trade_id, fill.amount, fill.price, fill.fee, fill.fee_currency) for fill in fills])


def _traded(trades: Sequence[venue_ledger.Trade]) -> Done:
    return _done([(str(t.trade_id), t.amount, t.price, t.fee, t.fee_currency) for t in trades])


def _done(fills: Sequence[tuple[str, Decimal, Decimal, Decimal, str]]) -> Done:
    filled = sum((amount for _, amount, *_ in fills), ZERO)
    spent = sum((amount * price for _, amount, price, *_ in fills), ZERO)
    fees: dict[str, Decimal] = {}
    for *_, fee, currency in fills:
        fees[currency] = fees.get(currency, ZERO) + fee
    return Done(filled, spent / filled if filled else None, fees, frozenset(trade_id for trade_id, *_ in fills))


def _accounts(log: Ledger, books: Books, places: Collection[tuple[str, str]]) -> Iterator[str]:
    for account, connector in places:
        theirs, market = ACCOUNTS[account], MARKETS[connector]
        told = log.streams.get(f"balances-{account}-{connector}", [])
        last = told[-1].event if told else None
        here = {b.token: (b.units, b.available) for b in last.balances} if isinstance(last, BalancesObserved) else {}
        there = _balances(books, theirs, market)
        if here != there:
            yield f"{account} on {connector} has {_shown(here)} by the log, and {_shown(there)} at the venue"
        if market is Market.SWAP:
            yield from _positions(log, books, account, theirs)
            yield from _funding(log, books, account, theirs)


def _balances(books: Books, account: str, market: Market) -> dict[str, tuple[Decimal, Decimal]]:
    """Return token → units and available; profit that is not taken counts nowhere."""
    return {h.token: (h.units, h.available) for h in books.holdings[account][market]}


def _positions(log: Ledger, books: Books, account: str, theirs: str) -> Iterator[str]:
    last = {(e.trading_pair, e.side): e for e in log.of(PositionObserved) if e.account == account}
    here = {key: (e.amount, e.entry_price) for key, e in last.items() if e.amount}
    there = {(p.trading_pair, p.side): (p.amount, p.entry_price) for p in books.positions[theirs] if p.amount}
    if here != there:
        yield f"{account} holds {_shown(here)} by the log, and {_shown(there)} at the venue"


def _funding(log: Ledger, books: Books, account: str, theirs: str) -> Iterator[str]:
    here = sorted((e.funding_id, e.payment) for e in log.of(FundingPaid) if e.account == account)
    there = sorted((str(number), paid.payment) for number, paid in books.funding[theirs])
    if here != there:
        yield f"{account} was paid {here} by the log, and {there} at the venue"


def _shown(values: Mapping[Any, tuple[Decimal, Decimal]]) -> str:
    pairs = (f"{key}: {first:f} {second:f}" for key, (first, second) in sorted(values.items(), key=str))
    return ", ".join(pairs) or "nothing"
