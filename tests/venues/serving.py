"""The venue on a port: all dialects, the back door, and the URLs to set for a client."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from tests.venues import admin, binance_futures, binance_spot, okx
from tests.venues.floor import Floor
from tests.venues.levers import Levers

DIALECTS = (binance_spot, binance_futures, okx)
"""Each with `routes(floor)`, and with `urls(address)`: connector → what is merged over ccxt's `urls`."""


class Venue:
    """A venue that is running at an address (`127.0.0.1:8080`)."""

    def __init__(self, floor: Floor, address: str) -> None:
        """Name where it is."""
        self.floor = floor
        self.address = address
        self.urls: Mapping[str, Mapping[str, object]] = {
            connector: urls for dialect in DIALECTS for connector, urls in dialect.urls(address).items()
        }

    @property
    def levers(self) -> Levers:
        """Its levers."""
        return self.floor.levers


def application(floor: Floor) -> web.Application:
    """Return everything that is answered."""
    app = web.Application()
    app.add_routes(admin.routes(floor))
    for dialect in DIALECTS:
        app.add_routes(dialect.routes(floor))
    return app


@asynccontextmanager
async def running_venue(
    floor: Floor, *, host: str = "127.0.0.1", port: int = 0, tick_seconds: float | None = None
) -> AsyncIterator[Venue]:
    """Serve a floor in this loop; with `tick_seconds` its market moves by itself. Port 0 is any that is free."""
    # Nobody is waited for at the end: a request may have been told to lie about for a minute.
    runner = web.AppRunner(application(floor), access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    address = f"{host}:{runner.addresses[0][1]}"
    ticking = asyncio.create_task(floor.run(tick_seconds)) if tick_seconds is not None else None
    try:
        yield Venue(floor, address)
    finally:
        if ticking is not None:
            ticking.cancel()
        await runner.cleanup()
