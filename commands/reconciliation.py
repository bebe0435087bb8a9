"""Compare an account with its venue, and have the log corrected where it differs."""

import msgspec

from commands.bus import Call, Command, Handlers, Outcome
from commands.reports import handed_in
from domain.reconciliation import Trigger


class Reconcile(Command, frozen=True, kw_only=True):
    """Ask the venue for all that the log may have missed, and record it with the differences that it makes."""

    account: str
    connector: str
    trigger: Trigger = "schedule"


async def reconcile(command: Reconcile, call: Call) -> Outcome:
    """Ask the venue and hand its answer in behind the reports that wait already: what they tell was not missed."""
    ports = call.ports
    exchange = ports.venues.connected(command.account, command.connector)
    began_at = ports.clock()
    report = await exchange.reconcile(command.account)
    compared = msgspec.structs.replace(
        report, reconciles=command.trigger, began_at=began_at if report.began_at is None else report.began_at
    )
    return Outcome(result=None, position=await handed_in(ports, compared, what="The differences"))


HANDLERS: Handlers = {Reconcile: (reconcile, None)}
