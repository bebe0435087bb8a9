"""Runs jobs by the clock, with APScheduler."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from commands.schedule import Job
from domain.errors import Unavailable

logger = structlog.get_logger()


@asynccontextmanager
async def scheduled(jobs: Sequence[Job]) -> AsyncIterator[None]:
    """Run jobs while the block runs; one that is late runs once, one that fails is logged and runs again next time."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    waits: dict[str, str] = {}
    scheduler.add_listener(_failed, EVENT_JOB_ERROR)
    for job in jobs:
        seconds = job.every.total_seconds()
        scheduler.add_job(
            _run,
            IntervalTrigger(seconds=int(seconds), start_date=_aligned(seconds) if job.aligned else None, timezone=UTC),
            args=[job, waits],
            id=job.name,
            name=job.name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


def _aligned(seconds: float) -> datetime:
    """Return a past moment that is a whole multiple of the interval since 1970."""
    now = datetime.now(UTC).timestamp()
    return datetime.fromtimestamp(now - now % seconds, UTC)


async def _run(job: Job, waits: dict[str, str]) -> None:
    """Run a job; why one has to wait is logged once, and not as often as it looks again."""
    # A coroutine function, whatever `job.run` is: APScheduler would call anything else in a thread and await nothing.
    try:
        await job.run()
    except Unavailable as reason:
        if waits.get(job.name) != reason.message:
            waits[job.name] = reason.message
            logger.warning("job_waits", job=job.name, why=reason.message)
    else:
        if waits.pop(job.name, None) is not None:
            logger.info("job_goes_on", job=job.name)


def _failed(event: JobExecutionEvent) -> None:
    logger.error("job_failed", job=event.job_id, exc_info=event.exception)
