"""Add and remove accounts and their credentials."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from commands.bus import Call, Command, Handlers, Outcome, origin_of_process
from commands.deciding import Decided, decide
from commands.ports import Ports
from domain import accounts
from domain.accounts import MASTER, NEW, Account, evolve, stream_of
from domain.errors import Invalid
from domain.events import Event
from domain.values import check_name

PAPER_CONNECTORS = ("paper", "paper_perpetual")


class AddAccount(Command, frozen=True, kw_only=True):
    """Add an account with no credentials."""

    account: str


class RemoveAccount(Command, frozen=True, kw_only=True):
    """Remove an account, its credentials shredded."""

    account: str


class StoreCredentials(Command, frozen=True, kw_only=True):
    """Connect an account to a connector, or replace its credentials. `credentials` by Hummingbot's field names."""

    account: str
    connector: str
    credentials: dict[str, object]

    def fingerprint(self) -> bytes:
        """Return the fingerprint of the names alone: a digest of a secret is not kept either."""
        return Command.fingerprint(msgspec.structs.replace(self, credentials=dict.fromkeys(self.credentials)))

    def __repr__(self) -> str:
        """Show the names of the fields, never their values."""
        fields = sorted(self.credentials)
        return f"StoreCredentials(account={self.account!r}, connector={self.connector!r}, fields={fields})"


class RemoveCredentials(Command, frozen=True, kw_only=True):
    """Disconnect an account from a connector, its credentials shredded."""

    account: str
    connector: str


async def add(command: AddAccount, call: Call) -> Outcome:
    """Add the account."""
    check_name("account", command.account)
    async with call.ports.turns(command.account):
        decided = await _decide(call, command.account, lambda state: accounts.add(state, account=command.account))
        call.ports.venues.admit(command.account)
        return Outcome(result=None, position=decided.position)


async def remove(command: RemoveAccount, call: Call) -> Outcome:
    """Remove the account; its connections end and the vault forgets it."""
    async with call.ports.turns(command.account):
        decided = await _decide(call, command.account, lambda state: accounts.remove(state, account=command.account))
        await forget(call.ports, command.account)
        return Outcome(result=None, position=decided.position)


async def store_credentials(command: StoreCredentials, call: Call) -> Outcome:
    """Check the fields, ask the venue, keep them in the vault, note that they are there, connect.

    What the venue refuses changes nothing: credentials that the account had stay.

    The vault comes first: a crash after it leaves credentials that nobody uses, and the same call mends that; the other
    way round the log would name credentials that are nowhere.
    """
    ports = call.ports
    account = check_name("account", command.account)
    async with call.ports.turns(account):
        if account not in ports.venues.accounts():
            raise Invalid(f"Account '{account}' not found")
        ports.venues.check_credentials(command.connector, command.credentials)
        await ports.venues.verify(command.connector, command.credentials)
        await ports.vault.store(account, command.connector, command.credentials)
        fields = list(command.credentials)
        await _decide(
            call,
            account,
            lambda state: accounts.store_credentials(
                state, account=account, connector=command.connector, fields=fields
            ),
        )
        await ports.venues.connect(account, command.connector)
        return Outcome(result=None, position=await ports.log.position())  # behind the first balances that it told


async def remove_credentials(command: RemoveCredentials, call: Call) -> Outcome:
    """Disconnect and shred; an account that has none is left as it is."""
    async with call.ports.turns(command.account):
        decided = await _decide(
            call,
            command.account,
            lambda state: accounts.remove_credentials(state, account=command.account, connector=command.connector),
        )
        if decided.events:
            await forget(call.ports, command.account, command.connector)
        return Outcome(result=None, position=decided.position)


async def _decide(call: Call, account: str, decision: Callable[[Account], list[Event]]) -> Decided[Account]:
    return await decide(
        call.ports.log,
        call.origin,
        stream=stream_of(account),
        new=NEW,
        evolve=evolve,
        decision=decision,
        answer=call.keep(None),
        request=call.request,
    )


async def forget(
    ports: Ports, account: str, connector: str | None = None, *, stored_before: datetime | None = None
) -> None:
    """Disconnect and shred what the log says is removed, or what was stored before a time. Again, it does nothing."""
    await ports.venues.disconnect(account, connector)
    await ports.vault.shred(account, connector, stored_before=stored_before)


async def first_start(ports: Ports) -> None:
    """Give a new installation its master account, connected to the paper venue.

    The account and its credentials are one commit: a crash leaves all of it or nothing.
    """
    stream = stream_of(MASTER)
    if (await ports.log.last([stream]))[stream] is not None:
        return
    for connector in PAPER_CONNECTORS:
        await ports.vault.store(MASTER, connector, {})
    await decide(
        ports.log,
        origin_of_process("first start", ports.new_id),
        stream=stream,
        new=NEW,
        evolve=evolve,
        decision=lambda state: [] if state.exists else accounts.begin(account=MASTER, connectors=PAPER_CONNECTORS),
    )
    ports.venues.admit(MASTER)
    for connector in PAPER_CONNECTORS:
        await ports.venues.connect(MASTER, connector)


HANDLERS: Handlers = {
    AddAccount: (add, None),
    RemoveAccount: (remove, None),
    StoreCredentials: (store_credentials, None),
    RemoveCredentials: (remove_credentials, None),
}
