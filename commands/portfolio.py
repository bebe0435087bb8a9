"""Record what venues say of an account: orders, balances, positions and funding of one report in one commit.

That a fill and the balances after it are one commit is what lets the paper venue begin again from the log alone.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import structlog

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import ATTEMPTS, append, fold
from commands.ports import Ports, Write
from domain import orders, portfolio, positions
from domain.errors import StreamMoved, Unavailable
from domain.events import Event, Recorded
from domain.orders import OrderFact, OrderObserved
from domain.portfolio import BalancesObserved, Holding
from domain.positions import FundingPaid, PositionObserved
from domain.rates import usd_prices
from domain.reports import AccountReport

logger = structlog.get_logger()

RECORDED_WITHIN_SECONDS = 3.0
"""How long somebody who asked for balances waits for them to be recorded; they are recorded later all the same."""


class RecordReport(Command, frozen=True, kw_only=True):
    """Record what a venue said."""

    report: AccountReport


class ObserveBalances(Command, frozen=True, kw_only=True):
    """Ask the venue for balances and positions and record them, changed or not."""

    account: str
    connector: str


async def observe(command: ObserveBalances, call: Call) -> Outcome:
    """Ask the venue and hand its answer in behind the reports that wait already, so that order is kept."""
    exchange = call.ports.venues.connected(command.account, command.connector)
    report = await exchange.report(command.account)
    try:
        async with asyncio.timeout(RECORDED_WITHIN_SECONDS):
            return Outcome(result=None, position=await call.ports.sink(report))
    except TimeoutError as late:
        raise Unavailable(
            f"The balances of '{command.account}' on {command.connector} were not recorded within"
            f" {RECORDED_WITHIN_SECONDS:g} s"
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


async def _prices(ports: Ports) -> dict[str, Decimal]:
    """Return the last price of every pair on the connectors in use."""
    in_use = {connector for connectors in ports.venues.accounts().values() for connector in connectors}
    prices: dict[str, Decimal] = {}
    for connector in sorted(in_use):
        prices.update(await ports.venues.exchange(connector).prices())
    return prices


async def _writes(call: Call, report: AccountReport) -> tuple[list[Write], int]:
    """Return what is new in a report, and the newest position that was looked at."""
    ports = call.ports
    events = _order_events(report)
    histories = await ports.log.read(list(events))
    writes = [
        _continue(histories[stream], stream, new)
        for stream, facts in events.items()
        if (new := _unknown(stream, histories[stream], facts))
    ]
    balances = portfolio.stream_of(report.account, report.connector)
    lists = _position_events(report)
    last = await ports.log.last([balances, *lists])
    if report.holdings is not None and (report.snapshot or _differs(last[balances], report.holdings)):
        lists[balances] = portfolio.observe(
            report.holdings,
            account=report.account,
            connector=report.connector,
            prices=usd_prices([h.token for h in report.holdings], await _prices(ports)),
            banned=ports.banned,
            at=report.reported_at,
        )
    # What one order did to balances and positions belongs to its story; what several did is told by the report's own.
    stories = {write.correlation_id for write in writes}
    story = stories.pop() if len(stories) == 1 else None
    for stream, new in lists.items():
        before = last[stream]
        if before is not None and before.command_id == call.origin.command_id:
            continue  # recorded by this very command, whose answer was lost
        version = before.version if before else 0
        writes.append(Write(stream=stream, expected_version=version, events=new, correlation_id=story))
    seen = [h[-1].position for h in histories.values() if h] + [r.position for r in last.values() if r]
    return writes, max(seen, default=0)


def _continue(history: Sequence[Recorded], stream: str, events: Sequence[Event]) -> Write:
    """Return the write of an order's facts, in the story in which the order was placed."""
    return Write(
        stream=stream,
        expected_version=len(history),
        events=events,
        correlation_id=history[0].correlation_id if history else None,
        causation_id=history[-1].command_id if history else None,
    )


def _order_events(report: AccountReport) -> dict[str, list[OrderFact | OrderObserved]]:
    """Return stream → facts of the orders in a report, in its order."""
    events: dict[str, list[OrderFact | OrderObserved]] = {}
    for order in report.observed:
        order_id = orders.observed_id(order.account, order.connector, order.exchange_order_id)
        events.setdefault(orders.stream_of(order_id), []).append(order)
    for order_id, fact in report.orders:
        events.setdefault(orders.stream_of(order_id), []).append(fact)
    return events


def _unknown(stream: str, history: Sequence[Recorded], facts: Sequence[OrderFact | OrderObserved]) -> list[Event]:
    """Return those facts that the order's history does not hold yet."""
    order = fold(orders.NEW, orders.evolve, history)
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


def _position_events(report: AccountReport) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {}
    facts: tuple[FundingPaid | PositionObserved, ...] = (*report.funding, *report.positions)
    for fact in facts:
        events.setdefault(positions.stream_of(fact.account, fact.connector, fact.trading_pair), []).append(fact)
    return events


def _differs(last: Recorded | None, holdings: Sequence[Holding]) -> bool:
    if last is None or not isinstance(last.event, BalancesObserved):
        return True
    before = {b.token: (b.units, b.available) for b in last.event.balances}
    return before != {h.token: (h.units, h.available) for h in holdings}


HANDLERS: Handlers = {
    RecordReport: (record, None),
    ObserveBalances: (observe, None),
}
