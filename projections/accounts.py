"""Accounts and what they are connected to."""

from collections.abc import Sequence
from itertools import groupby
from typing import LiteralString

from domain.accounts import AccountAdded, AccountRemoved, CredentialsRemoved, CredentialsStored
from domain.events import Recorded
from projections.view import Changes, Connection, View

AccountEvent = AccountAdded | AccountRemoved | CredentialsStored | CredentialsRemoved

_TABLES = """
    create table accounts (
        account  text   primary key,
        position bigint not null
    );
    create table account_connectors (
        account   text   not null,
        connector text   not null,
        position  bigint not null,
        primary key (account, connector)
    );
"""


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: `position` is where an account was added, or a connector first connected to it."""
    kept: dict[str, tuple[int, dict[str, int]]] = {}
    changed = {e.event.account for e in events if isinstance(e.event, AccountEvent)}
    for account, position, connector, connected in await changes.rows(_ROWS, [sorted(changed)]):
        connectors = kept.setdefault(account, (position, {}))[1]
        if connector is not None:
            connectors[connector] = connected
    for recorded in events:
        match recorded.event:
            case AccountAdded(account=account):
                kept[account] = (recorded.position, {})
            case AccountRemoved(account=account):
                kept.pop(account, None)
            case CredentialsStored(account=account, connector=connector) if account in kept:
                kept[account][1].setdefault(connector, recorded.position)
            case CredentialsRemoved(account=account, connector=connector) if account in kept:
                kept[account][1].pop(connector, None)
    await changes.write(
        "account_connectors", "delete from account_connectors where account = any(%s)", [sorted(changed)]
    )
    await changes.write("accounts", "delete from accounts where account = any(%s)", [sorted(changed)])
    await changes.put("accounts", [{"account": a, "position": position} for a, (position, _) in kept.items()])
    await changes.put(
        "account_connectors",
        [
            {"account": account, "connector": connector, "position": position}
            for account, (_, connectors) in kept.items()
            for connector, position in connectors.items()
        ],
    )


_ROWS = (
    "select a.account, a.position, c.connector, c.position from accounts a left join account_connectors c"
    " using (account) where a.account = any(%s) order by a.position, c.position"
)


VIEW = View(
    name="accounts",
    tables=_TABLES,
    indexes="",
    handles=(AccountAdded, AccountRemoved, CredentialsStored, CredentialsRemoved),
    apply=apply,
)


CONNECTED: LiteralString = "(account, connector) in (select account, connector from account_connectors)"
"""Holds for rows of other views whose account is connected to their connector now."""


async def connectors(connection: Connection, accounts: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Return account → connectors, both in the order in which they came.

    Of all accounts, or of those that are named and exist.
    """
    found = await connection.execute(
        "select a.account, c.connector from accounts a left join account_connectors c using (account)"
        " where %(accounts)s::text[] is null or a.account = any(%(accounts)s) order by a.position, c.position",
        {"accounts": None if accounts is None else list(accounts)},
    )
    return {
        account: [connector for _, connector in group if connector is not None]
        for account, group in groupby(await found.fetchall(), key=lambda row: row[0])
    }
