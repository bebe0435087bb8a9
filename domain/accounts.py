"""Accounts: a name under which credentials for connectors are kept. Never a secret in here: those live in the vault."""

from collections.abc import Sequence

import msgspec

from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.values import check_name

MASTER = "master_account"


class AccountAdded(Event, frozen=True, kw_only=True):
    """An account exists from now on. Stream `account-<name>`, as for all events here."""

    account: str


class AccountRemoved(Event, frozen=True, kw_only=True):
    """An account and all its credentials are gone. The name may be added again."""

    account: str


class CredentialsStored(Event, frozen=True, kw_only=True):
    """The vault holds credentials of this account for a connector, new or replaced.

    `fields` are names, never values.
    """

    account: str
    connector: str
    fields: list[str]


class CredentialsRemoved(Event, frozen=True, kw_only=True):
    """The vault holds no credentials of this account for a connector any more."""

    account: str
    connector: str


EVENTS = (AccountAdded, AccountRemoved, CredentialsStored, CredentialsRemoved)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions need to know of an account. `connectors` in the order in which they were connected."""

    exists: bool = False
    connectors: tuple[str, ...] = ()


NEW = Account()


def stream_of(account: str) -> str:
    """Return the stream of an account."""
    return f"account-{account}"


def evolve(state: Account, event: Event) -> Account:
    """Return the account after one more event."""
    match event:
        case AccountAdded():
            return Account(exists=True)
        case AccountRemoved():
            return NEW
        case CredentialsStored(connector=connector) if connector not in state.connectors:
            return Account(exists=state.exists, connectors=(*state.connectors, connector))
        case CredentialsRemoved(connector=connector):
            return Account(exists=state.exists, connectors=tuple(c for c in state.connectors if c != connector))
        case _:
            return state


def add(state: Account, *, account: str) -> list[Event]:
    """Add an account. Raises `Invalid` for a bad name or one that is taken."""
    check_name("account", account)
    if state.exists:
        raise Invalid("Account already exists.")
    return [AccountAdded(account=account)]


def begin(*, account: str, connectors: Sequence[str]) -> list[Event]:
    """Add an account that is connected from its first moment, where no credentials are needed."""
    stored = [CredentialsStored(account=account, connector=connector, fields=[]) for connector in connectors]
    return [AccountAdded(account=account), *stored]


def remove(state: Account, *, account: str) -> list[Event]:
    """Remove an account with its credentials.

    Raises `Invalid` for the master account, `NotFound` for an unknown one.
    """
    if account == MASTER:
        raise Invalid("Cannot delete master account.")
    if not state.exists:
        raise NotFound(f"Account '{account}' not found")
    return [
        *(CredentialsRemoved(account=account, connector=c) for c in state.connectors),
        AccountRemoved(account=account),
    ]


def store_credentials(state: Account, *, account: str, connector: str, fields: list[str]) -> list[Event]:
    """Note that credentials are in the vault. Raises `Invalid` for an unknown account (400 in the reference)."""
    if not state.exists:
        raise Invalid(f"Account '{account}' not found")
    return [CredentialsStored(account=account, connector=connector, fields=sorted(fields))]


def remove_credentials(state: Account, *, account: str, connector: str) -> list[Event]:
    """Note that credentials left the vault; nothing to remove is nothing to do (200 in the reference)."""
    if connector not in state.connectors:
        return []
    return [CredentialsRemoved(account=account, connector=connector)]
