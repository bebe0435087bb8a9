"""Candles out of files."""

import gzip
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from adapters import __main__ as command_line
from adapters.candles import files
from adapters.candles.imports import import_command, keep, series_of
from adapters.candles.store import CandleStore
from domain.candles import INTERVALS, Candle, Known, Series
from domain.errors import DomainError, Invalid
from tests.fakes.candle_venue import candle_at

DATA = Path(__file__).parents[1] / "data"
MINUTE = INTERVALS["1m"]
NOW = 1_800_000_000.0
HEAD = "timestamp,open,high,low,close,volume\n"
ROW = "1735689600,10,12,9,11,3\n"
PLAIN = Candle(1735689600.0, 10.0, 12.0, 9.0, 11.0, 3.0, 0.0, 0.0, 0.0, 0.0)
FULL = Candle(1735689600.0, 10.0, 12.0, 9.0, 11.0, 3.0, 33.5, 4.0, 1.0, 11.25)
BINANCE = "{time},10,12,9,11,3,1735689659999,33.5,4,1,11.25,0\n"


def nobody(_):
    pass


def read(path, of=MINUTE):
    count = files.check(path, of, NOW, nobody)
    found = list(files.candles(path, of, NOW, nobody))
    assert len(found) == count
    return found


def written(folder, content, name="candles.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "interval", "count"),
    [("BTC-PERP_1m_2022-01", "1m", 300), ("ETH-BTC_5m_2018-01", "5m", 300), ("LTC-BTC_5m_2018-01", "5m", 300)],
)
def test_recorded_months_are_read_whole(name, interval, count):
    found = read(DATA / f"{name}.csv.gz", INTERVALS[interval])
    assert len(found) == count
    gaps = {int(b.timestamp - a.timestamp) for a, b in pairwise(found)}
    assert min(gaps) == INTERVALS[interval].seconds


@pytest.mark.parametrize("time", ["1735689600000", "1735689600000000"], ids=["milliseconds", "microseconds"])
@pytest.mark.parametrize("header", [True, False])
def test_the_files_of_binance_are_read_with_and_without_a_header(tmp_path, time, header):
    head = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,"
        "ignore\n"
    )
    text = (head if header else "") + BINANCE.format(time=time)
    assert read(written(tmp_path, text)) == [FULL]


@pytest.mark.parametrize(
    "time",
    ["1735689600", "1735689600.0", "1.7356896e9", "2025-01-01", "2025-01-01 00:00:00", "2025-01-01T00:00:00Z",
     "2025-01-01T01:00:00+01:00", "2025-01-01 00:00:00.000000000Z"],
)  # fmt: skip
def test_times_are_read_as_they_are_usually_written(tmp_path, time):
    assert read(written(tmp_path, HEAD + ROW.replace("1735689600", time))) == [PLAIN]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip"])
def test_packed_files_are_read_as_they_are(tmp_path, name):
    path = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w") as folder:
            folder.writestr("inside.csv", "\ufeff" + HEAD + "\n" + ROW)
    else:
        content = ("\ufeff" + HEAD + ROW).encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read(path) == [PLAIN]


@pytest.mark.parametrize("kind", ["seconds", "datetime"])
def test_parquet_is_read_with_its_types(tmp_path, kind):
    table = pl.DataFrame({"Open time": [1735689600], "open": [10], "high": [12.0], "low": [9.0], "close": [11.0],
                          "Volume": [3], "count": [4], "ignored": ["x"]})  # fmt: skip
    if kind == "datetime":
        table = table.with_columns(pl.from_epoch("Open time"))
    table.write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [PLAIN._replace(n_trades=4.0)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,10,12,9,11,3", "line 3: 'x' is not a time"),
        ("9e99,10,12,9,11,3", "line 3: '9e99' is not a time"),
        ("1735689660,ten,12,9,11,3", "line 3: could not convert string to float: 'ten'"),
        ("1735689660,10,nan,9,11,3", "line 3: high nan is not a number"),
        ("1735689660,10,12,9,11,-3", "line 3: volume -3 is negative"),
        ("1735689660,10,12,9,,3", "line 3: close 0 is not above 0"),
        ("1735689660,10,12", "line 3: low 0 is not above 0"),
        ("1735689660,10,11,9,12,3", "line 3: high 11 is not the highest price"),
        ("1735689660,10,12,11,11,3", "line 3: low 11 is not the lowest price"),
        ("1735689661,10,12,9,11,3", "line 3: 1735689661 is not where a candle of 1m begins"),
        ("1800000000,10,12,9,11,3", "line 3: the candle of 1800000000 has not ended"),
        ("1735689600,10,12,9,11,3", "line 3: 2025-01-01 00:00:00 is the time of line 2, too"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(tmp_path, row, reason):
    with pytest.raises(Invalid) as refused:
        files.check(written(tmp_path, HEAD + ROW + row + "\n"), MINUTE, NOW, nobody)
    assert str(refused.value) == f"1 of 2 lines of candles.csv cannot be used, so none was taken:\n{reason}"


def test_of_many_wrong_lines_the_first_are_named(tmp_path):
    with pytest.raises(Invalid, match=r"25 of 25 lines(.|\n)*line 11: (.|\n)*… and 15 more"):
        files.check(written(tmp_path, HEAD + "1735689601,10,12,9,11,3\n" * 25), MINUTE, NOW, nobody)
    twice = HEAD + ROW + "1735689660,10,12,9,11,3\n" * 25
    with pytest.raises(Invalid, match=r"24 of 26 lines(.|\n)*… and 14 more"):
        files.check(written(tmp_path, twice), MINUTE, NOW, nobody)


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("", "a.csv", "a.csv has no candles"),
        (HEAD, "a.csv", "a.csv has no candles"),
        ("time,open,high,low,volume\n1,1,1,1,1\n", "a.csv", "a.csv has no column close"),
        (b"\xff\xfe\x00", "a.csv", "is not UTF-8 text"),
        (b"not gzip", "a.csv.gz", "cannot be read"),
        (gzip.compress(b"x" * 9999)[:-20], "a.csv.gz", "cannot be read"),
        (b"not zip", "a.zip", "cannot be read"),
        (b"not parquet", "a.parquet", "is not Parquet"),
        (HEAD + ROW + '"' + "x" * 200_000, "a.csv", "is not CSV"),
    ],
    ids=["empty", "head", "column", "bytes", "gzip", "cut", "zip", "parquet", "quotes"],
)
def test_a_file_that_holds_no_candles_is_refused(tmp_path, content, name, reason):
    with pytest.raises(Invalid, match=reason):
        read(written(tmp_path, content, name))


def test_without_polars_parquet_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(Invalid, match=r"pip install 'nectar\[parquet\]'"):
        read(tmp_path / "a.parquet")


def test_progress_is_told_up_to_the_size_of_the_file(tmp_path):
    rows = "".join(f"{60 * number},10,12,9,11,3\n" for number in range(1, 2_500))
    path = written(tmp_path, HEAD + rows)
    pl.read_csv(path).write_parquet(tmp_path / "a.parquet")
    for file in (path, tmp_path / "a.parquet"):
        told: list[int] = []
        assert files.check(file, MINUTE, NOW, told.append) == 2_499
        assert told == sorted(told)
        assert len(told) > 2
        assert told[-1] == file.stat().st_size


def test_a_zip_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as folder:
        folder.writestr("a.csv", HEAD)
        folder.writestr("b.csv", HEAD)
    with pytest.raises(Invalid, match="has 2 files in it"):
        read(tmp_path / "a.zip")


def test_a_file_that_changed_since_it_was_checked_is_refused(tmp_path):
    with pytest.raises(Invalid, match="line 2: 'x' is not a time"):
        list(files.candles(written(tmp_path, HEAD + "x,10,12,9,11,3\n"), MINUTE, NOW, nobody))


def test_what_lies_between_the_candles_of_a_file_stays_to_be_asked_for(tmp_path):
    store, series = CandleStore(tmp_path), Series("binance", "BTC-USDT", MINUTE)
    numbers = [12, 3, 4, 10_000, 5, 11]
    assert keep(store, series, [candle_at(MINUTE, number) for number in numbers], 99) == 6
    assert store.known(series) == [Known(3, 6, 99), Known(11, 13, 99), Known(10_000, 10_001, 99)]
    assert keep(store, series, [candle_at(MINUTE, 4, close=10.5), candle_at(MINUTE, 6)], 99) == 1
    assert list(store.read(series, (4, 7)).close) == [10.5, 11.0, 11.0]


def test_paper_trade_has_the_candles_of_its_market():
    assert series_of("okx_perpetual_paper_trade", "BTC-USDT", "1h").connector == "okx_perpetual"


@pytest.mark.parametrize(
    ("connector", "pair", "interval", "reason"),
    [
        ("nope", "BTC-USDT", "1m", "Connector 'nope' not found"),
        ("paper", "BTC-USDT", "1m", "paper makes its candles of its own market"),
        ("binance", "BTCUSDT", "1m", "Invalid trading pair"),
        ("binance", "BTC-USDT", "7m", "Interval '7m' is unknown"),
    ],
)
def test_candles_of_nothing_are_refused(connector, pair, interval, reason):
    with pytest.raises(DomainError, match=reason):
        series_of(connector, pair, interval)


def test_the_command_says_how_many_are_new(tmp_path):
    path = written(tmp_path, HEAD + ROW)
    console = Console(record=True, width=200)
    for new in ("1 new, 0 in the place of others", "0 new, 1 in the place of others"):
        code = import_command(
            tmp_path / "kept", path, connector="binance", trading_pair="BTC-USDT", interval_name="1m", console=console
        )
        assert code == 0
        assert f"1 candles of BTC-USDT 1m for binance: {new}" in console.export_text()


def test_the_command_line_takes_all_candles_of_a_file_or_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NECTAR_DATA", str(tmp_path))
    monkeypatch.setattr(command_line, "configure", lambda _: None)  # the process is the tests'
    monkeypatch.chdir(tmp_path)
    main = command_line.main
    how = ["--connector", "binance", "--pair", "ETH-BTC", "--interval"]
    assert main(["candles", "import", str(DATA / "ETH-BTC_5m_2018-01.csv.gz"), *how, "5m"]) == 0
    assert "300 candles of ETH-BTC 5m for binance: 300 new" in capsys.readouterr().out
    assert main(["candles", "import", str(DATA / "ETH-BTC_5m_2018-01.csv.gz"), *how, "15m"]) == 2
    assert "is not where a candle of 15m begins" in capsys.readouterr().err
    assert main(["candles", "import", str(tmp_path / "nope.csv"), *how, "5m"]) == 2
    assert "No such file" in capsys.readouterr().err
    series = Series("binance", "ETH-BTC", INTERVALS["5m"])
    assert len(CandleStore(tmp_path / "candles").read(series, (0, 10**7)).close) == 300
