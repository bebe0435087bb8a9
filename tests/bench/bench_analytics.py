"""Ask a server what 200,000 trades have earned, and for all of them as files, in bounded memory."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import httpx
import psycopg

from tests.bench.database import fresh_database
from tests.bench.table import Row, at_least, at_most, show
from tests.contract.serving import CREDENTIALS, Nectar

TRADES, FEW = 200_000, 100
TRADES_A_SECOND, MEGABYTES, SMALL_MS, OTHERS_MS = 5_000, 150, 50, 150
TRIED = 15
_FORMATS = {"JSON lines": "application/x-ndjson", "CSV": "text/csv", "Parquet": "application/vnd.apache.parquet"}
_FILL = """
    insert into read.trades (position, order_id, trade_id, account, connector, trading_pair, side, amount, price, fee,
                             fee_currency, filled_at, wire)
    select n, 'order-' || n, 'trade-' || n, case when n <= %(few)s then 'few' else 'many' end, 'paper',
           (array['BTC-USDT', 'ETH-USDT', 'SOL-USDT'])[1 + n %% 3], (array['BUY', 'SELL'])[1 + (n / 3) %% 2],
           0.001 * (1 + n %% 7), 100 + n %% 13, 0.01, 'USDT', timestamptz '2026-01-01' + n * interval '7 seconds', '{}'
    from generate_series(1, %(trades)s) n
"""


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url, _serving(url) as (server, client):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(_FILL, {"few": FEW, "trades": TRADES})
        rows = [await _small(client)]
        before = _megabytes(server)
        for name, accept in _FORMATS.items():
            rows += await _measured(client, name, "trades", accept)
        for route in ("performance?group_by=pair,day", "equity", "lots?which=closed"):
            rows += await _measured(client, route, route, "text/csv")
        rows.append(
            at_most(
                "memory that all this took, Parquet's library among it", _megabytes(server) - before, MEGABYTES, "MB"
            )
        )
        return show(f"What {TRADES:,} trades have earned", rows)


@asynccontextmanager
async def _serving(url: str) -> AsyncIterator[tuple[Nectar, httpx.AsyncClient]]:
    with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
        server = Nectar(Path(folder) / "data", {"DATABASE_URL": url})
        try:
            await asyncio.to_thread(server.start)
            async with httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=120) as client:
                yield server, client
        finally:
            await asyncio.to_thread(server.stop)


async def _small(client: httpx.AsyncClient) -> Row:
    taken = []
    for _ in range(TRIED):
        began = perf_counter()
        (await client.get("/analytics/performance?account_names=few&group_by=pair")).raise_for_status()
        taken.append((perf_counter() - began) * 1000)
    return at_most(f"performance of {FEW} trades", median(taken), SMALL_MS, "ms")


async def _measured(client: httpx.AsyncClient, name: str, route: str, accept: str) -> list[Row]:
    began, size, first = perf_counter(), 0, 0.0
    others = asyncio.create_task(_others(client))
    async with client.stream("GET", f"/analytics/{route}", headers={"Accept": accept}) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            first = first or perf_counter() - began
            size += len(piece)
    took = perf_counter() - began
    others.cancel()
    waited = await others
    return [
        at_least(f"{name}, trades a second", TRADES / took, TRADES_A_SECOND),
        Row(name=f"{name}, its first bytes", figure=first * 1000, unit="ms"),
        Row(name=f"{name}, its size", figure=size / 1e6, unit="MB"),
        at_most(f"{name}, other requests meanwhile, p99", waited, OTHERS_MS, "ms"),
    ]


async def _others(client: httpx.AsyncClient) -> float:
    """Ask for the portfolio until cancelled; return the milliseconds that 99 of 100 answers took at most."""
    taken = []
    try:
        while True:
            began = perf_counter()
            (await client.post("/portfolio/state", json={})).raise_for_status()
            taken.append((perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return sorted(taken)[int(len(taken) * 0.99)]


def _megabytes(server: Nectar) -> float:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
