"""Keep connections and vault as the log says: connect what is stored, disconnect and shred what is removed."""

from functools import partial

import structlog

from commands.abreast import abreast
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

CONNECTED_AT_ONCE = 16
"""A venue that does not answer keeps as many waiting for as long as its time-out, and no more."""


async def connect_all(bus: Bus) -> None:
    """Connect every account at start-up, and close what was asked of a venue and never answered."""
    ports = bus.ports
    wanted: list[tuple[str, str]] = []
    for name, account in (await ports.lookup.accounts()).items():
        ports.venues.admit(name)
        wanted += [(name, connector) for connector in _missing(ports, name, account)]
    await abreast(CONNECTED_AT_ONCE, [partial(_connect_one, ports, name, connector) for name, connector in wanted])
    for name, connected in ports.venues.accounts().items():
        for connector in sorted(connected):
            if ports.venues.exchange(connector).perpetual:
                command = GiveUpMarginRequest(account=name, connector=connector)
                await bus.dispatch(command, origin_of_process("accounts", ports.new_id))


async def reconnect(ports: Ports) -> None:
    """Try again the connections that could not be made so far."""
    names = await ports.lookup.accounts()
    await abreast(CONNECTED_AT_ONCE, [partial(_reconnect, ports, name) for name in names])


async def _reconnect(ports: Ports, name: str) -> None:
    async with ports.turns(name):
        account = await _account(ports, name)
        if account.exists:
            await _connect(ports, name, account)


async def _account(ports: Ports, name: str) -> Account:
    stream = stream_of(name)
    return fold(NEW, evolve, (await ports.log.read([stream]))[stream])


async def _connect(ports: Ports, name: str, account: Account) -> None:
    ports.venues.admit(name)
    for connector in _missing(ports, name, account):
        await _connect_one(ports, name, connector)


def _missing(ports: Ports, name: str, account: Account) -> list[str]:
    """Return the connectors that an account has credentials for and is not connected to."""
    connected = ports.venues.accounts()[name]
    offered = ports.venues.connectors()
    return [connector for connector in account.connectors if connector not in connected and connector in offered]


async def _connect_one(ports: Ports, name: str, connector: str) -> None:
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
