"""Look at what an account holds: ask its venue, and have the answer recorded."""

from commands.bus import Call, Command, Handlers, Outcome
from commands.reports import handed_in


class ObserveBalances(Command, frozen=True, kw_only=True):
    """Ask the venue for balances and positions and record them, changed or not."""

    account: str
    connector: str


async def observe(command: ObserveBalances, call: Call) -> Outcome:
    """Ask the venue and hand its answer in behind the reports that wait already, so that order is kept."""
    exchange = call.ports.venues.connected(command.account, command.connector)
    report = await exchange.report(command.account)
    return Outcome(result=None, position=await handed_in(call.ports, report, what="The balances"))


HANDLERS: Handlers = {ObserveBalances: (observe, None)}
