"""Keep one account's news flowing: by the venue's streams where it has them, else by asking every few seconds.

After a stream was cut, the venue is asked for everything since the last time that all was known: once when the streams
had time to be there again, and once more a little later, for what happened while they were being set up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Literal

import structlog

from adapters.exchanges.clients import Refused, WrongKeys
from adapters.exchanges.venue_account import VenueAccount
from adapters.pauses import pauses
from domain.errors import DomainError, Unavailable
from domain.reconciliation import Trigger

logger = structlog.get_logger()

POLL_SECONDS = 5.0
REFUSED_POLLS = 60
"""So often a venue is asked instead, until a stream that it refused is tried again."""
SETTLING_SECONDS = 1.0
SECOND_LOOK_SECONDS = 5.0
TRADES_FOLLOW_SECONDS = 0.3
"""A trade comes with its order, or so soon after it; after that it is asked for."""
SHOWN_SECONDS = 0.2
"""What comes so soon after each other of balances on the stream is told as one."""
TOGETHER_SECONDS, REFRESHED_SECONDS = 0.2, 2.0
"""So soon after a change balances and positions are asked for, and so long after that not again."""
CONFIRMED_SECONDS = 10.0
"""The same where balances are streamed: what was told is only confirmed."""
REFUSED_KEYS_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0

Take = Callable[[Any], None]


class AccountStream:
    """The loops of one account. `run` them as long as the account is connected."""

    def __init__(self, account: VenueAccount) -> None:
        """Begin with nothing subscribed."""
        self._account = account
        self._cut = asyncio.Event()
        self._cut.set()  # what happened before the streams stand is asked for as after any cut
        self._log = logger.bind(account=account.name, connector=account.connector)

    async def run(self) -> None:
        """Keep the account's news flowing until canceled."""
        account = self._account
        has = account.client.has
        streams: list[tuple[str, Take]] = []
        if has("watchOrders"):
            streams.append(("watch_orders", account.take_orders))
            if has("watchMyTrades"):
                streams.append(("watch_my_trades", account.take_trades))
        if has("watchBalance"):
            streams.append(("watch_balance", account.take_balances))
        if account.venue.connector.perpetual and has("watchPositions"):
            streams.append(("watch_positions", lambda _: account.touched.set()))
        async with asyncio.TaskGroup() as tasks:
            for method, take in streams:
                tasks.create_task(self._follow(method, take), name=f"{method} {account.name} {account.connector}")
            if not has("watchOrders"):
                tasks.create_task(self._poll())
            tasks.create_task(self._mend())
            tasks.create_task(self._revive())
            tasks.create_task(self._complete())
            tasks.create_task(self._show())
            tasks.create_task(self._refresh())

    async def _follow(self, method: str, take: Take) -> None:
        """Take in one stream, for ever; a venue that refuses to stream this is asked instead for a while."""
        pauses = _pauses()
        while True:
            try:
                news = await self._account.client.watch(method)
            except WrongKeys as refusal:
                self._log.error("keys_refused", stream=method, why=refusal.message)
                self._cut.set()
                await asyncio.sleep(REFUSED_KEYS_SECONDS)
            except Refused as refusal:
                self._log.warning("stream_refused", stream=method, why=refusal.message)
                await self._poll(REFUSED_POLLS)
            except Unavailable as reason:
                pause = next(pauses)
                tell = self._log.warning if pause == FIRST_PAUSE else self._log.debug  # once is enough
                tell("stream_cut", stream=method, why=reason.message)
                self._cut.set()
                self._account.client.forget_stream_keys()
                await asyncio.sleep(pause)
            else:
                pauses = _pauses()
                self._take(method, take, news)

    def _take(self, method: str, take: Take, news: Sequence[Any]) -> None:
        try:
            take(news)
        except Exception:
            # A venue may send what nobody expected. It must not end the account's stream: the venue is asked for
            # all of it in the form of answers, and the line in the log is for whoever mends the parser.
            logger.exception("message_not_understood", stream=method, account=self._account.name)
            self._cut.set()

    async def _poll(self, times: int | None = None) -> None:
        """Ask instead of listening, for ever or so many times."""
        for _ in count() if times is None else range(times):
            await asyncio.sleep(POLL_SECONDS)
            await self._asked("venue_not_asked", self._look_once(""))

    async def _mend(self) -> None:
        """After each cut, ask for what was missed."""
        while True:
            await self._cut.wait()
            self._cut.clear()
            for pause in (SETTLING_SECONDS, SECOND_LOOK_SECONDS):
                await asyncio.sleep(pause)
                await self._look()

    async def _revive(self) -> None:
        """Begin the streams anew when they turn out to be open and silent: some venues end them without a word."""
        account = self._account
        while True:
            await account.deaf.wait()
            account.deaf.clear()
            self._log.warning("stream_deaf")
            await account.client.drop_streams()

    async def _look(self) -> None:
        for pause in _pauses():
            if await self._asked("venue_not_asked", self._look_once("reconnect")):
                return
            await asyncio.sleep(pause)

    async def _look_once(self, why: Trigger | Literal[""]) -> None:
        """Ask for everything, and return when what was new in it is recorded."""
        await self._account.venue.sink(await self._account.look(why))

    async def _complete(self) -> None:
        """Ask for the trades of orders of which the venue says that they traded more than was told."""
        account = self._account
        while True:
            await account.lacking.wait()
            for pause in _pauses():
                await asyncio.sleep(TRADES_FOLLOW_SECONDS)
                is_done = await self._asked("trades_not_asked", account.complete())
                account.lacking.clear()  # what became lacking meanwhile is not done
                if is_done:
                    break
                with suppress(TimeoutError):  # an order that becomes lacking now does not wait for the others
                    await asyncio.wait_for(account.lacking.wait(), pause)

    async def _show(self) -> None:
        """Tell what the stream says of balances; every order and every fill changes them."""
        while True:
            await self._account.moved.wait()
            await asyncio.sleep(SHOWN_SECONDS)
            self._account.show()

    async def _refresh(self) -> None:
        """Ask for balances and positions after whatever may have changed them."""
        account = self._account
        is_streamed = account.client.has("watchBalance") and not account.venue.connector.perpetual
        soonest, apart = (CONFIRMED_SECONDS, 0.0) if is_streamed else (TOGETHER_SECONDS, REFRESHED_SECONDS)
        loop = asyncio.get_running_loop()
        asked_at = -apart
        while True:
            await account.touched.wait()
            await asyncio.sleep(max(soonest, asked_at + apart - loop.time()))
            account.touched.clear()
            asked_at = loop.time()
            for pause in _pauses():
                if await self._asked("balances_not_asked", account.refresh()):
                    break
                await asyncio.sleep(pause)

    async def _asked(self, failed: str, asking: Awaitable[bool | None]) -> bool:
        """Whether a question was answered, and the answer is no `False`; that it was not is logged."""
        try:
            return await asking is not False
        except DomainError as reason:
            self._log.warning(failed, why=reason.message)
            return False


def _pauses() -> Iterator[float]:
    return pauses(FIRST_PAUSE, LONGEST_PAUSE)
