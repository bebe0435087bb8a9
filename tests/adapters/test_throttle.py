"""Requests keep apart by their cost, and by no more."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable

import pytest

from adapters.exchanges.throttle import Throttle


class Clockwork(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time: its clock goes on by what would have been waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: Clockwork) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self._loop.now += timeout
        return ready


def run(story: Callable[[Callable[[], float]], Awaitable[None]]) -> None:
    """Run a story on such a loop; it gets the clock, in milliseconds."""
    with asyncio.Runner(loop_factory=Clockwork) as runner:

        async def told() -> None:
            await story(lambda: asyncio.get_running_loop().time() * 1000)

        runner.run(told())


def test_a_request_after_quiet_waits_for_nothing():
    async def story(clock):
        throttle = Throttle(20)
        await throttle(1)
        await asyncio.sleep(0.02)
        began = clock()
        await throttle(1)
        assert clock() == began

    run(story)


def test_requests_keep_apart_by_the_cost_of_the_one_before():
    async def story(clock):
        throttle, turns = Throttle(10), []

        async def one(cost: float | None) -> None:
            await throttle(cost)
            turns.append(clock())

        await asyncio.gather(*map(one, (3, 0.5, None, 1)))
        assert turns == [pytest.approx(turn) for turn in (0, 30, 35, 45)]

    run(story)


def test_a_venue_without_a_limit_keeps_nobody_waiting():
    async def story(clock):
        throttle = Throttle(-1)
        for _ in range(1000):
            await throttle(100)
        assert clock() == 0

    run(story)


def test_requests_that_gave_up_take_no_time_of_those_behind_them():
    async def story(clock):
        throttle = Throttle(100)
        await throttle()
        gone = [asyncio.create_task(throttle()) for _ in range(100)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        await throttle()
        assert clock() == pytest.approx(100)

    run(story)
