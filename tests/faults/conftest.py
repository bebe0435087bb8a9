from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.private_postgres import ground, leftover
from tests.contract.serving import Nectar
from tests.faults.load import BID, SPREAD

Make = Callable[..., Nectar]


@pytest.fixture
def nectar(tmp_path: Path) -> Iterator[Make]:
    """Make servers of the test's own, not started yet; they end with it, and so does all that they leave behind.

    Without an `environment` of its own a server has a private Postgres, no broker, and a market that stands still.
    """
    usual = {
        "BROKER_HOST": "127.0.0.1",
        "LOG_LEVEL": "warning",
        "PAPER_FEED": market(tmp_path / "market.csv", BID, SPREAD),
    }
    made: list[Nectar] = []

    def make(name: str = "data", **environment: str) -> Nectar:
        made.append(Nectar(tmp_path / name, {**usual, **environment}))
        return made[-1]

    yield make
    for server in made:
        server.stop()
        if server.data.is_dir():
            leftover.stop(ground.cluster_of(server.data))


def market(path: Path, bid: int, spread: int = 10) -> str:
    """Write a market that stands still, and return its file's name for `PAPER_FEED`."""
    header = "timestamp,symbol,bid,ask,bid_size,ask_size\n"
    path.write_text(f"{header}2026-01-01T00:00:00Z,BTC-USDT,{bid},{bid + spread},5,5\n")
    return str(path)
