"""Keep connections and vault as the log says: connect what is stored, disconnect and shred what is removed."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from commands.abreast import abreast
from commands.accounts import forget
from commands.bus import Bus, origin_of_process
from commands.folding import load
from commands.ports import Ports
from commands.positions import GiveUpMarginRequest
from commands.processes.runner import Process
from domain.accounts import EVENTS, NEW, Account, CredentialsRemoved, evolve, stream_of
from domain.errors import DomainError
from domain.events import Recorded

logger = structlog.get_logger()

TRIED_AGAIN_AFTER_SECONDS = (1.0, 4.0, 10.0)
"""One answer that is lost must not keep an account from trading until the schedule comes round."""
CONNECTED_AT_ONCE = 16
"""A venue that does not answer keeps as many waiting for as long as its time-out, and no more."""


async def connect_all(bus: Bus) -> None:
    """Connect every account at start-up to the venues whose only memory is the log.

    The others are connected by `connect_rest`, beside whatever else is done: nothing has to wait for them.
    """
    await _connect_missing(bus, lambda connector: not bus.ports.venues.exchange(connector).reconciles)


async def connect_rest(bus: Bus) -> None:
    """Connect what `connect_all` left, and again soon where that failed; after that it is left to the schedule."""
    for pause in TRIED_AGAIN_AFTER_SECONDS:
        if await reconnect(bus):
            return
        await asyncio.sleep(pause)
    await reconnect(bus)


async def reconnect(bus: Bus) -> bool:
    """Try the connections that could not be made so far; return whether all are there now."""
    return await _connect_missing(bus, lambda _: True)


async def _connect_missing(bus: Bus, wanted: Callable[[str], bool]) -> bool:
    names = await bus.ports.lookup.accounts()
    return all(await abreast(CONNECTED_AT_ONCE, [partial(_reconnect, bus, name, wanted) for name in names]))


async def _reconnect(bus: Bus, name: str, wanted: Callable[[str], bool]) -> bool:
    """Connect an account to what it is not connected to, and close what was asked of a venue and never answered.

    Returns whether it is connected to all now.
    """
    ports = bus.ports
    async with ports.turns(name):
        account = await _account(ports, name)
        if not account.exists:
            return True
        for connector in await _connect(ports, name, account, wanted):
            if ports.venues.exchange(connector).perpetual:
                command = GiveUpMarginRequest(account=name, connector=connector)
                await bus.dispatch(command, origin_of_process("accounts", ports.new_id))
        return set(account.connectors) <= ports.venues.accounts()[name]


async def _account(ports: Ports, name: str) -> Account:
    return (await load(ports.log, stream_of(name), NEW, evolve)).state


async def _connect(ports: Ports, name: str, account: Account, wanted: Callable[[str], bool]) -> list[str]:
    """Connect an account to what it has credentials for; return the connectors that it was connected to now."""
    ports.venues.admit(name, account.connectors)
    connected = ports.venues.accounts()[name]

    async def connect(connector: str) -> list[str]:
        try:
            if connector in connected or not wanted(connector):
                return []
            await ports.venues.connect(name, connector)
        except DomainError as reason:
            # One venue that is away must not keep the others from starting; it is tried again by the schedule.
            logger.warning("connector_unavailable", account=name, connector=connector, why=reason.message)
            return []
        return [connector]

    made = await abreast(CONNECTED_AT_ONCE, [partial(connect, connector) for connector in account.connectors])
    return [connector for each in made for connector in each]


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
        await _connect(ports, name, account, lambda _: True)
        removed = recorded.event
        if isinstance(removed, CredentialsRemoved) and removed.connector not in account.connectors:
            await forget(ports, name, removed.connector, stored_before=recorded.recorded_at)


ACCOUNTS = Process(name="accounts", types=[event.__name__ for event in EVENTS], step=_follow)
