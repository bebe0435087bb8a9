"""What is asked of a venue for candles, and what is answered."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.candles import history, live
from adapters.candles.history import CandleHistory
from adapters.candles.store import CandleStore
from domain.candles import INTERVALS, LONGEST_WAIT_SECONDS, MOST_CANDLES, MOST_NEWEST, Series, settled, slot
from domain.errors import Invalid, Unavailable
from tests.fakes.candle_venue import HoledVenue, Time, candle_at

MINUTE = INTERVALS["1m"]
FIRST = 1_000_000
"""The slot at which tests begin."""
BTC = ("holed", "BTC-USDT", "1m")


class Stage:
    """A venue, the candles kept of it, and a clock that stands a while after slot FIRST + 20 began."""

    def __init__(self, root: Path, **venue) -> None:
        self.clock = Time((FIRST + 20) * 60 + 30.0)
        self.venue = HoledVenue(self.clock, MINUTE, **venue)
        self.store = CandleStore(root)
        self.history = self.begun()

    def begun(self):
        return CandleHistory(self.store, {"holed": self.venue}, listed=["holed"], clock=self.clock)

    async def between(self, start, end):
        """Return slot → close of the candles between two slots, both included."""
        found = await self.history.between(*BTC, start * 60, end * 60)
        return {slot(MINUTE, at): close for at, close in zip(found.timestamp, found.close, strict=True)}

    async def latest(self, count):
        found = await self.history.latest(*BTC, count)
        return [slot(MINUTE, at) for at in found.timestamp]

    def has(self, start, end):
        return {n: candle.close for n, candle in self.venue.now().items() if start <= n <= end}


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 26), st.integers(0, 26)),
        st.tuples(st.just("latest"), st.integers(1, 12), st.just(0)),
        st.tuples(st.just("fill"), st.integers(0, 26), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([1, 7, 61, 400, LONGEST_WAIT_SECONDS]), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=25,
)
VENUES = st.fixed_dictionaries(
    {"page": st.sampled_from([1, 3, 50]), "gives": st.sampled_from([2, 50]), "seeking": st.booleans()}
)


@settings(deadline=None)
@given(has=st.sets(st.integers(0, 26)), venue=VENUES, actions=ACTIONS)
def test_any_requests_of_a_venue_with_holes_give_what_it_has_and_ask_nothing_twice(has, venue, actions):
    async def play(root):
        stage = Stage(Path(root), **venue)
        stage.venue.fill(*(FIRST + each for each in has))
        given: set[int] = set()  # closed when the venue gave them
        late: dict[int, float] = {}  # slot → when the venue has filled it
        for action, one, other in actions:
            done = len(stage.venue.asked)
            if action == "wait":
                stage.clock.seconds += one
            elif action == "restart":
                stage.history = stage.begun()
            elif action == "fill" and FIRST + one < slot(MINUTE, stage.clock.seconds):
                if FIRST + one not in stage.venue.has:
                    late[FIRST + one] = stage.clock.seconds
                stage.venue.fill(FIRST + one)
            elif action in {"ask", "latest"}:
                edge = settled(MINUTE, stage.clock.seconds)
                if action == "latest":
                    end = slot(MINUTE, stage.clock.seconds)
                    start = end - one
                    found = await stage.history.latest(*BTC, one + 1)
                    answered = {slot(MINUTE, at) for at in found.timestamp if slot(MINUTE, at) >= start}
                else:
                    start, end = FIRST + min(one, other), FIRST + max(one, other)
                    answered = set(await stage.between(start, end))
                held = set(stage.has(start, end))
                assert answered <= held
                # What it filled in lately may be asked for later; all else is there.
                overdue = {n for n, at in late.items() if stage.clock.seconds - at >= LONGEST_WAIT_SECONDS}
                fresh = {n for n in held - answered if n < edge} - (set(late) - overdue)
                assert not fresh
                for (first, last), gave in zip(stage.venue.asked[done:], stage.venue.gave[done:], strict=True):
                    assert not given & set(range(first, last))
                    given |= {number for number in gave if number < edge}

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(play(root))


async def test_what_is_closed_is_asked_for_once_whoever_asks_and_after_a_restart(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    assert await stage.between(FIRST, FIRST + 9) == stage.has(FIRST, FIRST + 9)
    assert stage.venue.asked == [(FIRST, FIRST + 5), (FIRST + 5, FIRST + 10)]
    stage.history = stage.begun()
    assert await stage.between(FIRST + 2, FIRST + 11) == stage.has(FIRST + 2, FIRST + 11)
    assert stage.venue.asked[2:] == [(FIRST + 10, FIRST + 12)]


async def test_many_who_ask_at_once_ask_the_venue_once(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    answers = await asyncio.gather(*(stage.between(FIRST, FIRST + 4) for _ in range(20)))
    assert answers == [stage.has(FIRST, FIRST + 4)] * 20
    assert stage.venue.asked == [(FIRST, FIRST + 5)]


async def test_who_wants_little_does_not_wait_for_who_wants_much(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    much = asyncio.create_task(stage.between(FIRST - 500, FIRST + 10))
    while not stage.venue.asked:
        await asyncio.sleep(0)
    assert await stage.between(FIRST + 12, FIRST + 13) == stage.has(FIRST + 12, FIRST + 13)
    assert not much.done()
    assert await much == stage.has(FIRST - 500, FIRST + 10)


async def test_the_open_candle_is_shown_and_never_kept(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    assert await stage.between(FIRST + 18, FIRST + 30) == stage.has(FIRST + 18, FIRST + 30)
    stage.clock.seconds += 10
    again = await stage.between(FIRST + 18, FIRST + 30)
    assert again == stage.has(FIRST + 18, FIRST + 30)
    assert again[FIRST + 20] == 10.4
    kept = stage.store.read(Series("holed", "BTC-USDT", MINUTE), (FIRST, FIRST + 30))
    assert [slot(MINUTE, at) for at in kept.timestamp] == [FIRST + 18, FIRST + 19]


async def test_who_looks_within_a_second_sees_what_was_asked_before(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    await stage.latest(3)
    asked = len(stage.venue.asked)
    stage.clock.seconds += 0.9
    assert await stage.latest(3) == [FIRST + 18, FIRST + 19, FIRST + 20]
    assert len(stage.venue.asked) == asked
    stage.clock.seconds += 0.2
    await stage.latest(3)
    assert len(stage.venue.asked) == asked + 1


async def test_who_follows_the_newest_is_listed_and_all_share_one_question_a_second(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    assert stage.history.states(600) == []
    await stage.between(FIRST, FIRST + 10)
    assert stage.history.states(600) == []  # what is past is asked for, not followed
    with stage.history.following(*BTC, 100):
        asked = len(stage.venue.asked)
        for count in (3, 1, 5, 2):
            await stage.latest(count)
        assert sum(end > FIRST + 20 for _, end in stage.venue.asked[asked:]) == 1
        (state,) = stage.history.states(0)
        assert (state.kind, state.connector, state.trading_pair, state.interval) == ("candles", *BTC)
        assert (state.readers, state.max_records, state.heard, state.stale) == (1, 100, 4, False)
    (state,) = stage.history.states(600)
    assert (state.readers, state.ends_at) == (0, stage.clock() + timedelta(seconds=600))
    assert stage.history.states(-1) == []  # it was asked for longer ago than that


async def test_candles_that_do_not_come_any_more_are_listed_with_the_reason(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    await stage.latest(3)

    async def away(*_):
        raise Unavailable("the venue does not answer")

    stage.venue.candles = away
    stage.clock.seconds += 60
    with pytest.raises(Unavailable):
        await stage.latest(3)
    (state,) = stage.history.states(600)
    assert (state.stale, state.why, state.failures) == (True, "the venue does not answer", 1)
    with pytest.raises(Invalid):
        await stage.history.latest("holed", "NO-USDT", "1m", 3)
    with pytest.raises(Invalid):
        await stage.history.latest("nope", "BTC-USDT", "1m", 3)
    assert len(stage.history.states(600)) == 1


async def test_of_series_that_nobody_follows_only_the_last_are_remembered(stage, monkeypatch):
    monkeypatch.setattr(live, "REMEMBERED", 2)
    stage.venue.fill(*range(FIRST, FIRST + 20))
    with stage.history.following("holed", "BTC-USDT", "1h", 7):
        for name in ("1m", "3m", "5m"):
            await stage.history.latest("holed", "BTC-USDT", name, 1)
        assert {state.interval for state in stage.history.states(600)} == {"1h", "3m", "5m"}


async def test_the_newest_are_so_many_even_before_the_first_trade_of_an_interval(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    stage.venue.now = lambda: dict(stage.venue.has)
    assert await stage.latest(3) == [FIRST + 17, FIRST + 18, FIRST + 19]


async def test_a_hole_that_the_venue_fills_is_found(stage):
    stage.venue.fill(*(FIRST + each for each in range(20) if each not in {4, 5}))
    assert FIRST + 4 not in await stage.between(FIRST, FIRST + 9)
    stage.venue.fill(FIRST + 4)
    asked = len(stage.venue.asked)
    stage.clock.seconds += LONGEST_WAIT_SECONDS
    assert await stage.between(FIRST, FIRST + 9) == stage.has(FIRST, FIRST + 9)
    assert stage.venue.asked[asked:] == [(FIRST + 4, FIRST + 6), (FIRST + 5, FIRST + 6)]
    asked += 2
    await stage.between(FIRST, FIRST + 9)
    assert stage.venue.asked[asked:] == []


async def test_years_before_a_listing_are_one_question_where_the_venue_seeks(tmp_path):
    stage = Stage(tmp_path, seeking=True)
    stage.venue.fill(*range(FIRST, FIRST + 5))
    assert await stage.between(FIRST - 500_000, FIRST + 4) == stage.has(FIRST, FIRST + 4)
    assert stage.venue.asked == [(FIRST - 500_000, FIRST - 500_000 + 5)]


async def test_holes_are_asked_for_again_a_few_at_a_time(stage):
    stage.venue.fill(*range(FIRST - 100, FIRST, 2))
    await stage.between(FIRST - 100, FIRST - 1)
    asked = len(stage.venue.asked)
    stage.clock.seconds += LONGEST_WAIT_SECONDS
    await stage.between(FIRST - 100, FIRST - 1)
    assert len(stage.venue.asked) == asked + history.PAGES_FOR_HOLES


async def test_what_cannot_be_a_candle_is_a_hole_and_is_logged_and_disturbs_nothing_else(stage):
    stage.venue.fill(*range(FIRST, FIRST + 4))
    stage.venue.has[FIRST + 1] = candle_at(MINUTE, FIRST + 1, close=float("nan"))
    with capture_logs() as logs:
        assert set(await stage.between(FIRST, FIRST + 3)) == {FIRST, FIRST + 2, FIRST + 3}
    assert [(log["event"], log["why"]) for log in logs] == [("candles_unusable", "close nan is not a number")]
    stage.venue.fill(FIRST + 1)
    stage.clock.seconds += LONGEST_WAIT_SECONDS
    assert await stage.between(FIRST, FIRST + 3) == stage.has(FIRST, FIRST + 3)


async def test_a_venue_that_is_away_is_unavailable_and_what_is_known_is_shown(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    await stage.between(FIRST, FIRST + 4)

    async def away(*_):
        raise Unavailable("holed did not answer fetch_ohlcv: no answer within 10 s")

    stage.venue.candles = away
    assert await stage.between(FIRST, FIRST + 4) == stage.has(FIRST, FIRST + 4)
    with pytest.raises(Unavailable, match="did not answer"):
        await stage.between(FIRST, FIRST + 5)


async def test_who_waits_for_a_venue_that_does_not_answer_fails_with_the_first(stage):
    asked = []
    late = asyncio.Event()

    async def silent(*_):
        asked.append(1)
        await late.wait()
        raise Unavailable("holed did not answer fetch_ohlcv: no answer within 10 s")

    stage.venue.candles = silent
    asking = [asyncio.create_task(stage.between(FIRST, FIRST + 4)) for _ in range(5)]
    while not asked:
        await asyncio.sleep(0)
    late.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in told] == [Unavailable] * 5
    assert len(asked) == 1


async def test_what_is_known_needs_no_venue(stage):
    stage.venue.fill(*range(FIRST, FIRST + 5))
    await stage.between(FIRST, FIRST + 9)

    async def away(*_):
        raise Unavailable("holed could not be reached")

    stage.venue.begin = away
    stage.clock.seconds += LONGEST_WAIT_SECONDS
    with capture_logs() as logs:
        assert await stage.between(FIRST, FIRST + 9) == stage.has(FIRST, FIRST + 9)
    assert [log["event"] for log in logs] == ["holes_not_asked"]
    with pytest.raises(Unavailable):
        await stage.between(FIRST, FIRST + 10)


async def test_a_venue_is_not_asked_for_more_than_it_may_be_in_one_request(stage):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    stage.venue.most = 12
    await stage.between(FIRST, FIRST + 9)
    with pytest.raises(Invalid, match="13 1m candles that holed has to make are more than 12"):
        await stage.between(FIRST - 8, FIRST + 14)
    assert len(await stage.between(FIRST - 7, FIRST + 14)) == 15


async def test_what_takes_too_long_is_said_and_goes_on_the_next_time(stage, monkeypatch):
    stage.venue.fill(*range(FIRST, FIRST + 20))
    monkeypatch.setattr(history, "PATIENCE_SECONDS", 0.0)
    answer = stage.venue.candles

    async def slow(*asked):
        until = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() <= until:
            await asyncio.sleep(0)
        return await answer(*asked)

    stage.venue.candles = slow
    with pytest.raises(Unavailable, match="of 15 1m candles of BTC-USDT did not come from holed within 0 s"):
        await stage.between(FIRST, FIRST + 14)
    monkeypatch.undo()
    done = len(stage.venue.asked)
    assert await stage.between(FIRST, FIRST + 14) == stage.has(FIRST, FIRST + 14)
    assert done + len(stage.venue.asked[done:]) == 3


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (("nope", "BTC-USDT", "1m", 0, 60), r"Unsupported connector 'nope'. Available connectors: \['holed'\]"),
        (("holed", "BTCUSDT", "1m", 0, 60), "Invalid trading pair: 'BTCUSDT'"),
        (("holed", "NO-USDT", "1m", 0, 60), "Trading pair 'NO-USDT' is not traded"),
        (("holed", "BTC-USDT", "7m", 0, 60), "Interval '7m' is unknown"),
        (("holed", "BTC-USDT", "1m", 61, 60), "start_time 61 is after end_time 60"),
        (("holed", "BTC-USDT", "1s", 0, 700_000), f"700001 1s candles between .* more than {MOST_CANDLES}"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(stage, asked, reason):
    with pytest.raises(Invalid, match=reason):
        await stage.history.between(*asked)
    assert stage.venue.asked == []


async def test_too_many_of_the_newest_are_refused_with_the_bound(stage):
    with pytest.raises(Invalid, match=f"1000000 1m candles are more than {MOST_NEWEST}"):
        await stage.history.latest(*BTC, 1_000_000)


async def test_nothing_is_asked_of_times_to_come(stage):
    assert await stage.between(FIRST + 100, FIRST + 900_000) == {}
    assert stage.venue.asked == []


async def test_no_more_series_are_remembered_than_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(history, "REMEMBERED", 2)
    for name in ("1m", "3m", "5m", "15m"):
        await stage.history.latest("holed", "BTC-USDT", name, 1)
    assert [series.interval.name for series in stage.history._newest] == ["5m", "15m"]
