"""Tell what became of a wish for a bot: wait until the log says so."""

import asyncio
from collections.abc import Callable

import msgspec

from commands.bots.steps import not_heard
from commands.bus import Call, Command, Handlers, Outcome
from commands.folding import load
from commands.ports import Log
from commands.ports.bots import Fleet
from domain.bots import LIFE_EVENTS, NEW, Bot, evolve, next_step, stream_of
from domain.errors import Invalid, Unavailable

DEPLOYED_WITHIN_SECONDS = 120.0
STARTED_WITHIN_SECONDS = 120.0
TOLD_WITHIN_SECONDS = 45.0
"""A little longer than a bot may take to answer."""

_TYPES = [event.__name__ for event in LIFE_EVENTS]


class AwaitDeployment(Command, frozen=True, kw_only=True):
    """Say when an instance that was wanted runs, or why it does not."""

    instance: str


class AwaitStart(Command, frozen=True, kw_only=True):
    """Say when a bot that was to start again runs, or why it does not."""

    instance: str


class AwaitStop(Command, frozen=True, kw_only=True):
    """Say what a bot answered when it was told to stop."""

    instance: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot answered when it was told to stop; `status` None where it gave no answer, or did not run at all."""

    status: int | None
    message: str
    runs: bool


async def await_deployment(command: AwaitDeployment, call: Call) -> Outcome:
    """Return when the instance runs.

    Raises `Invalid` with the reason when it came to nothing and nothing of it is left, `Unavailable` when neither is so
    in time.
    """
    bot, position = await _until(
        call.ports.log,
        command.instance,
        lambda bot: bot.runtime_id is not None or bot.cleared,
        within=DEPLOYED_WITHIN_SECONDS,
    )
    if bot.runtime_id is not None:
        return Outcome(result=None, position=position)
    if bot.failed is not None:
        raise Invalid(f"Instance {command.instance} could not be deployed: {bot.failed}")
    raise Unavailable(
        f"Instance {command.instance} does not run after {DEPLOYED_WITHIN_SECONDS:.0f} s; it is still tried, and its"
        " run tells what becomes of it"
    )


async def await_start(command: AwaitStart, call: Call) -> Outcome:
    """Return when the bot runs. Raises `Invalid` with the reason when it does not, `Unavailable`."""
    bot, position = await _until(
        call.ports.log, command.instance, lambda bot: not bot.starting, within=STARTED_WITHIN_SECONDS
    )
    if bot.starting:
        raise Unavailable(
            f"Bot {command.instance} does not run after {STARTED_WITHIN_SECONDS:.0f} s; it is still tried"
        )
    if bot.runs and bot.failed is None:
        return Outcome(result=None, position=position)
    raise Invalid(f"Bot {command.instance} could not be started: {bot.failed or 'it has ended again'}")


async def await_stop(command: AwaitStop, call: Call) -> Outcome:
    """Return what the bot answered. Raises `Unavailable` when it was not told in time."""
    bot, position = await _until(
        call.ports.log,
        command.instance,
        lambda bot: bot.told is not None or next_step(bot) is None,
        within=TOLD_WITHIN_SECONDS,
    )
    if bot.told is not None:
        return Outcome(result=Told(status=bot.told.status, message=bot.told.message, runs=True), position=position)
    if next_step(bot) is None:
        return Outcome(result=Told(status=None, message="", runs=False), position=position)
    raise Unavailable(_not_told(command.instance, bot, call.ports.fleet))


def _not_told(instance: str, bot: Bot, fleet: Fleet) -> str:
    """Return why a bot was not told to stop, and what its owner can do."""
    broker = fleet.line.broker()
    if not broker.connected:
        return (
            f"Bot {instance} could not be told to stop so far: no connection to the broker: {broker.why}; it will be"
            " told when there is one"
        )
    if why := not_heard(instance, bot, broker):
        return (
            f"Bot {instance} could not be told to stop so far: it {why}. It will be"
            f" told when it is heard; if it never is, POST /bot-orchestration/stop-and-archive-bot/{instance} ends its"
            f" container all the same, {fleet.wind_down_seconds:.0f} s later (BOT_STOP_TIMEOUT), and archives its files"
        )
    return f"Bot {instance} could not be told to stop so far; it still will be"


async def _until(log: Log, instance: str, over: Callable[[Bot], bool], *, within: float) -> tuple[Bot, int]:
    """Return the bot as soon as it is over, or as it is when the time is; and where the log stands then."""
    stream = stream_of(instance)
    loaded = await load(log, stream, NEW, evolve)
    bot, position = loaded.state, loaded.position
    if over(bot):
        return bot, position
    try:
        async with asyncio.timeout(within):
            async for batch in log.follow(position, types=_TYPES):
                for recorded in batch:
                    position = recorded.position
                    if recorded.stream == stream:
                        bot = evolve(bot, recorded.event)
                        if over(bot):
                            return bot, position
    except TimeoutError:
        pass  # what is known by now is the answer
    return bot, position


HANDLERS: Handlers = {
    AwaitDeployment: (await_deployment, None),
    AwaitStart: (await_start, None),
    AwaitStop: (await_stop, Told),
}
