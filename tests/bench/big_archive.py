"""A bot's database as large as a busy bot leaves it: the schema and the proportions of a sample, its rows repeated."""

import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.archives import SAMPLES

FILLS, ORDERS, STATUSES, EXECUTORS = 50_000, 12_000, 74_000, 7_300
_SAMPLE = "synth_2ctrl_40exec"
_MILLISECONDS = 3_600_000

# A copy of a row is another trade, order or executor, an hour later.
_WANTED = {
    "TradeFill": (FILLS, {"exchange_trade_id": "{0} || '-' || {n}", "timestamp": "{0} + {n} * {hour}"}),
    "Order": (ORDERS, {"id": "{0} || '-' || {n}", "creation_timestamp": "{0} + {n} * {hour}"}),
    "OrderStatus": (STATUSES, {"id": "{n} * 1000000 + {0}", "order_id": "{0} || '-' || {n}"}),
    "Executors": (EXECUTORS, {"id": "{0} || '-' || {n}", "timestamp": "{0} + {n} * 3600"}),
}


def write(file: Path) -> None:
    """Write the database to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(SAMPLES / f"{_SAMPLE}.sqlite.gz") as sample, file.open("wb") as output:
        shutil.copyfileobj(sample, output)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma foreign_keys = off")
        for table, (wanted, changes) in _WANTED.items():
            _repeat(connection, table, wanted, changes)
        connection.commit()


def _repeat(connection: sqlite3.Connection, table: str, wanted: int, changes: dict[str, str]) -> None:
    names = [row[1] for row in connection.execute(f'pragma table_info("{table}")')]
    (there,) = connection.execute(f'select count(*) from "{table}"').fetchone()
    made = ", ".join(
        changes[name].format(f's."{name}"', n="k.n", hour=_MILLISECONDS) if name in changes else f's."{name}"'
        for name in names
    )
    connection.execute(
        f'insert into "{table}"'
        " with recursive k(n) as (select 1 union all select n + 1 from k where n * :there < :wanted)"
        f' select {made} from k, (select * from "{table}" order by rowid) s order by k.n limit :wanted - :there',
        {"there": there, "wanted": wanted},
    )
