"""Deployments of bots: what was deployed, how it went, how it ended."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import msgspec

from projections.bots.rows import RunRow
from projections.view import Connection

_RUN: LiteralString = (
    "id, instance, account, image, strategy_type, strategy_name, config_name, deployment_config, deployment_status,"
    " run_status, deployed_at, stopped_at, error_message, final_status, deleted"
)
_MATCHES: Mapping[str, LiteralString] = {
    "instance": "instance = %(instance)s",
    "account": "account = %(account)s",
    "strategy_type": "strategy_type = %(strategy_type)s",
    "strategy_name": "strategy_name = %(strategy_name)s",
    "run_status": "run_status = %(run_status)s",
    "deployment_status": "deployment_status = %(deployment_status)s",
}


class RunStats(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, counted; `active_runs` are those that run."""

    total_runs: int
    active_runs: int
    strategy_type_counts: Mapping[str, int]
    status_counts: Mapping[str, int]


async def runs(
    connection: Connection, *, limit: int, offset: int = 0, **filters: str | None
) -> tuple[Sequence[RunRow], int]:
    """Return the runs that match every filter (column → value, None for any), newest first, and how many match."""
    given = {column: value for column, value in filters.items() if value is not None}
    where = " and ".join(["not deleted", *(_MATCHES[column] for column in given)])
    found = await connection.execute(
        f"select {_RUN} from bot_runs where {where} order by deployed_at desc, id desc"
        " limit %(limit)s offset %(offset)s",
        {**given, "limit": limit, "offset": offset},
    )
    rows = [_read(row) async for row in found]
    counted = await connection.execute(f"select count(*) from bot_runs where {where}", given)
    (total,) = await counted.fetchone() or (0,)
    return rows, total


async def run(connection: Connection, run_id: int) -> RunRow | None:
    """Return a run, None where there is none of that number."""
    found = await connection.execute(f"select {_RUN} from bot_runs where id = %s and not deleted", [run_id])
    row = await found.fetchone()
    return None if row is None else _read(row)


async def stats(connection: Connection) -> RunStats:
    """Return how many runs there are of each kind."""
    found = await connection.execute(
        "select strategy_type, run_status, count(*) from bot_runs where not deleted group by 1, 2 order by 1, 2"
    )
    types: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    async for type_, status, count in found:
        types[type_] += count
        statuses[status] += count
    return RunStats(
        total_runs=types.total(),
        active_runs=statuses["RUNNING"],
        strategy_type_counts=types,
        status_counts=statuses,
    )


def _read(row: tuple[Any, ...]) -> RunRow:
    return RunRow(**dict(zip(RunRow.__struct_fields__, row, strict=True)))
