"""What a new version defines otherwise is built beside an old one that serves, and is in place soon after it starts."""

from collections.abc import Sequence

import msgspec
import pytest

from adapters.rebuild import rebuild_command
from commands.ports import Log
from domain.events import Recorded
from projections import accounts, orders
from projections.replay import rebuild
from projections.view import Changes, Connection, dump
from tests.projections.conftest import projecting
from tests.projections.given import EVERYTHING, account, placed, tell

PATIENCE = 10.0
LEAD = "select pg_advisory_lock(hashtextextended('nectar.view.rates', 0))"
RELEASE = "select pg_advisory_unlock(hashtextextended('nectar.view.rates', 0))"


async def defined_as(connection: Connection, view: str) -> str:
    found = await connection.execute("select fingerprint from read.checkpoints where view = %s", [view])
    [fingerprint] = await found.fetchone() or ("",)
    return str(fingerprint)


async def test_what_a_server_of_another_version_keeps_is_left_to_it(
    database_url: str, log: Log, connection: Connection
):
    given: list[int] = []

    async def note(changes: Changes, events: Sequence[Recorded]) -> None:
        given.extend(event.position for event in events)
        await orders.VIEW.apply(changes, events)

    changed = msgspec.structs.replace(orders.VIEW, apply=note, revision=orders.VIEW.revision + 1)
    async with projecting(database_url, log, [accounts.VIEW, orders.VIEW]) as old:
        built_upto = await tell(log, EVERYTHING)
        assert await old.reached(built_upto, old.views, PATIENCE) == 0
        assert await rebuild(database_url, log, [changed]) == built_upto
        assert await defined_as(connection, "orders") == orders.VIEW.fingerprint
        end = await tell(log, [*account("another"), placed("b")])
        assert await old.reached(end, old.views, PATIENCE) == 0
        expected = await dump(connection, orders.VIEW)
    given.clear()
    async with projecting(database_url, log, [accounts.VIEW, changed]) as new:
        assert await new.reached(end, new.views, PATIENCE) == 0
        assert await defined_as(connection, "orders") == changed.fingerprint
    assert given == [end]
    assert await dump(connection, orders.VIEW) == expected


async def test_the_command_builds_what_has_changed_and_puts_in_place_what_nobody_else_keeps(
    database_url: str, log: Log, connection: Connection, capsys: pytest.CaptureFixture[str]
):
    await tell(log, EVERYTHING)
    assert await rebuild_command(database_url, "changed") == 0
    assert capsys.readouterr().out == "No view has changed.\n"
    await connection.execute("update read.checkpoints set fingerprint = 'older' where view = 'rates'")
    await connection.execute(LEAD)
    assert await rebuild_command(database_url, "changed") == 0
    assert "A server of another version keeps rates" in capsys.readouterr().out
    assert await defined_as(connection, "rates") == "older"
    await connection.execute(RELEASE)
    assert await rebuild_command(database_url, "changed") == 0
    said = capsys.readouterr().out
    assert "Built rates from" in said
    assert "another version" not in said
    assert await rebuild_command(database_url, "changed") == 0
    assert capsys.readouterr().out == "No view has changed.\n"
