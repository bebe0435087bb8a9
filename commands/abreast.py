"""Do many things at once, but not too many: what is asked of several venues must not wait for the slowest."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def abreast(most: int, works: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do all works, at most `most` of them at once, and return what they gave, in their order.

    The first failure ends the others, and is raised.
    """
    room = asyncio.Semaphore(most)

    async def do(work: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            begun = [tasks.create_task(do(work)) for work in works]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in begun]
