from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

import httpx
import pytest

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.settings import Settings
from commands.accounts import first_start
from commands.orders import word
from tests.commands.world import World, world
from tests.http.app import client_of
from write_api.accounts import Accounts
from write_api.orders import Orders
from write_api.positions import Positions
from write_api.rates import Rates
from write_api.strategies import Controllers, Scripts
from write_api.writing import Writes


class Server(NamedTuple):
    client: httpx.AsyncClient
    world: World
    committed: Committed


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The write routes over the real handlers, with the outside in memory and the first account connected."""
    async with world() as outside:
        await first_start(outside.bus.ports)
        committed = Committed()
        writes = Writes(outside.bus, committed, partial(word, outside.log))
        routes = [Accounts, Orders, Positions, Rates, Scripts, Controllers]
        app = build([], routes, {"writes": writes}, Settings.from_environment({}))
        async with client_of(app) as client:
            yield Server(client, outside, committed)
            await outside.quiet()
