"""How bots stand now, and which there are."""

# ruff: noqa: S608 - queries are put together from constants of this file

from datetime import datetime
from typing import Any, LiteralString

import msgspec

from projections.bots.rows import DEPLOYED, HEARD, status_on_the_wire
from projections.view import Connection

FEW_BOTS = 20
"""An answer about so many bots has all lines that are kept, `LINES` of each kind; one about more has the newest few."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A bot as it stands. What is JSON already is text: members of `performance`, items of `errors` and `lines`.

    `heard` is whether anything was heard of it lately, `runs` whether its container does as far as we know.
    """

    instance: str
    deployed: bool
    runs: bool
    stopping: bool
    heard: bool
    performance: str
    errors: str
    lines: str

    @property
    def status(self) -> str:
        """Its status in the contract's words."""
        if self.stopping:
            return "stopping"
        if not self.performance:
            return "stopped"
        return "running" if self.heard else "idle"

    @property
    def source(self) -> str:
        """Where it is known from, in the contract's words."""
        return DEPLOYED if self.deployed else HEARD

    @property
    def active(self) -> bool:
        """Whether it runs or was heard lately."""
        return self.runs or self.heard

    @property
    def wire(self) -> str:
        """Its status as clients read it, with its lines."""
        return status_on_the_wire(
            self.status,
            performance=self.performance,
            errors=self.errors,
            lines=self.lines,
            heard=self.heard,
            source=self.source,
        )


_LISTED: LiteralString = "not cleared and (run_id is not null or (heard_at >= %(since)s and not lost))"
_PERFORMANCE: LiteralString = """
    select string_agg(
               to_json(c.controller)::text || ':{"status":"running",' || c.report || '}', ',' order by c.position
           )
      from bot_controllers c where c.instance = b.instance and c.state = 'running'
"""


def _all_lines(count: LiteralString, is_error: LiteralString) -> LiteralString:
    return f"""
        select string_agg(l.wire, ',' order by l.number) from bot_lines l
         where l.instance = b.instance and l.is_error = {is_error} and l.number < b.{count}
    """


def _standing(which: LiteralString, lines: LiteralString, errors: LiteralString) -> LiteralString:
    return f"""
        select b.instance, run_id is not null, runs, stopping, coalesce(heard_at >= %(since)s and not lost, false),
               coalesce(({_PERFORMANCE}), ''), coalesce(({errors}), ''), coalesce(({lines}), '')
          from bots b
          left join bot_newest w on w.instance = b.instance
         where {which}
         order by b.position
    """


_FIGURES = _standing(_LISTED, "''", "''")
_MANY = _standing(_LISTED, "array_to_string(w.lines, ',')", "array_to_string(w.errors, ',')")
_FEW = _standing(_LISTED, _all_lines("lines", "false"), _all_lines("errors", "true"))
_ONE = _standing(
    "b.instance = %(instance)s and not cleared", _all_lines("lines", "false"), _all_lines("errors", "true")
)


async def standings(connection: Connection, *, since: datetime, lines: bool = True) -> list[Standing]:
    """Return the bots that are deployed, and those that were heard since a time, oldest first.

    With the `LINES` that are kept of each where they are few, else with the newest of them; or without any.
    """
    query = _FIGURES
    if lines:
        found = await connection.execute(f"select count(*) from bots where {_LISTED}", {"since": since}, prepare=True)
        (count,) = await found.fetchone() or (0,)
        query = _FEW if count <= FEW_BOTS else _MANY
    found = await connection.execute(query, {"since": since}, prepare=True)
    return [_read(row) async for row in found]


async def standing(connection: Connection, instance: str, *, since: datetime) -> Standing | None:
    """Return how a bot stands, with its newest lines; None for one that is unknown or cleared away."""
    found = await connection.execute(_ONE, {"instance": instance, "since": since}, prepare=True)
    row = await found.fetchone()
    return None if row is None else _read(row)


def _read(row: tuple[Any, ...]) -> Standing:
    return Standing(**dict(zip(Standing.__struct_fields__, row, strict=True)))


async def instances(connection: Connection) -> list[str]:
    """Return the instances that were deployed and are not cleared away, oldest first."""
    found = await connection.execute(
        "select instance from bots where run_id is not null and not cleared order by position"
    )
    return [instance async for (instance,) in found]


async def strategy_ended(connection: Connection, instance: str, *, since: datetime) -> bool:
    """Whether every controller of a bot has said since then that its strategy ended; False if none ever spoke.

    Controllers that have said nothing since the bot was started last are no part of it any more.
    """
    found = await connection.execute(
        "select coalesce(bool_and(state = 'ended' and heard_at >= %s), false) from bot_controllers"
        " where instance = %s and state <> 'silent'",
        [since, instance],
    )
    return await found.fetchone() == (True,)
