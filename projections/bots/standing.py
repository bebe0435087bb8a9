"""How bots stand now, and which there are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString

import msgspec

from projections.bots.rows import DEPLOYED, HEARD, array, performance_on_the_wire, status_on_the_wire
from projections.view import Connection

FEW_BOTS = 20
"""An answer about so many bots has all lines that are kept, `LINES` of each kind; one about more has the newest few."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
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


_LISTED: LiteralString = "not b.cleared and (b.run_id is not null or (b.heard_at >= %(since)s and not b.lost))"
_KNOWN: LiteralString = "b.instance = %(instance)s and not b.cleared"
_BOTS: LiteralString = (
    "select b.instance, b.run_id is not null, b.runs, b.stopping,"
    " coalesce(b.heard_at >= %(since)s and not b.lost, false) from bots b where @ order by b.position"
)
_REPORTS: LiteralString = (
    "select c.instance, c.controller, c.report from bot_controllers c join bots b on b.instance = c.instance"
    " where c.state = 'running' and @ order by c.position"
)
_NEWEST: LiteralString = (
    "select w.instance, w.errors, w.lines from bot_newest w join bots b on b.instance = w.instance where @"
)
_LINES: LiteralString = (
    "select l.instance, l.is_error, l.wire from bot_lines l join bots b on b.instance = l.instance"
    " where l.number < case when l.is_error then b.errors else b.lines end and @ order by l.number"
)


async def standings(connection: Connection, *, since: datetime, lines: bool = True) -> list[Standing]:
    """Return the bots that are deployed, and those that were heard since a time, oldest first.

    With the lines that are kept of each where they are few, else with the newest of them; or without any.
    """
    values = {"since": since}
    bots = await _rows(connection, _BOTS, _LISTED, values)
    said: _Said = {}
    if lines and bots:
        said = await (_all_lines if len(bots) <= FEW_BOTS else _newest_lines)(connection, _LISTED, values)
    return _put_together(bots, await _rows(connection, _REPORTS, _LISTED, values), said)


async def standing(connection: Connection, instance: str, *, since: datetime) -> Standing | None:
    """Return how a bot stands, with its newest lines; None for one that is unknown or cleared away."""
    values = {"instance": instance, "since": since}
    bots = await _rows(connection, _BOTS, _KNOWN, values)
    if not bots:
        return None
    said = await _all_lines(connection, _KNOWN, values)
    (found,) = _put_together(bots, await _rows(connection, _REPORTS, _KNOWN, values), said)
    return found


_Rows = list[tuple[Any, ...]]
_Said = dict[str, tuple[str, str]]
"""Instance → its errors and its other lines."""


async def _rows(
    connection: Connection, query: LiteralString, which: LiteralString, values: Mapping[str, object]
) -> _Rows:
    found = await connection.execute(query.replace("@", which), values, prepare=True)
    return await found.fetchall()


async def _newest_lines(connection: Connection, which: LiteralString, values: Mapping[str, object]) -> _Said:
    return {bot: (errors, lines) for bot, errors, lines in await _rows(connection, _NEWEST, which, values)}


async def _all_lines(connection: Connection, which: LiteralString, values: Mapping[str, object]) -> _Said:
    kinds: dict[str, tuple[list[str], list[str]]] = {}
    for bot, is_error, wire in await _rows(connection, _LINES, which, values):
        kinds.setdefault(bot, ([], []))[0 if is_error else 1].append(wire)
    return {bot: (array(errors), array(lines)) for bot, (errors, lines) in kinds.items()}


def _put_together(bots: _Rows, reports: _Rows, said: _Said) -> list[Standing]:
    # Here and not in Postgres, which takes five times as long to put these texts together.
    performance: dict[str, list[tuple[str, str]]] = {}
    for bot, controller, report in reports:
        performance.setdefault(bot, []).append((controller, report))
    standings = []
    for bot, deployed, runs, stopping, heard in bots:
        errors, lines = said.get(bot, ("[]", "[]"))
        standings.append(
            Standing(
                instance=bot,
                deployed=deployed,
                runs=runs,
                stopping=stopping,
                heard=heard,
                performance=performance_on_the_wire(performance.get(bot, ())),
                errors=errors,
                lines=lines,
            )
        )
    return standings


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
