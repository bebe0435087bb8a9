"""Venues that give the newest candles alone: what they do not give is never told as if there had been no trade."""

from pathlib import Path

import pytest

from adapters.candles.history import CandleHistory
from adapters.candles.store import CandleStore
from domain.candles import INTERVALS, LONGEST_WAIT_SECONDS, Known, Series, TooOld, slot
from domain.errors import Invalid
from tests.fakes.candle_venue import ForgetfulVenue, Time, candle_at

MINUTE = INTERVALS["1m"]
NOW = 1_000_000
"""The minute in which it is now."""
NEWEST = 720
OLDEST = NOW - NEWEST + 1
LISTED = NOW - 200_000
BTC = ("forgetful", "BTC-USDT", "1m")
KINDS = {"cut": {}, "silent": {"silent": True}, "deaf": {"deaf": True}}


class Stage:
    """A venue that forgets, and the candles kept of it."""

    def __init__(self, root: Path, *, listed: int = LISTED, **how) -> None:
        self.clock = Time(NOW * 60 + 30.0)
        self.venue = ForgetfulVenue(self.clock, listed, newest=NEWEST, **how)
        self.store = CandleStore(root)
        self.history = CandleHistory(self.store, {"forgetful": self.venue}, listed=["forgetful"], clock=self.clock)
        self.series = Series("forgetful", "BTC-USDT", MINUTE)

    async def between(self, start, end):
        found = await self.history.between(*BTC, start * 60, end * 60)
        return [slot(MINUTE, at) for at in found.timestamp]

    async def latest(self, count):
        return [slot(MINUTE, at) for at in (await self.history.latest(*BTC, count)).timestamp]

    def known(self):
        return [(span.start, span.end) for span in self.store.known(self.series)]


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def stage(request, tmp_path):
    return Stage(tmp_path, **request.param)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW - 100_000, NOW - 99_000),
        (NOW - 1_500, NOW - 1_496),
        (NOW - 5_000, NOW - 1),
        (OLDEST - 40, OLDEST + 40),
    ],
    ids=["long ago", "a few of yesterday", "up to now", "across the edge"],
)
async def test_what_a_venue_has_forgotten_is_refused_with_the_oldest_moment_and_nothing_of_it_is_kept(
    stage, start, end
):
    with pytest.raises(Invalid) as refused:
        await stage.between(start, end)
    assert isinstance(refused.value, TooOld)
    assert refused.value.message.startswith(
        f"1m candles of BTC-USDT on forgetful from {stamp(start)} are not given by the venue any more, though the pair"
        " was traded then: the oldest that can be had is "
    )
    oldest = refused.value.oldest
    assert oldest is not None
    assert OLDEST <= oldest <= NOW - 1
    assert stamp(oldest) in refused.value.message
    assert stage.known() == []


def stamp(number):
    moment = Time(number * 60)()
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({number * 60})"


async def test_the_moment_that_is_named_is_the_oldest_of_all_that_can_be_had(tmp_path):
    for kind in ("cut", "deaf"):
        stage = Stage(tmp_path / kind, **KINDS[kind])
        with pytest.raises(TooOld) as refused:
            await stage.between(NOW - 5_000, NOW - 1)
        assert refused.value.oldest == OLDEST
        assert await stage.between(OLDEST, NOW - 1) == list(range(OLDEST, NOW))


async def test_the_newest_are_those_that_there_are(stage):
    found = await stage.latest(2_000)
    assert found[-1] == NOW
    assert found == list(range(found[0], NOW + 1))
    assert OLDEST <= found[0] <= NOW - 90  # a venue that is silent tells no more than its newest page
    assert await stage.latest(50) == list(range(NOW - 49, NOW + 1))


async def test_before_a_listing_there_is_nothing_and_that_is_known(tmp_path):
    for kind, how in KINDS.items():
        stage = Stage(tmp_path / kind, listed=NOW - 300, **how)
        assert await stage.between(NOW - 380, NOW - 250) == list(range(NOW - 300, NOW - 249))
        asked = len(stage.venue.asked)
        assert await stage.between(NOW - 380, NOW - 310) == []
        assert stage.venue.asked[asked:] == []


async def test_a_quiet_hour_on_a_venue_that_has_it_is_a_fact(stage):
    quiet = range(NOW - 500, NOW - 440)
    stage.venue.quiet = set(quiet)
    assert await stage.between(NOW - 510, NOW - 430) == [
        number for number in range(NOW - 510, NOW - 429) if number not in quiet
    ]
    ((start, end),) = stage.known()
    assert (start, end >= NOW - 429) == (NOW - 510, True)


async def test_small_holes_of_an_imported_file_are_taken_as_they_are_told(stage):
    first = NOW - 100_000
    there = [number for number in range(first, first + 200) if number % 50 > 3]
    runs = [Known(first + each + 4, first + each + 50, NOW * 60) for each in range(0, 200, 50)]
    stage.store.keep(stage.series, [candle_at(MINUTE, number) for number in there], runs, NOW * 60)
    asked = (first + 4, first + 199)
    assert await stage.between(*asked) == [number for number in there if number >= first + 4]
    stage.clock.seconds += LONGEST_WAIT_SECONDS
    assert await stage.between(*asked) == [number for number in there if number >= first + 4]
    assert max(end for _, end in stage.known()) == first + 200  # and nothing after it is taken for known
