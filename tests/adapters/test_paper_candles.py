"""Candles of the paper venue."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.candles.paper import TRADES, PaperCandles
from adapters.candles.table import REPLAYED, candle_history
from adapters.exchanges.paper_feed import RULES, RecordedFeed, SyntheticFeed
from adapters.exchanges.paper_record import open_feed
from adapters.market_data.public_clients import PublicClients, opener
from domain.candles import INTERVALS, Candle, crossed, wrong
from domain.errors import Invalid
from tests.fakes.candle_venue import Time

DATA = Path(__file__).parents[1] / "data"
NOW = 1_795_348_830.0
MINUTE = INTERVALS["1m"]


def synthetic(seed=1, now=NOW):
    return PaperCandles(SyntheticFeed(seed), market="synthetic", clock=Time(now))


def mid(feed, pair, at):
    (step,) = feed.steps(None, at)
    return feed.rules[pair], step[pair].mid


@settings(deadline=None)
@given(
    pair=st.sampled_from(sorted(RULES)),
    of=st.sampled_from(list(INTERVALS.values())),
    number=st.integers(0, 600),
    seed=st.integers(0, 9),
)
def test_a_candle_is_possible_and_always_the_same(pair, of, number, seed):
    one, other = (
        PaperCandles(SyntheticFeed(seed), market="m", clock=Time(NOW * 2))._made(pair, of, number * of.seconds, count)
        for count in (3, 2)
    )
    assert one[:2] == other
    assert [candle.timestamp for candle in one] == [(number + n) * of.seconds for n in range(3)]
    for candle in one:
        assert (wrong(candle), crossed(candle), candle.n_trades) == (None, None, TRADES)
        assert candle.taker_buy_base_volume <= candle.volume
    assert all(before.close == after.open for before, after in pairwise(one))


async def test_the_prices_are_those_of_the_market_at_the_time():
    feed = SyntheticFeed(1)
    (candle,) = await synthetic().candles("ETH-BTC", MINUTE, 1_795_348_740, 1)
    for at, price in ((1_795_348_740, candle.open), (1_795_348_800, candle.close)):
        rule, expected = mid(feed, "ETH-BTC", datetime.fromtimestamp(at, UTC))
        assert abs(Decimal(str(price)) - expected) <= 2 * rule.min_price_increment


async def test_an_open_candle_is_as_far_as_the_market_and_nothing_comes_after_it():
    found = await synthetic().candles("BTC-USDT", MINUTE, 1_795_348_740, 10)
    assert [(candle.timestamp, candle.n_trades) for candle in found] == [(1_795_348_740, 4), (1_795_348_800, 2)]
    assert await synthetic().candles("BTC-USDT", MINUTE, 1_795_348_860, 10) == []


async def test_another_seed_is_another_market():
    one, other = [await synthetic(seed).candles("BTC-USDT", MINUTE, 0, 2) for seed in (1, 2)]
    assert one != other


async def test_a_pair_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(Invalid, match=r"'X-USDT' is not traded on the paper venue\. Its pairs: BTC-USDT"):
        await synthetic().begin("X-USDT", MINUTE)
    await synthetic().begin("BTC-USDT", INTERVALS["1M"])


@pytest.fixture
def recorded():
    start = datetime.fromtimestamp(NOW - 80, UTC)
    feed = open_feed(DATA / "binance_BTC-USDT_quotes.csv.gz", seed=1, tick_seconds=Decimal(1), start=start)
    assert isinstance(feed, RecordedFeed)
    return feed


async def test_a_recorded_market_has_the_candles_of_what_was_replayed(recorded):
    paper = PaperCandles(recorded, market="recorded", clock=Time(NOW))
    found = await paper.candles("BTC-USDT", MINUTE, 1_795_348_620, 10)
    # It began within the first of these.
    assert [candle.timestamp for candle in found] == [1_795_348_740, 1_795_348_800]
    assert all(wrong(candle) is None and crossed(candle) is None for candle in found)
    steps = recorded.steps(datetime.fromtimestamp(1_795_348_740, UTC), datetime.fromtimestamp(1_795_348_800, UTC))
    mids = [float(step["BTC-USDT"].mid) for step in steps]
    assert found[0].high == pytest.approx(max(mids), abs=0.01)
    assert found[0].low == pytest.approx(min(mids), abs=0.01)
    assert found[0].n_trades >= len(mids) - 1


async def test_beside_a_recorded_pair_the_others_are_synthetic_and_as_old(recorded):
    paper = PaperCandles(recorded, market="recorded", clock=Time(NOW))
    for pair in ("SOL-USDT", "ETH-BTC"):
        found = await paper.candles(pair, MINUTE, 1_795_348_620, 10)
        assert [candle.timestamp for candle in found] == [1_795_348_740, 1_795_348_800]
    (eth_btc,) = await paper.candles("ETH-BTC", MINUTE, 1_795_348_740, 1)
    rule, expected = mid(recorded, "ETH-BTC", datetime.fromtimestamp(1_795_348_800, UTC))
    assert abs(Decimal(str(eth_btc.close)) - expected) <= 2 * rule.min_price_increment


async def test_what_was_kept_of_another_replay_is_forgotten_at_the_start(tmp_path, recorded):
    clock = Time(NOW)

    def begun(seed, feed):
        return candle_history(tmp_path, feed=feed, seed=seed, clients=PublicClients(opener({})), clock=clock)

    await begun(None, recorded).latest("paper", "BTC-USDT", "1m", 5)
    await begun(7, SyntheticFeed(7)).latest("paper_perpetual", "BTC-USDT", "1m", 5)
    assert {path.name for path in (tmp_path / "candles").iterdir()} == {REPLAYED, "paper_seed_7"}
    begun(None, recorded)
    assert {path.name for path in (tmp_path / "candles").iterdir()} == {"paper_seed_7"}


async def test_the_market_s_candles_go_on_while_time_passes(tmp_path):
    clock = Time(NOW)
    history = candle_history(tmp_path, feed=SyntheticFeed(1), seed=1, clients=PublicClients(opener({})), clock=clock)
    before = [Candle(*row) for row in zip(*await history.latest("paper", "BTC-USDT", "1m", 3), strict=True)]
    clock.seconds += timedelta(minutes=1).total_seconds()
    after = [Candle(*row) for row in zip(*await history.latest("paper", "BTC-USDT", "1m", 4), strict=True)]
    assert after[:2] == before[:2]
    assert (after[2].open, after[2].timestamp, after[2].n_trades) == (before[2].open, before[2].timestamp, 4)
