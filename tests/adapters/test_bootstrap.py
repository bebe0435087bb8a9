"""What the composition root tells of the server."""

import pytest

from adapters.readiness import Readiness
from domain.errors import Unavailable
from projections.runner import Progress
from tests.fakes.log import MemoryLog


class AwayLog(MemoryLog):
    """A log whose server is not there."""

    async def position(self) -> int:
        """Raise what the real one raises."""
        raise Unavailable('The event log cannot be reached: connection to server at "10.0.0.5" failed for user "ann"')


@pytest.fixture
def progress() -> Progress:
    made = Progress(["orders", "accounts"])
    made.moved({"orders": 0, "accounts": 0})
    return made


async def test_readiness_names_no_host_and_no_user_to_everybody(progress: Progress):
    ready = Readiness(AwayLog(), progress)
    ready.started = True
    assert await ready() == "The event log cannot be reached"
    ready.started = False
    ready.wait_because(Unavailable('The vault cannot be reached: connection to server at "10.0.0.5"'))
    assert await ready() == "Starting: The vault cannot be reached"


async def test_readiness_names_the_views_that_stopped_but_not_what_they_stopped_at(progress: Progress):
    ready = Readiness(MemoryLog(), progress)
    ready.started = True
    progress.failed("orders", "UniqueViolation: Key (order_id)=(n1) already exists")
    assert await ready() == "Views have stopped: orders"
