"""A real venue's public market: the books and trades of the pairs that somebody needs, for as long as it is so.

A book comes by stream where the venue has one, else it is asked for again and again. A stream that is silent is no
proof that nothing changed, so after a while the book is asked for; when that fails, too, or the stream breaks, the
pair's market is away until the next book.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Protocol

import msgspec
import structlog

from adapters.exchanges.guarded import UNREADABLE
from commands.ports import Clock
from domain.connectors import TradingRule
from domain.errors import DomainError, Unavailable
from domain.matching.depth import Away, News, Trade, depth_of
from domain.values import Side

logger = structlog.get_logger()

LEVELS = 100
"""Of a book, at most so many of the best levels of each side are used."""
REMEMBERED = 2_000
"""Of a pair, so many trades are known when they come again."""
_NO_RULES: Mapping[str, TradingRule] = {}
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the feed waits, in seconds."""

    first_book: float = 10.0
    """An order waits for so long for its pair's book: shorter than a request to a venue may take."""
    quiet: float = 10.0
    """A stream that is silent for so long is not believed any more."""
    pause: float = 0.1
    """Between two books of a stream: some venues change theirs a hundred times a second."""
    poll: float = 1.0
    """Between two questions where the venue has no stream."""
    retry: float = 1.0
    """After a failure, and twice as long after each further one, up to `longest_retry`."""
    longest_retry: float = 30.0
    linger: float = 60.0
    """A pair that was asked for is followed for so long, even with no order in it."""
    leave: float = 5.0
    """To end a stream may take so long; a connection that hangs is closed with the others."""


USUAL = Patience()


class PublicClient(Protocol):
    """A venue's public side, as `adapters.exchanges.clients.VenueClient` has it."""

    def has(self, capability: str) -> bool:
        """Whether the venue offers something, by ccxt's name."""
        ...

    async def call(self, method: str, *args: object, deadline: float | None = None, **options: object) -> Any:  # noqa: ANN401
        """Ask the venue."""
        ...

    async def watch(self, method: str, *args: object, **options: object) -> Any:  # noqa: ANN401
        """Wait for what a stream says next."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class PublicMarkets(Protocol):
    """The pairs of a venue, as `adapters.exchanges.markets.Markets` has them."""

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair."""
        ...

    def symbol(self, trading_pair: str) -> str:
        """Return ccxt's symbol of a pair. Raises `Invalid`."""
        ...

    def contract_size(self, trading_pair: str) -> Decimal:
        """Return how much base one contract is."""
        ...


Open = Callable[[], Awaitable[tuple[PublicClient, PublicMarkets]]]
"""Opens a venue's public side with its markets loaded. Raises `Unavailable` or `Refused`."""


class Followed:
    """One pair that is followed: its task while the feed runs, and how its book stands."""

    def __init__(self, trading_pair: str, asked_at: datetime) -> None:
        """Begin with no book."""
        self.trading_pair = trading_pair
        self.asked_at = asked_at
        self.symbol = ""  # ccxt's, once the markets are loaded
        self.task: asyncio.Task[None] | None = None
        self.fresh = asyncio.Event()
        self.seen_at: float | None = None  # of the last good book, on the loop's clock
        self.why = ""
        self.trades: OrderedDict[object, None] = OrderedDict()
        self.hears_trades = True


class MarketFeed:
    """The market of one venue, as `adapters.exchanges.paper_feed.Feed`; what it hears it says at once by `news`."""

    def __init__(self, venue: str, open_venue: Open, *, clock: Clock, patience: Patience) -> None:
        """Begin with nothing asked and nothing followed; `venue` is the connector whose market it is."""
        self._venue = venue
        self._open = open_venue
        self._clock = clock
        self._patience = patience
        self._client: PublicClient | None = None
        self._markets: PublicMarkets | None = None
        self._turn = asyncio.Lock()  # the connections are opened and left one after the other
        self._followed: dict[str, Followed] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._heard: list[Mapping[str, News]] = []
        self._news: Callable[[], None] = _nobody

    @property
    def rules(self) -> Mapping[str, TradingRule]:
        """The rule of every pair, none before they are loaded."""
        return self._markets.rules if self._markets is not None else _NO_RULES

    @property
    def followed(self) -> Collection[str]:
        """The pairs that are followed."""
        return self._followed.keys()

    def steps(self, after: datetime | None, until: datetime) -> Sequence[Mapping[str, News]]:  # noqa: ARG002 - now is now
        """Return what was heard since the last time; time passes also where nothing was."""
        heard, self._heard = self._heard, []
        return heard or [{}]

    async def load(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair, asking the venue the first time. Raises `Unavailable` or `Refused`."""
        if self._markets is None:
            await self._opened()
        return self.rules

    async def run(self, news: Callable[[], None]) -> None:
        """Follow what is to be followed until canceled; `news` is called when there are steps to take."""
        self._news = news
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for followed in self._followed.values():
                    followed.task = tasks.create_task(self._attend(followed))
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            await self._close()

    def follow(self, trading_pair: str) -> Followed:
        """Follow a pair from now on; until its first book its market is away."""
        followed = self._followed.get(trading_pair)
        if followed is None:
            followed = self._followed[trading_pair] = Followed(trading_pair, self._clock())
            self._say(trading_pair, Away(reason=f"No order book of {trading_pair} has come from {self._venue} yet"))
            if self._tasks is not None:
                followed.task = self._tasks.create_task(self._attend(followed))
        followed.asked_at = self._clock()
        return followed

    async def ready(self, trading_pair: str) -> None:
        """Return when a pair's book is there; when none comes in time, its market is away for that reason."""
        if self._markets is not None and trading_pair not in self._markets.rules:
            return
        followed = self.follow(trading_pair)
        try:
            async with asyncio.timeout(self._patience.first_book):
                await followed.fresh.wait()
        except TimeoutError:
            reason = f"No order book of {trading_pair} came from {self._venue} within {self._patience.first_book:g} s"
            self._say(trading_pair, Away(reason=f"{reason}: {followed.why}" if followed.why else reason))

    async def keep(self, busy: Collection[str]) -> None:
        """Follow pairs no more that are not busy and were not asked for lately; with the last one the venue is left."""
        since = self._clock() - timedelta(seconds=self._patience.linger)
        for followed in [f for pair, f in self._followed.items() if pair not in busy]:
            if followed.asked_at <= since:  # it may have been asked for while another one was left
                await self._leave(followed)
        if not self._followed and self._client is not None:
            await self._close()

    # Connections: one client, open while something is followed.

    async def _opened(self) -> tuple[PublicClient, PublicMarkets]:
        async with self._turn:
            if self._client is None or self._markets is None:
                self._client, self._markets = await self._open()
            return self._client, self._markets

    async def _leave(self, followed: Followed) -> None:
        del self._followed[followed.trading_pair]
        reason = f"{self._venue} is not asked for the market of {followed.trading_pair}"
        self._say(followed.trading_pair, Away(reason=reason))
        async with self._turn:
            if followed.task is not None:
                followed.task.cancel()
                await asyncio.wait([followed.task])
            if self._client is not None and followed.symbol and self._followed:
                await self._unwatch(self._client, followed.symbol)
        logger.info("market_left", connector=self._venue, pair=followed.trading_pair)

    async def _unwatch(self, client: PublicClient, symbol: str) -> None:
        for capability, method in (("unWatchOrderBook", "un_watch_order_book"), ("unWatchTrades", "un_watch_trades")):
            if client.has(capability):
                try:
                    async with asyncio.timeout(self._patience.leave):
                        await client.watch(method, symbol)
                except (DomainError, TimeoutError) as reason:
                    # The stream goes on unheard until the connection is closed, with the last pair.
                    logger.warning("market_not_left", connector=self._venue, symbol=symbol, why=str(reason))

    async def _close(self) -> None:
        async with self._turn:
            if self._client is not None and (self._tasks is None or not self._followed):
                client, self._client = self._client, None
                await client.close()

    # One pair: its book and its trades, each begun again when it breaks.

    async def _attend(self, followed: Followed) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(partial(self._read_books, followed), partial(self._lost, followed)))
            tasks.create_task(self._again(partial(self._read_trades, followed), partial(self._trades_lost, followed)))

    async def _again(self, read: Callable[[], Awaitable[None]], lost: Callable[[str], None]) -> None:
        """Read for ever; after a failure wait, longer each time unless it had gone well for longer than that."""
        wait = self._patience.retry
        while True:
            began_at = _loop_time()
            try:
                await read()
            except (DomainError, *UNREADABLE) as reason:
                lost(str(reason))
            if _loop_time() - began_at > self._patience.longest_retry:
                wait = self._patience.retry
            await asyncio.sleep(wait)
            wait = min(2 * wait, self._patience.longest_retry)

    def _lost(self, followed: Followed, why: str) -> None:
        """Note that nothing is known of a pair's market; it is logged once until the market is seen again."""
        if followed.fresh.is_set() or not followed.why:
            age = None if followed.seen_at is None else round(_loop_time() - followed.seen_at, 3)
            logger.warning("market_lost", connector=self._venue, pair=followed.trading_pair, age_seconds=age, why=why)
        followed.fresh.clear()
        followed.why = why
        self._say(followed.trading_pair, Away(reason=f"{self._venue} does not show {followed.trading_pair}: {why}"))

    def _trades_lost(self, followed: Followed, why: str) -> None:
        """Note that others' trades are not heard: the book alone fills what rests. Logged once until they are again."""
        if followed.hears_trades:
            logger.warning("trades_lost", connector=self._venue, pair=followed.trading_pair, why=why)
        followed.hears_trades = False

    async def _read_books(self, followed: Followed) -> None:
        client, markets = await self._opened()
        symbol = followed.symbol = markets.symbol(followed.trading_pair)
        size = markets.contract_size(followed.trading_pair)
        good_at = _loop_time()
        watching: asyncio.Future[Any] | None = None
        try:
            while True:
                if client.has("watchOrderBook"):
                    watching = watching or asyncio.ensure_future(client.watch("watch_order_book", symbol))
                    await asyncio.sleep(self._patience.pause)  # what changes meanwhile is in the book that comes
                    await asyncio.wait([watching], timeout=self._patience.quiet)
                if watching is not None and watching.done():
                    heard, watching = watching, None
                    good = self._take_book(followed, heard.result(), size)
                else:
                    good = self._take_book(followed, await client.call("fetch_order_book", symbol), size)
                if good:
                    good_at = _loop_time()
                elif _loop_time() - good_at >= self._patience.quiet:
                    raise Unavailable(f"Its order book is empty or crossed for more than {self._patience.quiet:g} s")
                if watching is None and not client.has("watchOrderBook"):
                    await asyncio.sleep(self._patience.poll)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])

    def _take_book(self, followed: Followed, raw: Mapping[str, Any], size: Decimal) -> bool:
        """Say a book, if it can be one; whether it could."""
        depth = depth_of(_levels(raw, "bids", size), _levels(raw, "asks", size))
        if depth is None:
            return False
        if not followed.fresh.is_set():
            logger.info("market_seen", connector=self._venue, pair=followed.trading_pair)
        followed.seen_at = _loop_time()
        followed.why = ""
        self._say(followed.trading_pair, depth)
        followed.fresh.set()
        return True

    async def _read_trades(self, followed: Followed) -> None:
        client, markets = await self._opened()
        symbol, size = markets.symbol(followed.trading_pair), markets.contract_size(followed.trading_pair)
        streams = client.has("watchTrades")
        if not streams and not client.has("fetchTrades"):
            await asyncio.Event().wait()
        while True:
            raw = await (client.watch("watch_trades", symbol) if streams else client.call("fetch_trades", symbol))
            followed.hears_trades = True
            trades = [trade for one in raw if (trade := self._trade(followed, one, size)) is not None]
            if trades:
                self._say(followed.trading_pair, trades)
            if not streams:
                await asyncio.sleep(self._patience.poll)

    def _trade(self, followed: Followed, raw: Mapping[str, Any], size: Decimal) -> Trade | None:
        """Return a trade of ccxt as ours; None for one that came before, or does not say which side took."""
        key = raw.get("id") or (raw.get("timestamp"), raw.get("price"), raw.get("amount"), raw.get("side"))
        if key in followed.trades or raw.get("side") not in {"buy", "sell"}:
            return None
        followed.trades[key] = None
        if len(followed.trades) > REMEMBERED:
            followed.trades.popitem(last=False)
        milliseconds = raw.get("timestamp")
        return Trade(
            price=_number(raw.get("price")),
            amount=_number(raw.get("amount")) * size,
            taker=Side.BUY if raw["side"] == "buy" else Side.SELL,
            traded_at=self._clock() if milliseconds is None else _UNIX + timedelta(milliseconds=int(milliseconds)),
        )

    def _say(self, trading_pair: str, news: News) -> None:
        self._heard.append({trading_pair: news})
        self._news()


def _nobody() -> None:
    """Hear nothing: before the feed runs, what it says waits for the next tick."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _levels(book: Mapping[str, Any], side: str, size: Decimal) -> list[tuple[Decimal, Decimal]]:
    """Return one side of a ccxt book, amounts in base. Raises `Unavailable` for what is no book."""
    try:
        return [(_number(level[0]), _number(level[1]) * size) for level in book[side][:LEVELS]]
    except (KeyError, IndexError, TypeError) as e:
        raise Unavailable(f"Its order book has {side} that cannot be read") from e


def _number(value: object) -> Decimal:
    """Return a number of ccxt exactly: of a float, the shortest decimal that means it. Raises `Unavailable`."""
    try:
        number = Decimal(str(value))
    except InvalidOperation as e:
        raise Unavailable(f"'{value}' is not a number") from e
    if not number.is_finite():
        raise Unavailable(f"'{value}' is not a number")
    return number
