"""What the views answer about bots to handlers is what the log says."""

from collections.abc import Sequence
from datetime import datetime

from adapters.lookup import Views
from commands.ports import Log
from domain.bots import ArchivePlace
from projections.pool import Pool
from projections.replay import rebuild
from projections.views import VIEWS
from tests.fakes.lookup import ScanningLookup
from tests.projections import fleet
from tests.projections.fleet import FLEET, at
from tests.projections.given import tell


async def seen(_views: Sequence[str]) -> None:
    """Have the views seen the log: they were built from all of it."""


async def test_the_instances_are_those_deployed_and_not_cleared_away(database_url: str, log: Log) -> None:
    await tell(log, FLEET)
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        assert await Views(pool, seen).instances() == ["maker", "grid"]  # grid was cleared, and deployed anew
    assert sorted(await ScanningLookup(log).instances()) == ["grid", "maker"]


async def test_a_strategy_has_ended_when_every_controller_has_said_so_since_then(database_url: str, log: Log) -> None:
    await tell(
        log,
        [
            *fleet.running("ended"),
            *(fleet.reported("ended", controller, 1, 10) for controller in ("a", "b")),
            *(fleet.reported("ended", controller, None, 20) for controller in ("a", "b")),
            *fleet.running("half"),
            fleet.reported("half", "a", None, 20),
            fleet.reported("half", "b", 1, 20),
            *fleet.running("mute"),
            fleet.logged("mute", "nothing to say"),
        ],
    )
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        views, plain = Views(pool, seen), ScanningLookup(log)

        async def ended(bot: str, since: datetime) -> bool:
            found = await views.strategy_ended(bot, since=since)
            assert found == await plain.strategy_ended(bot, since=since)
            return found

        assert await ended("ended", at(20))
        assert not await ended("ended", at(20.1))
        assert not await ended("half", at(0))
        assert not await ended("mute", at(0))
        assert not await ended("nobody", at(0))


async def test_what_ended_before_a_start_is_no_sign_after_it(database_url: str, log: Log) -> None:
    before = [*fleet.running("b"), fleet.reported("b", "a", None, 20), fleet.started("b", 30)]
    await tell(log, before)
    await rebuild(database_url, log, VIEWS)
    async with Pool.open(database_url, size=1) as pool:
        views = Views(pool, seen)
        assert not await views.strategy_ended("b", since=at(0))
        await tell(log, [fleet.reported("b", "new", None, 40), fleet.stop_requested("b", 50, archive=ArchivePlace())])
        await rebuild(database_url, log, VIEWS)
        assert await views.strategy_ended("b", since=at(40))


async def test_a_question_waits_for_the_views_that_it_is_asked_of(database_url: str, log: Log) -> None:
    await rebuild(database_url, log, VIEWS)
    waited: list[str] = []

    async def wait(views: Sequence[str]) -> None:
        waited.extend(views)

    async with Pool.open(database_url, size=1) as pool:
        views = Views(pool, wait)
        for question, expected in (
            (views.accounts(), {"accounts"}),
            (views.memory("master_account", "paper"), {"orders", "positions", "portfolio"}),
            (views.unanswered(placed_before=at(0)), {"orders"}),
            (views.sources(), {"strategies"}),
            (views.instances(), {"bots"}),
            (views.strategy_ended("b", since=at(0)), {"bots"}),
        ):
            waited.clear()
            await question
            assert set(waited) == expected
