"""Requests keep apart by their cost, and by no more."""

import asyncio

from adapters.exchanges.throttle import Throttle


async def left(throttle: Throttle, *costs: float | None) -> list[float]:
    """Return when each of several requests that want to leave at once may, in milliseconds from the first."""
    loop = asyncio.get_running_loop()
    turns = []

    async def one(cost: float | None) -> None:
        await throttle(cost)
        turns.append(loop.time() * 1000)

    await asyncio.gather(*map(one, costs))
    return [turn - turns[0] for turn in turns]


async def test_a_request_after_quiet_waits_for_nothing():
    throttle, loop = Throttle(20), asyncio.get_running_loop()
    await throttle(1)
    free_at = loop.time() + 0.02
    while loop.time() < free_at:
        await asyncio.sleep(0)
    began = loop.time()
    await throttle(1)
    assert loop.time() - began < 0.01


async def test_requests_keep_apart_by_the_cost_of_the_one_before():
    first, second, third, last = await left(Throttle(10), 3, 0.5, None, 1)
    assert first == 0
    assert second >= 29
    assert third >= 34
    assert last >= 44


async def test_a_venue_without_a_limit_keeps_nobody_waiting():
    throttle = Throttle(-1)
    async with asyncio.timeout(1):
        for _ in range(1000):
            await throttle(100)


async def test_requests_that_gave_up_take_no_time_of_those_behind_them():
    throttle, loop = Throttle(100), asyncio.get_running_loop()
    began = loop.time()
    await throttle()
    gone = [asyncio.create_task(throttle()) for _ in range(100)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    await throttle()
    assert 0.09 <= loop.time() - began < 1
