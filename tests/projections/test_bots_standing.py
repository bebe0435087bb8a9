"""How all bots stand is read piece by piece: what an earlier reading knows, and nothing that is not so any more."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from commands.ports import Log
from domain.bots import ArchivePlace
from projections.bots.standing import Known, standings
from projections.replay import rebuild
from projections.runner import Progress
from projections.view import Connection
from projections.views import VIEWS
from tests.projections.fleet import (
    archived,
    at,
    cleared,
    heard,
    logged,
    lost,
    reported,
    returned,
    running,
    start_requested,
    started,
    stop_requested,
    stopped,
    told_else,
    wound_down,
)
from tests.projections.given import Told, tell

NAMES = [f"b{n}" for n in range(4)]
FLEET: list[Told] = [
    *[event for name in NAMES for event in running(name)],
    *[reported(name, "grid", 1, 10) for name in NAMES],
    *[logged(name, "begun", 10) for name in NAMES],
]
CHANGES: list[Sequence[Told]] = [
    [heard("b0", 20)],
    [reported("b0", "grid", 2, 21), reported("b0", "maker", 3, 21, levels=1)],
    [logged("b1", "a line", 22)],
    [logged("b1", "an error", 23, level=40), heard("b0", 23)],
    told_else("b2", 24),
    [lost("b3", 40)],
    [returned("b3", 45)],
    [returned("stranger", 46), reported("stranger", "x", 1, 46)],
    [reported("b0", "maker", None, 47)],
    [stop_requested("b1", 50), wound_down("b1", 51)],
    [stopped("b1", 52)],
    [start_requested("b1", 53), started("b1", 54)],
    [logged("b1", f"again {n}", 55) for n in range(7)],
    [stop_requested("b2", 56, archive=ArchivePlace()), wound_down("b2", 57), stopped("b2", 58), archived("b2", 59)],
    [cleared("b2", 60)],
    running("b2", 61),
]


class Fleet:
    """Views that follow the log; `known` is from one reading to the next."""

    def __init__(self, log: Log, progress: Progress, connection: Connection) -> None:
        self.log = log
        self.progress = progress
        self.connection = connection
        self.known: Known = {}

    async def told(self, story: Sequence[Told]) -> None:
        """Append a story, and wait until it is seen."""
        assert await self.progress.reached(await tell(self.log, story), ["bots"], 10) == 0

    async def read(self, seconds: float) -> Known:
        """Read how all stand at a time, with what is known. A bot is silent after 30 seconds."""
        self.known = await standings(self.connection, since=at(seconds) - timedelta(seconds=30), known=self.known)
        return self.known

    async def read_all(self, seconds: float) -> Known:
        """Read the same as if nothing was known."""
        return await standings(self.connection, since=at(seconds) - timedelta(seconds=30), known={})


@pytest.fixture
async def fleet(log: Log, progress: Progress, connection: Connection) -> Fleet:
    opened = Fleet(log, progress, connection)
    await opened.told(FLEET)
    return opened


def answers(known: Known) -> list[tuple[str, bytes]]:
    return [(bot.instance, bot.wire) for bot in known.values()]


async def test_with_what_is_known_the_answer_is_what_it_is_without(fleet: Fleet):
    statuses = {bot.status for bot in (await fleet.read(11)).values()}
    for number, story in enumerate(CHANGES):
        await fleet.told(story)
        for seconds in (20 + 3 * number, 500, 25 + 3 * number):  # all fall silent, and are heard again
            found = await fleet.read(seconds)
            assert answers(found) == answers(await fleet.read_all(seconds))
            statuses |= {bot.status for bot in found.values()}
    assert statuses == {"running", "idle", "stopping", "stopped"}


async def test_only_what_has_changed_is_read(fleet: Fleet):
    before = await fleet.read(11)
    await fleet.told([logged("b1", "a line", 12)])
    after = await fleet.read(12)
    assert [bot.instance for bot in after.values() if bot not in before.values()] == ["b1"]
    assert all(after[key] is before[key] for key in after if key in before)


async def test_questions_at_the_same_time_may_leave_what_they_know_in_any_order(fleet: Fleet):
    before = await fleet.read(11)
    await fleet.told([logged("b1", "a line", 12), reported("b2", "grid", 5, 12)])
    after = await fleet.read(12)
    fleet.known = before  # what a slower question has read
    assert answers(await fleet.read(12)) == answers(after)


async def test_views_that_were_built_anew_are_read_anew(fleet: Fleet, database_url: str):
    before = await fleet.read(11)
    bots = [view for view in VIEWS if view.name == "bots"]
    await rebuild(database_url, fleet.log, bots)
    after = await fleet.read(11)
    assert answers(after) == answers(before)
    assert not set(after) & set(before)


async def test_a_view_that_postgres_lost_the_end_of_is_read_anew(fleet: Fleet):
    before = await fleet.read(11)
    assert b'"begun"' in next(bot.wire for bot in before.values() if bot.instance == "b1")
    await fleet.connection.execute("update bots set changed = changed - 1 where instance = 'b1'")
    await fleet.connection.execute("update bot_newest set lines = '[]' where instance = 'b1'")
    after = {bot.instance: bot for bot in (await fleet.read(11)).values()}
    assert b'"begun"' not in after["b1"].wire
    assert list(after) == NAMES
