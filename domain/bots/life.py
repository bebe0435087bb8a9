"""What becomes of one instance: deployed, prepared, started, stopped, archived. Stream `bot-<instance>`."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from domain.events import Event
from domain.values import Utc

Strategy = Literal["controller", "script"]


class ArchivePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an archive goes: a bucket of S3, or the folder `archived` beside the instances when there is none."""

    bucket: str | None = None


class BotDeployed(Event, frozen=True, kw_only=True):
    """Somebody wants a bot: all that is needed to make it, durable before anything is made.

    `request` is the request's body as it came, but with the instance's whole name, for the run's `deployment_config`.
    `script_config` is the file name under `conf/scripts`, None for a script that needs none; `configs` are file name
    under `conf/` → its YAML (`scripts/x.yml`, `controllers/a.yml`), the very versions that were current when the
    decision was made.
    """

    instance: str
    account: str
    image: str
    strategy_type: Strategy
    strategy_name: str
    script_config: str | None
    configs: Mapping[str, str] = {}
    headless: bool = False
    request: Mapping[str, object] = {}
    deployed_at: Utc


class BotPrepared(Event, frozen=True, kw_only=True):
    """The instance's files are on disk, keys included. `runtime`, as in `BotStarted`, is the one that is to run it."""

    instance: str
    runtime: str = ""
    prepared_at: Utc


class BotStarted(Event, frozen=True, kw_only=True):
    """The instance's container (or process) runs. `runtime_id` is the runtime's own name of it.

    `runtime` is which one that is: its kind, and the id of its engine or Swarm behind it (`docker:6f1c…`, `process`);
    "" in events from before it was noted.
    """

    instance: str
    runtime_id: str
    runtime: str = ""
    started_at: Utc


class BotFailed(Event, frozen=True, kw_only=True):
    """A deployment or a start came to nothing, or a step of archiving did and is tried again.

    What a deployment had made is removed again. `BotStarted` and `BotArchived` say that what failed is overcome.
    """

    instance: str
    reason: str
    failed_at: Utc


class BotStartRequested(Event, frozen=True, kw_only=True):
    """Somebody wants a stopped bot to run again: its container is restarted, for a bot starts no other way."""

    instance: str
    requested_at: Utc


class BotStopRequested(Event, frozen=True, kw_only=True):
    """Somebody wants a bot to end its strategy; with `archive`, its container too, and its files put away there.

    With `at_once` the bot answers before its strategy has ended, so that its answer is no sign of that.
    """

    instance: str
    skip_order_cancellation: bool = False
    at_once: bool = False
    archive: ArchivePlace | None = None
    requested_at: Utc


class BotStopTold(Event, frozen=True, kw_only=True):
    """The bot was told to stop, at `told_at`. `status` and `message` are its answer, `status` None where none came.

    `again` is True when it may have been told before, by a server that died over it.
    """

    instance: str
    status: int | None
    message: str = ""
    again: bool = False
    told_at: Utc


class BotWoundDown(Event, frozen=True, kw_only=True):
    """The bot's strategy has ended. `by_itself` is False when the limit passed before the bot said that it is flat."""

    instance: str
    by_itself: bool
    wound_down_at: Utc


class BotStopped(Event, frozen=True, kw_only=True):
    """The instance's container does not run any more; `exit_code` None where nobody can tell (it is gone).

    `asked_for` is False when nobody had asked: it crashed, or was stopped from outside.
    """

    instance: str
    exit_code: int | None
    asked_for: bool = True
    stopped_at: Utc


class BotArchived(Event, frozen=True, kw_only=True):
    """The instance's files are put away without its keys; `location` is a path below `bots/`, or `s3://bucket/key`."""

    instance: str
    location: str
    archived_at: Utc


class BotCleared(Event, frozen=True, kw_only=True):
    """The container is removed, after the archive or after a failed deployment: nothing is left to do."""

    instance: str
    cleared_at: Utc


class BotRunDeleted(Event, frozen=True, kw_only=True):
    """The run is not shown any more; its history stays in the log."""

    instance: str


class BotLost(Event, frozen=True, kw_only=True):
    """Nothing was heard of the bot for the heartbeat time-out, though nobody stopped it."""

    instance: str
    last_heard_at: Utc
    lost_at: Utc


class BotReturned(Event, frozen=True, kw_only=True):
    """A bot that was lost, or that nobody knew, was heard."""

    instance: str
    returned_at: Utc


LIFE_EVENTS = (
    BotDeployed,
    BotPrepared,
    BotStarted,
    BotFailed,
    BotStartRequested,
    BotStopRequested,
    BotStopTold,
    BotWoundDown,
    BotStopped,
    BotArchived,
    BotCleared,
    BotRunDeleted,
    BotLost,
    BotReturned,
)


def stream_of(instance: str) -> str:
    """Return the stream of an instance's life."""
    return f"bot-{instance}"


class Bot(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as its events tell. A bot that was only heard has no `deployed`.

    `runs` is whether its container should be running, by all that was recorded; `stopping` is the request that holds
    until the bot is started again, with how far it has come in `told`, `wound_down` and `archived`.
    """

    deployed: BotDeployed | None = None
    heard: bool = False
    prepared: bool = False
    runtime: str = ""
    runtime_id: str | None = None
    runs: bool = False
    started_at: Utc | None = None
    starting: bool = False
    stopping: BotStopRequested | None = None
    told: BotStopTold | None = None
    wound_down: BotWoundDown | None = None
    container_stopped: bool = False
    archived: str | None = None
    failed: str | None = None
    cleared: bool = False
    run_deleted: bool = False
    lost: bool = False

    @property
    def known(self) -> bool:
        """Whether anything is known of it at all."""
        return self.heard or self.deployed is not None

    @property
    def archiving(self) -> bool:
        """Whether its container is to end and its files are to be put away."""
        return self.stopping is not None and self.stopping.archive is not None


NEW = Bot()


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """Where this server runs bots: its `runtime`, and those that are `gone` for good, whose bots count as its own."""

    runtime: str
    gone: frozenset[str] = frozenset()

    def has(self, bot: Bot) -> bool:
        """Whether the bot was started here, so that what is found here, or is not, says how the bot is."""
        return not bot.runtime or bot.runtime == self.runtime or bot.runtime in self.gone


def evolve(bot: Bot, event: Event) -> Bot:
    """Return the bot after an event."""
    change = msgspec.structs.replace
    match event:
        case BotDeployed():
            return change(NEW, deployed=event)
        case BotPrepared(runtime=runtime):
            return change(bot, prepared=True, runtime=runtime)
        case BotStartRequested():
            return change(bot, starting=True, failed=None)
        case BotStarted():
            return _started(bot, event)
        case BotFailed(reason=reason):
            return change(bot, failed=reason, starting=False)
        case BotStopRequested():
            # What was wound down stays so until it is started; of one that was only heard nobody knows whether it was.
            again = change(bot, stopping=event)
            return again if bot.deployed else change(again, told=None, wound_down=None)
        case BotStopTold():
            return change(bot, told=event)
        case BotWoundDown():
            return change(bot, wound_down=event)
        case BotStopped():
            return change(bot, runs=False, container_stopped=True, lost=False)
        case BotArchived(location=location):
            return change(bot, archived=location, failed=None)
        case BotCleared():
            overcome = None if bot.archived else bot.failed
            return change(bot, cleared=True, stopping=None, starting=False, runs=False, lost=False, failed=overcome)
        case BotRunDeleted():
            return change(bot, run_deleted=True)
        case BotLost() | BotReturned():
            return change(bot, lost=isinstance(event, BotLost), heard=True)
        case _:
            return bot


def _started(bot: Bot, started: BotStarted) -> Bot:
    # What was wound down trades again. An archive that was asked for is still wanted, and everything before it again.
    return msgspec.structs.replace(
        bot,
        runtime=started.runtime,
        runtime_id=started.runtime_id,
        runs=True,
        started_at=started.started_at,
        starting=False,
        stopping=bot.stopping if bot.archiving else None,
        told=None,
        wound_down=None,
        container_stopped=False,
        lost=False,
        failed=None,
    )
