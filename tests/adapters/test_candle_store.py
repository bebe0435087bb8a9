"""Candles on disk."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.candles.store import SLOTS, CandleStore, DamagedCandles
from domain.candles import INTERVALS, Candle, Known, Series
from domain.errors import Invalid
from tests.fakes.candle_venue import candle_at

MINUTE = INTERVALS["1m"]
SERIES = Series("binance", "BTC-USDT", MINUTE)
# Around the border between two files.
PLACES = st.integers(SLOTS - 6, SLOTS + 6)
PRICES = st.floats(1e-12, 1e12)


def rows(columns):
    return [Candle(*row) for row in zip(*columns, strict=True)]


def one(number, close=11.0):
    return candle_at(MINUTE, number, close)


@pytest.fixture
def store(tmp_path):
    return CandleStore(tmp_path)


@settings(deadline=None)
@given(
    kept=st.lists(st.dictionaries(PLACES, PRICES, max_size=8), max_size=6),
    span=st.tuples(PLACES, PLACES).map(lambda ends: (min(ends), max(ends))),
)
def test_what_is_read_is_what_was_kept_last_to_the_last_bit(kept, span):
    with tempfile.TemporaryDirectory() as root:
        store = CandleStore(Path(root))
        model: dict[int, Candle] = {}
        for some in kept:
            candles = {number: one(number, close) for number, close in sorted(some.items())}
            before = len(model)
            model |= candles
            assert store.keep(SERIES, list(candles.values()), [], 0) == len(model) - before
        assert rows(store.read(SERIES, span)) == [model[n] for n in sorted(model) if span[0] <= n < span[1]]


def test_nothing_is_read_where_nothing_was_kept(store):
    assert rows(store.read(SERIES, (0, 20_000_000_000 // SLOTS))) == []
    assert store.known(SERIES) == []


def test_series_do_not_see_each_other(store):
    store.keep(SERIES, [one(3)], [Known(3, 4, 9)], 9)
    for other in (
        SERIES._replace(connector="okx"),
        SERIES._replace(trading_pair="ETH-USDT"),
        SERIES._replace(interval=INTERVALS["1M"]),
    ):
        assert rows(store.read(other, (0, 10))) == []
        assert store.known(other) == []


def test_what_is_known_survives_with_its_time(store):
    store.keep(SERIES, [], [Known(3, 9, 100), Known(20, 30, 100)], 100)
    store.keep(SERIES, [], [Known(5, 6, 200)], 200)
    assert CandleStore(store._root).known(SERIES) == [
        Known(3, 5, 100), Known(5, 6, 200), Known(6, 9, 100), Known(20, 30, 100),
    ]  # fmt: skip


def test_many_writers_lose_nothing_of_each_other(store):
    def write(number):
        CandleStore(store._root).keep(SERIES, [one(number)], [Known(number, number + 1, 7)], 7)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert rows(store.read(SERIES, (0, 50))) == [one(number) for number in range(40)]
    assert store.known(SERIES) == [Known(0, 40, 7)]


def test_a_reader_sees_whole_files_while_they_are_written(store):
    store.keep(SERIES, [one(number, 1.0) for number in range(500)], [], 0)

    def write():
        for turn in range(2, 20):
            store.keep(SERIES, [one(number, float(turn)) for number in range(500)], [], 0)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            closes = set(store.read(SERIES, (0, 500)).close)
            assert len(closes) == 1
        writing.result()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:10], "it is cut off"),
        (lambda raw: b"x" + raw[1:], "it begins with"),
        (lambda raw: raw[:-8], "it does not have the size of 20 candles"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "its checksum is wrong"),
    ],
)
def test_a_damaged_file_is_told_with_its_name_and_never_shown(store, tmp_path, damage, reason):
    store.keep(SERIES, [one(number) for number in range(20)], [], 0)
    path = tmp_path / "binance/BTC-USDT/60/0.candles"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedCandles, match=f"0.candles is damaged: {reason}.*asked for again"):
        store.read(SERIES, (0, 20))


def test_a_damaged_list_of_what_is_known_is_told(store, tmp_path):
    store.keep(SERIES, [], [Known(0, 1, 2)], 2)
    (tmp_path / "binance/BTC-USDT/60/known.json").write_text("[[0,")
    with pytest.raises(DamagedCandles, match=r"known\.json is damaged"):
        store.known(SERIES)


@pytest.mark.parametrize("pair", ["../../etc-USDT", "..", "A/B-USDT", "币安-USDT", "A%2F-USDT"])
def test_any_pair_stays_in_its_own_folder(store, tmp_path, pair):
    series = SERIES._replace(trading_pair=pair)
    try:
        store.keep(series, [one(1)], [], 0)
    except Invalid:
        assert pair == ".."
    else:
        assert [path.parents[2] for path in tmp_path.rglob("*.candles")] == [tmp_path / "binance"]
        assert rows(store.read(series, (0, 5))) == [one(1)]


def test_a_pair_too_long_for_a_folder_is_refused(store):
    with pytest.raises(Invalid, match="cannot be the name of a folder"):
        store.known(SERIES._replace(trading_pair="A" * 300))


def test_a_connector_can_be_forgotten(store):
    other = SERIES._replace(connector="okx")
    store.keep(SERIES, [one(1)], [], 0)
    store.keep(other, [one(1)], [], 0)
    store.forget("binance")
    store.forget("never_there")
    assert (rows(store.read(SERIES, (0, 5))), rows(store.read(other, (0, 5)))) == ([], [one(1)])
