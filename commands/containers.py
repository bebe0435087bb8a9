"""Start, stop and remove containers of this host, and pull images.

The engine acts first, for only it can refuse; what the log could not take is not begun. A bot's container is the bot's:
while the bot runs it is not removed, and its files are put away before it is.
"""

import asyncio
from collections.abc import Coroutine

import msgspec
import structlog

from commands.bus import Call, Command, Handlers, Outcome, origin_of_process
from commands.deciding import decide
from commands.folding import load
from commands.ports import Log, Ports
from commands.ports.bots import Engine
from domain import bots
from domain.bots import ArchivePlace, Bot, BotCleared, BotFailed, BotStopRequested, deciding
from domain.containers import STREAM, ContainerRemoved, ContainerStarted, ContainerStopped, ImagePulled
from domain.errors import DomainError, Invalid, NotFound, Unavailable
from domain.events import Event, Origin

logger = structlog.get_logger()

REMOVED_WITHIN_SECONDS = 60.0
"""How long the removal of a bot's container may take: its files are put away first."""

_OVER = [event.__name__ for event in (BotCleared, BotFailed, BotStopRequested)]


class StartContainer(Command, frozen=True, kw_only=True):
    """Start a container."""

    container: str


class StopContainer(Command, frozen=True, kw_only=True):
    """Stop a container, at once as far as a bot is concerned: it has no time to wind down."""

    container: str


class RemoveContainer(Command, frozen=True, kw_only=True):
    """Remove a container; one that runs only by `force`. The files of a bot are put away first, if a place is given."""

    container: str
    archive: ArchivePlace | None = None
    force: bool = False


class CleanContainers(Command, frozen=True, kw_only=True):
    """Remove every container that has exited and may be touched."""


class PullImage(Command, frozen=True, kw_only=True):
    """Pull an image."""

    image: str


class PullBegun(msgspec.Struct, frozen=True, kw_only=True):
    """Says whether the pull was `started`, or is `in_progress` since somebody asked for it before."""

    image: str
    status: str


async def start(command: StartContainer, call: Call) -> Outcome:
    """Start the container."""
    engine = await _engine(call)
    await engine.start(command.container)
    return await _record(call, ContainerStarted(container=command.container, started_at=call.ports.clock()))


async def stop(command: StopContainer, call: Call) -> Outcome:
    """Stop the container and wait until it has."""
    engine = await _engine(call)
    await engine.stop(command.container)
    return await _record(call, ContainerStopped(container=command.container, stopped_at=call.ports.clock()))


async def remove(command: RemoveContainer, call: Call) -> Outcome:
    """Remove the container, a bot's by the way that leads to its archive.

    Raises `Invalid` for a bot that runs, `Unavailable` when its files are not put away in time.
    """
    engine = await _engine(call)
    bot = await _bot(call.ports.log, command.container)
    if bot.deployed is not None and bot.runs:
        raise Invalid(f"Bot {command.container} is running: stop it first, or stop and archive it")
    if bot.deployed is not None and not bot.cleared and command.archive is not None:
        return await _archive(command.container, command.archive, call)
    await engine.remove(command.container, force=command.force)
    return await _record(call, ContainerRemoved(container=command.container, removed_at=call.ports.clock()))


async def clean(command: CleanContainers, call: Call) -> Outcome:  # noqa: ARG001 - it says all by its name
    """Remove those that have exited; what is gone meanwhile is gone. Each one that was removed is recorded."""
    engine = await _engine(call)
    for container in await engine.exited():
        try:
            await engine.remove(container, force=False)
        except NotFound:
            continue
        removed = ContainerRemoved(container=container, removed_at=call.ports.clock())
        await _append(call.ports.log, call.plain(), [removed])
    return await _record(call)


async def pull(command: PullImage, call: Call) -> Outcome:
    """Begin to pull the image, unless it is being pulled; what becomes of it is recorded when it has ended."""
    engine = await _engine(call)
    begun = PullBegun(image=command.image, status="started")
    if engine.pulling(command.image) is None:
        call.ports.spawn(_pulled(call.ports, call.origin, command.image, engine.pull(command.image)))
    else:
        begun = msgspec.structs.replace(begun, status="in_progress")
    return await _record(call, result=begun)


async def _pulled(ports: Ports, cause: Origin, image: str, pulling: Coroutine[object, object, int | None]) -> None:
    """Wait for an image and record it. Why it does not come is told by those who read the engine, and by a log line."""
    try:
        size = await pulling
    except DomainError as reason:
        logger.warning("image_not_pulled", image=image, why=reason.message)
        return
    origin = origin_of_process("containers", ports.new_id, cause)
    await _append(ports.log, origin, [ImagePulled(image=image, bytes=size, pulled_at=ports.clock())])


async def _engine(call: Call) -> Engine:
    """Return the engine if it answers, and the log does, too: nothing is done that cannot be recorded."""
    engine = call.ports.fleet.engine
    await engine.check()
    await call.ports.log.position()
    return engine


async def _record(call: Call, *events: Event, result: object = None) -> Outcome:
    position = await _append(call.ports.log, call.origin, list(events), answer=call.keep(result), request=call.request)
    return Outcome(result=result, position=position)


async def _append(
    log: Log, origin: Origin, events: list[Event], *, answer: bytes | None = None, request: bytes = b""
) -> int:
    decided = await decide(
        log,
        origin,
        stream=STREAM,
        new=None,
        evolve=_nothing,
        decision=lambda _: events,
        answer=answer,
        request=request,
    )
    return decided.position


def _nothing(_: None, __: Event) -> None:
    """Return nothing: what was done before decides nothing."""


async def _bot(log: Log, instance: str) -> Bot:
    return (await load(log, bots.stream_of(instance), bots.NEW, bots.evolve)).state


async def _archive(instance: str, place: ArchivePlace, call: Call) -> Outcome:
    """Want the bot's files put away and its container removed, and wait until they are.

    Raises `Invalid` with the reason when they never will be, `Unavailable` when they still may.
    """
    at, here = call.ports.clock(), await call.ports.fleet.here()
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=bots.stream_of(instance),
        new=bots.NEW,
        evolve=bots.evolve,
        decision=lambda bot: deciding.request_stop(
            bot, instance=instance, skip_order_cancellation=False, archive=place, at_once=False, here=here, at=at
        ),
        answer=call.keep(None),
        request=call.request,
    )
    why = ""
    try:
        async with asyncio.timeout(REMOVED_WITHIN_SECONDS):
            async for batch in call.ports.log.follow(decided.position, types=_OVER):
                for recorded in batch:
                    if recorded.stream != bots.stream_of(instance):
                        continue
                    match recorded.event:
                        case BotCleared():
                            return Outcome(result=None, position=recorded.position)
                        case BotFailed(reason=reason):
                            why = reason
                        case BotStopRequested(archive=None):  # It is not tried any more.
                            raise Invalid(f"The files of bot {instance} cannot be put away: {why}")
    except TimeoutError:
        pass
    raise Unavailable(
        f"The files of bot {instance} are not put away after {REMOVED_WITHIN_SECONDS:.0f} s; they still will be"
    )


HANDLERS: Handlers = {
    StartContainer: (start, None),
    StopContainer: (stop, None),
    RemoveContainer: (remove, None),
    CleanContainers: (clean, None),
    PullImage: (pull, PullBegun),
}
