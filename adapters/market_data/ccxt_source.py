"""The public side of a real venue, through ccxt: one client without keys for all feeds of a connector.

ccxt keeps the books of its streams itself: it begins with a snapshot, checks that no change is missing where the venue
numbers them, and breaks the stream where one is. Its book is alive, so it is read when somebody wants to see it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from math import isfinite
from typing import Any, cast, overload

from adapters.exchanges import markets
from adapters.exchanges.clients import VenueClient
from adapters.exchanges.market_feed import PublicClient, PublicMarkets
from adapters.exchanges.names import Connector
from adapters.market_data.sources import Patience, View
from adapters.market_data.streams import stream_of
from adapters.questions import Questions
from commands.ports import Clock
from domain.errors import Invalid, NotFound, Unavailable
from domain.market_data import FundingTerms, MarketTrade, Ticker
from domain.order_books import Book, Level, book_of
from domain.values import ONE, Side, Utc

LEVELS = 1_000
"""Of a book, so many of the best levels of each side are shown at most."""
MARKETS_SECONDS = 600.0
"""A pair that is not known is looked for anew, if the markets were loaded longer ago."""
REMEMBERED = 2_000
"""Of a pair, so many trades are known when they come again."""
AT_ONCE = 20
"""Where a venue tells only one ticker a question, so many pairs may be asked for at once."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)

Open = Callable[[PublicClient | None], Awaitable[tuple[PublicClient, PublicMarkets]]]
"""Opens a venue's public side, or takes the open one, and loads its markets. Raises `Unavailable` or `Invalid`."""


class CcxtSource:
    """One real connector, as `adapters.market_data.sources.Source`."""

    def __init__(self, connector: Connector, open_venue: Open, *, clock: Clock, patience: Patience) -> None:
        """Begin with nothing opened."""
        self.perpetual = connector.perpetual
        self._name = connector.name
        self._open = open_venue
        self._clock = clock
        self._patience = patience
        self._opened: tuple[PublicClient, PublicMarkets] | None = None
        self._opened_time = 0.0
        self._questions = Questions()

    async def check(self, trading_pair: str) -> None:
        """Raise `NotFound` for a pair that is not traded there."""
        _, known = await self._venue()
        if trading_pair not in known.rules and _now() - self._opened_time > MARKETS_SECONDS:
            _, known = await self._venue(anew=True)
        if trading_pair not in known.rules:
            raise NotFound(f"Trading pair '{trading_pair[:64]}' not found on {self._name}")

    async def books(self, trading_pair: str) -> AsyncGenerator[View, None]:
        """Subscribe to a book, or ask for it again and again where the venue has no stream of it."""
        client, known = await self._venue()
        symbol, size = known.symbol(trading_pair), known.contract_size(trading_pair)
        good_time = _now()
        streams = client.has("watchOrderBook")
        async with stream_of(client, "watch_order_book", "un_watch_order_book", symbol, self._patience.leave) as stream:
            while True:
                ask = partial(client.call, "fetch_order_book", symbol)
                raw = await (stream.next_or(ask, self._patience.quiet) if streams else ask())
                if _is_apart(raw):
                    good_time = _now()
                    yield partial(_book, raw, size)
                elif _now() - good_time > self._patience.quiet:
                    raise Unavailable(f"its best prices cross for more than {self._patience.quiet:g} s")
                await asyncio.sleep(self._patience.pause if streams else self._patience.poll)

    async def trades(self, trading_pair: str) -> AsyncGenerator[Sequence[MarketTrade], None]:
        """Subscribe to the trades of others, or ask for them again and again."""
        client, known = await self._venue()
        symbol, size = known.symbol(trading_pair), known.contract_size(trading_pair)
        seen: OrderedDict[object, None] = OrderedDict()
        streams = client.has("watchTrades")
        is_first = not streams  # what was traded before the first question is no news
        async with stream_of(client, "watch_trades", "un_watch_trades", symbol, self._patience.leave) as stream:
            while True:
                raw = await (stream.next() if streams else client.call("fetch_trades", symbol))
                trades = [self._trade(one, size) for one in raw or () if _is_new(one, seen)]
                yield [] if is_first else trades
                is_first = False
                if not streams:
                    await asyncio.sleep(self._patience.poll)

    async def tickers(self, trading_pairs: Collection[str] | None) -> Mapping[str, Ticker]:
        """Ask for the tickers of some pairs, or of all."""
        client, known = await self._venue()
        if trading_pairs is None and not client.has("fetchTickers"):
            raise Invalid(f"{self._name} does not tell the prices of all pairs at once")
        symbols = None if trading_pairs is None else {known.symbol(pair): pair for pair in trading_pairs}
        if symbols is None:
            symbols = {known.symbol(pair): pair for pair in known.rules}
            raw = await client.call("fetch_tickers")
        elif client.has("fetchTickers"):
            raw = await client.call("fetch_tickers", list(symbols))
        elif len(symbols) > AT_ONCE:
            raise Invalid(f"{self._name} tells one price a question: at most {AT_ONCE} pairs can be asked for at once")
        else:
            found = await asyncio.gather(*(client.call("fetch_ticker", symbol) for symbol in symbols))
            raw = dict(zip(symbols, found, strict=True))
        read = {pair: self._ticker(raw[symbol]) for symbol, pair in symbols.items() if symbol in raw}
        return {pair: ticker for pair, ticker in read.items() if ticker is not None}

    async def funding(self, trading_pair: str) -> FundingTerms:
        """Ask what is next paid on a perpetual."""
        client, known = await self._venue()
        if not client.has("fetchFundingRate"):
            raise Invalid(f"{self._name} does not tell what is paid on {trading_pair}")
        raw = await client.call("fetch_funding_rate", known.symbol(trading_pair))
        next_at = raw.get("fundingTimestamp") or raw.get("nextFundingTimestamp")
        return FundingTerms(
            rate=_maybe(raw.get("fundingRate")),
            next_at=None if next_at is None else self._at(next_at),
            mark_price=_maybe(raw.get("markPrice")),
            index_price=_maybe(raw.get("indexPrice")),
        )

    async def close(self) -> None:
        """Close every connection; the next question opens them again."""
        async with self._questions.turn(anyway=True):
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened[0].close()

    async def _venue(self, *, anew: bool = False) -> tuple[PublicClient, PublicMarkets]:
        """Return the venue's public side; `anew` with its markets as they are now, its streams going on."""
        async with self._questions.turn():
            client = None if self._opened is None else self._opened[0]
            if client is None or anew:
                self._opened = await self._open(client)
                self._opened_time = _now()
            return cast("tuple[PublicClient, PublicMarkets]", self._opened)

    def _trade(self, raw: Mapping[str, Any], size: Decimal) -> MarketTrade:
        milliseconds = raw.get("timestamp")
        name = raw.get("id")
        return MarketTrade(
            trade_id=None if name is None else str(name),
            price=_exact(raw.get("price")),
            amount=_exact(raw.get("amount")) * size,
            side={"buy": Side.BUY, "sell": Side.SELL}.get(str(raw.get("side"))),
            traded_at=self._clock() if milliseconds is None else self._at(milliseconds),
        )

    def _ticker(self, raw: Mapping[str, Any]) -> Ticker | None:
        """Return a ticker; None where there is no price, as of a pair that never traded."""
        last, bid, ask = (_maybe(raw.get(key)) for key in ("last", "bid", "ask"))
        price = last or ((bid + ask) / 2 if bid and ask else None)
        if not price:
            return None
        milliseconds = raw.get("timestamp")
        return Ticker(
            price=price,
            base_volume=_maybe(raw.get("baseVolume")),
            quote_volume=_maybe(raw.get("quoteVolume")),
            ticked_at=None if milliseconds is None else self._at(milliseconds),
        )

    def _at(self, milliseconds: Any) -> Utc:  # noqa: ANN401
        try:
            return _UNIX + timedelta(milliseconds=int(milliseconds))
        except (OverflowError, TypeError, ValueError) as e:
            raise Unavailable(f"{self._name} says a time that is none: '{milliseconds}'") from e


def opener(connector: Connector, urls: Mapping[str, object]) -> Open:
    """Return what opens the public side of a connector."""

    async def open_venue(opened: PublicClient | None) -> tuple[PublicClient, PublicMarkets]:
        if isinstance(opened, VenueClient):
            return opened, await markets.load(opened, connector)
        client = VenueClient(connector, credentials=None, urls=urls)
        try:
            loaded = await markets.load(client, connector)
        except BaseException:
            await client.close()
            raise
        # ccxt keeps books in order by arithmetic, which texts do not have; the shortest decimal that means a float is
        # the one that the venue wrote.
        client.exchange.number = float
        return client, loaded

    return open_venue


def _is_apart(raw: Mapping[str, Any]) -> bool:
    """Whether the best prices of a book do not cross. Raises `Unavailable` for what is no book."""
    try:
        bids, asks = raw["bids"], raw["asks"]
        return not (bids and asks) or bids[0][0] < asks[0][0]
    except (IndexError, KeyError, TypeError) as e:
        raise Unavailable("its order book cannot be read") from e


class _Levels(Sequence[Level]):
    """One side of a book, best first. Its numbers are ccxt's until somebody looks, which few do at all of them."""

    __slots__ = ("_amounts", "_prices", "_size")

    def __init__(self, prices: list[float], amounts: list[float], size: Decimal) -> None:
        self._prices = prices
        self._amounts = amounts
        self._size = size

    def __len__(self) -> int:
        return len(self._prices)

    @overload
    def __getitem__(self, at: int) -> Level: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Level]: ...

    def __getitem__(self, at: int | slice) -> Level | Sequence[Level]:
        if isinstance(at, slice):
            return tuple(map(self._level, self._prices[at], self._amounts[at]))
        return self._level(self._prices[at], self._amounts[at])

    def __iter__(self) -> Iterator[Level]:
        return map(self._level, self._prices, self._amounts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def _level(self, price: float, amount: float) -> Level:
        return _exact(price), _exact(amount) if self._size == ONE else _exact(amount) * self._size


def _book(raw: Mapping[str, Any], size: Decimal) -> Book:
    """Return a book of ccxt as ours, amounts in base. Raises `Unavailable` for what is none."""
    try:
        bids, asks = (
            ([float(level[0]) for level in raw[side][:LEVELS]], [float(level[1]) for level in raw[side][:LEVELS]])
            for side in ("bids", "asks")
        )
        if not all(map(_can_be, (bids, asks))):
            raise Unavailable("its order book has a level that cannot be")
        if not (_is_sorted(*bids, reverse=True) and _is_sorted(*asks, reverse=False)):
            sides = [_summed(_Levels(*side, size)) for side in (bids, asks)]
            return book_of(*sides)
        if bids[0] and asks[0] and bids[0][0] >= asks[0][0]:
            raise Unavailable(f"its best bid {bids[0][0]} is not below its best ask {asks[0][0]}")
        return Book(bids=_Levels(*bids, size), asks=_Levels(*asks, size))
    except (IndexError, KeyError, OverflowError, TypeError, ValueError) as e:
        raise Unavailable("its order book cannot be read") from e
    except Invalid as e:
        raise Unavailable(f"its order book cannot be: {e.message}") from e


def _can_be(side: tuple[list[float], list[float]]) -> bool:
    """Whether all prices are above 0, no amount is below, and all are numbers: a sum has what is none in it."""
    prices, amounts = side
    return not prices or (isfinite(sum(prices) + sum(amounts)) and min(prices) > 0 and min(amounts) >= 0)


def _is_sorted(prices: list[float], amounts: list[float], *, reverse: bool) -> bool:
    """Whether levels are best first, one a price, and all there."""
    return prices == sorted(prices, reverse=reverse) and len(set(prices)) == len(prices) and all(amounts)


def _summed(levels: Iterable[Level]) -> list[Level]:
    """Return levels with one entry a price, of a venue that tells each order."""
    amounts: dict[Decimal, Decimal] = {}
    for price, amount in levels:
        amounts[price] = amounts.get(price, Decimal(0)) + amount
    return list(amounts.items())


def _is_new(raw: Mapping[str, Any], seen: OrderedDict[object, None]) -> bool:
    key = raw.get("id") or (raw.get("timestamp"), raw.get("price"), raw.get("amount"), raw.get("side"))
    if key in seen:
        return False
    seen[key] = None
    if len(seen) > REMEMBERED:
        seen.popitem(last=False)
    return True


def _exact(value: object) -> Decimal:
    """Return a number of ccxt exactly: of a float, the shortest decimal that means it. Raises `Unavailable`."""
    try:
        number = Decimal(str(value))
    except InvalidOperation as e:
        raise Unavailable(f"'{value}' is not a number") from e
    if not number.is_finite():
        raise Unavailable(f"'{value}' is not a number")
    return number


def _maybe(value: object) -> Decimal | None:
    return None if value is None else _exact(value)


def _now() -> float:
    return asyncio.get_running_loop().time()
