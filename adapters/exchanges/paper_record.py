"""Reads a recorded market from a CSV file, plain or gzip: quotes, trades or candles, told apart by the header.

The pair is the file's `symbol` column or is in the file's name (`ETH-BTC_5m_2018-01.csv.gz`); a perpetual's `BTC-PERP`
is BTC-USDT. A whole file is read and checked at the start, and what is wrong with it is said with the line.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

from adapters.exchanges.paper_feed import (
    MICROSECOND,
    RULES,
    Record,
    RecordedFeed,
    SyntheticFeed,
    quote_around,
)
from domain.connectors import TradingRule
from domain.errors import Invalid
from domain.matching.depth import Quote

Row = Mapping[str, str | None]

_QUOTES = frozenset({"bid", "ask", "bid_size", "ask_size"})
_TRADES = frozenset({"price", "quantity"})
_CANDLES = frozenset({"open", "high", "low", "close"})
_PAIR = re.compile(r"(?<![A-Z0-9])([A-Z][A-Z0-9]{1,11})[-/]([A-Z][A-Z0-9]{1,11})(?![A-Z0-9])")
_LARGEST = Decimal("1e15")
_DEPTH_SHARE = 4  # where the record has no sizes: a level has what one step of the base is worth, 10 ** this times


def open_feed(path: Path | None, *, seed: int, tick_seconds: Decimal, start: datetime) -> SyntheticFeed | RecordedFeed:
    """Return the market recorded in a file, replayed from `start` on, or without a file a synthetic one.

    It is replayed in real time, but no gap is longer than a tick. Raises `Invalid` for a file that cannot be used.
    """
    synthetic = SyntheticFeed(seed)
    if path is None:
        return synthetic
    longest = int(tick_seconds * 1_000_000)
    rule, records = read(path, longest=longest)
    return RecordedFeed(rule, records, start=start, pause=longest, rest=synthetic)


def read(path: Path, *, longest: int) -> tuple[TradingRule, list[Record]]:
    """Return the rule of a file's pair and its records, gaps cut to `longest` microseconds. Raises `Invalid`."""
    try:
        with _text(path) as lines:
            return _records(path, lines, longest)
    except (OSError, EOFError, zlib.error) as e:
        raise Invalid(f"PAPER_FEED file '{path.name}' cannot be read: {e}") from e
    except UnicodeDecodeError as e:
        raise Invalid(f"PAPER_FEED file '{path.name}' is not UTF-8 text: {e.reason} at byte {e.start}") from e
    except csv.Error as e:
        raise Invalid(f"PAPER_FEED file '{path.name}' is not CSV: {e}") from e


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _records(path: Path, lines: Iterable[str], longest: int) -> tuple[TradingRule, list[Record]]:
    reader = csv.DictReader(lines)
    columns = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    quote_of = _kind(path, columns)
    rule: TradingRule | None = None
    records: list[Record] = []
    offset = 0
    before: datetime | None = None
    for row in reader:
        where = f"PAPER_FEED file '{path.name}', line {reader.line_num}"
        at = _time(row, columns[0], where)
        if before is not None:
            if at < before:
                raise Invalid(f"{where}: {columns[0]} {at:%Y-%m-%d %H:%M:%S} is before that of the line above")
            offset += min((at - before) // MICROSECOND, longest)
        before = at
        if rule is None:
            rule = _rule_of(path, row, _number(row, "price" if "price" in columns else _first_price(columns), where))
        records.append(Record(offset, quote_of(row, rule, where)))
    if rule is None:
        raise Invalid(f"PAPER_FEED file '{path.name}' has no records")
    return rule, records


def _kind(path: Path, columns: list[str]) -> Callable[[Row, TradingRule, str], Quote]:
    have = set(columns)
    if have >= _QUOTES:
        return _quote
    if have >= _TRADES:
        return _trade
    if have >= _CANDLES:
        return _candle
    raise Invalid(
        f"PAPER_FEED file '{path.name}', line 1: columns {', '.join(columns)[:200]} are neither those of quotes"
        " (bid, ask, bid_size, ask_size) nor of trades (price, quantity) nor of candles (open, high, low, close)"
    )


def _first_price(columns: list[str]) -> str:
    return "bid" if "bid" in columns else "close"


def _quote(row: Row, _: TradingRule, where: str) -> Quote:
    bid, ask = _number(row, "bid", where), _number(row, "ask", where)
    if bid >= ask:
        raise Invalid(f"{where}: bid {bid:f} is not below ask {ask:f}")
    return Quote(bid=bid, ask=ask, bid_size=_number(row, "bid_size", where), ask_size=_number(row, "ask_size", where))


def _trade(row: Row, rule: TradingRule, where: str) -> Quote:
    _number(row, "quantity", where)
    return quote_around(_number(row, "price", where), rule, usual_size(rule))


def _candle(row: Row, rule: TradingRule, where: str) -> Quote:
    return quote_around(_number(row, "close", where), rule, usual_size(rule))


def _number(row: Row, column: str, where: str) -> Decimal:
    text = row[column]
    try:
        value = Decimal(text or "")
    except InvalidOperation as e:
        raise Invalid(f"{where}: {column} '{(text or '')[:40]}' is not a number") from e
    if not (value.is_finite() and 0 < value < _LARGEST):
        raise Invalid(f"{where}: {column} {value} is not between 0 and {_LARGEST:f}")
    return value


def _time(row: Row, column: str, where: str) -> datetime:
    text = row[column] or ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as e:
        raise Invalid(f"{where}: {column} '{text[:40]}' is not an ISO 8601 time") from e
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _rule_of(path: Path, row: Row, price: Decimal) -> TradingRule:
    """Return the rule of the pair that a file is about; of one that is new here, steps fit its first price."""
    named = _PAIR.search(row.get("symbol") or path.name)
    if named is None:
        raise Invalid(f"PAPER_FEED file '{path.name}': neither a column 'symbol' nor the name says a pair, as BTC-USDT")
    base, quote = named.groups()
    pair = f"{base}-{'USDT' if quote == 'PERP' else quote}"
    if pair in RULES:
        return RULES[pair]
    step = Decimal(1).scaleb(price.adjusted() - 4)
    size = Decimal(1).scaleb(-max(0, min(8, 4 + price.adjusted())))
    quote_token = pair.partition("-")[2]
    return TradingRule(
        trading_pair=pair,
        min_order_size=size,
        min_price_increment=step,
        min_base_amount_increment=size,
        buy_order_collateral_token=quote_token,
        sell_order_collateral_token=quote_token,
    )


def usual_size(rule: TradingRule) -> Decimal:
    """Return the base of a level where nothing is recorded of it."""
    return rule.min_base_amount_increment.scaleb(_DEPTH_SHARE)
