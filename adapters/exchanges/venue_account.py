"""One account on one real venue: what is sent, what is asked, and what is told of it.

Whatever comes in, by the stream, as an answer or from an inquiry, goes through one tracker, and what is new in it is
told to the sink.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from adapters.exchanges.clients import NotKnown, NotSent, Refused, Repeated, Unchanged, VenueClient
from adapters.exchanges.dialects import Arguments
from adapters.exchanges.inquiry import Inquiry
from adapters.exchanges.standing import Held, closed, holdings, number
from adapters.exchanges.tracking import Told, Tracked, Tracker, told_at
from adapters.exchanges.venue import Venue
from commands.ports import RECENTLY, AccountMemory
from domain.errors import Invalid, Unavailable
from domain.orders import CancelRejected, OrderObserved, OrderPlaced, OrderRejected
from domain.portfolio import Holding
from domain.positions import FundingPaid
from domain.reconciliation import Compared, Trigger
from domain.reports import AccountReport
from domain.values import PositionMode

logger = structlog.get_logger()

LEAVES_WITHIN_SECONDS = 5.0
"""An order that waits longer, for its turn in the venue's rate limit, is not sent any more."""
OVERLAP = timedelta(minutes=1)
RECORDED_SECONDS = 10.0
HEARD_WITHIN = timedelta(seconds=10)
"""A stream that is alive has told what happened within this time; clocks differ by less."""
USD = ("USDT", "USDC", "USD")


class VenueAccount:
    """One account. Begins with what the log knows of it; `begin` before anything else."""

    def __init__(self, memory: AccountMemory, client: VenueClient, venue: Venue) -> None:
        """Know what the log knows; nothing is asked yet."""
        self.name = memory.account
        self.client = client
        self.venue = venue
        self.connector = venue.connector.name
        self.tracker = Tracker(
            account=self.name, connector=self.connector, symbols=venue, ways=venue, clock=venue.clock
        )
        self.inquiry = Inquiry(self.name, client, venue, self.tracker)
        self.lacking, self.touched, self.moved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.deaf = asyncio.Event()  # the streams are open, and did not tell what happened
        self._looking = asyncio.Lock()
        self._standing = asyncio.Lock()  # so that no answer about positions comes after a later one's
        self._is_new = memory.balances is None
        self._pairs = set(memory.pairs)
        self._mode = memory.mode
        self._held: Held = {(p.trading_pair, p.side): p for p in memory.positions if p.amount}
        self._holdings = {
            b.token: Holding(token=b.token, units=b.units, available=b.available) for b in memory.balances or ()
        }
        seen = memory.last_seen_at
        self.tracker.all_told_at = venue.clock() if seen is None else seen - RECENTLY
        for order in memory.open_orders:
            self.tracker.remember(order)
        for order in memory.ended_orders:
            self.tracker.remember(order, ended=True)

    @property
    def tokens(self) -> Iterable[str]:
        """The tokens that the account owns."""
        return self._holdings

    @property
    def pairs(self) -> set[str]:
        """The pairs that concern the account."""
        live = {tracked.trading_pair for tracked in self.tracker.live}
        return self._pairs | live | {pair for pair, _ in self._held}

    async def begin(self) -> AccountReport:
        """Ask how the account stands, and for all that happened since the log saw it last.

        Raises `Invalid` in the venue's words for credentials that it does not take, `Unavailable`.
        """
        if self.venue.connector.perpetual:
            self._mode = await self.inquiry.mode() or self._mode
        return await self.look("" if self._is_new else "start")

    async def hand_in(self, report: AccountReport) -> None:
        """Return when a report is recorded. Raises `Unavailable` when that takes too long."""
        try:
            async with asyncio.timeout(RECORDED_SECONDS):
                await self.venue.sink(report)
        except TimeoutError as late:
            raise Unavailable(f"What {self.connector} told was not recorded within {RECORDED_SECONDS:g} s") from late

    async def place(self, order: OrderPlaced) -> None:
        """Send an order, once; one that was sent before is asked for instead.

        Raises `Invalid` when nothing was sent, `Unavailable` when nobody knows.
        """
        deadline = time.monotonic() + LEAVES_WITHIN_SECONDS
        try:
            arguments = await self._arguments(order, deadline)
        except Unavailable as silence:
            raise Invalid(silence.message) from silence
        if self.tracker.known(order.client_order_id) is not None:
            if not await self.ask(order):
                raise Unavailable(f"{self.connector} does not know order {order.client_order_id} yet")
            return
        tracked = self.tracker.expect(order)
        try:
            raw = await self.client.call("create_order", *arguments, deadline=deadline)
        except NotSent as unsent:
            self.tracker.give_up(tracked.order_id)
            raise Invalid(unsent.message) from unsent
        except Refused as refusal:
            if isinstance(refusal, Repeated) or tracked.exchange_order_id is not None:  # the venue has this order
                raise Unavailable(refusal.message) from refusal
            self.tracker.give_up(tracked.order_id)
            fact = OrderRejected(reason=refusal.message, rejected_at=self.venue.clock())
            self.tell(Told(orders=[(tracked.order_id, fact)]))
        else:
            self.tell(self.tracker.take_order(raw, order_id=tracked.order_id))

    async def _arguments(self, order: OrderPlaced, deadline: float) -> Arguments:
        """Return how to ask for an order; some venues take a MARKET buy as an amount of quote, by the price now."""
        dialect, markets = self.venue.dialect, self.venue.markets
        hint = None
        if dialect.needs_price(order):  # by one that is seconds old another amount would be bought
            ticker = await self.client.call("fetch_ticker", markets.symbol(order.trading_pair), deadline=deadline)
            hint = number(ticker.get("ask") or ticker.get("last")) or None
        return dialect.arguments(order, markets=markets, mode=self._mode, price_hint=hint)

    async def cancel(self, client_order_id: str, trading_pair: str) -> None:
        """Ask the venue to cancel; a refusal is told, with what became of the order. Raises `Unavailable`."""
        tracked = self.tracker.known(client_order_id)
        try:
            raw = await self._cancel(tracked, client_order_id, trading_pair)
        except Refused as refusal:
            with self._telling() as told:
                fact = CancelRejected(reason=refusal.message, rejected_at=self.venue.clock())
                told.orders.append((client_order_id, fact))
                if tracked is not None:
                    await self._whole(told, tracked)
        else:
            if raw is not None:
                self.tell(self.tracker.take_order(raw, order_id=client_order_id))

    async def _cancel(
        self, tracked: Tracked | None, client_order_id: str, trading_pair: str
    ) -> Mapping[str, Any] | None:
        markets = self.venue.markets
        if tracked is not None and isinstance(tracked.order, OrderObserved):
            # It has no client order id of ours to go by.
            await self.client.call("cancel_order", tracked.exchange_order_id, markets.symbol(trading_pair))
            return None
        venue_id = None if tracked is None else tracked.exchange_order_id
        return await self.venue.dialect.cancel(self.client, markets, trading_pair, client_order_id, venue_id)

    async def ask(self, order: OrderPlaced) -> bool:
        """Tell all that the venue knows of an order; False if it positively does not know it."""
        known = self.tracker.known(order.client_order_id)
        venue_id = None if known is None else known.exchange_order_id
        raw = await self.venue.dialect.find(self.client, self.venue.markets, order, venue_id)
        if raw is None:
            return False
        tracked = self.tracker.expect(order)
        with self._telling() as told:
            told.add(self.tracker.take_order(raw, order_id=order.client_order_id))
            await self.inquiry.trades_of(told, tracked)
        return True

    async def _whole(self, told: Told, tracked: Tracked) -> None:
        """Take in what is new of an order, its trades included."""
        try:
            raw = await self.inquiry.find(tracked)
        except NotKnown:
            raw = None
        if raw is not None:
            told.add(self.tracker.take_order(raw, order_id=tracked.order_id))
            await self.inquiry.trades_of(told, tracked)

    @contextmanager
    def _telling(self) -> Iterator[Told]:
        """Give a place to gather facts, and tell them whatever comes between: the tracker has them told by now."""
        told = Told()
        try:
            yield told
        finally:
            self.tell(told)

    async def complete(self) -> bool:
        """Ask for the trades that the venue has and did not tell; return whether none is left."""
        with self._telling() as told:
            await self.inquiry.orphans(told)
            await self.inquiry.lacking(told)
        return not self.tracker.lacking

    async def report(self) -> AccountReport:
        """Return balances and positions as they are now."""
        began = self.venue.clock()
        owned = await self._balances()
        async with self._standing:
            held, at = await self._positions(), self.venue.clock()
            return self._report(Told(), holdings=owned, held=held, at=at, began_at=began, snapshot=True)

    async def look(self, trigger: Trigger | Literal[""]) -> AccountReport:
        """Return all that the venue knows and the log may not; `trigger` names why it is asked."""
        told = Told()
        async with self._looking:
            try:
                return await self._look(told, trigger)
            except BaseException:
                self.tell(told)  # the tracker has it told by now, so no other look would find it
                raise

    async def _look(self, told: Told, trigger: Trigger | Literal[""]) -> AccountReport:
        began = self.venue.clock()
        since = self.tracker.all_told_at
        before = self._holdings
        owned = await self._balances()
        after = self._holdings
        moved = {token for token in before.keys() | after.keys() if before.get(token) != after.get(token)}
        pairs = self.pairs | (self._pairs_of(moved) if not self._is_new else set())
        await self.inquiry.orders(told, pairs)
        await self.inquiry.trades(told, pairs, since)
        await self.inquiry.lacking(told)
        is_perpetual = self.venue.connector.perpetual
        paid = await self.inquiry.funding(pairs, since, self._held) if is_perpetual else []
        if trigger == "schedule" and any(told_at(fact) < began - HEARD_WITHIN for _, fact in told.orders):
            self.deaf.set()
        if self.tracker.lacking:
            self.lacking.set()
        owned_at = began
        if told:
            owned_at, owned = self.venue.clock(), await self._balances()
        async with self._standing:
            held, at = await self._positions(), self.venue.clock()
            self.tracker.all_told_at, self._is_new = began - OVERLAP, False
            return self._report(
                told,
                holdings=owned,
                holdings_at=owned_at,
                began_at=began,
                held=held,
                at=at,
                funding=paid,
                trigger=trigger,
                snapshot=True,
            )

    def _pairs_of(self, tokens: Iterable[str]) -> set[str]:
        """Return the pairs in which trades could have changed these tokens."""
        owned = set(self._holdings) | set(USD)
        return {
            pair
            for token in tokens
            for other in owned
            for pair in (f"{token}-{other}", f"{other}-{token}")
            if pair in self.venue.markets.rules
        }

    async def set_leverage(self, trading_pair: str, leverage: int) -> None:
        """Set the leverage. Raises `Invalid` with the venue's words, `Unavailable` when it does not answer."""
        with suppress(Unchanged):
            await self.client.call("set_leverage", leverage, self.venue.markets.symbol(trading_pair))
        self.touched.set()

    async def set_mode(self, mode: PositionMode) -> None:
        """Set the position mode. Raises as `set_leverage`."""
        try:
            await self.client.call("set_position_mode", mode is PositionMode.HEDGE)
        except Refused as refusal:
            # Some venues refuse what is so already, each in other words.
            if not isinstance(refusal, Unchanged) and await self.inquiry.mode() is not mode:
                raise
        self._mode = mode

    def take_orders(self, raws: Iterable[Mapping[str, Any]]) -> None:
        """Take in orders from the stream."""
        with self._telling() as told:
            for raw in raws:
                told.add(self.tracker.take_order(raw))

    def take_trades(self, raws: Iterable[Mapping[str, Any]]) -> None:
        """Take in trades from the stream."""
        with self._telling() as told:
            for raw in raws:
                told.add(self.tracker.take_trade(self.venue.reading.trade(raw)))

    def take_balances(self, raw: Mapping[str, Any]) -> None:
        """Take in balances from the stream: those of the tokens that it names, the others stay.

        On perpetuals the stream counts otherwise than the answers do (unrealized profit), so there it only says that
        something changed. Either way the venue is asked soon: messages may have come in another order.
        """
        self.touched.set()
        if self.venue.connector.perpetual:
            return
        named = {holding.token: holding for holding in holdings(raw)}
        if any(self._holdings.get(token) != holding for token, holding in named.items()):
            self._holdings |= named
            self.moved.set()

    def show(self) -> None:
        """Tell the balances as the stream has them."""
        self.moved.clear()
        self._sink(Told(), holdings=list(self._holdings.values()))

    def tell(self, told: Told) -> None:
        """Tell the sink what is new, and see to it that what hangs on it is asked for."""
        if told:
            self._pairs |= {order.trading_pair for order in told.observed}
            self.touched.set()
            self._sink(told)
        if self.tracker.lacking or self.tracker.orphans:
            self.lacking.set()

    def _sink(self, told: Told, *, holdings: list[Holding] | None = None) -> None:
        _ = self.venue.sink(self._report(told, holdings=holdings, at=self.venue.clock()))

    async def refresh(self) -> None:
        """Tell balances and positions as the venue has them now."""
        began = self.venue.clock()
        owned = await self._balances()
        async with self._standing:
            held, at = await self._positions(), self.venue.clock()
            _ = self.venue.sink(self._report(Told(), holdings=owned, held=held, at=at, began_at=began))

    async def _balances(self) -> list[Holding]:
        owned = await self.inquiry.holdings()
        self._holdings = {holding.token: holding for holding in owned}
        return owned

    async def _positions(self) -> Held | None:
        return await self.inquiry.positions(self._mode) if self.venue.connector.perpetual else None

    def _claimed(self, told: Told) -> list[OrderObserved]:
        """Return what was observed, and each observed order that there are facts of.

        Another report of it may be on its way behind this one; and whose an order with an id like ours is, only the log
        knows.
        """
        observed = {order.exchange_order_id: order for order in told.observed}
        for order_id, _ in told.orders:
            tracked = self.tracker.known(order_id)
            if tracked is not None and isinstance(tracked.order, OrderObserved):
                observed.setdefault(tracked.order.exchange_order_id, tracked.order)
        return list(observed.values())

    def _report(
        self,
        told: Told,
        *,
        at: datetime,
        holdings: list[Holding] | None = None,
        held: Held | None = None,
        funding: Sequence[FundingPaid] = (),
        began_at: datetime | None = None,
        holdings_at: datetime | None = None,
        trigger: Trigger | Literal[""] = "",
        snapshot: bool = False,
    ) -> AccountReport:
        positions = []
        if held is not None:
            positions = [*closed(self._held, held, at), *held.values()]
            self._held = held
        compared = None
        if trigger:
            compared = Compared(
                orders=len(self.tracker.live),
                trades=sum(len(tracked.trade_ids) for tracked in self.tracker.live),
                tokens=len(holdings or ()),
                positions=len(held or ()),
            )
        return AccountReport(
            account=self.name,
            connector=self.connector,
            reported_at=at,
            orders=told.orders,
            observed=self._claimed(told),
            holdings=holdings,
            positions=positions,
            funding=funding,
            began_at=began_at,
            holdings_at=holdings_at,
            snapshot=snapshot,
            reconciles=trigger,
            compared=compared,
        )
