"""Stop bots, put them away, start them again, and take their runs off the list: the wishes."""

from collections.abc import Callable

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import Decided, decide
from domain.bots import NEW, ArchivePlace, Bot, BotDeployed, deciding, evolve, stream_of
from domain.errors import NotFound, Unavailable
from domain.events import Event


class StartBot(Command, frozen=True, kw_only=True):
    """Have a bot run again that was stopped or has exited."""

    instance: str


class StopBot(Command, frozen=True, kw_only=True):
    """Have a bot end its strategy; its container stays. With `at_once` the bot answers before it has."""

    instance: str
    skip_order_cancellation: bool = False
    at_once: bool = False


class StopAndArchive(Command, frozen=True, kw_only=True):
    """Have a bot end its strategy, end its container, put its files away and remove the container."""

    instance: str
    skip_order_cancellation: bool = False
    archive: ArchivePlace


class DeleteBotRun(Command, frozen=True, kw_only=True):
    """Show a run no more. `run` is the position of its `BotDeployed` in the log."""

    run: int


async def start(command: StartBot, call: Call) -> Outcome:
    """Record the wish. Raises `Unavailable` while nobody can tell which runtime this is."""
    at, here = call.ports.clock(), await call.ports.fleet.here()
    return await _wish(
        call, command.instance, lambda bot: deciding.request_start(bot, instance=command.instance, here=here, at=at)
    )


async def stop(command: StopBot, call: Call) -> Outcome:
    """Record the wish, where there is a line to tell it over. Raises `Unavailable` where there is none."""
    at = call.ports.clock()
    broker = call.ports.fleet.line.broker()

    def decision(bot: Bot) -> list[Event]:
        events = deciding.request_stop(
            bot,
            instance=command.instance,
            skip_order_cancellation=command.skip_order_cancellation,
            archive=None,
            at_once=command.at_once,
            here=None,
            at=at,
        )
        if events and not broker.connected:
            raise Unavailable(
                f"Bot {command.instance} cannot be told to stop: no connection to the broker: {broker.why}"
            )
        return events

    return await _wish(call, command.instance, decision)


async def stop_and_archive(command: StopAndArchive, call: Call) -> Outcome:
    """Record the wish. Raises `Unavailable` while nobody can tell which runtime this is."""
    at, here = call.ports.clock(), await call.ports.fleet.here()
    return await _wish(
        call,
        command.instance,
        lambda bot: deciding.request_stop(
            bot,
            instance=command.instance,
            skip_order_cancellation=command.skip_order_cancellation,
            archive=command.archive,
            at_once=False,
            here=here,
            at=at,
        ),
    )


async def delete_run(command: DeleteBotRun, call: Call) -> Outcome:
    """Take the run off the list. Raises `NotFound`."""
    page = [] if command.run < 1 else await call.ports.log.page(command.run - 1, 1)
    if not page or page[0].position != command.run or not isinstance(page[0].event, BotDeployed):
        raise NotFound(f"Bot run {command.run} not found")
    return await _wish(call, page[0].event.instance, lambda bot: deciding.delete_run(bot, run=command.run))


async def _wish(call: Call, instance: str, decision: Callable[[Bot], list[Event]]) -> Outcome:
    decided: Decided[Bot] = await decide(
        call.ports.log,
        call.origin,
        stream=stream_of(instance),
        new=NEW,
        evolve=evolve,
        decision=decision,
        answer=call.keep(None),
        request=call.request,
    )
    return Outcome(result=None, position=decided.position)


HANDLERS: Handlers = {
    StartBot: (start, None),
    StopBot: (stop, None),
    StopAndArchive: (stop_and_archive, None),
    DeleteBotRun: (delete_run, None),
}
