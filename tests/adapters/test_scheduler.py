import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from adapters.scheduler import scheduled
from commands.schedule import Job
from domain.errors import Unavailable

BRIEFLY = timedelta(seconds=1)


class Runs:
    """A job that notes that it ran, in the event loop, and then fails if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.done = asyncio.Event()
        self.error = error

    async def run(self) -> None:
        self.done.set()
        if self.error is not None:
            raise self.error


async def _wait(runs: Runs) -> None:
    async with asyncio.timeout(5):
        await runs.done.wait()


@pytest.mark.parametrize("wrap", [lambda run: run, lambda run: lambda *_: run()], ids=["method", "plain function"])
async def test_a_job_is_awaited_whatever_kind_of_callable_it_is(
    wrap: Callable[[Callable[[], Awaitable[None]]], Callable[[], Awaitable[None]]],
):
    runs = Runs()
    async with scheduled([Job(name="job", every=BRIEFLY, run=wrap(runs.run))]):
        await _wait(runs)


async def test_a_job_that_finds_something_away_says_so_once_and_that_it_goes_on():
    runs = Runs(Unavailable("The event log cannot be reached"))
    with capture_logs() as lines:
        async with scheduled([Job(name="job", every=BRIEFLY, run=runs.run)]):
            await _wait(runs)
            runs.done.clear()
            await _wait(runs)
            runs.error = None
            runs.done.clear()
            await _wait(runs)
            async with asyncio.timeout(5):
                while lines[-1]["event"] != "job_goes_on":
                    await asyncio.sleep(0.01)
    waits = {"event": "job_waits", "log_level": "warning", "job": "job", "why": "The event log cannot be reached"}
    assert lines == [waits, {"event": "job_goes_on", "log_level": "info", "job": "job"}]


async def test_a_job_that_fails_is_logged_with_its_error_and_runs_again():
    error = ValueError("wrong")
    runs = Runs(error)
    with capture_logs() as lines:
        async with scheduled([Job(name="job", every=BRIEFLY, run=runs.run)]):
            await _wait(runs)
            runs.done.clear()
            await _wait(runs)
    assert next(line["exc_info"] for line in lines if line["event"] == "job_failed") is error
