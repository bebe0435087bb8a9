"""Performance of controllers: as told last, and over time."""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

import msgspec

from projections.bots.rows import INTERVALS
from projections.paging import Key
from projections.view import Connection

_HOURLY = list(INTERVALS).index("1h")  # from here on there are indexes of the coarser samples alone


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller said of itself at a time; `report` is the inside of a JSON object."""

    heard_at: datetime
    instance: str
    controller: str
    status: str
    report: str

    @property
    def wire(self) -> str:
        """The sample as clients read it."""
        head = msgspec.json.encode(
            {
                "timestamp": self.heard_at.isoformat(),
                "bot_name": self.instance,
                "controller_id": self.controller,
                "status": self.status,
            }
        ).decode()
        return f"{head[:-1]},{self.report}}}"


async def latest(connection: Connection, *, instance: str | None = None) -> list[Sample]:
    """Return the last report that had figures of every controller, or of those of one bot, in the order they came."""
    found = await connection.execute(
        "select reported_at, instance, controller, state, report from bot_controllers"
        " where report is not null and instance = coalesce(%s, instance) order by position",
        [instance],
    )
    return [
        Sample(
            heard_at=at,
            instance=bot,
            controller=controller,
            status="running" if state == "running" else "stopped",
            report=report,
        )
        async for at, bot, controller, state, report in found
    ]


async def history(
    connection: Connection,
    *,
    limit: int,
    interval: str,
    after: Key | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    instance: str | None = None,
    controller: str | None = None,
) -> tuple[Sequence[Sample], Key | None]:
    """Return up to `limit` samples, newest first, and the key to go on behind (None: they end here).

    Of each controller there is one sample in each `interval`, the first one of it. `since` and `until` are inclusive.
    """
    coarse = list(INTERVALS).index(interval)
    conditions: list[LiteralString] = ["coarsest >= %(coarse)s"]
    if coarse >= _HOURLY:
        conditions.append(f"coarsest >= {_HOURLY}")
    if after is not None:
        conditions.append("(heard_at, position) < (%(after_at)s, %(after_position)s)")
    if since is not None:
        conditions.append("heard_at >= %(since)s")
    if until is not None:
        conditions.append("heard_at <= %(until)s")
    if instance is not None:
        conditions.append("instance = %(instance)s")
    if controller is not None:
        conditions.append("controller = %(controller)s")
    found = await connection.execute(
        "select heard_at, position, instance, controller, report from bot_performance"
        f" where {' and '.join(conditions)} order by heard_at desc, position desc limit %(limit)s",
        {
            "coarse": coarse,
            "after_at": after and after[0],
            "after_position": after and after[1],
            "since": since,
            "until": until,
            "instance": instance,
            "controller": controller,
            "limit": limit + 1,
        },
    )
    rows = await found.fetchall()
    samples = [
        Sample(heard_at=at, instance=bot, controller=name, status="running", report=report)
        for at, _, bot, name, report in rows[:limit]
    ]
    return samples, (rows[limit - 1][0], rows[limit - 1][1]) if len(rows) > limit else None
