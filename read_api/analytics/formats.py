"""The same rows as JSON, lines of JSON, CSV or Parquet, as the request's `Accept` wants them."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from adapters.http.bodies import encode
from adapters.http.protocol import header
from adapters.http.requests import Request
from read_api.analytics.rows import Row
from read_api.ports import TableFile, Tables

JSON = "application/json"
LINES = "application/x-ndjson"
CSV = "text/csv; charset=utf-8"
PARQUET = "application/vnd.apache.parquet"
FORMATS = (PARQUET, CSV, LINES, JSON)
PLACES = 36
"""A product of two numbers of 18 places, the finest that tokens have, is shown as it is; a quotient is not for ever."""


def wanted(request: Request) -> str:
    """Return the format that a request asks for, JSON where it does not say."""
    accepted = (header(request.asgi, b"accept") or b"").decode("latin-1").lower()
    return next((format_ for format_ in FORMATS if format_.partition(";")[0] in accepted), JSON)


class Writer(Protocol):
    """Writes rows that come some at a time, all with the same columns."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Return rows as they stand in the answer, behind those that came before; nothing where they have to wait."""
        ...

    def end(self) -> Iterator[bytes]:
        """Yield what stands behind the last row."""
        ...


@contextmanager
def writer(format_: str, tables: Tables, beside: Callable[[], Row]) -> Iterator[Writer]:
    """Lend what writes a format; `beside` stands next to the rows in JSON, and is asked for at the end.

    Raises `Invalid` where Parquet cannot be had.
    """
    if format_ == PARQUET:
        with tables.parquet() as file:
            yield _Parquet(file)
    elif format_ == CSV:
        yield _Csv()
    elif format_ == LINES:
        yield _Lines()
    else:
        yield _Json(beside)


class _Json:
    def __init__(self, beside: Callable[[], Row]) -> None:
        self._beside = beside
        self._before = b'{"data":['

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not rows:
            return b""
        before, self._before = self._before, b","
        return before + encode([_json(row) for row in rows])[1:-1]

    def end(self) -> Iterator[bytes]:
        beside = encode(self._beside())[1:-1]
        yield (self._before if self._before != b"," else b"") + b"]" + (b"," + beside if beside else b"") + b"}"


class _Lines:
    def rows(self, rows: Sequence[Row]) -> bytes:
        return b"".join([encode(_json(row)) + b"\n" for row in rows])

    def end(self) -> Iterator[bytes]:
        yield from ()


class _Csv:
    def __init__(self) -> None:
        self._begun = False

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not rows:
            return b""
        written = io.StringIO(newline="")
        writer = csv.DictWriter(written, list(rows[0]))
        if not self._begun:
            writer.writeheader()
            self._begun = True
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        return written.getvalue().encode()

    def end(self) -> Iterator[bytes]:
        yield from ()


class _Parquet:
    def __init__(self, file: TableFile) -> None:
        self._file = file

    def rows(self, rows: Sequence[Row]) -> bytes:
        self._file.add([{name: text(value) for name, value in row.items()} for row in rows])
        return b""

    def end(self) -> Iterator[bytes]:
        yield from self._file.content()


def number(value: Decimal) -> str:
    """Return a number without exponent and without zeros at its end, to `PLACES` behind the point."""
    written = format(value, "f")
    if len(written) - written.find(".") > PLACES:  # which is seldom so, and rounding would be slow
        written = format(value, f".{PLACES}f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def text(value: object) -> object:
    """Return a value as a cell holds it: a number without exponent, a time in ISO 8601, a map as JSON."""
    match value:
        case str() | int() | None:
            return value
        case Decimal():
            return number(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return encode(value).decode()
        case _:
            return value


def _json(value: object) -> object:
    match value:
        case str() | int() | None:
            return value
        case Decimal():
            return number(value)
        case Mapping():
            return {name: _json(part) for name, part in value.items()}
        case _:
            return value


def _cell(value: object) -> object:
    """Return what no spreadsheet takes for a formula; figures stay what they are."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return text(value)
