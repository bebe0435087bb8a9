"""Tell bots things over the line, and return what they answer."""

from collections.abc import Mapping
from typing import Literal

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import append
from commands.folding import load
from domain.bots import NEW, evolve, stream_of
from domain.errors import NotFound, Unavailable

ANSWER_SECONDS = 10.0


class TellBot(Command, frozen=True, kw_only=True):
    """Give a bot a command that changes nothing here: its answer is all that there is to it."""

    instance: str
    command: Literal["config", "import"]
    data: Mapping[str, object]


async def tell(command: TellBot, call: Call) -> Outcome:
    """Return the `data` of the bot's answer. Raises `NotFound` for an unknown bot, `Unavailable` without an answer."""
    ports = call.ports
    stream = stream_of(command.instance)
    bot = (await load(ports.log, stream, NEW, evolve)).state
    if not bot.known or bot.cleared:
        raise NotFound(f"Bot {command.instance} not found")
    answer = await ports.fleet.line.command(
        command.instance, command.command, command.data, timeout_seconds=ANSWER_SECONDS
    )
    if answer is None:
        raise Unavailable(f"Bot {command.instance} did not answer within {ANSWER_SECONDS:.0f} s")
    result = answer.get("data")
    if call.origin.idempotency_key is None:
        return Outcome(result=result, position=await ports.log.position())
    position = await append(ports.log, [], call.origin, answer=call.keep(result), request=call.request)
    return Outcome(result=result, position=position)


HANDLERS: Handlers = {TellBot: (tell, object)}
