"""Record what venues say of an account: orders, balances, positions and funding of one report in one commit.

That a fill and the balances after it are one commit is what lets the paper venue begin again from the log alone. What a
comparison with a venue finds is in the commit that corrects the log, too.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import structlog

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import ATTEMPTS, append
from commands.folding import Folded, fold, load_all
from commands.ports import Log, Ports, Write
from domain import orders, portfolio, positions, reconciliation
from domain.errors import StreamMoved, Unavailable
from domain.events import Event, Recorded
from domain.orders import OrderFact, OrderFilled, OrderObserved, OrderPlaced
from domain.portfolio import BalancesObserved, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.rates import usd_prices
from domain.reconciliation import Compared, Difference
from domain.reports import AccountReport

logger = structlog.get_logger()

RECORDED_WITHIN_SECONDS = 3.0
"""How long somebody who asked a venue waits for its answer to be recorded; it is recorded later all the same."""

_LONGEST_ASKED = timedelta(minutes=5)
"""No venue is asked for longer. What is farther ahead was told before somebody set the clock back."""

_UNKNOWN = positions.Known()

_Told = dict[str, list[OrderFact | OrderObserved]]
_Orders = Mapping[str, Folded[orders.Order]]


class RecordReport(Command, frozen=True, kw_only=True):
    """Record what a venue said."""

    report: AccountReport


class _Past(msgspec.Struct, frozen=True, kw_only=True):
    """What the log holds of the streams that a report touches: the state of some, the last event of the others."""

    orders: _Orders
    last: Mapping[str, Recorded | None]
    pairs: Mapping[str, positions.Known]

    def seen(self) -> list[Recorded]:
        """Return the events that were read, but for those of pairs."""
        return [r for order in self.orders.values() for r in order.newest] + [r for r in self.last.values() if r]


class _Decided(msgspec.Struct, kw_only=True):
    """What is new: the writes of orders, the events of the other streams, and the differences with their stories."""

    writes: list[Write] = msgspec.field(default_factory=list)
    lists: dict[str, list[Event]] = msgspec.field(default_factory=dict)
    of_orders: list[tuple[Difference, UUID | None]] = msgspec.field(default_factory=list)
    of_lists: list[Difference] = msgspec.field(default_factory=list)


async def handed_in(ports: Ports, report: AccountReport, *, what: str) -> int:
    """Hand a report in, and return the position at which it is recorded. Raises `Unavailable` when that takes long.

    `what` is what the report holds, for the message.
    """
    try:
        async with asyncio.timeout(RECORDED_WITHIN_SECONDS):
            return await ports.sink(report)
    except TimeoutError as late:
        raise Unavailable(
            f"{what} of '{report.account}' on {report.connector} were not recorded within {RECORDED_WITHIN_SECONDS:g} s"
        ) from late


async def record(command: RecordReport, call: Call) -> Outcome:
    """Record a report; what is known already adds nothing."""
    ports, report = call.ports, command.report
    position = 0
    for attempt in range(1, ATTEMPTS + 1):
        writes, position = await _writes(call, report)
        if not writes:
            break
        try:
            position = await append(ports.log, writes, call.origin)
            break
        except StreamMoved:
            if attempt == ATTEMPTS:
                raise
    return Outcome(result=None, position=position)


async def _writes(call: Call, report: AccountReport) -> tuple[list[Write], int]:
    """Return what is new in a report, and the newest position that was looked at."""
    past = await _past(call.ports.log, report)
    seen = past.seen()
    position = max((r.position for r in seen), default=0)
    if any(r.command_id == call.origin.command_id for r in seen):
        return [], position  # recorded by this very command, whose answer was lost
    decided = _Decided()
    _decide_orders(decided, report, past)
    _decide_pairs(decided, report, past)
    await _decide_balances(decided, report, past, call.ports)
    # What one order did to balances and positions belongs to its story; what several did is told by the report's own.
    stories = {write.correlation_id for write in decided.writes}
    story = stories.pop() if len(stories) == 1 else None
    writes = decided.writes + [
        Write(stream=stream, expected_version=_version(past, stream), events=events, correlation_id=story)
        for stream, events in decided.lists.items()
        if events
    ]
    if report.reconciles:
        writes.append(_conclusion(decided, report, past, story))
    return writes, position


async def _past(log: Log, report: AccountReport) -> _Past:
    streams = [orders.stream_of(order_id) for order_id, _ in report.orders]
    for order in report.observed:
        streams.append(_stream_of_observed(order))
        if order.client_order_id is not None:
            streams.append(orders.stream_of(order.client_order_id))
    account, connector = report.account, report.connector
    lists = list(_pairs(report))
    if report.holdings is not None or report.reconciles:
        lists.append(portfolio.stream_of(account, connector))
    if report.reconciles:
        lists.append(reconciliation.stream_of(account, connector))
    last = await log.last(lists)
    return _Past(
        orders=await load_all(log, list(dict.fromkeys(streams)), orders.NEW, orders.evolve),
        last=last,
        pairs=await _known(log, report, last),
    )


def _decide_orders(decided: _Decided, report: AccountReport, past: _Past) -> None:
    for stream, facts in _order_facts(report, past.orders).items():
        known = past.orders[stream]
        before = known.state
        new = _unknown(stream, before, facts)
        if not new:
            continue
        write = _continue(known, stream, new)
        decided.writes.append(write)
        order_id = stream.removeprefix(orders.stream_of(""))
        differences = reconciliation.of_order(order_id, before, new)
        decided.of_orders += [(difference, write.correlation_id) for difference in differences]


def _order_facts(report: AccountReport, known: _Orders) -> _Told:
    """Return stream → facts of the orders in a report, in its order; the streams of observed orders come first.

    An observed order that bears the id of one of ours is that one, if the log has it for this account. If not, somebody
    else made the id up, and what is addressed to it is about the order that was observed.
    """
    told: _Told = {}
    stream_by_id: dict[str, str] = {}
    for order in report.observed:
        if order.client_order_id is not None:
            ours = orders.stream_of(order.client_order_id)
            if _is_placed_here(known[ours], report):
                continue
            stream_by_id[order.client_order_id] = _stream_of_observed(order)
        told.setdefault(_stream_of_observed(order), []).append(order)
    for order_id, fact in report.orders:
        told.setdefault(stream_by_id.get(order_id) or orders.stream_of(order_id), []).append(fact)
    return told


def _stream_of_observed(order: OrderObserved) -> str:
    return orders.stream_of(orders.observed_id(order.account, order.connector, order.exchange_order_id))


def _is_placed_here(known: Folded[orders.Order], report: AccountReport) -> bool:
    first = known.first.event if known.first is not None else None
    return isinstance(first, OrderPlaced) and (first.account, first.connector) == (report.account, report.connector)


def _unknown(stream: str, order: orders.Order, facts: Sequence[OrderFact | OrderObserved]) -> list[Event]:
    """Return those facts that the order does not hold yet."""
    new: list[Event] = []
    for fact in facts:
        if isinstance(fact, OrderObserved):
            events = orders.observe(order, fact)
        elif order.status is orders.Status.NEW:
            logger.error("fact_of_unknown_order", stream=stream, fact=type(fact).__name__)
            continue
        else:
            events = orders.record(order, fact)
        for event in events:
            order = orders.evolve(order, event)
        new += events
    return new


def _continue(known: Folded[orders.Order], stream: str, events: Sequence[Event]) -> Write:
    """Return the write of an order's facts, in the story in which the order was placed."""
    return Write(
        stream=stream,
        expected_version=known.version,
        events=events,
        correlation_id=known.first.correlation_id if known.first is not None else None,
        causation_id=known.newest[-1].command_id if known.newest else None,
    )


def _pairs(report: AccountReport) -> dict[str, list[FundingPaid | PositionObserved]]:
    """Return stream → what a report says of a pair."""
    told: dict[str, list[FundingPaid | PositionObserved]] = {}
    facts: tuple[FundingPaid | PositionObserved, ...] = (*report.funding, *report.positions)
    for fact in facts:
        told.setdefault(positions.stream_of(fact.account, fact.connector, fact.trading_pair), []).append(fact)
    return told


async def _known(log: Log, report: AccountReport, last: Mapping[str, Recorded | None]) -> dict[str, positions.Known]:
    """Return stream → what is known of each pair that a report is about.

    Where its last event says all that matters, the stream is not read: it grows with every snapshot.
    """
    ends = {
        stream: [before] if before is not None else []
        for stream, facts in _pairs(report).items()
        if (before := last[stream]) is None or _says_all(before.event, facts)
    }
    others = [stream for stream in _pairs(report) if stream not in ends]
    read = await load_all(log, others, _UNKNOWN, positions.learn)
    known = {stream: fold(_UNKNOWN, positions.learn, end) for stream, end in ends.items()}
    return known | {stream: loaded.state for stream, loaded in read.items()}


def _says_all(last: Event, facts: Sequence[FundingPaid | PositionObserved]) -> bool:
    return isinstance(last, PositionObserved) and all(
        isinstance(fact, PositionObserved) and fact.side == last.side for fact in facts
    )


def _decide_pairs(decided: _Decided, report: AccountReport, past: _Past) -> None:
    for stream, facts in _pairs(report).items():
        known = past.pairs[stream]
        for fact in facts:
            before = known.sides.get(fact.side) if isinstance(fact, PositionObserved) else None
            if isinstance(fact, FundingPaid):
                new = positions.pay(known, fact)
                decided.of_lists += [reconciliation.of_funding(fact)] if new else []
            elif before is not None and _is_newer(before.observed_at, fact.observed_at, report):
                continue
            else:
                new = positions.observe(known, fact, always=report.snapshot and not report.reconciles)
                if positions.observe(known, fact, always=False):
                    decided.of_lists.append(reconciliation.of_position(before, fact))
            if new:
                decided.lists.setdefault(stream, []).extend(new)
                known = positions.learn(known, fact)


async def _decide_balances(decided: _Decided, report: AccountReport, past: _Past, ports: Ports) -> None:
    if report.holdings is None:
        return
    stream = portfolio.stream_of(report.account, report.connector)
    last = past.last[stream]
    before = last.event if last is not None and isinstance(last.event, BalancesObserved) else None
    if before is not None:
        always = report.snapshot and not report.reconciles
        if not always and not _differs(before, report.holdings):
            return
        if _is_newer(before.observed_at, report.owned_at, report):
            return
        decided.of_lists += reconciliation.of_balances(before.balances, report.holdings)
    decided.lists[stream] = portfolio.observe(
        report.holdings,
        account=report.account,
        connector=report.connector,
        prices=usd_prices([h.token for h in report.holdings], await _prices(ports, report.connector)),
        banned=ports.banned,
        at=report.owned_at,
    )


def _differs(last: BalancesObserved, holdings: Sequence[Holding]) -> bool:
    before = {b.token: (b.units, b.available) for b in last.balances}
    return before != {h.token: (h.units, h.available) for h in holdings}


def _is_newer(before: datetime, asked_at: datetime, report: AccountReport) -> bool:
    """Say whether something was told after the venue was asked for what this report says of it."""
    return report.began_at is not None and timedelta(0) < before - asked_at < _LONGEST_ASKED


async def _prices(ports: Ports, reporting: str) -> dict[str, Decimal]:
    """Return the last price of every pair on the connectors in use, the one included that is only being connected."""
    in_use = {connector for connectors in ports.venues.accounts().values() for connector in connectors} | {reporting}
    prices: dict[str, Decimal] = {}
    for connector in sorted(in_use):
        prices.update(await ports.venues.exchange(connector).prices())
    return prices


def _conclusion(decided: _Decided, report: AccountReport, past: _Past, story: UUID | None) -> Write:
    """Return what a comparison found, each difference in the story of the facts that correct it."""
    stream = reconciliation.stream_of(report.account, report.connector)
    found = decided.of_orders + [(difference, story) for difference in decided.of_lists]
    if past.last[portfolio.stream_of(report.account, report.connector)] is None:
        found = []  # seen for the first time
    events = reconciliation.conclude(
        [difference for difference, _ in found],
        account=report.account,
        connector=report.connector,
        trigger=report.reconciles,
        began_at=report.began_at or report.reported_at,
        finished_at=report.reported_at,
        compared=report.compared or _compared(report),
    )
    return Write(
        stream=stream,
        expected_version=_version(past, stream),
        events=events,
        stories=[*(story for _, story in found), None],
    )


def _compared(report: AccountReport) -> Compared:
    return Compared(
        orders=len({order_id for order_id, _ in report.orders}),
        trades=sum(isinstance(fact, OrderFilled) for _, fact in report.orders),
        tokens=len(report.holdings or ()),
        positions=len(report.positions),
    )


def _version(past: _Past, stream: str) -> int:
    last = past.last[stream]
    return last.version if last is not None else 0


HANDLERS: Handlers = {RecordReport: (record, None)}
