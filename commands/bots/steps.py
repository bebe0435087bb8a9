"""Carry a bot's life on, step by step, each recorded when it is done. Whoever goes on begins where the log ends.

A step that was done and not recorded, because the server died in between, is done again: every one of them is made so
that the second time changes nothing (ADR 91).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from commands.bus import origin_of_process
from commands.deciding import decide
from commands.folding import fold, load
from commands.ports import Ports
from commands.ports.bots import Broker
from domain import accounts
from domain.bots import (
    NEW,
    Bot,
    BotDeployed,
    BotStopRequested,
    BotStopTold,
    Step,
    deciding,
    evolve,
    next_step,
    stream_of,
)
from domain.errors import DomainError, Invalid, NotFound, Unavailable
from domain.events import Event, Origin, Recorded
from domain.strategies import script_path

logger = structlog.get_logger()

POLL_SECONDS = 0.5
STARTING_SECONDS = 60.0
"""For so long a start is tried again while something it needs is away."""
FAILURE_SECONDS = 300.0
"""How often it is recorded that a step fails which is tried again and again."""
ANSWER_SECONDS = 35.0
"""A bot that waits for the end of its strategy gives up after 30 s, and says so."""
AT_ONCE_SECONDS = 10.0
HEARTBEAT_SECONDS = 12.0
"""A bot that can hear is heard within this time: it sends a heartbeat every 10 s."""
ASK_AGAIN_SECONDS = 40.0
"""How long a bot is left alone that was told to stop. The longest of its kind that was measured was flat after 31 s."""

MESSAGE_CHARACTERS = 2000
"""More than that of what a bot answers is not recorded."""
_STATUSES = range(100, 600)

Pause = Callable[[float], Awaitable[None]]
"""Returns after so many seconds."""

Decision = Callable[[Bot], list[Event]]

_WHERE_IT_RUNS = {Step.START, Step.UNDO, Step.STOP, Step.ARCHIVE, Step.CLEAR}
"""Steps that only the runtime can do that started the bot, or was about to."""


class Life:
    """Carries one bot's life on. Its only memory is what it did not live to record, and since when it tries.

    Time in which no server looked after the bot does not count against it: limits begin anew with each `Life`.
    """

    def __init__(self, instance: str, ports: Ports, *, pause: Pause = asyncio.sleep, resumed: bool = True) -> None:
        """Take a bot. `resumed` says that another server, or this one before a crash, may have begun with a step."""
        self.instance = instance
        self._ports = ports
        self._fleet = ports.fleet
        self._pause = pause
        self._began_at = ports.clock()
        self._may_have_told = resumed
        self._starting_since: datetime | None = None
        self._failed_at: dict[Step, datetime] = {}

    async def carry_on(self) -> None:
        """Do what is to be done, until nothing is. Raises a `DomainError` where that has to be tried again later."""
        while True:
            history, bot = await self._read()
            step = next_step(bot)
            if step is None:
                return
            if await self._is_elsewhere(step, bot):
                if step is Step.UNDO:  # the rest waits for its runtime, but keys are not left to lie there as long
                    await self._fleet.files.shred(self.instance)
                return
            began_at = self._ports.clock()
            # A life may have done other things for hours before somebody wants it started.
            self._starting_since = (self._starting_since or began_at) if _starts(step, bot) else None
            cause = _cause(history)
            try:
                decisions: Sequence[Decision] = await self._do(step, bot)
            except DomainError as reason:
                await self._fail(step, bot, reason, cause)
            else:
                for decision in decisions:
                    await self._record(decision, cause)
                ms = round((self._ports.clock() - began_at).total_seconds() * 1000, 2)
                logger.info("bot_step", instance=self.instance, step=str(step), ms=ms)

    async def _is_elsewhere(self, step: Step, bot: Bot) -> bool:
        """Whether a step has to wait for another runtime: here the bot would be found gone, and taken for ended."""
        return step in _WHERE_IT_RUNS and bool(bot.runtime) and not (await self._fleet.here()).has(bot)

    async def _read(self) -> tuple[list[Recorded], Bot]:
        stream = stream_of(self.instance)
        history = (await self._ports.log.read([stream]))[stream]
        return history, fold(NEW, evolve, history)

    async def _record(self, decision: Decision, cause: Origin) -> None:
        await decide(
            self._ports.log,
            origin_of_process("bots", self._ports.new_id, cause),
            stream=stream_of(self.instance),
            new=NEW,
            evolve=evolve,
            decision=decision,
        )

    async def _fail(self, step: Step, bot: Bot, reason: DomainError, cause: Origin) -> None:
        """Record why a step failed where a user has to know. Raises it again where the step is to be done again."""
        logger.warning("bot_step_failed", instance=self.instance, step=str(step), why=reason.message)
        at, since = self._ports.clock(), self._starting_since
        waits = (
            isinstance(reason, Unavailable) and since is not None and at - since < timedelta(seconds=STARTING_SECONDS)
        )
        again = waits or not _starts(step, bot)
        if not again or (bot.archiving and step in {Step.STOP, Step.ARCHIVE, Step.CLEAR} and self._is_news(step, at)):
            await self._record(
                lambda now: deciding.failed(now, instance=self.instance, reason=reason.message, at=at), cause
            )
        if again:
            raise reason

    def _is_news(self, step: Step, at: datetime) -> bool:
        """Whether a failure of a step that is tried again is recorded: not each one, for no two may say the same."""
        last, due = self._failed_at.get(step), timedelta(seconds=FAILURE_SECONDS)
        if last is None or at - last >= due:
            self._failed_at[step] = at
            return True
        return False

    async def _do(self, step: Step, bot: Bot) -> Sequence[Decision]:
        """Do a step outside, and return what is to be recorded of it. Raises `DomainError`."""
        match step:
            case Step.PREPARE:
                return [await self._prepare(_deployed(bot))]
            case Step.START:
                return [await self._start(_deployed(bot))]
            case Step.UNDO:
                return [await self._undo()]
            case Step.TELL:
                return await self._tell(bot)
            case Step.WIND_DOWN:
                return await self._wind_down(bot)
            case Step.STOP:
                return [await self._stop()]
            case Step.ARCHIVE:
                return [await self._archive(_stopping(bot))]
            case Step.CLEAR:
                return [await self._clear()]

    async def _prepare(self, deployed: BotDeployed) -> Decision:
        sources = await self._ports.lookup.sources()
        credentials = await self._credentials(deployed, sources)
        await self._fleet.files.prepare(deployed, credentials, sources)
        # Noted before the start: who dies behind it, and comes back with another runtime, must not start it once more.
        runtime, at = await self._fleet.runtime.place(), self._ports.clock()
        return lambda bot: deciding.prepared(bot, instance=self.instance, runtime=runtime, at=at)

    async def _credentials(
        self, deployed: BotDeployed, sources: Mapping[str, str]
    ) -> Mapping[str, Mapping[str, object]]:
        """Return what the bot needs of its account's credentials, and no more (ADR 92)."""
        stream = accounts.stream_of(deployed.account)
        account = (await load(self._ports.log, stream, accounts.NEW, accounts.evolve)).state
        if not account.exists:
            raise Invalid(f"Account '{deployed.account}' not found")
        source = sources.get(script_path(deployed.strategy_name), "")
        named = deciding.connectors_named(account.connectors, deployed.configs, source)
        held = {connector: await self._ports.vault.read(deployed.account, connector) for connector in named}
        return {connector: credentials for connector, credentials in held.items() if credentials}

    async def _start(self, deployed: BotDeployed) -> Decision:
        runtime = await self._fleet.runtime.place()
        made = await self._fleet.runtime.start(deployed)
        at = self._ports.clock()
        return lambda bot: deciding.started(
            bot, instance=self.instance, runtime=runtime, runtime_id=made.runtime_id, at=at
        )

    async def _undo(self) -> Decision:
        # The keys first: a runtime that is gone for good is tried for ever, and they must not lie there as long.
        await self._fleet.files.shred(self.instance)
        await self._fleet.runtime.stop(self.instance, self._fleet.grace_seconds)
        await self._fleet.runtime.remove(self.instance)
        await self._fleet.files.discard(self.instance)
        at = self._ports.clock()
        return lambda bot: deciding.cleared(bot, instance=self.instance, at=at)

    async def _tell(self, bot: Bot) -> Sequence[Decision]:
        """Tell the bot to stop. While nothing leads to it it is not told; an archive waits for that only so long."""
        stop, sent_at = _stopping(bot), self._ports.clock()
        data = {"skip_order_cancellation": stop.skip_order_cancellation, "async_backend": stop.at_once}
        again, self._may_have_told = self._may_have_told, True
        try:
            await self._until_heard(bot)
            answer = await self._fleet.line.command(
                self.instance, "stop", data, timeout_seconds=AT_ONCE_SECONDS if stop.at_once else ANSWER_SECONDS
            )
        except Unavailable as reason:
            self._may_have_told = again
            if not bot.archiving or sent_at < self._limit(stop.requested_at):
                raise
            return [self._told(None, reason.message, again=again, at=sent_at), self._ended(by_itself=False)]
        status, message = answer_of(answer)
        return [self._told(status, message, again=again, at=sent_at)]

    async def _until_heard(self, bot: Bot) -> None:
        """Wait for a heartbeat of a bot that was not heard yet: it takes commands from when it is heard itself.

        Raises `Unavailable` when none comes. Without a broker there is nothing to wait for.
        """
        last = self._ports.clock() + timedelta(seconds=HEARTBEAT_SECONDS)
        while (broker := self._fleet.line.broker()).connected:
            why = not_heard(self.instance, bot, broker)
            if why is None:
                return
            if self._ports.clock() >= last:
                raise Unavailable(f"Bot {self.instance} {why}, so that it cannot be told anything")
            await self._pause(POLL_SECONDS)

    async def _wind_down(self, bot: Bot) -> Sequence[Decision]:
        """Wait for the bot's sign, or for the limit; or until something else is to be done."""
        limit = self._limit(_told(bot).told_at)
        ask_at = _told(bot).told_at + timedelta(seconds=ASK_AGAIN_SECONDS)
        while next_step(bot) is Step.WIND_DOWN:
            now = self._ports.clock()
            if deciding.says_it_is_flat(bot) or await self._said_so(_stopping(bot), is_over=now >= limit):
                return [self._ended(by_itself=True)]
            if now >= limit:
                return [self._ended(by_itself=False)]
            if now >= ask_at and deciding.may_be_asked_again(bot):
                within = min(ANSWER_SECONDS, (limit - now).total_seconds())
                if await self._says_so_when_asked(_stopping(bot), within):
                    return [self._ended(by_itself=True)]
                ask_at = self._ports.clock() + timedelta(seconds=ASK_AGAIN_SECONDS)
            await self._pause(POLL_SECONDS)
            _, bot = await self._read()
        return []

    async def _says_so_when_asked(self, stop: BotStopRequested, within: float) -> bool:
        """Whether the bot, told once more to stop, answers that nothing is left of its strategy.

        Its last word may have been said while nobody listened, and it says it once; this answer it gives ever again.
        """
        data = {"skip_order_cancellation": stop.skip_order_cancellation, "async_backend": False}
        try:
            answer = await self._fleet.line.command(self.instance, "stop", data, timeout_seconds=within)
        except Unavailable as reason:
            logger.info("bot_not_asked_again", instance=self.instance, why=reason.message)
            return False
        status, message = answer_of(answer)
        logger.info("bot_asked_again", instance=self.instance, status=status, message=message)
        return status == deciding.FLAT

    async def _said_so(self, stop: BotStopRequested, *, is_over: bool) -> bool:
        """Whether the bot's controllers said that they have ended. Raises `Unavailable`, but not beyond the limit."""
        try:
            return await self._ports.lookup.strategy_ended(self.instance, since=stop.requested_at)
        except Unavailable:
            if is_over:
                return False
            raise

    async def _stop(self) -> Decision:
        exit_code = await self._fleet.runtime.stop(self.instance, self._fleet.grace_seconds)
        at = self._ports.clock()
        return lambda bot: deciding.stopped(bot, instance=self.instance, exit_code=exit_code, at=at)

    async def _archive(self, stop: BotStopRequested) -> Decision:
        if stop.archive is None:
            raise AssertionError("only what is to be archived comes here")
        # Somebody may have started it since it was found stopped, and files that are written to cannot be put away.
        await self._fleet.runtime.stop(self.instance, self._fleet.grace_seconds)
        await self._fleet.runtime.collect(self.instance)
        at = self._ports.clock()
        try:
            location = await self._fleet.files.archive(self.instance, stop.archive, at)
        except NotFound as gone:
            return await self._without_files(gone.message, at)
        return lambda bot: deciding.archived(bot, instance=self.instance, location=location, at=at)

    async def _without_files(self, reason: str, at: datetime) -> Decision:
        """End the archive of a bot whose files somebody has removed: they will not come back by trying again."""
        kept = self.instance in await self._fleet.runtime.instances()
        if kept:
            reason = f"{reason}. Its container stays; remove it, or bring the files back, and archive it again"
        return lambda bot: deciding.without_files(bot, instance=self.instance, reason=reason, kept=kept, at=at)

    async def _clear(self) -> Decision:
        await self._fleet.runtime.remove(self.instance)
        at = self._ports.clock()
        return lambda bot: deciding.cleared(bot, instance=self.instance, at=at)

    def _told(self, status: int | None, message: str, *, again: bool, at: datetime) -> Decision:
        return lambda bot: deciding.told(
            bot, instance=self.instance, status=status, message=message, again=again, at=at
        )

    def _ended(self, *, by_itself: bool) -> Decision:
        at = self._ports.clock()
        return lambda bot: deciding.wound_down(bot, instance=self.instance, by_itself=by_itself, at=at)

    def _limit(self, since: datetime) -> datetime:
        return max(since, self._began_at) + timedelta(seconds=self._fleet.wind_down_seconds)


def _starts(step: Step, bot: Bot) -> bool:
    return step in {Step.PREPARE, Step.START} or bot.starting


def not_heard(instance: str, bot: Bot, broker: Broker) -> str | None:
    """Return since when a bot was not heard that cannot be told anything for that; None where it may be told."""
    heard_at = broker.bots.get(instance)
    if bot.started_at is None or (heard_at is not None and heard_at >= bot.started_at):
        return None
    return f"was not heard since {'this server' if heard_at is None else 'it'} was started"


def answer_of(answer: Mapping[str, object] | None) -> tuple[int | None, str]:
    """Return status and message of a bot's answer; None where it gave none that can be read."""
    data = {} if answer is None else answer.get("data")
    if not isinstance(data, Mapping):
        return None, ""
    status, message = data.get("status"), data.get("msg")
    known = isinstance(status, int) and not isinstance(status, bool) and status in _STATUSES
    return status if known else None, message[:MESSAGE_CHARACTERS] if isinstance(message, str) else ""


def _cause(history: Sequence[Recorded]) -> Origin:
    """Return whose wish it is that is carried out: the last request's origin, for the story of the steps."""
    wishes = {"BotDeployed", "BotStartRequested", "BotStopRequested"}
    wish = next(recorded for recorded in reversed(history) if recorded.type in wishes)
    return Origin(correlation_id=wish.correlation_id, command_id=wish.command_id, actor=wish.actor)


def _deployed(bot: Bot) -> BotDeployed:
    if bot.deployed is None:
        raise AssertionError("only a bot that was deployed is prepared or started")
    return bot.deployed


def _stopping(bot: Bot) -> BotStopRequested:
    if bot.stopping is None:
        raise AssertionError("only a bot that is to stop is told so")
    return bot.stopping


def _told(bot: Bot) -> BotStopTold:
    if bot.told is None:
        raise AssertionError("only a bot that was told to stop winds down")
    return bot.told
