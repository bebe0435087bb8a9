"""What an account on a real exchange weighs while nothing happens on it, beside the exchange object of ccxt alone.

Both follow the same streams of the same accounts, with markets shared. The first account is not counted: it brings the
exchange's code and its markets.
"""

import asyncio
import sys

from tests.bench.bench_start import weight
from tests.bench.database import fresh_database
from tests.bench.nectar import connect, nectar
from tests.bench.plain import Weighed, weighed
from tests.bench.table import Row, at_most, show
from tests.bench.venue import Running, followed, venue

ACCOUNTS = 200
SETTLED_SECONDS = 12.0
"""By then what an account asks after it was connected is answered."""
MEGABYTES = 1.0


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    async with venue(ACCOUNTS) as running:
        plain = _each(await weighed(running, SETTLED_SECONDS))
        ours = _each(await _ours(running))
    return show(
        f"Memory of an idle account with its streams, {ACCOUNTS} in one process",
        [
            Row(name="ccxt's own", figure=plain, unit="MB"),
            Row(name="in Nectar", figure=ours, unit="MB"),
            at_most("in Nectar, beyond ccxt's own", ours - plain, MEGABYTES, "MB"),
        ],
    )


async def _ours(running: Running) -> Weighed:
    async with fresh_database() as url, nectar(running, url) as (server, client):
        if server.process is None:
            raise ChildProcessError("The server is not there")
        await connect(client, running.keys[:1])
        await asyncio.sleep(SETTLED_SECONDS)
        first = weight(server.process.pid)[0]
        await connect(client, running.keys[1:])
        await asyncio.sleep(SETTLED_SECONDS)
        if await followed(running) < ACCOUNTS:
            raise ConnectionError(f"Only {await followed(running)} of {ACCOUNTS} accounts are followed")
        return Weighed(first=first, all=weight(server.process.pid)[0])


def _each(weights: Weighed) -> float:
    return (weights.all - weights.first) / (ACCOUNTS - 1)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
