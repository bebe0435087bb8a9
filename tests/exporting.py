"""Exports of a small log, and what their verification says."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from adapters.audit import files, lines, ranges
from adapters.audit.checking import Report
from adapters.audit.files import Head
from adapters.audit.lines import Format, Line
from adapters.audit.ranges import Exported
from tests.sealing import KEY, connect, record, seal_all

SEALED, TAIL = 20, 4


@pytest.fixture
async def tampering(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A log of 20 events in seals of 7, and 4 that are not sealed."""
    async with await connect(database_url) as connection:
        await record(connection, SEALED)
        await seal_all(connection, limit=7)
        await record(connection, TAIL)
        yield connection


@pytest.fixture
async def whole(database_url: str, tampering: psycopg.AsyncConnection, tmp_path: Path) -> Path:
    """An export of positions 2 to 20 as JSON lines."""
    await exported(database_url, tmp_path / "whole.jsonl", 2, 20)
    return tmp_path / "whole.jsonl"


async def exported(
    url: str, file: Path, begin: ranges.Place = 1, end: ranges.Place = 2**63 - 1, format_: Format = "jsonl"
) -> Exported:
    return await ranges.export(url, KEY, file, begin=begin, end=end, format_=format_, progress=lambda _done, _all: None)


def verified(file: Path) -> tuple[Report, Head]:
    return files.verify_now(files.format_of(file), file, lambda _done, _all: None)


def told(report: Report) -> set[tuple[str, int]]:
    """Return kind and position of every finding."""
    return {(str(f.kind), position) for f in report.findings for position in range(f.first, f.last + 1)}


def events(file: Path) -> list[Line]:
    return [line for line in lines.read(files.format_of(file), file) if line.kind == "event"]
