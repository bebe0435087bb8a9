"""Keep connections and vault as the log says: connect what is stored, disconnect and shred what is removed."""

import structlog

from commands.accounts import forget
from commands.bus import Bus, origin_of_process
from commands.deciding import fold
from commands.ports import Ports
from commands.positions import GiveUpMarginRequest
from commands.processes.runner import Process
from domain.accounts import EVENTS, NEW, Account, evolve, stream_of
from domain.errors import DomainError
from domain.events import Recorded

logger = structlog.get_logger()


async def connect_all(bus: Bus) -> None:
    """Connect every account at start-up, and close what was asked of a venue and never answered."""
    for name, account in (await bus.ports.lookup.accounts()).items():
        await _connect(bus.ports, name, account)
        for connector in bus.ports.venues.accounts().get(name, ()):
            if bus.ports.venues.exchange(connector).perpetual:
                command = GiveUpMarginRequest(account=name, connector=connector)
                await bus.dispatch(command, origin_of_process("accounts", bus.ports.new_id))


async def reconnect(ports: Ports) -> None:
    """Try again the connections that could not be made so far."""
    for name in await ports.lookup.accounts():
        async with ports.turns(name):
            account = await _account(ports, name)
            if account.exists:
                await _connect(ports, name, account)


async def _account(ports: Ports, name: str) -> Account:
    stream = stream_of(name)
    return fold(NEW, evolve, (await ports.log.read([stream]))[stream])


async def _connect(ports: Ports, name: str, account: Account) -> None:
    ports.venues.admit(name)
    connected = ports.venues.accounts()[name]
    for connector in account.connectors:
        if connector in connected or connector not in ports.venues.connectors():
            continue
        try:
            await ports.venues.connect(name, connector)
        except DomainError as reason:
            # One venue that is away must not keep the others from starting; it is tried again by the schedule.
            logger.warning("connector_unavailable", account=name, connector=connector, why=reason.message)


async def _follow(recorded: Recorded, ports: Ports) -> None:
    """Bring one account's connections and vault to what its stream says now.

    What was stored in the vault after the event stays: a handler, maybe on another server, stores first and appends
    then, so that its own event may not be in the stream yet.
    """
    name = recorded.stream.removeprefix(stream_of(""))
    async with ports.turns(name):
        account = await _account(ports, name)
        if not account.exists:
            await forget(ports, name, stored_before=recorded.recorded_at)
            return
        await _connect(ports, name, account)
        for connector in ports.venues.connectors():
            if connector not in account.connectors:
                await forget(ports, name, connector, stored_before=recorded.recorded_at)


ACCOUNTS = Process(name="accounts", types=[event.__name__ for event in EVENTS], step=_follow)
