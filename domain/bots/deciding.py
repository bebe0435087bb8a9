"""What may become of a bot, and what is to be done for it next."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from domain.bots.life import (
    ArchivePlace,
    Bot,
    BotArchived,
    BotCleared,
    BotDeployed,
    BotFailed,
    BotPrepared,
    BotRunDeleted,
    BotStarted,
    BotStartRequested,
    BotStopped,
    BotStopRequested,
    BotStopTold,
    BotWoundDown,
    Here,
    Strategy,
)
from domain.errors import Conflict, Invalid, NotFound
from domain.events import Event

LONGEST_INSTANCE = 63
"""The most characters that the name of a Swarm service or of a host may have."""
LONGEST_NAME = LONGEST_INSTANCE - len("-20260301-123000")
"""An instance's name has the time behind it."""

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}")
_WORD = re.compile(r"[A-Za-z0-9_]+")


class Step(StrEnum):
    """What has to be done outside for a bot."""

    PREPARE = "prepare"
    START = "start"
    UNDO = "undo"
    TELL = "tell"
    WIND_DOWN = "wind_down"
    STOP = "stop"
    ARCHIVE = "archive"
    CLEAR = "clear"


def next_step(bot: Bot) -> Step | None:
    """Return what has to be done next, None where nothing has until somebody wants something."""
    if bot.cleared or not bot.known:
        return None
    if bot.deployed is None:  # Only the line leads to it.
        return _until_wound_down(bot)
    if bot.runtime_id is None:
        return _until_it_runs(bot)
    if bot.starting:
        return Step.STOP if bot.runs else Step.START
    if bot.stopping is None:
        return None
    if bot.runs:
        return _until_wound_down(bot) or (Step.STOP if bot.archiving else None)
    if not bot.archiving:
        return None
    return Step.ARCHIVE if bot.archived is None else Step.CLEAR


def _until_it_runs(bot: Bot) -> Step:
    if bot.failed is not None:
        return Step.UNDO
    return Step.START if bot.prepared else Step.PREPARE


def _until_wound_down(bot: Bot) -> Step | None:
    if bot.stopping is None or bot.wound_down is not None:
        return None
    return Step.TELL if bot.told is None else Step.WIND_DOWN


def instance_name(name: str, at: datetime) -> str:
    """Return the name of an instance that is deployed at a time, in UTC. Raises `Invalid` for a bad name."""
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"Invalid instance name: '{name[:80]}'. Only letters, numbers, underscores and hyphens are allowed,"
            f" at most {LONGEST_NAME} of them."
        )
    return f"{name}-{at:%Y%m%d-%H%M%S}"


def connectors_named(connectors: Iterable[str], configs: Mapping[str, str], source: str = "") -> list[str]:
    """Return those of an account's connectors that a bot needs keys of: their names stand as words in its configs.

    A script without a config says in its `source` where it trades. `binance` is not named by `binance_perpetual`, and
    not by `binance_paper_trade`, which trades without keys.
    """
    texts = configs.values() if configs else (source,)
    words = {word for text in texts for word in _WORD.findall(text)}
    return sorted(words.intersection(connectors))


def deploy(
    bot: Bot,
    *,
    name: str,
    account: str,
    image: str,
    strategy_type: Strategy,
    strategy_name: str,
    script_config: str | None,
    configs: Mapping[str, str],
    headless: bool,
    request: Mapping[str, object],
    at: datetime,
) -> list[Event]:
    """Want a bot. Raises `Invalid` for a bad name, `Conflict` for one that is taken."""
    instance = instance_name(name, at)
    if bot.known:
        raise taken(instance)
    return [
        BotDeployed(
            instance=instance,
            account=account,
            image=image,
            strategy_type=strategy_type,
            strategy_name=strategy_name,
            script_config=script_config,
            configs=configs,
            headless=headless,
            request=request,
            deployed_at=at,
        )
    ]


def taken(instance: str) -> Conflict:
    """Return the refusal of a name that there is already."""
    return Conflict(f"Instance name '{instance}' is taken; names have the time in seconds, so try again in a second")


def prepared(bot: Bot, *, instance: str, runtime: str, at: datetime) -> list[Event]:
    """Note that the files are there."""
    return [] if bot.prepared else [BotPrepared(instance=instance, runtime=runtime, prepared_at=at)]


def started(bot: Bot, *, instance: str, runtime: str, runtime_id: str, at: datetime) -> list[Event]:
    """Note that the container runs."""
    if bot.runs:
        return []
    return [BotStarted(instance=instance, runtime=runtime, runtime_id=runtime_id, started_at=at)]


def failed(bot: Bot, *, instance: str, reason: str, at: datetime) -> list[Event]:
    """Note why a step came to nothing; the same reason again is no news."""
    if bot.cleared or bot.failed == reason:
        return []
    return [BotFailed(instance=instance, reason=reason, failed_at=at)]


def request_start(bot: Bot, *, instance: str, here: Here, at: datetime) -> list[Event]:
    """Want a bot to run again that was stopped or has exited; one that runs, or is about to, is left alone.

    Raises `NotFound` for an unknown bot, `Invalid` for one that was only heard, failed to deploy, is archived, or has
    not ended yet what it was told to end, `Conflict` for one that another runtime started.
    """
    deployed = _deployed(bot, instance)
    _check_is_here(bot, instance, here)
    if next_step(bot) in {Step.PREPARE, Step.START} or bot.starting:
        return []
    if bot.archiving:
        raise Invalid(f"Bot {instance} is being archived")
    if bot.runs and bot.stopping is None:
        return []
    if bot.runs and bot.wound_down is None:
        way_out = "" if bot.told else "; if it cannot be told to stop, stop-and-archive-bot ends its container"
        raise Invalid(f"Bot {instance} is still stopping; start it when it has stopped{way_out}")
    return [BotStartRequested(instance=deployed.instance, requested_at=at)]


def request_stop(
    bot: Bot,
    *,
    instance: str,
    skip_order_cancellation: bool,
    archive: ArchivePlace | None,
    at_once: bool,
    here: Here | None,
    at: datetime,
) -> list[Event]:
    """Want a bot to end its strategy, and with `archive` to be put away. What is stopping or stopped already is `[]`.

    A bot whose archive is not taken where it should go may be sent elsewhere. `here` is None without an archive: a bot
    is told to stop over the line, wherever it runs.

    Raises `NotFound` for an unknown bot, `Invalid` for one that does not run yet, or whose container is not ours,
    `Conflict` for one that is to be archived and that another runtime started.
    """
    if archive is not None or bot.deployed is not None:
        _deployed(bot, instance)
    elif not bot.known:
        raise NotFound(f"Bot {instance} not found")
    if bot.deployed is not None and (bot.runtime_id is None or bot.starting):
        raise Invalid(f"Bot {instance} is still starting; stop it when it runs")
    if here is not None:
        _check_is_here(bot, instance, here)
    if _stops_already(bot) if archive is None else _goes_there_already(bot, archive):
        return []
    return [
        BotStopRequested(
            instance=instance,
            skip_order_cancellation=skip_order_cancellation,
            at_once=at_once,
            archive=archive,
            requested_at=at,
        )
    ]


def _goes_there_already(bot: Bot, archive: ArchivePlace) -> bool:
    """Whether the files are put away or on their way there; another place may be named while none has taken them."""
    return bot.stopping is not None and (bot.stopping.archive == archive or bot.archived is not None)


def _check_is_here(bot: Bot, instance: str, here: Here) -> None:
    if not here.has(bot):
        raise Conflict(
            f"Bot {instance} was started by the runtime '{bot.runtime}', and this server runs '{here.runtime}'."
            " Start the server with that one to go on with it; if that is gone for good, name it in BOT_RUNTIMES_GONE"
        )


def _stops_already(bot: Bot) -> bool:
    if bot.deployed is not None:
        return bot.stopping is not None or not bot.runs
    return bot.stopping is not None and bot.wound_down is None


def _deployed(bot: Bot, instance: str) -> BotDeployed:
    if not bot.known:
        raise NotFound(f"Bot {instance} not found")
    if bot.deployed is None:
        raise Invalid(f"Bot {instance} was not deployed by this server, so that its container is not known")
    if bot.runtime_id is None and bot.failed is not None:
        raise Invalid(f"Bot {instance} failed to deploy: {bot.failed}")
    if bot.cleared:
        ended = f"is archived: {bot.archived}" if bot.archived else f"is gone: {bot.failed}"
        raise Invalid(f"Bot {instance} {ended}")
    return bot.deployed


def told(bot: Bot, *, instance: str, status: int | None, message: str, again: bool, at: datetime) -> list[Event]:
    """Note what a bot answered when it was told to stop at `at`."""
    if next_step(bot) is not Step.TELL:
        return []
    return [BotStopTold(instance=instance, status=status, message=message, again=again, told_at=at)]


def says_it_is_flat(bot: Bot) -> bool:
    """Whether the bot's answer alone is its sign that its strategy has ended: it answered when it had (ADR 107)."""
    return bot.stopping is not None and not bot.stopping.at_once and bot.told is not None and bot.told.status == FLAT


FLAT = 200
"""What a bot answers to a `stop` that it answers when nothing of its strategy is left, however often it is told."""


def may_be_asked_again(bot: Bot) -> bool:
    """Whether telling the bot once more, and waiting, can do no more than it was told before.

    A stop that is waited for cancels orders in any case, as far as bots are known; that may not be wanted.
    """
    return bot.stopping is not None and not (bot.stopping.at_once and bot.stopping.skip_order_cancellation)


def wound_down(bot: Bot, *, instance: str, by_itself: bool, at: datetime) -> list[Event]:
    """Note that the strategy has ended, or that the limit has passed."""
    if next_step(bot) not in {Step.TELL, Step.WIND_DOWN}:
        return []
    return [BotWoundDown(instance=instance, by_itself=by_itself, wound_down_at=at)]


def stopped(bot: Bot, *, instance: str, exit_code: int | None, at: datetime) -> list[Event]:
    """Note that the container was stopped."""
    return [BotStopped(instance=instance, exit_code=exit_code, stopped_at=at)] if bot.runs else []


def archived(bot: Bot, *, instance: str, location: str, at: datetime) -> list[Event]:
    """Note where the files are put away."""
    return [] if bot.archived is not None else [BotArchived(instance=instance, location=location, archived_at=at)]


def without_files(bot: Bot, *, instance: str, reason: str, kept: bool, at: datetime) -> list[Event]:
    """Note that there is nothing to put away: its files are gone, for a `reason`.

    A container that is still there is `kept`, as what it holds may be all that is left: the archive is wanted no more,
    until somebody asks again. Where that is gone, too, nothing is left to do.
    """
    if next_step(bot) is not Step.ARCHIVE or bot.stopping is None:
        return []
    failure = BotFailed(instance=instance, reason=reason, failed_at=at)
    if kept:
        return [failure, msgspec.structs.replace(bot.stopping, archive=None, requested_at=at)]
    return [failure, BotCleared(instance=instance, cleared_at=at)]


def cleared(bot: Bot, *, instance: str, at: datetime) -> list[Event]:
    """Note that nothing of the instance is left to run; one that was started meanwhile is not cleared."""
    if next_step(bot) not in {Step.CLEAR, Step.UNDO}:
        return []
    return [BotCleared(instance=instance, cleared_at=at)]


def delete_run(bot: Bot, *, run: int) -> list[Event]:
    """Show a run no more. Raises `NotFound` for one that is not shown, `Invalid` while the bot runs or is stopping."""
    if bot.deployed is None or bot.run_deleted:
        raise NotFound(f"Bot run {run} not found")
    if bot.runs or next_step(bot) is not None:
        raise Invalid(f"Bot run {run} is not over: stop bot {bot.deployed.instance} first")
    return [BotRunDeleted(instance=bot.deployed.instance)]


def observed_exit(bot: Bot, *, instance: str, exit_code: int | None, at: datetime) -> list[Event]:
    """Note that a container was found to have ended, or to be gone."""
    if not bot.runs:
        return []
    asked_for = bot.stopping is not None or bot.starting
    return [BotStopped(instance=instance, exit_code=exit_code, asked_for=asked_for, stopped_at=at)]


def observed_running(bot: Bot, *, instance: str, runtime: str, runtime_id: str, at: datetime) -> list[Event]:
    """Note that a container was found to run, though it was stopped; what we are about to do ourselves is no news."""
    if bot.runs or bot.cleared or bot.runtime_id is None or bot.starting:
        return []
    return [BotStarted(instance=instance, runtime=runtime, runtime_id=runtime_id, started_at=at)]
