"""`nectar as-of`: views as they were, in schemas that stay until they are dropped."""

from io import StringIO

import pytest
from rich.console import Console

from adapters.as_of import build_command, drop_command, list_command
from commands.ports import Log
from domain.bots import RETENTION, UpdatesDropped
from domain.errors import Conflict, Invalid, NotFound
from projections.replay import rebuild
from projections.view import Connection, connect, dump
from projections.views import VIEWS
from tests.projections.conftest import connection, template
from tests.projections.given import EVERYTHING, account, at, tell

__all__ = ["connection", "template"]


@pytest.fixture
def console() -> Console:
    """Return a console that remembers what was printed, in one line each."""
    return Console(file=StringIO(), width=300)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


async def test_the_views_as_they_were_are_built_whole_listed_and_dropped(
    database_url: str, log: Log, connection: Connection, console: Console
):
    end = await tell(log, EVERYTHING)
    await rebuild(database_url, log, VIEWS)
    expected = {view.name: await dump(connection, view) for view in VIEWS}
    await tell(log, account("later"))
    schema = f"as_of_{end}"
    assert await build_command(database_url, console, end) == 0
    assert f"in schema {schema} in" in printed(console)
    async with await connect(database_url, schema) as then:
        assert {view.name: await dump(then, view) for view in VIEWS} == expected
    await build_command(database_url, console, end)
    assert f"are in schema {schema} already" in printed(console)
    await list_command(database_url, console)
    assert printed(console).endswith(f"{schema}\n")
    await drop_command(database_url, console, end)
    await list_command(database_url, console)
    assert printed(console).endswith(f"Dropped {schema}.\nNo views of the past are kept.\n")
    with pytest.raises(NotFound, match=f"Schema {schema} not found. There are: none"):
        await drop_command(database_url, console, end)


async def test_what_was_cut_off_is_said_to_be_and_built_anew(
    database_url: str, log: Log, connection: Connection, console: Console
):
    end = await tell(log, EVERYTHING)
    await connection.execute(f"create schema as_of_{end}".encode())
    await list_command(database_url, console)
    assert f"as_of_{end} (not whole" in printed(console)
    await build_command(database_url, console, end)
    async with await connect(database_url, f"as_of_{end}") as then:
        assert await (await then.execute("select count(*) from accounts")).fetchone() == (2,)
    await drop_command(database_url, console, None)
    assert f"Dropped as_of_{end}." in printed(console)


async def test_two_do_not_build_the_same_at_once(database_url: str, log: Log, connection: Connection, console: Console):
    end = await tell(log, EVERYTHING)
    await connection.execute("select pg_advisory_lock(hashtextextended('nectar.' || %s, 0))", [f"as_of_{end}"])
    with pytest.raises(Conflict, match=f"Schema as_of_{end} is being built by somebody else"):
        await build_command(database_url, console, end)


async def test_what_the_log_does_not_reach_is_refused(database_url: str, log: Log, console: Console):
    end = await tell(log, account())
    with pytest.raises(Invalid, match=f"as-of '99' is beyond the end of the log, position {end}"):
        await build_command(database_url, console, 99)


async def test_where_bots_updates_were_dropped_their_view_is_left_out(
    database_url: str, log: Log, connection: Connection, console: Console
):
    await tell(log, EVERYTHING)
    dropped = UpdatesDropped(first=5, last=9, count=2, runs=[], digest=b"", signature=b"", dropped_at=at(9))
    await tell(log, [(RETENTION, dropped)])
    await build_command(database_url, console, 7)
    assert "Without the view bots: what they told between positions 5 and 9 was dropped." in printed(console)
    found = await connection.execute("select to_regclass('as_of_7.orders'), to_regclass('as_of_7.bots')")
    assert [name is None for name in await found.fetchone() or ()] == [False, True]
