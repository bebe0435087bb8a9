"""Run a process: events of some types in, commands out, its own checkpoint.

A crash between a step and its checkpoint repeats the step, so every step looks at how things are and does what is
missing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from commands.ports import Ports
from domain.errors import Unavailable
from domain.events import Recorded

logger = structlog.get_logger()

RETRY_SECONDS = 0.5


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process by its name, the types of events it waits for, and what it does on each, at least once and in order."""

    name: str
    types: Sequence[str]
    step: Callable[[Recorded, Ports], Awaitable[None]]


async def run(process: Process, ports: Ports) -> None:
    """Work off the log from the process's checkpoint on, until canceled.

    Raises what a step raises, but for `Unavailable`: what is away now is waited for.
    """
    while True:
        try:
            done = await ports.checkpoints.read(process.name)
            async for batch in ports.log.follow(done, types=process.types):
                for recorded in batch:
                    await process.step(recorded, ports)
                await ports.checkpoints.save(process.name, batch[-1].position)
                logger.info("process_step", process=process.name, events=len(batch), position=batch[-1].position)
        except Unavailable as reason:
            logger.warning("process_waits", process=process.name, why=reason.message)
            await asyncio.sleep(RETRY_SECONDS)
