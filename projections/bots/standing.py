"""How bots stand now, and which there are."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import LiteralString

import msgspec

from projections.bots.rows import DEPLOYED, HEARD, array, performance_on_the_wire, status_on_the_wire
from projections.view import Connection

FEW_BOTS = 20
"""An answer about so many bots has all lines that are kept, `LINES` of each kind; one about more has the newest few."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A bot as it stands. `performance`, an object by controller, and `errors` and `lines`, arrays, are JSON already.

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
        if self.performance == "{}":
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

    @cached_property
    def wire(self) -> bytes:
        """Its status as clients read it, with its lines."""
        return status_on_the_wire(
            self.status,
            performance=self.performance,
            errors=self.errors,
            lines=self.lines,
            heard=self.heard,
            source=self.source,
        ).encode()


Known = Mapping[tuple[int, str, int], Standing]
"""Bots as they were read: table, instance and position of its last event → how it stands, oldest first.

What is the same in these three stands the same, but for what the clock says: a view is a function of the log. One that
was built anew has other tables, as something may have been dropped from the log meanwhile.
"""

_HEARD: LiteralString = "coalesce(b.heard_at >= %(since)s and not b.lost, false)"
_LISTED: LiteralString = f"not b.cleared and (b.run_id is not null or {_HEARD})"
_THIS: LiteralString = "not b.cleared and b.instance = %(instance)s"
# One statement, so that all of it is of one moment: a row for each bot, and one for each controller of those that have
# changed. Not in order: Postgres would sort the texts with them.
_BOTS: LiteralString = f"""
    select b.position, b.instance, b.tableoid, b.changed, b.run_id is not null, b.runs, b.stopping, {_HEARD},
           w.errors, w.lines
      from bots b left join bot_newest w on w.instance = b.instance and b.changed > %(seen)s
     where @
     union all
    select c.position, c.instance, null, null, null, null, null, null, c.controller, c.report
      from bots b join bot_controllers c on c.instance = b.instance
     where c.state = 'running' and b.changed > %(seen)s and @
"""
_LINES: LiteralString = (
    "select l.instance, l.is_error, l.wire from bot_lines l join bots b on b.instance = l.instance"
    " where l.number < case when l.is_error then b.errors else b.lines end and l.instance = any(%s) order by l.number"
)
_NOTHING = -1  # was seen


async def standings(connection: Connection, *, since: datetime, known: Known) -> Known:
    """Return the bots that are deployed, and those that were heard since a time, with the newest lines of each.

    Of those that stand in `known`, which an earlier call returned, only what has changed is read.
    """
    return await _read(connection, _LISTED, since, known)


async def standing(connection: Connection, instance: str, *, since: datetime) -> Standing | None:
    """Return how a bot stands, with all its lines; None for one that is unknown or cleared away."""
    found = await _read(connection, _THIS, since, {}, instance)
    return next(iter(await with_all_lines(connection, list(found.values()))), None)


async def with_all_lines(connection: Connection, bots: Sequence[Standing]) -> Sequence[Standing]:
    """Return bots with all lines that are kept of each, `LINES` of each kind."""
    kinds: dict[str, tuple[list[str], list[str]]] = {bot.instance: ([], []) for bot in bots}
    async for instance, is_error, wire in await connection.execute(_LINES, [list(kinds)], prepare=True):
        kinds[instance][0 if is_error else 1].append(wire)
    return [
        msgspec.structs.replace(bot, errors=array(kinds[bot.instance][0]), lines=array(kinds[bot.instance][1]))
        for bot in bots
    ]


async def _read(
    connection: Connection, which: LiteralString, since: datetime, known: Known, instance: str | None = None
) -> Known:
    seen = max((changed for _, _, changed in known), default=_NOTHING)
    values = {"since": since, "seen": seen, "instance": instance}
    rows = await (await connection.execute(_BOTS.replace("@", which), values, prepare=True, binary=True)).fetchall()
    rows.sort(key=itemgetter(0))
    reports: dict[str, list[tuple[str, str]]] = {}
    for _, name, table, *_, controller, report in rows:
        if table is None:
            reports.setdefault(name, []).append((controller, report))
    found: dict[tuple[int, str, int], Standing] = {}
    for _, name, table, changed, deployed, runs, stopping, heard, errors, lines in rows:
        if table is None:
            continue
        key = (table, name, changed)
        if changed > seen:
            found[key] = Standing(
                instance=name,
                deployed=deployed,
                runs=runs,
                stopping=stopping,
                heard=heard,
                performance=performance_on_the_wire(reports.get(name, ())),
                errors=errors or "[]",
                lines=lines or "[]",
            )
        elif (bot := known.get(key)) is not None:
            found[key] = bot if bot.heard == heard else msgspec.structs.replace(bot, heard=heard)
        else:  # the tables are others, or Postgres went back to what it had written before it broke down
            return await _read(connection, which, since, {}, instance)
    return found


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
