"""What ccxt says of a real venue's market, made ours: books, trades, tickers, terms of funding.

ccxt keeps the books of its streams itself: it begins with a snapshot, checks that no change is missing where the venue
numbers them, and breaks the stream where one is. Its book is alive, so it is read when somebody wants to see it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from math import isfinite
from typing import Any, overload

import structlog

from adapters.exchanges.names import Connector
from adapters.market_data.public_clients import PublicClient, PublicSide
from adapters.market_data.sources import Patience, View
from adapters.market_data.streams import stream_of
from commands.ports import Clock
from domain.errors import DomainError, Invalid, Unavailable
from domain.market_data import FundingTerms, MarketTrade, NoTicker, Ticker
from domain.order_books import Book, Level, book_of
from domain.values import ONE, Side, Utc

logger = structlog.get_logger()

LEVELS = 1_000
"""Of a book, so many of the best levels of each side are shown at most."""
REMEMBERED = 2_000
"""Of a pair, so many trades are known when they come again."""
SHOWN = 5
"""So many pairs without a readable ticker are named in the log."""
AT_ONCE = 20
"""Where a venue tells only one ticker a question, so many pairs may be asked for at once."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class CcxtSource:
    """One real connector, as `adapters.market_data.sources.Source`."""

    def __init__(self, connector: Connector, side: PublicSide, *, clock: Clock, patience: Patience) -> None:
        """Ask nothing yet."""
        self.perpetual = connector.perpetual
        self._name = connector.name
        self._side = side
        self._clock = clock
        self._patience = patience

    async def check(self, trading_pair: str) -> None:
        """Raise `NotFound` for a pair that is not traded there."""
        await self._side.check(trading_pair)

    async def books(self, trading_pair: str) -> AsyncGenerator[View, None]:
        """Subscribe to a book, or ask for it again and again where the venue has no stream of it."""
        leave = self._patience.leave
        async with self._side.lease() as (client, known):
            symbol, size = known.symbol(trading_pair), known.contract_size(trading_pair)
            good_time = _now()
            streams = client.has("watchOrderBook")
            async with stream_of(client, "watch_order_book", "un_watch_order_book", symbol, leave) as stream:
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
        leave = self._patience.leave
        async with self._side.lease() as (client, known):
            symbol, size = known.symbol(trading_pair), known.contract_size(trading_pair)
            seen: OrderedDict[object, None] = OrderedDict()
            streams = client.has("watchTrades")
            if not streams and not client.has("fetchTrades"):
                raise Invalid(f"{self._name} does not tell the trades of others")
            is_first = not streams  # what was traded before the first question is no news
            async with stream_of(client, "watch_trades", "un_watch_trades", symbol, leave) as stream:
                while True:
                    raw = await (stream.next() if streams else client.call("fetch_trades", symbol))
                    trades = [self._trade(one, size) for one in raw or () if _is_new(one, seen)]
                    yield [] if is_first else trades
                    is_first = False
                    if not streams:
                        await asyncio.sleep(self._patience.poll)

    async def tickers(self, trading_pairs: Collection[str] | None) -> Mapping[str, Ticker | NoTicker]:
        """Ask for the tickers of some pairs, or of all."""
        async with self._side.lease() as (client, known):
            if trading_pairs is None and not client.has("fetchTickers"):
                raise Invalid(f"{self._name} does not tell the prices of all pairs at once")
            symbols = {known.symbol(pair): pair for pair in (known.rules if trading_pairs is None else trading_pairs)}
            if trading_pairs is None:
                raw = await client.call("fetch_tickers")
            elif client.has("fetchTickers"):
                raw = await client.call("fetch_tickers", list(symbols))
            else:
                raw = await self._one_by_one(client, symbols)
        told = {pair: self._told(raw[symbol]) for symbol, pair in symbols.items() if symbol in raw}
        none = {pair: ticker.why for pair, ticker in told.items() if isinstance(ticker, NoTicker)}
        if none:
            pairs = sorted(none)[:SHOWN]
            logger.warning("tickers_unreadable", connector=self._name, count=len(none), pairs=pairs, why=none[pairs[0]])
        return {pair: ticker for pair, ticker in told.items() if ticker is not None}

    async def funding(self, trading_pair: str) -> FundingTerms:
        """Ask what is next paid on a perpetual."""
        async with self._side.lease() as (client, known):
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

    async def _one_by_one(self, client: PublicClient, symbols: Collection[str]) -> Mapping[str, object]:
        """Ask for the ticker of each symbol. Raises the first refusal if all are refused."""
        if len(symbols) > AT_ONCE:
            raise Invalid(f"{self._name} tells one price a question: at most {AT_ONCE} pairs can be asked for at once")
        found = await asyncio.gather(*(_or_why(client, symbol) for symbol in symbols))
        refused = [one for one in found if isinstance(one, DomainError)]
        if refused and len(refused) == len(found):
            raise refused[0]
        return dict(zip(symbols, found, strict=True))

    def _told(self, raw: object) -> Ticker | NoTicker | None:
        """Return a ticker, or why there is none; None where there is no price, as of a pair that never traded."""
        if isinstance(raw, DomainError):
            return NoTicker(why=raw.message)
        if not isinstance(raw, Mapping):
            return NoTicker(why="what is told of it is no ticker")
        try:
            return self._ticker(raw)
        except Unavailable as reason:
            return NoTicker(why=reason.message)

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
        if price < 0:
            raise Unavailable(f"a price of {price} is none")
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


async def _or_why(client: PublicClient, symbol: str) -> object:
    try:
        return await client.call("fetch_ticker", symbol)
    except DomainError as reason:
        return reason


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
