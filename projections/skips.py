"""What views leave out: the skips that the log records.

They are read before a view is built or kept, whatever part of the log it is made from: a skip stands in the log behind
the event that it is about, and holds for those who begin before it, too.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain import catalog
from domain.views import STREAM, EventSkipped
from projections.view import Connection, View

_SKIPS = "select type, schema_version, data, actor, recorded_at from log.events where stream = %s order by version"


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a view leaves out: what it is, why it could not be taken, why it was skipped, by whom and when."""

    view: str
    position: int
    type: str
    stream: str
    error: str
    reason: str
    skipped_by: str
    skipped_at: datetime


async def skips(connection: Connection) -> list[Skip]:
    """Return what is left out of all views, in the order in which it was decided."""
    found = await (await connection.execute(_SKIPS, [STREAM])).fetchall()
    return [
        Skip(**msgspec.structs.asdict(event), skipped_by=actor, skipped_at=recorded_at)
        for type_, schema_version, data, actor, recorded_at in found
        if isinstance(event := catalog.decode(type_, schema_version, data), EventSkipped)
    ]


async def leaving_out(connection: Connection, views: Sequence[View]) -> list[View]:
    """Return the views as they are to be given events: without those that they leave out."""
    known = await skips(connection)
    return [
        msgspec.structs.replace(view, skips=frozenset(skip.position for skip in known if skip.view == view.name))
        for view in views
    ]
