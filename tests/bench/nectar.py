"""Nectar as a process of its own, with accounts on the test venue."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.bench.venue import Running, credentials
from tests.contract.serving import CREDENTIALS, Nectar
from tests.venues.floor import Keys

CONNECTOR = "binance"
_SECONDS = 60.0
_AT_ONCE = 10


@asynccontextmanager
async def nectar(running: Running, database_url: str) -> AsyncIterator[tuple[Nectar, httpx.AsyncClient]]:
    """Run `nectar serve` on a database and a venue, and give it with a client once it is ready."""
    with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
        urls = Path(folder) / "venue_urls.json"
        urls.write_bytes(msgspec.json.encode(running.urls))
        server = Nectar(Path(folder) / "data", {"DATABASE_URL": database_url, "VENUE_URLS": str(urls)})
        try:
            await asyncio.to_thread(server.start)
            async with httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=_SECONDS) as client:
                yield server, client
        finally:
            await asyncio.to_thread(server.stop)


async def connect(client: httpx.AsyncClient, keys: Sequence[Keys]) -> None:
    """Add an account under each one's name, with its keys."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Keys) -> None:
        async with turns:
            await _post(client, f"/accounts/add-account?account_name={each.account}", None)
            path = f"/accounts/add-credential/{each.account}/{CONNECTOR}"
            await _post(client, path, credentials(CONNECTOR, each))

    await asyncio.gather(*map(one, keys))


async def _post(client: httpx.AsyncClient, path: str, body: Any) -> None:
    answer = await client.post(path, json=body)
    if answer.is_error:
        raise ConnectionError(f"{path} was answered {answer.status_code}: {answer.text}")
