"""Record what bots tell: many bots' messages in one commit, each bot's in its order."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import ClassVar
from uuid import UUID

import msgspec
import structlog

from commands.bus import Bus, Call, Command, Handlers, Outcome, origin_of_process
from commands.deciding import ATTEMPTS, append
from commands.ports import Write
from domain.bots import updates_of
from domain.errors import StreamMoved, Unavailable
from domain.events import Event, Origin

logger = structlog.get_logger()

GATHER_SECONDS = 0.1
MOST_AT_ONCE = 500
MOST_BYTES_AT_ONCE = 8_000_000
MOST_WAITING = 200_000
MOST_BYTES_WAITING = 256_000_000
RETRY_SECONDS = 0.2
_MOST_VERSIONS = 100_000


class Updates(msgspec.Struct, frozen=True, kw_only=True):
    """What one bot told, in its order. `version` is where its stream was last seen, None where it was not."""

    instance: str
    version: int | None
    events: Sequence[Event]


class RecordUpdates(Command, frozen=True, kw_only=True):
    """Record what bots told, each bot at most once in it."""

    routine: ClassVar[bool] = True
    updates: Sequence[Updates]


async def record(command: RecordUpdates, call: Call) -> Outcome:
    """Record it; gives instance → version of its stream afterwards.

    Whatever a stream holds meanwhile, what a bot told goes behind it. Dispatched again under the same command id, what
    was recorded although the answer was lost is not recorded twice.
    """
    versions = {u.instance: u.version for u in command.updates if u.version is not None}
    for attempt in range(1, ATTEMPTS + 1):
        if len(versions) < len(command.updates):
            last = await call.ports.log.last([updates_of(u.instance) for u in command.updates])
            ends = {u.instance: last[updates_of(u.instance)] for u in command.updates}
            versions = {instance: 0 if end is None else end.version for instance, end in ends.items()}
            ours = [end.position for end in ends.values() if end and end.command_id == call.origin.command_id]
            if ours:
                return Outcome(result=versions, position=max(ours))
        writes = [
            Write(stream=updates_of(u.instance), expected_version=versions[u.instance], events=u.events)
            for u in command.updates
        ]
        try:
            position = await append(call.ports.log, writes, call.origin)
        except StreamMoved:
            if attempt == ATTEMPTS:
                raise
            versions = {}
        else:
            after = {u.instance: versions[u.instance] + len(u.events) for u in command.updates}
            return Outcome(result=after, position=position)
    raise AssertionError("the last attempt returns or raises")


HANDLERS: Handlers = {RecordUpdates: (record, dict[str, int])}

_Message = tuple[str, Sequence[Event], int]


class BotIntake:
    """The sink of what bots tell.

    While one batch is being recorded the next one gathers. A log that is away stops it; what waits then is bounded, and
    who hears the bots has to stop while it is `full`.
    """

    def __init__(self, new_id: Callable[[], UUID]) -> None:
        """Begin with nothing waiting; what is told is recorded once `run` runs."""
        self._new_id = new_id
        self._messages: deque[_Message] = deque()
        self._versions: dict[str, int] = {}
        self._bytes = 0
        self._told = 0
        self._recorded = 0
        self._news = asyncio.Event()
        self._much = asyncio.Event()
        self._done = asyncio.Event()

    def __call__(self, instance: str, events: Sequence[Event], size: int) -> None:
        """Put what one message told behind what the same bot told before."""
        self._messages.append((instance, events, size))
        self._told += len(events)
        self._bytes += size
        self._news.set()
        if self.waiting >= MOST_AT_ONCE:
            self._much.set()

    @property
    def waiting(self) -> int:
        """How many events are not recorded yet."""
        return self._told - self._recorded

    @property
    def full(self) -> bool:
        """Whether nothing more should be told for now."""
        return self.waiting >= MOST_WAITING or self._bytes >= MOST_BYTES_WAITING

    async def room(self) -> None:
        """Return when it is not full."""
        while self.full:
            await self._done.wait()

    async def drain(self) -> None:
        """Wait until all that was told so far is recorded."""
        told = self._told
        while self._recorded < told:
            await self._done.wait()

    async def run(self, bus: Bus) -> None:
        """Record what comes in until canceled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._messages:
                await self._gathered()
                batch = _next(self._messages)
                await self._record(batch, bus)
                for _, events, size in batch:
                    self._messages.popleft()
                    self._recorded += len(events)
                    self._bytes -= size
                self._done.set()
                self._done = asyncio.Event()

    async def _gathered(self) -> None:
        """Return when a batch is full, or has waited long enough for more."""
        if self.waiting >= MOST_AT_ONCE:
            return
        self._much.clear()
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await self._much.wait()
        except TimeoutError:
            return

    async def _record(self, batch: Sequence[_Message], bus: Bus) -> None:
        """Record a batch, however long the log cannot be reached; all attempts are one command."""
        told: dict[str, list[Event]] = {}
        for instance, events, _ in batch:
            told.setdefault(instance, []).extend(events)
        origin = origin_of_process("bots", self._new_id)
        for attempt in count():
            try:
                versions = await self._dispatch(told, origin, bus)
            except (Unavailable, StreamMoved) as reason:
                for instance in told:
                    self._versions.pop(instance, None)
                if not attempt:
                    logger.warning("updates_wait", events=self.waiting, why=reason.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if len(self._versions) > _MOST_VERSIONS:
                    self._versions.clear()
                self._versions.update(versions)
                return

    async def _dispatch(self, told: Mapping[str, Sequence[Event]], origin: Origin, bus: Bus) -> Mapping[str, int]:
        updates = [
            Updates(instance=instance, version=self._versions.get(instance), events=events)
            for instance, events in told.items()
        ]
        outcome = await bus.dispatch(RecordUpdates(updates=updates), origin)
        versions: Mapping[str, int] = outcome.result
        return versions


def _next(messages: Sequence[_Message]) -> list[_Message]:
    """Return the messages of the next batch, at least one."""
    batch: list[_Message] = []
    events = size = 0
    for message in messages:
        events += len(message[1])
        size += message[2]
        if batch and (events > MOST_AT_ONCE or size > MOST_BYTES_AT_ONCE):
            break
        batch.append(message)
    return batch
