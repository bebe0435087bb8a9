"""One feed: a subscription at a venue for all who read the same, begun again when it breaks.

It knows how old its last news are. Those that may not be true any more, since the subscription is broken or silent, are
stale, and are never shown without that word.
"""

import asyncio
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from math import inf
from time import perf_counter
from typing import Generic, TypeVar

import structlog

from adapters.market_data.sources import Patience, View
from adapters.pauses import pauses
from commands.ports import Clock
from domain.errors import DomainError, Unavailable
from domain.market_data import FeedState, MarketTrade, Shown, Timing
from domain.order_books import Book

logger = structlog.get_logger()

News = TypeVar("News")

REMEMBERED = 1_000
"""Of a pair, a reader that does not look for a while finds so many of the last trades at most."""


class _Making:
    """Measures how long it takes to make what is shown."""

    def __init__(self) -> None:
        self._count = 0
        self._total = self._most = 0.0
        self._least = inf
        self._recent: deque[float] = deque(maxlen=100)
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        took = (perf_counter() - self._began) * 1000
        self._count, self._total = self._count + 1, self._total + took
        self._least, self._most = min(self._least, took), max(self._most, took)
        self._recent.append(took)

    def timing(self) -> Timing:
        return Timing(
            count=self._count,
            total_ms=self._total,
            least_ms=self._least if self._count else 0.0,
            most_ms=self._most,
            recent=len(self._recent),
            recent_ms=sum(self._recent),
        )


class Feed(ABC, Generic[News]):
    """What both kinds have in common: it listens, and knows whether what it heard can be believed."""

    kind = ""

    def __init__(
        self,
        connector: str,
        trading_pair: str,
        listen: Callable[[], AsyncGenerator[News, None]],
        *,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        clock: Clock,
        patience: Patience,
    ) -> None:
        """Begin to listen; `listen` subscribes at the venue, and unsubscribes when it is closed."""
        self.connector = connector
        self.trading_pair = trading_pair
        self.readers = 0
        self.heard = 0
        self.ended = False
        self.why = "nothing has come yet"  # it cannot be believed, empty while it can
        self._listen = listen
        self._spawn = spawn
        self._clock = clock
        self._patience = patience
        self._began_at = self._asked_at = self._heard_at = clock()
        self._asked_time = self._heard_time = _now()  # on the loop's clock, which nobody sets
        self._began = self._failures = self._unreadable = self._first = 0
        self._first_at: datetime | None = None
        self._making = _Making()
        self._is_lost = False
        self._changed = asyncio.Event()
        self._unreadable_in_row = 0
        self._leaving: set[asyncio.Task[None]] = set()  # were begun before, and may still unsubscribe
        self._task = spawn(self._run())

    def ask(self) -> None:
        """Note that somebody is interested."""
        self._asked_at, self._asked_time = self._clock(), _now()

    def sweep(self) -> None:
        """Lose what has been silent for longer than it can be believed."""
        if not self.why and self.is_stale:
            self.lose(f"nothing was heard for {self.age_seconds:.1f} s")

    def lose(self, why: str) -> None:
        """Note that what was heard may not be true any more, and tell the readers; logged once until it is again."""
        if not self._is_lost:
            age = round(self.age_seconds, 3) if self.heard else None
            logger.warning("feed_lost", **self._named, age_seconds=age, why=why)
        self._is_lost, self.why = True, why
        self._wake()

    def begin_again(self, why: str, after_seconds: float = 0.0) -> None:
        """Subscribe anew after a while, when all earlier subscriptions have been left."""
        self._leave()
        self.lose(why)
        self._failures += 1
        self._task = self._spawn(self._run(after_seconds))

    async def end(self, why: str) -> None:
        """Leave the subscription, and tell the readers that nothing comes any more."""
        self.ended, self.why = True, why
        self._wake()
        self._leave()
        if self._leaving:
            await asyncio.wait(self._leaving)

    @property
    def age_seconds(self) -> float:
        """How long ago something was heard last."""
        return _now() - self._heard_time

    @property
    def idle_seconds(self) -> float:
        """How long ago somebody was interested last."""
        return 0.0 if self.readers else _now() - self._asked_time

    @property
    def is_stale(self) -> bool:
        """Whether what was heard last may not be true any more, or nothing was."""
        return bool(self.why)

    @property
    def name(self) -> str:
        """What it is, in a sentence."""
        return f"{self.kind.replace('_', ' ')} of {self.trading_pair} on {self.connector}"

    def state(self, timeout_seconds: float) -> FeedState:
        """Say how it stands; without readers it ends so long after it was asked for."""
        asked_at = self._clock() if self.readers else self._asked_at
        return FeedState(
            kind=self.kind,
            connector=self.connector,
            trading_pair=self.trading_pair,
            began_at=self._began_at,
            asked_at=asked_at,
            ends_at=asked_at + timedelta(seconds=timeout_seconds),
            readers=self.readers,
            heard_at=self._heard_at if self.heard else None,
            age_seconds=self.age_seconds if self.heard else None,
            stale=self.is_stale,
            why=self.why,
            heard=self.heard,
            first=self._first,
            first_at=self._first_at,
            began=self._began,
            failures=self._failures,
            unreadable=self._unreadable,
            making=self._making.timing(),
        )

    async def changed(self) -> None:
        """Wait for news, or for word that there are none."""
        await self._changed.wait()

    @abstractmethod
    def _take(self, news: News) -> None:
        """Keep what was heard."""

    def _note(self, count: int) -> None:
        """Note that something was heard."""
        if self._is_lost:
            logger.info("feed_heard_again", **self._named)
        self._heard_at, self._heard_time = self._clock(), _now()
        if self.why:
            self._began, self._first, self._first_at = self._began + 1, self.heard + 1, self._heard_at
        self._is_lost, self.why = False, ""
        self.heard += count
        self._wake()

    @property
    def _named(self) -> dict[str, str]:
        return {"kind": self.kind, "connector": self.connector, "pair": self.trading_pair}

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    def _leave(self) -> None:
        self._task.cancel()
        self._leaving = {task for task in (*self._leaving, self._task) if not task.done()}

    async def _run(self, after_seconds: float = 0.0) -> None:
        """Listen until canceled; after a failure wait, longer each time unless it had gone well for long."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        await asyncio.sleep(after_seconds)
        first, longest = self._patience.retry, self._patience.longest_retry
        waits = pauses(first, longest)
        while True:
            began = _now()
            self.lose(await self._heard_out())
            self._failures += 1
            if _now() - began > longest:
                waits = pauses(first, longest)
            await asyncio.sleep(next(waits))

    async def _heard_out(self) -> str:
        """Listen for as long as it goes, and return why it went no further."""
        try:
            async with aclosing(self._listen()) as news:
                async for one in news:
                    self._take(one)
        except DomainError as reason:
            return reason.message
        except Exception as fault:  # noqa: BLE001 - whatever one venue sends, this feed and all others go on
            return self._failed(fault)
        return "its stream has ended"

    def _failed(self, fault: Exception) -> str:
        # As text, whatever the logger is: one that shows local variables would show all that was sent.
        logger.error("feed_failed", **self._named, exception="".join(traceback.format_exception(fault)))
        return f"what it says cannot be read ({type(fault).__name__})"


class BookFeed(Feed[View]):
    """The book of a pair. What is shown of it is made when somebody looks, once for all who do."""

    kind = "order_book"
    _view: View | None = None  # heard, and not looked at yet
    _book: Shown[Book] | None = None
    _shown_time = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it may have changed since: its stream is broken, or silent for too long."""
        return bool(self.why) or self.age_seconds > self._patience.fresh

    def show(self, since: int) -> Shown[Book] | None:
        """Return the last book that could be read, to one who has seen so many; None where there is none."""
        if self._view is not None:
            view, self._view = self._view, None
            try:
                with self._making:
                    book = view()
            except Unavailable as reason:
                self._unreadable += 1
                self.begin_again(reason.message, self._pause())
            else:
                self._unreadable_in_row = 0
                self._book = Shown(value=book, heard_at=self._heard_at, age_seconds=0.0)
                self._shown_time = self._heard_time
        if self._book is None:
            return None
        stale = self.is_stale
        return Shown(
            value=self._book.value,
            heard_at=self._book.heard_at,
            age_seconds=_now() - self._shown_time,
            stale=stale,
            why=self.why or ("nothing has come for too long" if stale else ""),
            missed=max(0, self.heard - since - 1),
        )

    async def fresh(self, wait_seconds: float) -> Shown[Book]:
        """Return a book that is not stale, waiting for it. Raises `Unavailable` with the age of the one there is."""
        shown = None
        try:
            async with asyncio.timeout(wait_seconds):
                while not self.ended:
                    shown = self.show(self.heard)
                    if shown is not None and not shown.stale:
                        return shown
                    await self.changed()
        except TimeoutError:
            pass  # what is known of it is said below
        age = f"has not come within {wait_seconds:g} s" if shown is None else f"is stale: {self._age()} old"
        raise Unavailable(f"The {self.name} {age}: {self.why}")

    def _pause(self) -> float:
        """Return how long to wait before the venue is asked for a book that can be read: longer each time."""
        pause = self._patience.retry * (1 << min(self._unreadable_in_row, 16))
        self._unreadable_in_row += 1
        return min(pause, self._patience.longest_retry)

    def _age(self) -> str:
        return f"{_now() - self._shown_time:.1f} s"

    def _take(self, news: View) -> None:
        self._view = news
        self._note(1)


class TradeFeed(Feed[Sequence[MarketTrade]]):
    """The trades of others on a pair. Silence is no staleness: there may be none."""

    kind = "trades"

    def __init__(
        self,
        connector: str,
        trading_pair: str,
        listen: Callable[[], AsyncGenerator[Sequence[MarketTrade], None]],
        *,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        clock: Clock,
        patience: Patience,
    ) -> None:
        """Begin to listen."""
        self._trades: deque[MarketTrade] = deque(maxlen=REMEMBERED)
        super().__init__(connector, trading_pair, listen, spawn=spawn, clock=clock, patience=patience)

    def show(self, since: int) -> Shown[Sequence[MarketTrade]]:
        """Return the trades that are new to one who has seen so many."""
        new = min(self.heard - since, len(self._trades))
        return Shown(
            value=tuple(self._trades)[len(self._trades) - new :],
            heard_at=self._heard_at,
            age_seconds=self.age_seconds,
            stale=self.is_stale,
            why=self.why,
            missed=self.heard - since - new,
        )

    def _take(self, news: Sequence[MarketTrade]) -> None:
        self._trades.extend(news)
        self._note(len(news))


Value = TypeVar("Value")


class Reading(Generic[Value]):
    """One reader's place in a feed, as `read_api.ports.Reading`."""

    def __init__(
        self, feed: BookFeed | TradeFeed, show: Callable[[int], Shown[Value] | None], seen: int, told: str = ""
    ) -> None:
        """Stand where so much has been seen, and where it has been told why that cannot be believed."""
        self._feed = feed
        self._show = show
        self._seen = seen
        self._told = told

    @property
    def why(self) -> str:
        """Why what the feed has cannot be believed now, empty where it can."""
        return self._feed.why

    async def next(self) -> Shown[Value]:
        """Wait for something newer, or for word that what was shown is stale now. Raises `Unavailable` at the end."""
        while not self._feed.ended:
            is_new = self._feed.heard > self._seen
            if is_new or self._told != self._feed.why:
                shown = self._show(self._seen)
                self._told = self._feed.why
                if shown is not None and (is_new or shown.stale):
                    self._seen = self._feed.heard
                    return shown
            await self._feed.changed()
        raise Unavailable(f"The feed of the {self._feed.name} has ended: {self._feed.why}")


def _now() -> float:
    return asyncio.get_running_loop().time()
