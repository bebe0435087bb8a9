"""Books, trades and candles over a WebSocket, each no oftener than its client wishes, and only when there is news.

What many clients look at is asked for and written as JSON once for all of them.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar
from weakref import WeakValueDictionary

import msgspec

from adapters.http.bodies import Body, Name, Pair, decode, encode
from domain.errors import Invalid, Unavailable
from domain.market_data import MarketTrade
from domain.order_books import Book, Level
from domain.values import Side
from read_api.candles import CandleItem, IntervalName, on_the_wire
from read_api.ports import Candles, Feeds, Reading
from read_api.sockets.conversation import Begun, Say, Terms, refusal, shortened

DRAWN = 1_000
"""So many books are kept as JSON, each of one depth."""

News = TypeVar("News")


class Wish(Body, frozen=True, kw_only=True):
    """Which market, and how often it is told of at most, in seconds."""

    connector: Name
    trading_pair: Pair
    update_interval: float = 1.0


class BookWish(Wish, frozen=True, kw_only=True):
    """How many levels of each side."""

    depth: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


class CandlesWish(Wish, frozen=True, kw_only=True):
    """Which candles, and how many of the newest."""

    interval: IntervalName = "1m"
    max_records: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 100


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """It begins, and this is how often it is told of at most."""

    type: Literal["subscribed"] = "subscribed"
    subscription_id: str
    update_interval: float


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """News. `timestamp` is when they were sent; `missed` counts those in between that were not sent.

    What is `stale` may have changed since, for the reason `why`.
    """

    type: str
    subscription_id: str
    data: msgspec.Raw
    timestamp: float
    age_seconds: float
    stale: bool
    why: str
    missed: int


class CandlesMessage(msgspec.Struct, frozen=True, kw_only=True):
    """All candles, or the last one, as it is now."""

    type: Literal["candles", "candle_update"]
    subscription_id: str
    data: msgspec.Raw
    timestamp: float


class TradeItem(msgspec.Struct, frozen=True, kw_only=True):
    """A trade between others. `side` is that of the one who took."""

    timestamp: float
    price: float
    amount: float
    side: str | None
    trade_id: str | None


_SIDES = {Side.BUY: "buy", Side.SELL: "sell"}


def trades_on_the_wire(trades: Sequence[MarketTrade]) -> list[TradeItem]:
    """Return trades as clients read them."""
    return [
        TradeItem(
            timestamp=trade.traded_at.timestamp(),
            price=float(trade.price),
            amount=float(trade.amount),
            side=None if trade.side is None else _SIDES[trade.side],
            trade_id=trade.trade_id,
        )
        for trade in trades
    ]


class Drawings:
    """Books as JSON, each drawn once for all who look at it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._drawn: OrderedDict[tuple[str, str, int], tuple[Book, msgspec.Raw]] = OrderedDict()

    def __call__(self, connector: str, trading_pair: str, depth: int, book: Book) -> msgspec.Raw:
        """Return the best levels of a book."""
        key = (connector, trading_pair, depth)
        drawn = self._drawn.get(key)
        if drawn is None or drawn[0] is not book:
            sides = {"bids": _levels(book.bids[:depth]), "asks": _levels(book.asks[:depth])}
            drawn = self._drawn[key] = book, msgspec.Raw(encode(sides))
            self._drawn.move_to_end(key)
            if len(self._drawn) > DRAWN:
                self._drawn.popitem(last=False)
        return drawn[1]


def _levels(levels: Sequence[Level]) -> list[tuple[float, float]]:
    return [(float(price), float(amount)) for price, amount in levels]


class _Live(ABC, Generic[News]):
    """A subscription to a feed."""

    kind: ClassVar[str]

    def __init__(self, wish: Wish, feeds: Feeds, terms: Terms) -> None:
        self.id = f"{self.kind}_{wish.connector}_{wish.trading_pair}"
        self._wish = wish
        self._feeds = feeds
        self._terms = terms
        self._interval = terms.held(wish.update_interval)

    @property
    def subscribed(self) -> Subscribed:
        return Subscribed(subscription_id=self.id, update_interval=self._interval)

    async def tell(self, begun: Begun, say: Say) -> None:
        async with self._reading() as reading:
            await begun()
            while True:
                shown = await reading.next()
                message = Message(
                    type=self.kind,
                    subscription_id=self.id,
                    data=self._data(shown.value),
                    timestamp=self._terms.now(),
                    age_seconds=round(shown.age_seconds, 3),
                    stale=shown.stale,
                    why=shown.why,
                    missed=shown.missed,
                )
                await say(message)
                await asyncio.sleep(self._interval)

    @abstractmethod
    def _reading(self) -> AbstractAsyncContextManager[Reading[News]]:
        """Begin to read the feed."""

    @abstractmethod
    def _data(self, news: News) -> msgspec.Raw:
        """Draw what was heard."""


class BookTopic(_Live[Book]):
    """The best levels of a book."""

    kind = "order_book"

    def __init__(self, wish: BookWish, feeds: Feeds, terms: Terms, drawings: Drawings) -> None:
        """Begin when it is told."""
        super().__init__(wish, feeds, terms)
        self._depth = wish.depth
        self._drawings = drawings

    def _reading(self) -> AbstractAsyncContextManager[Reading[Book]]:
        return self._feeds.books(self._wish.connector, self._wish.trading_pair)

    def _data(self, news: Book) -> msgspec.Raw:
        return self._drawings(self._wish.connector, self._wish.trading_pair, self._depth, news)


class TradeTopic(_Live[Sequence[MarketTrade]]):
    """The trades of others."""

    kind = "trades"

    def _reading(self) -> AbstractAsyncContextManager[Reading[Sequence[MarketTrade]]]:
        return self._feeds.trades(self._wish.connector, self._wish.trading_pair)

    def _data(self, news: Sequence[MarketTrade]) -> msgspec.Raw:
        return msgspec.Raw(encode(trades_on_the_wire(news)))


class Newest:
    """The newest candles of one series, asked for once for all who look at about the same time."""

    def __init__(self, candles: Candles, series: tuple[str, str, str], count: int, *, shared_seconds: float) -> None:
        """Begin with nothing asked."""
        self._candles = candles
        self._series = series
        self._count = count
        self._shared_seconds = shared_seconds
        self._turn = asyncio.Lock()
        self._known: tuple[list[CandleItem], msgspec.Raw] | None = None
        self._asked_time = 0.0
        self._failed_time = float("-inf")
        self._why = ""

    def followed(self) -> AbstractContextManager[None]:
        """Be listed among the live markets for as long as the block lasts."""
        return self._candles.following(*self._series, self._count)

    async def __call__(self) -> tuple[list[CandleItem], msgspec.Raw]:
        """Return the candles, and their JSON. Raises as `Candles.latest`.

        Who waits while the venue is asked in vain does not ask it again: else the last of many would wait for all.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._turn:
            if self._failed_time > began:
                raise Unavailable(self._why)
            now = loop.time()
            if self._known is None or now - self._asked_time >= self._shared_seconds:
                try:
                    newest = await self._candles.latest(*self._series, self._count)
                except Unavailable as reason:
                    self._failed_time, self._why = loop.time(), reason.message
                    raise
                items = list(on_the_wire(newest))
                self._known = items, msgspec.Raw(encode(items))
                self._asked_time = now
            return self._known


class CandleTopic:
    """All candles when it begins and whenever a new one does, and the last one when it has changed."""

    def __init__(self, wish: CandlesWish, newest: "Series", terms: Terms) -> None:
        """Begin when it is told."""
        self.id = f"candles_{wish.connector}_{wish.trading_pair}_{wish.interval}"
        series = wish.connector, wish.trading_pair, wish.interval
        self._all = newest(series, wish.max_records)
        self._last = newest(series, 1)
        self._terms = terms
        self._interval = terms.held(wish.update_interval)

    @property
    def subscribed(self) -> Subscribed:
        """The answer to the one who subscribed."""
        return Subscribed(subscription_id=self.id, update_interval=self._interval)

    async def tell(self, begun: Begun, say: Say) -> None:
        """Tell, also when the venue does not answer for a while. Raises `DomainError` where there is nothing to."""
        await self._all()
        with self._all.followed():
            await begun()
            last: CandleItem | None = None
            silent = False
            while True:
                try:
                    last, silent = await self._told(last, say), False
                except Unavailable as reason:
                    if not silent:
                        await say(refusal(reason, self.id))
                    silent = True
                await asyncio.sleep(self._interval)

    async def _told(self, last: CandleItem | None, say: Say) -> CandleItem | None:
        """Tell what is new to one who knows a last candle, and return the one known then."""
        items, data = await self._last()
        newest = items[-1] if items else None
        if newest == last:
            return last
        kind: Literal["candles", "candle_update"] = "candle_update"
        if newest is None or last is None or newest.timestamp != last.timestamp:
            kind = "candles"
            items, data = await self._all()
            newest = items[-1] if items else None
        else:
            data = msgspec.Raw(encode(newest))
        await say(CandlesMessage(type=kind, subscription_id=self.id, data=data, timestamp=self._terms.now()))
        return newest


class Series:
    """The series of candles that somebody looks at, each shared by all who do."""

    def __init__(self, candles: Candles, terms: Terms) -> None:
        """Begin with none."""
        self._candles = candles
        self._terms = terms
        self._looked_at: WeakValueDictionary[tuple[tuple[str, str, str], int], Newest] = WeakValueDictionary()

    def __call__(self, series: tuple[str, str, str], count: int) -> Newest:
        """Return a series."""
        newest = self._looked_at.get((series, count))
        if newest is None:
            newest = Newest(self._candles, series, count, shared_seconds=self._terms.least_seconds)
            self._looked_at[series, count] = newest
        return newest


class MarketTopics:
    """What can be listened to over `/ws/market-data`."""

    id_characters = 8

    def __init__(self, feeds: Feeds, candles: Candles, terms: Terms) -> None:
        """Begin with nobody listening."""
        self.terms = terms
        self._feeds = feeds
        self._drawings = Drawings()
        self._series = Series(candles, terms)

    def topic(self, wish: dict[str, Any], raw: bytes) -> BookTopic | TradeTopic | CandleTopic:
        """Return what a client wishes to hear of. Raises `Invalid` or `MalformedRequest`."""
        kind = wish.get("type")
        if kind not in ("candles", "order_book", "trades"):
            raise Invalid(f"Invalid subscription type: {shortened(kind)}")
        if not wish.get("connector") or not wish.get("trading_pair"):
            raise Invalid("connector and trading_pair are required")
        if kind == "order_book":
            return BookTopic(decode(raw, BookWish), self._feeds, self.terms, self._drawings)
        if kind == "trades":
            return TradeTopic(decode(raw, Wish), self._feeds, self.terms)
        return CandleTopic(decode(raw, CandlesWish), self._series, self.terms)

    def unknown(self, subscription_id: str) -> str:
        """Say that a client has no such subscription."""
        return f"Subscription not found: {subscription_id}"
