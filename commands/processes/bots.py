"""See every bot's life carried on: as soon as somebody wants something, after a crash, and when somebody else meddled.

One task for each bot that something is to be done for, and never two. What fails is tried again, ever less often.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from commands.bots.steps import Life, Pause
from commands.bus import origin_of_process
from commands.folding import load_all
from commands.ports import Ports, Write
from commands.ports.bots import Instance
from domain.bots import (
    NEW,
    Bot,
    BotDeployed,
    BotStartRequested,
    BotStopRequested,
    Here,
    deciding,
    evolve,
    next_step,
    stream_of,
)
from domain.errors import DomainError, StreamMoved, Unavailable
from domain.events import Event

logger = structlog.get_logger()

WISHES = [event.__name__ for event in (BotDeployed, BotStartRequested, BotStopRequested)]
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long to wait after a step that failed; the last one again and again."""


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A bot as its stream told at a version."""

    version: int
    bot: Bot


class BotKeeper:
    """Carries the lives of all bots on. What it remembers saves reading; everything is in the log."""

    def __init__(self, ports: Ports, *, pause: Pause = asyncio.sleep) -> None:
        """Care for the bots of these ports."""
        self._ports = ports
        self._fleet = ports.fleet
        self._pause = pause
        self._wanted: set[str] = set()
        self._working: set[str] = set()
        self._seen: dict[str, _Seen] = {}
        self._elsewhere: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def working(self) -> int:
        """How many bots something is being done for."""
        return len(self._working)

    async def run(self) -> None:
        """Go on with whatever was left undone, and then with what somebody wants, until canceled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                try:
                    position = await self._ports.log.position()
                    for instance in await self._ports.lookup.instances():
                        self._care(instance, resumed=True)
                    async for batch in self._ports.log.follow(position, types=WISHES):
                        for recorded in batch:
                            self._care(recorded.stream.removeprefix(stream_of("")), resumed=False)
                except Unavailable as reason:
                    logger.warning("bots_wait", why=reason.message)
                    await self._pause(RETRY_SECONDS[0])

    async def look(self) -> None:
        """Compare what runs with what should, record where they differ, and go on where nobody does.

        Of bots that another runtime started nothing can be told here. Raises `Unavailable` while the runtime or the log
        is away.
        """
        instances = await self._ports.lookup.instances()
        await self._see(instances)
        here = await self._fleet.here()
        found = await self._fleet.runtime.instances()
        self._tell_elsewhere(here)
        for instance in instances:
            seen = self._seen[instance]
            if not here.has(seen.bot):
                continue
            if instance not in self._working and next_step(seen.bot) is not None:
                self._care(instance, resumed=True)
            await self._record(instance, seen, self._difference(instance, seen.bot, found, here))

    async def _see(self, instances: Sequence[str]) -> None:
        """Read the streams that have moved since the last look."""
        streams = [stream_of(instance) for instance in instances]
        last = await self._ports.log.last(streams)
        versions = {stream: 0 if recorded is None else recorded.version for stream, recorded in last.items()}
        self._seen = {instance: self._seen[instance] for instance in instances if instance in self._seen}
        moved = [
            instance
            for instance in instances
            if instance not in self._seen or self._seen[instance].version != versions[stream_of(instance)]
        ]
        loaded = await load_all(self._ports.log, [stream_of(instance) for instance in moved], NEW, evolve)
        for instance in moved:
            now = loaded[stream_of(instance)]
            self._seen[instance] = _Seen(version=now.version, bot=now.state)

    def _tell_elsewhere(self, here: Here) -> None:
        """Say of each bot once that another runtime started it."""
        elsewhere = {instance: seen.bot.runtime for instance, seen in self._seen.items() if not here.has(seen.bot)}
        for instance in elsewhere.keys() - self._elsewhere:
            logger.warning("bot_elsewhere", instance=instance, runtime=elsewhere[instance], here=here.runtime)
        self._elsewhere = set(elsewhere)

    def _difference(self, instance: str, bot: Bot, found: Mapping[str, Instance], here: Here) -> list[Event]:
        there = found.get(instance)
        at = self._ports.clock()
        if there is not None and there.state == "running":
            return deciding.observed_running(
                bot, instance=instance, runtime=here.runtime, runtime_id=there.runtime_id, at=at
            )
        exit_code = None if there is None else there.exit_code
        return deciding.observed_exit(bot, instance=instance, exit_code=exit_code, at=at)

    async def _record(self, instance: str, seen: _Seen, events: list[Event]) -> None:
        """Record what was found, unless something was recorded since we read: then it may be so because of that."""
        if not events:
            return
        write = Write(stream=stream_of(instance), expected_version=seen.version, events=events)
        try:
            await self._ports.log.append([write], origin_of_process("bots", self._ports.new_id))
        except StreamMoved:
            return
        logger.warning("bot_found_otherwise", instance=instance, recorded=type(events[0]).__name__)
        self._care(instance, resumed=True)

    def _care(self, instance: str, *, resumed: bool) -> None:
        self._wanted.add(instance)
        if instance not in self._working and self._tasks is not None:
            self._working.add(instance)
            self._tasks.create_task(self._carry_on(instance, resumed=resumed), name=f"bot {instance}")

    async def _wait(self, instance: str, why: str, failures: int) -> None:
        """Have it tried again after a while, which grows with the failures in a row."""
        self._wanted.add(instance)
        seconds = RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1]
        logger.info("bot_waits", instance=instance, why=why, seconds=seconds)
        await self._pause(seconds)

    async def _carry_on(self, instance: str, *, resumed: bool) -> None:
        life = Life(instance, self._ports, pause=self._pause, resumed=resumed)
        failures = 0
        try:
            while instance in self._wanted:
                self._wanted.discard(instance)
                try:
                    await life.carry_on()
                    failures = 0
                except DomainError as reason:
                    failures += 1
                    await self._wait(instance, reason.message, failures)
                except Exception as fault:
                    # One bot's fault must not stop the server, which has other bots and orders to look after.
                    logger.exception("bot_life_failed", instance=instance)
                    failures += 1
                    await self._wait(instance, type(fault).__name__, failures)
        finally:
            self._working.discard(instance)
