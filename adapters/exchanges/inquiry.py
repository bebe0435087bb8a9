"""Ask a venue for all that it knows of an account: what a stream told, it can be asked for again.

What an answer says of orders is new once only, so each question puts it into what the caller gives for it: a later
question that fails takes nothing of it away.

Where a venue needs a pair for a question, it is asked for each pair that the account ever traded, holds, or whose
tokens changed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar, cast

import structlog

from adapters.exchanges.clients import NotKnown, Refused, VenueClient, WrongKeys
from adapters.exchanges.readings import untold
from adapters.exchanges.standing import Held, Raw, funding, holdings, milliseconds, number, positions
from adapters.exchanges.tracking import Told, Tracked, Tracker
from adapters.exchanges.venue import Venue
from domain.errors import Invalid, Unavailable
from domain.orders import OrderExpired, OrderPlaced
from domain.portfolio import Holding
from domain.positions import FundingPaid
from domain.values import ZERO, PositionMode

logger = structlog.get_logger()

T = TypeVar("T")

AT_ONCE = 4
"""Questions of one account that are under way together."""
WINDOWS = {
    "binance": timedelta(hours=24),
    "binanceus": timedelta(hours=24),
    "binanceusdm": timedelta(days=7),
    "bybit": timedelta(days=7),
}
"""The longest range that these venues answer in one question for trades (their API documentation)."""
LONG_PAGE = 50
"""A shorter page of rows is all there is, at every venue here that answers with the newest rows first."""
PLACED_BEFORE = timedelta(minutes=1)
"""A venue's clock may be behind ours by so much."""
ASKED_AGAIN_AFTER_SECONDS = (0.2, 1.0)
"""One answer that was lost among many does not lose the others: a question changes nothing and may be repeated."""
PATIENCE_SECONDS = 3.0
"""A venue that took longer to fail is not asked the same again at once."""
DENIALS = 3
"""How often in a row a venue must not know an order that it had accepted, until it counts as ended."""


class Inquiry:
    """Questions of one account to its venue. Each raises `Unavailable`, or `Refused` in the venue's words."""

    def __init__(self, account: str, client: VenueClient, venue: Venue, tracker: Tracker) -> None:
        """Ask over `client`; what the answers say of orders goes through `tracker`."""
        self._account = account
        self._client = client
        self._venue = venue
        self._tracker = tracker
        self._by_pair: set[str] = set()
        self._by_order = client.has("fetchOrderTrades")
        self._denied: dict[str, int] = {}

    async def orders(self, told: Told, pairs: Iterable[str]) -> None:
        """Take in all open orders, and what became of those that were open and are not any more."""
        waited = [tracked for tracked in self._tracker.live if tracked.exchange_order_id is not None]
        raws = await self._each("fetch_open_orders", pairs)
        for raw in raws:
            told.add(self._tracker.take_order(raw))
        still = {str(raw.get("id")) for raw in raws}
        for tracked in waited:
            if tracked.exchange_order_id in still:
                self._denied.pop(tracked.order_id, None)
        gone = [tracked for tracked in waited if tracked.exchange_order_id not in still]
        await _bounded([partial(self._gone, told, tracked) for tracked in gone])

    async def _gone(self, told: Told, tracked: Tracked) -> None:
        with self._sparing_others(tracked.trading_pair):
            await self._ended(told, tracked)

    async def _ended(self, told: Told, tracked: Tracked) -> None:
        raw = await self.find(tracked)
        if raw is not None:
            self._denied.pop(tracked.order_id, None)
            told.add(self._tracker.take_order(raw, order_id=tracked.order_id))
            return
        denied = self._denied[tracked.order_id] = self._denied.get(tracked.order_id, 0) + 1
        say = logger.warning if denied == 1 else logger.debug
        say("order_vanished", account=self._account, order_id=tracked.order_id, times=denied)
        if denied < DENIALS or tracked.end is not None:
            return
        del self._denied[tracked.order_id]
        why = f"{self._venue.connector.name} does not know the order any more: asked {denied} times"
        tracked.end = OrderExpired(reason=why, expired_at=self._venue.clock())
        told.add(self._tracker.settle(tracked))

    async def find(self, tracked: Tracked) -> Mapping[str, Any] | None:
        """Return an order as the venue has it, None when it positively does not know it."""
        order = tracked.order
        if isinstance(order, OrderPlaced):
            venue, venue_id = self._venue, tracked.exchange_order_id
            return await _again(lambda: venue.dialect.find(self._client, venue.markets, order, venue_id))
        return await self.by_venue_id(str(tracked.exchange_order_id), tracked.trading_pair)

    async def by_venue_id(self, exchange_order_id: str, pair: str) -> Mapping[str, Any] | None:
        """Return an order by the venue's id, None when the venue does not know it."""
        symbol = self._venue.markets.symbol(pair)
        if self._client.has("fetchOrder"):
            try:
                found: Mapping[str, Any] = await self._ask("fetch_order", exchange_order_id, symbol)
            except NotKnown:
                return None
            return found
        for method, capability in (
            ("fetch_open_orders", "fetchOpenOrders"),
            ("fetch_closed_orders", "fetchClosedOrders"),
        ):
            if self._client.has(capability):
                for raw in await self._ask(method, symbol):
                    if str(raw.get("id")) == exchange_order_id:
                        return cast("Mapping[str, Any]", raw)
        return None

    async def trades(self, told: Told, pairs: Iterable[str], since: datetime) -> None:
        """Take in all trades since a time, and the orders that they belong to where those are not known."""
        if self._client.has("fetchMyTrades"):
            for raw in await self._each("fetch_my_trades", pairs, since=since):
                told.add(self._tracker.take_trade(raw, settled=True))
            await self.orphans(told)

    async def orphans(self, told: Told) -> None:
        """Look up the orders of trades that came without them."""
        for venue_id, trades in list(self._tracker.orphans.items()):
            pair = next((self._venue.pair(str(trade.get("symbol"))) for trade in trades), None)
            raw = None
            if pair is not None:
                with self._sparing_others(pair):
                    raw = await self.by_venue_id(venue_id, pair)
            if raw is None:
                logger.warning("trade_without_order", account=self._account, exchange_order_id=venue_id)
                self._tracker.drop_orphans(venue_id)
                continue
            told.add(self._tracker.take_order(raw))

    async def lacking(self, told: Told) -> None:
        """Take in the trades that orders lack."""
        for tracked in self._tracker.lacking:
            with self._sparing_others(tracked.trading_pair):
                await self.trades_of(told, tracked)

    async def trades_of(self, told: Told, tracked: Tracked) -> None:
        """Take in the trades of one order, where some of them were not told."""
        if tracked.traded >= tracked.filled:
            return
        symbol = self._venue.markets.symbol(tracked.trading_pair)
        for raw in await self._order_trades(symbol, tracked):
            told.add(self._tracker.take_trade(raw, settled=True))
        if tracked.is_lacking and self._client.has("fetchMyTrades"):
            order = tracked.order
            since = (order.placed_at if isinstance(order, OrderPlaced) else order.observed_at) - PLACED_BEFORE
            for raw in await self._pages("fetch_my_trades", symbol, since):
                if str(raw.get("order")) == tracked.exchange_order_id:
                    told.add(self._tracker.take_trade(raw, settled=True))
        elif tracked.is_lacking and not self._by_order:
            found = await self.find(tracked)
            if found is not None:
                told.add(self._tracker.take_order(found, order_id=tracked.order_id))
                traded = tracked.traded / self._venue.contract_size(tracked.trading_pair)
                told.add(self._tracker.take_trade(untold(found, traded), settled=True))

    async def _order_trades(self, symbol: str, tracked: Tracked) -> Sequence[Raw]:
        """Return the trades of an order by a question for them, none where the venue has no such question."""
        if not self._by_order:
            return ()
        try:
            answer: Sequence[Raw] = await self._ask("fetch_order_trades", tracked.exchange_order_id, symbol)
        except WrongKeys:
            raise
        except Refused as refusal:  # ccxt offers it, but not on this market
            logger.info("trades_not_asked_by_order", connector=self._venue.connector.name, why=refusal.message)
            self._by_order = False
            return ()
        return answer

    async def holdings(self) -> list[Holding]:
        """Return the balances."""
        return holdings(self._venue.reading.balances(await self._ask("fetch_balance")))

    async def positions(self, mode: PositionMode) -> Held:
        """Return the open positions."""
        asked_at = self._venue.clock()
        return positions(
            await self._ask("fetch_positions"),
            symbols=self._venue,
            account=self._account,
            connector=self._venue.connector.name,
            mode=mode,
            at=asked_at,
        )

    async def mode(self) -> PositionMode | None:
        """Return the position mode, None where the venue does not say."""
        if not self._client.has("fetchPositionMode"):
            return None
        answer = await self._ask("fetch_position_mode")
        return PositionMode.HEDGE if answer.get("hedged") else PositionMode.ONEWAY

    async def funding(self, pairs: Iterable[str], since: datetime, held: Held) -> list[FundingPaid]:
        """Return the funding payments since a time."""
        if not self._client.has("fetchFundingHistory"):
            return []
        paid = []
        for raw in await self._each("fetch_funding_history", pairs, since=since):
            pair = self._venue.pair(str(raw.get("symbol")))
            if pair is not None:
                rate = await self._rate(str(raw["symbol"]), raw)
                name = self._venue.connector.name
                paid.append(funding(raw, pair=pair, held=held, rate=rate, account=self._account, connector=name))
        return paid

    async def _rate(self, symbol: str, raw: Raw) -> Decimal:
        """Return the rate of a payment, as the venue published it for that moment."""
        if not self._client.has("fetchFundingRateHistory"):
            return ZERO
        at = int(raw["timestamp"])
        try:
            rates = await self._ask("fetch_funding_rate_history", symbol, at - 60_000)
        except Refused as refusal:  # the payment is a fact, whatever the rate was
            logger.warning("rate_not_told", connector=self._venue.connector.name, symbol=symbol, why=refusal.message)
            return ZERO
        near = [rate for rate in rates if abs(int(rate["timestamp"]) - at) <= 60_000]  # noqa: PLR2004 - a minute
        return number(near[0].get("fundingRate")) if near else ZERO

    async def _ask(self, method: str, *args: object) -> Any:  # noqa: ANN401 - as ccxt answers
        return await _again(lambda: self._client.call(method, *args))

    async def _each(self, method: str, pairs: Iterable[str], since: datetime | None = None) -> Sequence[Raw]:
        """Ask for all pairs at once where the venue can, else for each."""
        if method not in self._by_pair:
            try:
                return await self._pages(method, None, since)
            except WrongKeys:
                raise
            except Refused:  # the venue, or ccxt for it, wants to know the pair
                self._by_pair.add(method)
        answers = await _bounded([partial(self._of_pair, method, pair, since) for pair in pairs])
        return [raw for answer in answers for raw in answer]

    async def _of_pair(self, method: str, pair: str, since: datetime | None) -> Sequence[Raw]:
        with self._sparing_others(pair):
            return await self._pages(method, self._venue.markets.symbol(pair), since)
        return ()

    @contextmanager
    def _sparing_others(self, pair: str) -> Iterator[None]:
        """Let a pair that the venue trades no more, so that it cannot be asked about, stop no question about others."""
        try:
            yield
        except WrongKeys:
            raise
        except Invalid as refusal:
            venue = self._venue.connector.name
            logger.warning("pair_not_told_of", account=self._account, connector=venue, pair=pair, why=refusal.message)

    async def _pages(self, method: str, symbol: str | None, since: datetime | None) -> Sequence[Raw]:
        """Return all since a time, however many pages they are."""
        if since is None:
            answer: Sequence[Raw] = await self._ask(method, symbol)
            return answer
        window = WINDOWS.get(self._venue.connector.exchange_id)
        start, now = since, self._venue.clock()
        found: dict[tuple[str, ...], Raw] = {}
        while True:
            params = {} if window is None else {"until": milliseconds(min(start + window, now))}
            page: Sequence[Raw] = await self._ask(method, symbol, milliseconds(start), None, params)
            new = {known: raw for raw in page if (known := _identity(raw)) not in found}
            found |= new
            await self._older(method, symbol, milliseconds(start), page, found)
            if new and len(page) > 1:
                last = max(int(raw["timestamp"]) for raw in page)
                if last > milliseconds(start):
                    start += timedelta(milliseconds=last - milliseconds(start))
                    continue
            if window is None or start + window >= now:
                return sorted(found.values(), key=lambda raw: int(raw.get("timestamp") or 0))
            start += window

    async def _older(
        self, method: str, symbol: str | None, start: int, page: Sequence[Raw], found: dict[tuple[str, ...], Raw]
    ) -> None:
        """Find what stands before a long page: many venues answer with the newest rows of a range alone."""
        while len(page) >= LONG_PAGE and (oldest := min(int(raw["timestamp"]) for raw in page)) > start:
            try:
                page = await self._ask(method, symbol, start, None, {"until": oldest})
            except WrongKeys:
                raise
            except Refused as refusal:
                logger.warning("older_not_told", connector=self._venue.connector.name, why=refusal.message)
                return
            new = {known: raw for raw in page if (known := _identity(raw)) not in found}
            if not new:
                return
            found |= new


def _identity(raw: Raw) -> tuple[str, ...]:
    """Return what tells an answer's rows apart: ids of some venues are those of one market, or none at all."""
    return tuple(str(raw.get(key)) for key in ("symbol", "id", "timestamp"))


async def _again(question: Callable[[], Awaitable[T]]) -> T:
    for pause in ASKED_AGAIN_AFTER_SECONDS:
        began = time.monotonic()
        try:
            return await question()
        except Unavailable:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(pause)
    return await question()


async def _bounded(questions: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Ask several questions, a few at once. Raises what the first one fails with, when all have ended."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(question: Callable[[], Awaitable[T]]) -> T:
        async with turns:
            return await question()

    answers = await asyncio.gather(*(one(question) for question in questions), return_exceptions=True)
    found = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found
