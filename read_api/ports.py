"""What the read routes ask of the outside. The composition root fills these."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar, runtime_checkable

from domain.candles import Columns
from domain.connectors import ConfigField, TradingRule
from domain.containers import Container, Pull
from domain.market_data import FeedState, FundingTerms, MarketTrade, NoTicker, Shown, Ticker
from domain.order_books import Book
from domain.rates import SourcePrices
from domain.values import Json, OrderType

T_co = TypeVar("T_co", covariant=True)


class Market(Protocol):
    """One connector, as far as it can be asked without an account."""

    @property
    def perpetual(self) -> bool:
        """Whether it trades perpetuals."""
        ...

    @property
    def order_types(self) -> Sequence[OrderType]:
        """The types of order it takes."""
        ...

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair. Raises `Unavailable`."""
        ...

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the last known mid price of every pair that is followed, quote per base. Never asks the venue."""
        ...


@runtime_checkable
class Markets(Protocol):
    """The connectors of this server."""

    def connectors(self) -> Sequence[str]:
        """Return the names of all connectors that can be traded on."""
        ...

    def exchange(self, connector: str) -> Market:
        """Return a connector. Raises `NotFound`, or `Invalid` for one that this server cannot trade on."""
        ...

    def connected(self, account: str, connector: str) -> Market:
        """Return a connector that an account is connected to. Raises `NotFound` or `Invalid`."""
        ...

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        """Return the fields of a connector's credentials. Raises `NotFound`."""
        ...


@runtime_checkable
class Refresh(Protocol):
    """Has balances recorded as they are now, by the part that writes."""

    async def __call__(self, accounts: Sequence[str] | None, connectors: Sequence[str] | None, /) -> int:
        """Have the balances of all accounts and connectors recorded, or of those named.

        Returns the position in the log behind which they stand. Raises `Unavailable`.
        """
        ...


@runtime_checkable
class Readiness(Protocol):
    """Knows whether this server can do its work."""

    async def __call__(self) -> str | None:
        """Return what is still waited for, None when commands and queries work."""
        ...


class Reading(Protocol[T_co]):
    """One reader's place in a feed. What comes while it does not look is skipped, the newest wins, and is counted."""

    async def next(self) -> Shown[T_co]:
        """Wait for something newer than what this reader was shown last, or for word that it has become stale."""
        ...


@runtime_checkable
class Feeds(Protocol):
    """The live markets of all connectors: one subscription at the venue for all who read the same.

    Connectors are those of `Markets`, and each one's `_paper_trade`, whose market is the real one's. Everything raises
    `NotFound` for an unknown connector or pair and `Unavailable` when the venue does not answer, or too many feeds are
    running.
    """

    async def book(self, connector: str, trading_pair: str, *, wait_seconds: float | None = None) -> Shown[Book]:
        """Return the book as it stands; the first time, or while it is stale, wait for it so long at most.

        What is shown is never stale. Raises `Unavailable`, with the age of what was there, when no fresh one comes.
        """
        ...

    def books(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Book]]:
        """Read every change of a book for as long as the block lasts. The first is what stands, if anything does."""
        ...

    def trades(self, connector: str, trading_pair: str) -> AbstractAsyncContextManager[Reading[Sequence[MarketTrade]]]:
        """Read the trades of others, oldest first, from now on: each reading has all since the one before."""
        ...

    async def tickers(
        self, connector: str, trading_pairs: Collection[str] | None = None, *, max_age_seconds: float | None = None
    ) -> Shown[Mapping[str, Ticker | NoTicker]]:
        """Return the tickers of some pairs, or of all that the connector trades; none for a pair that never traded.

        What was asked for not longer ago than `max_age_seconds` is shown again.
        """
        ...

    def collected(self) -> Mapping[str, Shown[Mapping[str, Ticker | NoTicker]]]:
        """Return connector → the tickers of all its pairs that were asked for last; asks nobody."""
        ...

    async def funding(self, connector: str, trading_pair: str) -> Shown[FundingTerms]:
        """Return what is next paid on a perpetual. Raises `Invalid` for a spot connector."""
        ...

    def states(self) -> Sequence[FeedState]:
        """Return how every feed stands."""
        ...

    async def end(self, connector: str, trading_pair: str) -> bool:
        """End the feeds of a pair, whoever reads them is told; False where there is none."""
        ...

    async def restart(self, connector: str) -> Sequence[str]:
        """Begin the books of a connector anew, each with a new snapshot, and return their pairs."""
        ...

    def market_of(self, connector: str) -> str:
        """Return the connector whose market it is: the real one of a paper trade, else itself. Raises `NotFound`."""
        ...

    def glance(self, connector: str, trading_pair: str) -> Shown[Book] | None:
        """Return the book that is followed as it was heard last, stale or not, without asking for it."""
        ...

    def now(self) -> datetime:
        """Return the time by the clock that the feeds go by."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """A feed that nobody reads ends after so long."""
        ...

    @property
    def cleanup_seconds(self) -> float:
        """How often it is looked for those."""
        ...


@runtime_checkable
class RateSources(Protocol):
    """Where prices for rates come from."""

    async def prices(self, source: str, *, wait_seconds: float) -> SourcePrices:
        """Return what a source last said, asking it anew where nobody has asked for a while.

        Waits for its answer for so long at most. One that is away, or that nobody has, is told in the answer's
        `problem`.
        """
        ...


@runtime_checkable
class BotConfigs(Protocol):
    """The configurations that bots have on disk now."""

    async def configs(self, instance: str) -> Mapping[str, str]:
        """Return controller → YAML of an instance's controllers. Raises `NotFound`."""
        ...


@runtime_checkable
class Yaml(Protocol):
    """Reads configurations as Hummingbot does."""

    async def load(self, name: str, text: str) -> Json:
        """Return what a text says; `name` is for the message. Raises `Invalid`, with the line where there is one."""
        ...


@runtime_checkable
class Candles(Protocol):
    """The candles of all connectors. What is asked raises `Invalid` where it cannot be, `Unavailable` of the venue."""

    def connectors(self) -> Sequence[str]:
        """Return the names of the connectors that have candles."""
        ...

    async def latest(self, connector: str, trading_pair: str, name: str, count: int) -> Columns:
        """Return the newest candles of an interval, the last one still open, oldest first."""
        ...

    async def between(self, connector: str, trading_pair: str, name: str, start: int, end: int) -> Columns:
        """Return the candles that begin between two times, both included, in seconds since 1970."""
        ...

    def following(self, connector: str, trading_pair: str, name: str, count: int) -> AbstractContextManager[None]:
        """Follow the newest candles for as long as the block lasts, by asking for them: `states` lists them."""
        ...

    def states(self, timeout_seconds: float) -> Sequence[FeedState]:
        """Return how the series stand that somebody follows, or asked the newest of within so many seconds."""
        ...


class TableFile(Protocol):
    """A file of rows in the making, outside of memory."""

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows, all with the same columns. Raises `Unavailable`."""
        ...

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the file, with all rows that were added. Raises `Unavailable`."""
        ...


@runtime_checkable
class Tables(Protocol):
    """Writes rows as files of other formats."""

    def parquet(self) -> AbstractContextManager[TableFile]:
        """Lend a Parquet file to write to. Raises `Invalid` where its library is not installed."""
        ...


class Broker(Protocol):
    """The broker of the bots, and how we stand with it."""

    @property
    def host(self) -> str:
        """Where it is."""
        ...

    @property
    def port(self) -> int:
        """And at which port."""
        ...

    @property
    def username(self) -> str | None:
        """Who we are there."""
        ...

    @property
    def connected(self) -> bool:
        """Whether we are."""
        ...

    @property
    def why(self) -> str:
        """Why not, in a few words."""
        ...

    @property
    def bots(self) -> Mapping[str, datetime]:
        """The bots that were heard, with when last."""
        ...


@runtime_checkable
class BotLine(Protocol):
    """The line to the bots."""

    async def command(
        self, instance: str, command: str, data: Mapping[str, object], *, timeout_seconds: float
    ) -> Mapping[str, object] | None:
        """Send a command once and return the bot's whole answer, None if none came. Raises `Unavailable`."""
        ...

    def broker(self) -> Broker:
        """Return how things stand."""
        ...


@runtime_checkable
class Containers(Protocol):
    """The Docker engine of this host. What is asked of it raises `Unavailable` where none answers."""

    async def running(self) -> bool:
        """Whether an engine answers."""
        ...

    async def images(self, part: str = "") -> Sequence[str]:
        """Return the names with tags of the images that are here and have `part` in them."""
        ...

    async def containers(self, *, running: bool, part: str = "") -> Sequence[Container]:
        """Return the containers that run, or those that have exited, with `part` in their names, whatever its case."""
        ...

    async def status(self, container: str) -> Container:
        """Return a container as it is now. Raises `NotFound`."""
        ...

    def pulls(self) -> Sequence[Pull]:
        """Return how pulls of images go, and how those of the last hour went. Asks nobody."""
        ...

    def now(self) -> datetime:
        """Return the time by the clock that pulls are timed by."""
        ...
