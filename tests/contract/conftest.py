from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.serving import Nectar
from tests.contract.trading import Traded, trade


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server with everything embedded, which the tests of the contract share."""
    started = Nectar(tmp_path_factory.mktemp("nectar") / "data", {"PAPER_SEED": "7"})
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture(scope="session")
def traded(server: Nectar) -> Traded:
    """The same server after orders of every kind; its accounts and orders by name."""
    with server.client() as client:
        return trade(client)


@pytest.fixture
def api(server: Nectar) -> Iterator[httpx.Client]:
    """A client of the shared server."""
    with server.client() as client:
        yield client


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Nectar]]:
    """Make servers of the test's own, by name; they end with it."""
    made: list[Nectar] = []

    def make(name: str = "data", **environment: str) -> Nectar:
        made.append(Nectar(tmp_path / name, environment))
        return made[-1].start()

    yield make
    for server in made:
        server.stop()
