"""Performance of controllers, as the read routes tell it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from commands.ports import Log
from tests.projections.fleet import cleared, reported, running, stopped, wound_down
from tests.projections.given import Told
from tests.read_api.bots import Fleet, reading

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.fixture
async def fleet(database_url: str, log: Log) -> AsyncIterator[Fleet]:
    async with reading(database_url, log) as opened:
        yield opened


def series(bot: str, controller: str, *seconds: int) -> list[Told]:
    """Return reports of a controller, whose profit is the second that each came in."""
    return [reported(bot, controller, second, second) for second in seconds]


async def history(fleet: Fleet, **query: Any) -> list[tuple[str, str, float]]:
    """Return bot, controller and profit of each sample of one page."""
    found = await fleet.ask("/controller-performance-history", **query)
    return [(one["bot_name"], one["controller_id"], one["performance"]["global_pnl_quote"]) for one in found["data"]]


async def test_there_is_none_at_first(fleet: Fleet):
    assert await fleet.ask("/controller-performance-latest") == {"status": "success", "data": []}
    pagination = {"next_cursor": None, "has_more": False, "limit": 100, "interval": "5m"}
    expected = {"status": "success", "data": [], "pagination": pagination}
    assert await fleet.ask("/controller-performance-history") == expected


async def test_the_latest_figures_stay_when_a_bot_ends(fleet: Fleet):
    await fleet.told([*running("b"), reported("b", "grid", 1, 2), reported("b", "grid", 2.5, 3, levels=3)])
    (one,) = (await fleet.ask("/controller-performance-latest"))["data"]
    assert one == {
        "timestamp": "2026-03-01T12:00:03+00:00",
        "bot_name": "b",
        "controller_id": "grid",
        "status": "running",
        "performance": {"global_pnl_quote": 2.5, "close_type_counts": {}},
        "custom_info": {"levels": 3},
    }
    await fleet.told([reported("b", "grid", None, 4), wound_down("b", 5), stopped("b", 6), cleared("b", 7)])
    assert (await fleet.ask("/controller-performance/latest"))["data"] == [{**one, "status": "stopped"}]


async def test_the_latest_figures_of_one_bot_can_be_asked_for(fleet: Fleet):
    await fleet.told([*series("a", "x", 1), *series("a", "y", 1), *series("b", "x", 1)])
    found = (await fleet.ask("/controller-performance-latest", bot_name="a"))["data"]
    assert [(one["bot_name"], one["controller_id"]) for one in found] == [("a", "x"), ("a", "y")]


async def test_each_series_has_one_sample_an_interval(fleet: Fleet):
    """Defect 13 of the reference: it samples the mixed list, so that all series but one are lost."""
    seconds = (1, 2, 299, 5 * MINUTE, 5 * MINUTE + 1, 15 * MINUTE, 30 * MINUTE, HOUR, HOUR + 299, DAY)
    told = [series(bot, controller, second) for second in seconds for bot in "ab" for controller in "xy"]
    await fleet.told([event for one in told for event in one])
    for interval, expected in (
        ("5m", [DAY, HOUR, 30 * MINUTE, 15 * MINUTE, 5 * MINUTE, 1]),
        ("15m", [DAY, HOUR, 30 * MINUTE, 15 * MINUTE, 1]),
        ("30m", [DAY, HOUR, 30 * MINUTE, 1]),
        ("1h", [DAY, HOUR, 1]),
        ("4h", [DAY, 1]),
        ("12h", [DAY, 1]),
        ("1d", [DAY, 1]),
    ):
        found = await history(fleet, interval=interval)
        for bot in "ab":
            for controller in "xy":
                assert [pnl for *who, pnl in found if who == [bot, controller]] == expected
        alone = await history(fleet, interval=interval, bot_name="a", controller_id="y")
        assert alone == [("a", "y", pnl) for pnl in expected]


async def test_pages_neither_skip_nor_repeat(fleet: Fleet):
    """Defect 13 of the reference: rows of one moment are skipped where a page ends among them."""
    seconds = range(0, 2 * HOUR, 10 * MINUTE)
    told = [series(bot, controller, second) for second in seconds for bot in "ab" for controller in "xy"]
    await fleet.told([event for one in told for event in one])
    for interval, count in (("5m", 48), ("1h", 8)):
        whole = await history(fleet, interval=interval)
        assert len(whole) == count == len(set(whole))
        for limit in (1, 7, 10):
            assert await page_by_page(fleet, interval=interval, limit=limit) == whole


async def page_by_page(fleet: Fleet, **query: Any) -> list[tuple[str, str, float]]:
    """Return all samples, read in pages."""
    found: list[tuple[str, str, float]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await fleet.ask("/controller-performance/history", **query, **cursor)
        found += [(s["bot_name"], s["controller_id"], s["performance"]["global_pnl_quote"]) for s in page["data"]]
        following = page["pagination"]["next_cursor"]
        assert page["pagination"]["has_more"] == (following is not None)
        if following is None:
            return found
        assert len(page["data"]) == query["limit"]
        cursor = {"cursor": following}


async def test_a_time_can_be_asked_for(fleet: Fleet):
    await fleet.told(series("b", "x", 0, 600, 1200, 1800))
    assert await history(fleet, start_time="2026-03-01T12:10:00", end_time="2026-03-01T12:20:00Z") == [
        ("b", "x", 1200),
        ("b", "x", 600),
    ]
    assert await history(fleet, start_time="2026-03-01T14:30:00+02:00") == [("b", "x", 1800)]


async def test_a_clock_that_is_set_back_gives_no_second_sample(fleet: Fleet):
    await fleet.told(series("b", "x", 700, 100, 400, 899, 900))
    assert await history(fleet) == [("b", "x", 900), ("b", "x", 700)]


async def test_what_says_nothing_is_no_sample(fleet: Fleet):
    await fleet.told([reported("b", "x", None, 1), reported("b", "x", 2, 2), reported("b", "x", None, 600)])
    assert await history(fleet) == [("b", "x", 2)]


async def test_a_request_that_cannot_be_is_refused(fleet: Fleet):
    for bad in ({"interval": "7m"}, {"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": f"{'9' * 18}-1"}):
        (problem,) = (await fleet.ask("/controller-performance-history", 422, **bad))["detail"]
        assert problem["loc"] == ["query", *bad]


async def test_a_time_that_is_none_is_refused(fleet: Fleet):
    for given in ("xx", "", "2026-13-01", "yesterday", "1772366400"):
        detail = (await fleet.ask("/controller-performance-history", 400, start_time=given))["detail"]
        assert detail.startswith("Invalid datetime format: ")


async def test_the_ends_of_time_are_times(fleet: Fleet):
    await fleet.told(series("b", "x", 1))
    assert await history(fleet, start_time="0001-01-01T00:00:00+23:59", end_time="9999-12-31T23:59:59-23:59") == [
        ("b", "x", 1)
    ]
