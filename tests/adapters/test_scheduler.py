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
        self._error = error

    async def run(self) -> None:
        self.done.set()
        if self._error is not None:
            raise self._error


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


async def test_a_job_that_finds_something_away_is_said_in_a_line_and_runs_again():
    runs = Runs(Unavailable("The event log cannot be reached"))
    with capture_logs() as lines:
        async with scheduled([Job(name="job", every=BRIEFLY, run=runs.run)]):
            await _wait(runs)
            runs.done.clear()
            await _wait(runs)
    assert {
        "event": "job_waits",
        "log_level": "warning",
        "job": "job",
        "why": "The event log cannot be reached",
    } in lines


async def test_a_job_that_fails_is_logged_with_its_error_and_runs_again():
    error = ValueError("wrong")
    runs = Runs(error)
    with capture_logs() as lines:
        async with scheduled([Job(name="job", every=BRIEFLY, run=runs.run)]):
            await _wait(runs)
            runs.done.clear()
            await _wait(runs)
    assert next(line["exc_info"] for line in lines if line["event"] == "job_failed") is error
