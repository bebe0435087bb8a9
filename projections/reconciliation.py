"""Comparisons of accounts with their venues: each run, and the differences that it found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from domain.events import Recorded
from domain.reconciliation import AccountReconciled, Compared, DifferenceFound, Kind
from projections.view import Changes, Connection, View

KEPT = 10_000
"""How many events of one account on one connector are shown; the log has them all."""

# The keys stand here and not with the indexes: what is too old is looked for by them, in a rebuild too.
_TABLES = """
    create table reconciliations (
        account     text    not null,
        connector   text    not null,
        version     bigint  not null,
        position    bigint  not null,
        differences integer not null,
        wire        text    not null,
        primary key (account, connector, version)
    );
    create table differences (
        account   text   not null,
        connector text   not null,
        version   bigint not null,
        position  bigint not null,
        wire      text   not null,
        primary key (account, connector, version)
    );
"""

_INDEXES = """
    create index on reconciliations (position);
    create index on reconciliations (account, position);
    create index on reconciliations (connector, position);
    create index on differences (position);
"""


_FILLED = {"status": "filled", "filled": "0.01", "amount": "0.01"}


class DifferenceItem(msgspec.Struct, frozen=True, kw_only=True):
    """A difference on the wire. `correlation_id` names the story of what it is about, `position` is its event's."""

    position: int
    version: int
    correlation_id: UUID
    kind: Kind
    subject: Annotated[str, msgspec.Meta(examples=["n0190f3a5c2b84d0f9d1a6f5e3c7b2a10"])]
    ours: Annotated[dict[str, str], msgspec.Meta(examples=[_FILLED | {"status": "accepted", "filled": "0"}])]
    venue: Annotated[dict[str, str], msgspec.Meta(examples=[_FILLED])]


class RunItem(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison on the wire, without its differences: they are rows of their own.

    `command_id` is in the envelope of every event that was committed with it.
    """

    position: int
    stream: str
    version: int
    correlation_id: UUID
    command_id: UUID
    account_name: str
    connector_name: str
    trigger: Annotated[str, msgspec.Meta(examples=["schedule"])]
    began_at: datetime
    finished_at: datetime
    compared: Compared
    difference_count: int


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    connector: str
    version: int
    position: int
    differences: int
    wire: str


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    connector: str
    version: int
    position: int
    wire: str


_encode = msgspec.json.Encoder().encode


def on_the_wire(recorded: Recorded, run: AccountReconciled) -> str:
    """Return a comparison as clients read it."""
    return _encode(
        RunItem(
            position=recorded.position,
            stream=recorded.stream,
            version=recorded.version,
            correlation_id=recorded.correlation_id,
            command_id=recorded.command_id,
            account_name=run.account,
            connector_name=run.connector,
            trigger=run.trigger,
            began_at=run.began_at,
            finished_at=run.finished_at,
            compared=run.compared,
            difference_count=run.differences,
        )
    ).decode()


def difference_on_the_wire(recorded: Recorded, found: DifferenceFound) -> str:
    """Return a difference as clients read it."""
    return _encode(
        DifferenceItem(
            position=recorded.position,
            version=recorded.version,
            correlation_id=recorded.correlation_id,
            kind=found.kind,
            subject=found.subject,
            ours=found.ours,
            venue=found.venue,
        )
    ).decode()


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables, and let go of what is older than the newest of the same account and connector."""
    runs: list[_Run] = []
    found: list[_Found] = []
    newest: dict[tuple[str, str], int] = {}
    for recorded in events:
        match recorded.event:
            case AccountReconciled() as run:
                newest[run.account, run.connector] = recorded.version
                runs.append(
                    _Run(
                        account=run.account,
                        connector=run.connector,
                        version=recorded.version,
                        position=recorded.position,
                        differences=run.differences,
                        wire=on_the_wire(recorded, run),
                    )
                )
            case DifferenceFound() as difference:
                newest[difference.account, difference.connector] = recorded.version
                found.append(
                    _Found(
                        account=difference.account,
                        connector=difference.connector,
                        version=recorded.version,
                        position=recorded.position,
                        wire=difference_on_the_wire(recorded, difference),
                    )
                )
    if runs:
        await changes.add("reconciliations", runs)
    if found:
        await changes.add("differences", found)
    await _let_go(changes, {key: version - KEPT for key, version in newest.items() if version > KEPT})


async def _let_go(changes: Changes, upto: dict[tuple[str, str], int]) -> None:
    """Delete what is at these versions or older; a run goes with the first of its differences."""
    if not upto:
        return
    old = [{"account": a, "connector": connector, "version": version} for (a, connector), version in upto.items()]
    values = [_encode(old).decode()]
    await changes.write(
        "reconciliations",
        "delete from reconciliations r"
        " using json_to_recordset(%s::json) o (account text, connector text, version bigint)"
        " where r.account = o.account and r.connector = o.connector and r.version - r.differences <= o.version",
        values,
    )
    await changes.write(
        "differences",
        "delete from differences d using json_to_recordset(%s::json) o (account text, connector text, version bigint)"
        " where d.account = o.account and d.connector = o.connector and d.version <= o.version",
        values,
    )


VIEW = View(
    name="reconciliation",
    tables=_TABLES,
    indexes=_INDEXES,
    handles=(DifferenceFound, AccountReconciled),
    apply=apply,
)


async def runs(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    account: str | None = None,
    connector: str | None = None,
) -> list[tuple[int, str]]:
    """Return up to `limit` runs below position `before` with their differences, newest first: position, item as JSON.

    The differences of a run stand right before it in the log.
    """
    found = await connection.execute(
        """
        select r.position, left(r.wire, -1) || ',"differences":[' || coalesce((
                   select string_agg(d.wire, ',' order by d.position) from differences d
                   where d.position between r.position - r.differences and r.position - 1
               ), '') || ']}'
        from reconciliations r
        where (%(account)s::text is null or r.account = %(account)s)
          and (%(connector)s::text is null or r.connector = %(connector)s)
          and (%(before)s::bigint is null or r.position < %(before)s)
        order by r.position desc limit %(limit)s
        """,
        {"account": account, "connector": connector, "before": before, "limit": limit},
    )
    return await found.fetchall()
