"""Verify a sealed log, and exports of it, beside what reading and hashing alone cost."""

import asyncio
import os
import sys
import tempfile
from contextlib import closing
from itertools import chain
from pathlib import Path
from time import perf_counter

from adapters.audit import files, ranges
from adapters.audit.lines import FORMATS, Format
from adapters.audit.verification import ROWS, copied, snapshot, verify
from adapters.logging import configure
from tests.bench.database import fresh_database
from tests.bench.history import connected, orders, write
from tests.bench.table import Row, at_least, show
from tests.sealing import KEY, PUBLIC, connect, seal_all

EVENTS = int(os.environ.get("BENCH_EVENTS", "300000"))
RATE = 100_000
_LAST = 2**63 - 1


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url:
        total = write(url, chain(connected(), orders(int(EVENTS / 4.15))))
        async with await connect(url) as connection:
            await seal_all(connection)
        began = perf_counter()
        report = await verify(url, PUBLIC)
        verified = total / (perf_counter() - began)
        if report.findings or report.events != total:
            raise ValueError(f"An intact log was not found intact: {report}")
        raw = total / await asyncio.to_thread(_raw, url)
        rows = [
            at_least("the log, events a second", verified, RATE),
            Row(name="raw limit: COPY and one hash a row", figure=raw),
        ]
        with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
            for format_ in FORMATS:
                rows += await _file(url, Path(folder) / format_, format_, total)
    return show(f"Verification of {total:,} sealed events", rows)


def _raw(url: str) -> float:
    began = perf_counter()
    with (
        snapshot(url) as (connection, _),
        closing(copied(connection, f"copy ({ROWS} order by shard, position) to stdout (format binary)")) as rows,
    ):
        for _ in rows:
            pass
    return perf_counter() - began


async def _file(url: str, file: Path, format_: Format, total: int) -> list[Row]:
    began = perf_counter()
    await ranges.export(url, KEY, file, begin=1, end=_LAST, format_=format_, progress=lambda _done, _all: None)
    exported = total / (perf_counter() - began)
    began = perf_counter()
    report, *_ = await files.verify(file, lambda _done, _all: None)
    verified = total / (perf_counter() - began)
    if report.findings or report.events != total:
        raise ValueError(f"An intact file was not found intact: {report}")
    name = f"a file of {format_}, events a second"
    return [
        at_least(name, verified, RATE) if format_ == "jsonl" else Row(name=name, figure=verified),
        Row(name=f"export to {format_}, verified before it is kept", figure=exported),
    ]


if __name__ == "__main__":
    configure("warning")
    sys.exit(0 if asyncio.run(main()) else 1)
