"""The paper venue's market: synthetic and recorded."""

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.paper_feed import MOST_STEPS, RULES, RecordedFeed, SyntheticFeed
from adapters.exchanges.paper_record import open_feed
from domain.errors import Invalid
from domain.matching.depth import Quote, ladder

DATA = Path(__file__).parents[1] / "data"
START = datetime(2026, 11, 22, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HEAD = "timestamp,price,quantity\n"
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


def replayed(name: str | Path, tick: str = "1") -> SyntheticFeed | RecordedFeed:
    return open_feed(DATA / name, seed=1, tick_seconds=Decimal(tick), start=START)


def written(folder: Path, text: str | bytes, name: str = "BTC-USDT.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def mids(steps: list[Mapping[str, Quote]], pair: str) -> list[Decimal]:
    return [step[pair].mid for step in steps if pair in step]


@given(at=TIMES, seed=st.integers(0, 2**63))
def test_a_synthetic_market_stays_within_a_fifth_of_where_it_starts(at, seed):
    (step,) = SyntheticFeed(seed).steps(None, at)
    assert set(step) == set(RULES)
    for pair, start in {"BTC-USDT": 58_300, "ETH-USDT": 3_100, "SOL-USDT": 142}.items():
        assert abs(step[pair].mid / start - 1) < Decimal("0.2")
    for pair, quote in step.items():
        assert 0 < quote.bid < quote.ask
        assert quote.bid % RULES[pair].min_price_increment == quote.ask % RULES[pair].min_price_increment == 0
        assert len(ladder(quote, RULES[pair]).bids) == 20


def test_a_synthetic_market_is_the_same_for_the_same_seed_and_time():
    assert SyntheticFeed(7).steps(None, START) == SyntheticFeed(7).steps(None, START)
    assert SyntheticFeed(7).steps(None, START) != SyntheticFeed(8).steps(None, START)


def test_a_synthetic_market_moves_a_little_each_second():
    feed = SyntheticFeed(1)
    prices = [mids(feed.steps(None, START + second * SECOND), "BTC-USDT")[0] for second in range(600)]
    moves = [abs(after / before - 1) for before, after in pairwise(prices)]
    assert max(moves) < Decimal("0.001")
    assert len(set(prices)) > 300


def test_the_synthetic_cross_follows_from_the_other_two():
    (step,) = SyntheticFeed(1).steps(None, START)
    assert abs(step["ETH-BTC"].mid * step["BTC-USDT"].mid / step["ETH-USDT"].mid - 1) < Decimal("0.0005")


def test_a_market_has_nothing_new_while_no_time_passes():
    assert SyntheticFeed(1).steps(START, START) == []
    assert replayed("binance_BTC-USDT_quotes.csv.gz").steps(START, START - SECOND) == []


def test_recorded_quotes_are_replayed_as_they_were():
    feed = replayed("binance_BTC-USDT_quotes.csv.gz")
    (first,) = feed.steps(None, START)
    assert first["BTC-USDT"] == Quote(
        bid=Decimal("39432.99"), ask=Decimal("39433.62"), bid_size=Decimal("0.0031"), ask_size=Decimal("0.066851")
    )
    steps = feed.steps(START, START + timedelta(milliseconds=200))
    assert [step["BTC-USDT"].bid for step in steps] == [Decimal("39432.33"), Decimal("39430.29")]
    assert abs(steps[-1]["ETH-BTC"].mid - steps[-1]["ETH-USDT"].mid / steps[-1]["BTC-USDT"].mid) < Decimal("0.0001")


def test_every_record_of_a_tick_is_a_step_and_only_the_last_has_all_pairs():
    steps = replayed("binance_BTC-USDT_trades.csv.gz").steps(START, START + 2 * SECOND)
    assert len(steps) > 10
    assert {len(step) for step in steps[:-1]} == {1}
    assert set(steps[-1]) == set(RULES)


@pytest.mark.parametrize(
    ("name", "pair", "first", "second"),
    [
        ("binance_BTC-USDT_trades.csv.gz", "BTC-USDT", "39432.48", None),
        ("BTC-PERP_1m_2022-01.csv.gz", "BTC-USDT", "46377", "46411"),
        ("ETH-BTC_5m_2018-01.csv.gz", "ETH-BTC", "0.0994766", "0.09969"),
        ("LTC-BTC_5m_2018-01.csv.gz", "LTC-BTC", "0.01690701", "0.01705"),
    ],
)
def test_trades_and_candles_are_read_and_a_gap_is_at_most_a_tick(name, pair, first, second):
    feed = replayed(name)
    (now,) = mids(feed.steps(None, START), pair)
    assert abs(now / Decimal(first) - 1) < Decimal("0.0005")
    if second is not None:
        (later,) = mids(feed.steps(START, START + SECOND), pair)
        assert abs(later / Decimal(second) - 1) < Decimal("0.0005")
    assert feed.rules[pair].min_price_increment > 0


def test_a_pair_that_is_only_recorded_gets_a_rule_that_fits_its_price():
    rule = replayed("LTC-BTC_5m_2018-01.csv.gz").rules["LTC-BTC"]
    assert (rule.min_price_increment, rule.min_order_size) == (Decimal("0.000001"), Decimal("0.01"))
    assert rule.buy_order_collateral_token == "BTC"


def test_a_record_begins_again_when_it_is_over(tmp_path):
    text = HEAD + "2021-01-01T00:00:00Z,100,1\n2021-01-01T00:00:00.5Z,200,1\n2021-01-02T00:00:00Z,300,1\n"
    feed = replayed(written(tmp_path, text))
    steps = feed.steps(None, START) + feed.steps(START, START + timedelta(seconds=3.1))
    assert [round(mid, -1) for mid in mids(steps, "BTC-USDT")] == [100, 200, 300, 100, 200]


def test_after_a_long_pause_only_the_newest_records_are_replayed():
    feed = replayed("binance_BTC-USDT_trades.csv.gz")
    assert len(feed.steps(START, START + timedelta(days=30))) == MOST_STEPS


def test_a_naive_time_is_utc_and_the_symbol_column_names_the_pair(tmp_path):
    text = "timestamp,symbol,bid,ask,bid_size,ask_size\n2021-01-01 00:00:00,SOL/USDT,1.5,1.6,10,10\n"
    feed = replayed(written(tmp_path, text, "any.csv"))
    assert feed.steps(None, START)[0]["SOL-USDT"].bid == Decimal("1.5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "2021-01-01,abc,1\n", r"BTC-USDT\.csv', line 2: price 'abc' is not a number"),
        (HEAD + "2021-01-01,1,1\n2021-01-02,NaN,1\n", "line 3: price NaN is not between 0 and"),
        (HEAD + "2021-01-01,-1,1\n", "line 2: price -1 is not between 0 and"),
        (HEAD + "2021-01-01,1e400,1\n", r"line 2: price 1E\+400 is not between 0 and 1000000000000000"),
        (HEAD + "2021-01-01,1\n", "line 2: quantity '' is not a number"),
        (HEAD + "yesterday,1,1\n", "line 2: timestamp 'yesterday' is not an ISO 8601 time"),
        (HEAD + "2021-01-02,1,1\n2021-01-01,1,1\n", "line 3: timestamp 2021-01-01 00:00:00 is before"),
        (HEAD, "has no records"),
        ("", "line 1: columns  are neither those of quotes"),
        ("a,b\n1,2\n", "line 1: columns a, b are neither"),
        ("timestamp,bid,ask,bid_size,ask_size\n2021-01-01,2,2,1,1\n", "line 2: bid 2 is not below ask 2"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (HEAD + "2021-01-01,1," + "9" * 200_000 + "\n", "is not CSV: field larger than field limit"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(Invalid, match=message):
        replayed(written(tmp_path, text))


CUT = gzip.compress(b"timestamp,price\n" * 999)[:40]


@pytest.mark.parametrize("content", [b"not gzip", CUT, b"\x1f\x8b" + b"\x08" * 99], ids=["not gzip", "cut", "damaged"])
def test_a_damaged_archive_is_refused(tmp_path, content):
    with pytest.raises(Invalid, match=r"'BTC-USDT\.csv\.gz' cannot be read"):
        replayed(written(tmp_path, content, "BTC-USDT.csv.gz"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Invalid, match=r"PAPER_FEED file 'BTC-USDT\.csv' cannot be read"):
        replayed(tmp_path / "BTC-USDT.csv")


def test_a_file_that_names_no_pair_is_refused(tmp_path):
    with pytest.raises(Invalid, match="neither a column 'symbol' nor the name says a pair"):
        replayed(written(tmp_path, HEAD + "2021-01-01,1,1\n", "prices_2021-01.csv"))


def test_without_a_file_the_market_is_synthetic():
    feed = open_feed(None, seed=3, tick_seconds=Decimal(1), start=START)
    assert feed.steps(None, START) == SyntheticFeed(3).steps(None, START)
