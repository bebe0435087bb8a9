"""Accounts and what they are connected to."""

from collections.abc import Sequence
from itertools import groupby

from domain.accounts import AccountAdded, AccountRemoved, CredentialsRemoved, CredentialsStored
from domain.events import Recorded
from projections.view import Connection, View, put

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


async def apply(connection: Connection, events: Sequence[Recorded]) -> None:
    """Take events into the tables: `position` is where an account was added, or a connector first connected to it."""
    kept: dict[str, tuple[int, dict[str, int]]] = {}
    changed = {e.event.account for e in events if isinstance(e.event, AccountEvent)}
    for account, position, connector, connected in await _rows(connection, sorted(changed)):
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
    await connection.execute("delete from account_connectors where account = any(%s)", [sorted(changed)])
    await connection.execute("delete from accounts where account = any(%s)", [sorted(changed)])
    await put(connection, "accounts", [{"account": a, "position": position} for a, (position, _) in kept.items()])
    await put(
        connection,
        "account_connectors",
        [
            {"account": account, "connector": connector, "position": position}
            for account, (_, connectors) in kept.items()
            for connector, position in connectors.items()
        ],
    )


async def _rows(connection: Connection, accounts: Sequence[str] | None) -> list[tuple[str, int, str | None, int]]:
    cursor = await connection.execute(
        "select a.account, a.position, c.connector, c.position from accounts a"
        " left join account_connectors c using (account)"
        " where %(accounts)s::text[] is null or a.account = any(%(accounts)s) order by a.position, c.position",
        {"accounts": None if accounts is None else list(accounts)},
    )
    return await cursor.fetchall()


VIEW = View(
    name="accounts",
    tables=_TABLES,
    indexes="",
    handles=(AccountAdded, AccountRemoved, CredentialsStored, CredentialsRemoved),
    apply=apply,
)


async def connectors(connection: Connection, accounts: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Return account → connectors, both in the order in which they came.

    Of all accounts, or of those that are named and exist.
    """
    rows = await _rows(connection, accounts)
    return {
        account: [connector for _, _, connector, _ in group if connector is not None]
        for account, group in groupby(rows, key=lambda row: row[0])
    }
