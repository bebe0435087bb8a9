"""Candles: intervals, what is known of a series, and what is to be asked for."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candles import (
    INTERVALS,
    LONGEST_WAIT_SECONDS,
    MOST_CANDLES,
    SETTLES_SECONDS,
    SHORTEST_WAIT_SECONDS,
    Candle,
    Known,
    check_count,
    crossed,
    due,
    holes,
    interval,
    learn,
    proved,
    settled,
    slot,
    unknown,
    wrong,
)
from domain.errors import Invalid

MINUTE, WEEK = INTERVALS["1m"], INTERVALS["1w"]
GOOD = Candle(60.0, 10.0, 12.0, 9.0, 11.0, 3.0, 33.0, 4.0, 1.0, 11.0)

SLOTS = st.integers(0, 40)
SPANS = st.tuples(SLOTS, SLOTS).map(lambda ends: (min(ends), max(ends) + 1))
NEWS = st.lists(st.tuples(SPANS, st.integers(0, 3)), max_size=12)


def slots_of(spans):
    return {each for span in spans for each in range(span[0], span[1])}


def learnt(news, wait=1_000):
    """Return what is known after some news, each asked `wait` seconds times its number, and slot → when."""
    known: list[Known] = []
    model: dict[int, int] = {}
    now = 0
    for (start, end), times in news:
        now += times * wait
        known = learn(known, Known(start, end, now), now)
        model |= dict.fromkeys(range(start, end), now)
    return known, model, now


def test_an_interval_is_found_by_its_name_or_refused_with_all_names():
    assert interval("1M") is INTERVALS["1M"]
    with pytest.raises(Invalid, match=r"Interval '7m' is unknown\. Intervals: 1s, 1m, .*1w, 1M"):
        interval("7m")


def test_more_candles_than_one_answer_may_have_are_refused_with_the_bound():
    check_count(MOST_CANDLES, "1m candles")
    with pytest.raises(Invalid, match=f"600001 1m candles are more than {MOST_CANDLES}"):
        check_count(MOST_CANDLES + 1, "1m candles")


def test_a_candle_settles_some_seconds_after_its_end():
    assert settled(MINUTE, 600 + SETTLES_SECONDS - 0.001) == 9
    assert settled(MINUTE, 600 + SETTLES_SECONDS) == 10


def test_where_venues_disagree_on_the_beginning_a_slot_settles_one_later():
    now = 50 * WEEK.seconds + SETTLES_SECONDS
    assert settled(WEEK, now) == 49


@pytest.mark.parametrize(
    ("candle", "reason"),
    [
        (GOOD, None),
        (GOOD._replace(volume=0.0, n_trades=0.0), None),
        (GOOD._replace(open=math.nan), "open nan is not a number"),
        (GOOD._replace(volume=math.inf), "volume inf is not a number"),
        (GOOD._replace(low=0.0), "low 0 is not above 0"),
        (GOOD._replace(close=-1.5), "close -1.5 is negative"),
        (GOOD._replace(quote_asset_volume=-1.0), "quote_asset_volume -1 is negative"),
    ],
)
def test_what_cannot_be_a_candle_is_named(candle, reason):
    assert wrong(candle) == reason


@pytest.mark.parametrize(
    ("candle", "reason"),
    [
        (GOOD, None),
        (GOOD._replace(high=10.5), "high 10.5 is not the highest price"),
        (GOOD._replace(low=10.5), "low 10.5 is not the lowest price"),
        (GOOD._replace(open=9.0, high=9.0, low=9.0, close=9.0), None),
    ],
)
def test_prices_that_cannot_all_be_true_are_named(candle, reason):
    assert crossed(candle) == reason


@given(news=NEWS)
def test_what_is_known_is_what_was_asked(news):
    known, model, _ = learnt(news)
    assert slots_of((span.start, span.end) for span in known) == set(model)
    assert all(one.end <= other.start for one, other in pairwise(known))


@given(news=NEWS)
def test_of_each_slot_it_is_known_when_it_was_asked_for_until_that_is_so_long_ago_that_it_is_due(news):
    known, model, now = learnt(news)
    for span in known:
        for each in range(span.start, span.end):
            assert span.asked_at == model[each] or now - max(span.asked_at, model[each]) >= LONGEST_WAIT_SECONDS


@given(news=NEWS)
def test_what_was_asked_together_is_one_span(news):
    known, _, _ = learnt(news, wait=0)
    assert all(one.end < other.start for one, other in pairwise(known))


@given(news=NEWS, wanted=SPANS)
def test_unknown_is_what_is_wanted_and_was_never_asked(news, wanted):
    known, model, _ = learnt(news)
    left = unknown(known, wanted)
    assert slots_of(left) == set(range(*wanted)) - set(model)
    assert left == sorted(left)


@given(filled=st.sets(SLOTS), wanted=SPANS)
def test_holes_are_the_slots_without_a_candle(filled, wanted):
    times = [each * 60.0 for each in sorted(filled & set(range(*wanted)))]
    found = list(holes(times, MINUTE, wanted))
    assert slots_of(found) == set(range(*wanted)) - filled
    assert found == sorted(found)


def test_a_year_without_a_hole_is_seen_at_once():
    class Looked(list[float]):
        looks = 0

        def __getitem__(self, place):
            Looked.looks += 1
            return super().__getitem__(place)

    times = Looked(each * 60.0 for each in range(525_600))
    assert list(holes(times, MINUTE, (0, 525_600))) == []
    assert Looked.looks < 10


def test_a_hole_is_due_when_it_is_twice_as_old_but_after_an_hour_at_the_latest():
    known = [Known(0, 100, 100 * 60)]  # the hole below had ended ten minutes before
    hole = [(80, 90)]
    assert due(known, hole, MINUTE, 100 * 60 + 599) == []
    assert due(known, hole, MINUTE, 100 * 60 + 600) == hole
    known = [Known(0, 10_000, 10_000 * 60)]
    assert due(known, hole, MINUTE, 10_000 * 60 + LONGEST_WAIT_SECONDS - 1) == []
    assert due(known, hole, MINUTE, 10_000 * 60 + LONGEST_WAIT_SECONDS) == hole


def due_the_slow_way(known, found, of, now):
    """Return what is due by comparing every hole with every span."""
    again = []
    for start, end in found:
        for span in known:
            first, last = max(start, span.start), min(end, span.end)
            if first < last:
                age = span.asked_at - last * of.seconds
                if now - span.asked_at >= min(max(age, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS):
                    again.append((first, last))
    return sorted(again, key=lambda hole: hole[0] - hole[1])


@given(NEWS, st.sets(SLOTS), SPANS, st.integers(0, 2 * LONGEST_WAIT_SECONDS))
def test_what_is_due_is_what_looking_at_every_hole_and_every_span_finds(news, filled, wanted, later):
    known, _, now = learnt(news)
    times = [each * 60.0 for each in sorted(filled) if wanted[0] <= each < wanted[1]]
    found = list(holes(times, MINUTE, wanted))
    assert due(known, found, MINUTE, now + later) == due_the_slow_way(known, found, MINUTE, now + later)


def test_many_holes_in_many_spans_are_looked_at_once_each():
    count = 20_000
    known = [Known(4 * each, 4 * each + 3, 0) for each in range(count)]
    looked_at = 0

    def spans():
        nonlocal looked_at
        for span in known:
            looked_at += 1
            yield span

    found = [(4 * each + 1, 4 * each + 2) for each in range(count)]
    assert len(due(spans(), iter(found), MINUTE, 10**9)) == count
    assert looked_at == count


def test_of_a_hole_only_what_is_due_is_asked_for_and_the_largest_hole_first():
    now = 1_000_000
    known = [Known(0, 10, 0), Known(10, 20, now), Known(20, 60, 0)]
    assert due(known, [(5, 15), (22, 40)], MINUTE, now) == [(22, 40), (5, 10)]


@given(asked=SPANS, answered=st.sets(SLOTS))
def test_an_answer_proves_nothing_after_its_last_candle(asked, answered):
    later = sorted(each for each in answered if each >= asked[0])
    proof = proved(asked, later)
    assert proof[0] == asked[0]
    assert proof[1] == (later[-1] + 1 if later else asked[1])
    assert proof[1] > asked[0]


def test_a_slot_begins_at_a_multiple_of_its_length():
    assert (slot(MINUTE, 59.999), slot(MINUTE, 60), slot(INTERVALS["1s"], 1.5)) == (0, 1, 1)
