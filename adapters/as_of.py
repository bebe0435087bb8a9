"""`nectar as-of`: build every view as it was in a schema of its own, to be asked with SQL; list those, drop them.

They stay until they are dropped. A server that is asked about the past keeps its own (`projections/past/`).
"""

from datetime import UTC, datetime

from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.migrations import migrate
from domain.bots import UPDATE_EVENTS
from domain.errors import Conflict, NotFound
from projections.moments import Moment, dropped_around, moment_of
from projections.replay import replay_into
from projections.view import Connection, View, connect
from projections.views import VIEWS

DONE = 0

_PREFIX = "as_of_"
_WHOLE = "whole"
_LOCK = "select pg_try_advisory_lock(hashtextextended('nectar.' || %s, 0))"
_LISTED = (
    "select nspname, obj_description(oid, 'pg_namespace') from pg_namespace where starts_with(nspname, %s)"
    " order by length(nspname), nspname"
)


async def build_command(database_url: str, console: Console, when: int | datetime) -> int:
    """Build every view as it was at a position or time, and print where, with a bar that says how far it is.

    What a build that was cut off left is built anew. Raises `Invalid` for what the log does not reach, `Conflict` while
    somebody else builds the same.
    """
    collect_rarely()
    await migrate(database_url)
    async with PostgresLog.open(database_url) as log, await connect(database_url, "pg_catalog") as connection:
        moment = await moment_of(connection, when, "as-of")
        schema = f"{_PREFIX}{moment.position}"
        await _claim(connection, schema)
        if (await _listed(connection)).get(schema) == _WHOLE:
            console.print(f"The views as of position {moment.position:,} are in schema {schema} already.")
            return DONE
        await connection.execute(_drop(schema))
        views = await _known(connection, moment, console)
        with Progress(
            TextColumn("Building"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("events"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as bar:
            task = bar.add_task("", total=moment.position)
            await replay_into(
                database_url,
                log,
                views,
                schema,
                upto=moment.position,
                told=lambda position, _total, _rate: bar.update(task, completed=min(position, moment.position)),
            )
            seconds = bar.tasks[0].elapsed or 0.0
        await connection.execute(sql.SQL("comment on schema {} is {}").format(sql.Identifier(schema), _WHOLE))
    at = moment.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    console.print(f"Built the views as of position {moment.position:,} ({at}) in schema {schema} in {seconds:.1f} s.")
    console.print(f"Ask them with: set search_path to {schema}; drop them with: nectar as-of {moment.position} --drop")
    return DONE


async def list_command(database_url: str, console: Console) -> int:
    """Print the schemas that are there."""
    async with await connect(database_url, "pg_catalog") as connection:
        found = await _listed(connection)
    for schema, state in found.items():
        console.print(schema if state == _WHOLE else f"{schema} (not whole: it is being built, or that was cut off)")
    if not found:
        console.print("No views of the past are kept.")
    return DONE


async def drop_command(database_url: str, console: Console, when: int | datetime | None) -> int:
    """Drop what was built of a position or time, or all of it. Raises `NotFound`, `Conflict` while it is built."""
    async with await connect(database_url, "pg_catalog") as connection:
        found = list(await _listed(connection))
        if when is not None:
            schema = f"{_PREFIX}{(await moment_of(connection, when, 'as-of')).position}"
            if schema not in found:
                raise NotFound(f"Schema {schema} not found. There are: {', '.join(found) or 'none'}")
            found = [schema]
        for schema in found:
            await _claim(connection, schema)
            await connection.execute(_drop(schema))
            console.print(f"Dropped {schema}.")
    return DONE


async def _claim(connection: Connection, schema: str) -> None:
    # Held for as long as the connection is.
    if await (await connection.execute(_LOCK, [schema])).fetchone() != (True,):
        raise Conflict(f"Schema {schema} is being built by somebody else")


async def _listed(connection: Connection) -> dict[str, str | None]:
    return dict(await (await connection.execute(_LISTED, [_PREFIX])).fetchall())


async def _known(connection: Connection, moment: Moment, console: Console) -> list[View]:
    dropped = await dropped_around(connection, moment.position)
    if dropped is None:
        return list(VIEWS)
    console.print(f"Without the view bots: what they told between positions {dropped[0]} and {dropped[1]} was dropped.")
    return [view for view in VIEWS if not set(view.handles) & set(UPDATE_EVENTS)]


def _drop(schema: str) -> sql.Composed:
    return sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
