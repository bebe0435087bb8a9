"""The same rows as JSON, CSV or Parquet, as the request's `Accept` wants them."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from adapters.http.protocol import header
from adapters.http.requests import Request
from domain.values import plain
from read_api.analytics.rows import Row
from read_api.ports import Tables
from read_api.settle import Headers

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


def wanted(request: Request) -> str:
    """Return the format that a request asks for, JSON where it does not say."""
    accepted = (header(request.asgi, b"accept") or b"").decode("latin-1").lower()
    for format_ in (PARQUET, CSV):
        if format_ in accepted:
            return format_
    return "application/json"


def text(value: object) -> object:
    """Return a value as a cell holds it: a number without exponent, a time in ISO 8601, a map as JSON."""
    match value:
        case Decimal():
            return format(plain(value), "f")
        case datetime():
            return value.isoformat()
        case Mapping():
            return encode(value).decode()
        case _:
            return value


def answer(format_: str, rows: Sequence[Row], tables: Tables, headers: Headers, **beside: object) -> Answer:
    """Return rows in a format; `beside` stands next to them in JSON. Raises `Invalid` where Parquet cannot be had."""
    if format_ == PARQUET:
        cells = [{name: text(value) for name, value in row.items()} for row in rows]
        return Answer(200, tables.parquet(cells), headers, content_type=PARQUET.encode())
    if format_ == CSV:
        return Answer(200, _csv(rows), headers, content_type=b"text/csv; charset=utf-8")
    shown = [{name: _json(value) for name, value in row.items()} for row in rows]
    return Answer(200, encode({"data": shown, **beside}), headers)


def _json(value: object) -> object:
    match value:
        case Decimal():
            return format(plain(value), "f")
        case Mapping():
            return {name: _json(part) for name, part in value.items()}
        case _:
            return value


def _csv(rows: Sequence[Row]) -> bytes:
    written = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(written, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _harmless(text(value)) for name, value in row.items()} for row in rows)
    return written.getvalue().encode()


def _harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; figures stay what they are."""
    if isinstance(value, str) and value[:1] in {"=", "+", "@", "\t", "\r"}:
        return f"'{value}"
    return value
