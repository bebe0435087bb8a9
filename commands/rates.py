"""Choose where prices for rates come from, and what values are shown in."""

from functools import reduce

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import decide
from domain import rates
from domain.rates import NEW, STREAM, RateSettings, evolve


class ChangeRateSettings(Command, frozen=True, kw_only=True):
    """Change what is given; None leaves a setting as it is."""

    source: str | None = None
    token: str | None = None
    symbol: str | None = None


async def change(command: ChangeRateSettings, call: Call) -> Outcome:
    """Change the settings; gives them as they are then."""
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=STREAM,
        new=NEW,
        evolve=evolve,
        decision=lambda state: rates.change(state, source=command.source, token=command.token, symbol=command.symbol),
        answer=call.keep,
        request=call.request,
    )
    return Outcome(result=reduce(evolve, decided.events, decided.state), position=decided.position)


HANDLERS: Handlers = {ChangeRateSettings: (change, RateSettings)}
