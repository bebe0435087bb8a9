from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.private_postgres import ground, leftover
from tests.contract.serving import Nectar

Make = Callable[..., Nectar]


@pytest.fixture
def nectar(tmp_path: Path) -> Iterator[Make]:
    """Make servers of the test's own, not started yet; they end with it, and so does all that they leave behind.

    Without an `environment` of its own a server has a private Postgres, and no broker.
    """
    made: list[Nectar] = []

    def make(name: str = "data", **environment: str) -> Nectar:
        made.append(Nectar(tmp_path / name, {"BROKER_HOST": "127.0.0.1", "LOG_LEVEL": "warning", **environment}))
        return made[-1]

    yield make
    for server in made:
        server.stop()
        if server.data.is_dir():
            leftover.stop(ground.cluster_of(server.data))
