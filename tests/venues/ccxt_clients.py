"""ccxt's own classes as clients of the test venue."""

import asyncio
from contextlib import asynccontextmanager


@asynccontextmanager
async def trading_on(venue, connector, exchange, **config):
    """Give one of ccxt's own classes, nothing about it changed but its URLs, and close it in the end."""
    keys = venue.floor.keys_of("alice")
    client = exchange({"apiKey": keys.api_key, "secret": keys.secret, "enableRateLimit": False, **config})
    client.urls = client.deep_extend(client.urls, venue.urls[connector])
    client.timeout_on_exit = 0
    try:
        yield client
    finally:
        await client.close()


async def subscribed(venue, market):
    """Wait until alice's user stream is followed."""
    async with asyncio.timeout(5):
        while not venue.floor.desk(market).followed("alice"):
            await asyncio.sleep(0.005)
