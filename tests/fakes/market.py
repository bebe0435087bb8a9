"""A venue's public side that says what the test tells it to say."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adapters.market_data.public_clients import Opened, PublicClient, PublicSide
from domain.connectors import TradingRule
from domain.errors import DomainError, Invalid, Unavailable

Levels = list[list[float]]


def _rule(trading_pair: str) -> TradingRule:
    quote = trading_pair.partition("-")[2]
    return TradingRule(
        trading_pair=trading_pair,
        min_order_size=Decimal("0.00001"),
        min_price_increment=Decimal("0.01"),
        min_base_amount_increment=Decimal("0.00001"),
        min_notional_size=Decimal(5),
        buy_order_collateral_token=quote,
        sell_order_collateral_token=quote,
    )


class FakeMarkets:
    """As `adapters.exchanges.markets.Markets`; `sizes` are those of contracts."""

    def __init__(self, *pairs: str, sizes: Mapping[str, str] | None = None) -> None:
        self.rules = {pair: _rule(pair) for pair in pairs}
        self._sizes = sizes or {}

    def symbol(self, trading_pair: str) -> str:
        if trading_pair not in self.rules:
            raise Invalid(f"Trading pair '{trading_pair}' is not traded on the venue")
        return trading_pair.replace("-", "/")

    def pair(self, symbol: str) -> str | None:
        pair = symbol.replace("/", "-")
        return pair if pair in self.rules else None

    def contract_size(self, trading_pair: str) -> Decimal:
        return Decimal(self._sizes.get(trading_pair, 1))


class FakeMarket:
    """As `adapters.exchanges.clients.VenueClient` without credentials, and what opens one.

    Streams say what `book`, `trade` and `fail` put into them. What is asked for is answered from `books`; while
    `reachable` is False nothing is.
    """

    def __init__(self, *pairs: str, without: tuple[str, ...] = (), sizes: Mapping[str, str] | None = None) -> None:
        self.markets = FakeMarkets(*pairs, sizes=sizes)
        self.without = without
        self.reachable = True
        self.books: dict[str, Any] = {}
        self.trades: dict[str, list[dict[str, Any]]] = {}
        self.tickers: dict[str, Any] = {}
        self.exchange: Any = None
        self.opened = 0
        self.closed = 0
        self.asked: list[tuple[str, object]] = []
        self._streams: dict[tuple[str, object], asyncio.Queue[Any]] = {}
        self._left: set[object] = set()

    def side(self, name: str = "binance") -> PublicSide:
        """Return it as the public side of a connector."""
        return PublicSide(name, self.open)

    async def open(self, opened: PublicClient | None) -> Opened:
        self._reach()
        self.opened += opened is None
        return self, self.markets

    def has(self, capability: str) -> bool:
        return capability not in self.without

    async def call(self, method: str, *args: object, deadline: float | None = None, **options: object) -> Any:
        self._reach()
        self.asked.append((method, args[0] if args else None))
        if method == "fetch_tickers":
            return self.tickers
        if method == "fetch_trades":
            return self.trades.get(str(args[0]), [])
        if str(args[0]) not in self.books:
            raise Unavailable("it has no such book")
        said = self.books[str(args[0])]
        if isinstance(said, DomainError):
            raise said
        return said

    async def watch(self, method: str, *args: object, **options: object) -> Any:
        if method.startswith("un_watch"):
            self.asked.append((method, args[0]))
            self._reach()
            if method == "un_watch_order_book":
                self._streams.pop(("watch_order_book", args[0]), None)
                self._left.add(args[0])
            return None
        self._reach()
        said = await self._stream(method, args[0]).get()
        if isinstance(said, DomainError):
            raise said
        return said

    async def close(self) -> None:
        self.closed += 1

    def book(self, bids: Levels, asks: Levels, symbol: str = "BTC/USDT") -> None:
        """Say a book by stream, and show it to whoever asks."""
        self.books[symbol] = {"bids": bids, "asks": asks}
        self._stream("watch_order_book", symbol).put_nowait(self.books[symbol])

    def trade(self, *trades: dict[str, Any], symbol: str = "BTC/USDT") -> None:
        """Say trades by stream."""
        self._stream("watch_trades", symbol).put_nowait(list(trades))

    def fail(self, why: str = "the connection broke", *, trades: bool = False, symbol: str = "BTC/USDT") -> None:
        """Break a stream."""
        self._stream("watch_trades" if trades else "watch_order_book", symbol).put_nowait(Unavailable(why))

    def _stream(self, method: str, symbol: object) -> asyncio.Queue[Any]:
        stream = self._streams.get((method, symbol))
        if stream is None:
            stream = self._streams[method, symbol] = asyncio.Queue()
            # Who leaves may have taken the last word with it; who comes back is told what stands, as by every venue.
            if method == "watch_order_book" and symbol in self._left and isinstance(self.books.get(str(symbol)), dict):
                stream.put_nowait(self.books[str(symbol)])
        return stream

    def _reach(self) -> None:
        if not self.reachable:
            raise Unavailable("the venue does not answer")
