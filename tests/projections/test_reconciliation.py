"""Runs of reconciliation are shown as long as they are among the newest of their account and connector."""

import pytest

from commands.ports import Log
from projections import reconciliation
from projections.replay import rebuild
from projections.runner import Progress
from projections.view import Connection, dump
from tests.projections.given import difference, reconciled, tell

PATIENCE = 10.0


async def test_what_is_old_is_let_go_and_a_run_never_loses_its_differences(
    database_url: str, log: Log, connection: Connection, progress: Progress, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reconciliation, "KEPT", 4)
    runs = [difference("A"), reconciled(1), difference("B"), difference("C"), reconciled(2)]
    end = await tell(log, [*runs, reconciled(0, name="second")])
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    shown = await reconciliation.runs(connection, limit=10)
    assert [position for position, _ in shown] == [6, 5]
    end = await tell(log, [reconciled(0)])
    assert await progress.reached(end, progress.views, PATIENCE) == 0
    shown = await reconciliation.runs(connection, limit=10, account="master_account")
    assert [(position, item.count('"kind"')) for position, item in shown] == [(7, 0), (5, 2)]
    live = await dump(connection, reconciliation.VIEW)
    await rebuild(database_url, log, [reconciliation.VIEW])
    assert await dump(connection, reconciliation.VIEW) == live
