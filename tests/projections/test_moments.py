"""Where in the log a time is, held against looking at every event."""

from datetime import timedelta
from random import Random

import psycopg
import pytest

from projections.moments import last_before, last_by
from tests.projections.given import at

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 40])
async def test_a_time_is_found_among_missing_positions_and_equal_times(database_url: str, length: int):
    random = Random(length)
    log, position, seconds = [], 0, 0.0
    for _ in range(length):
        position += random.choice((1, 1, 1, 2, 30))
        seconds += random.choice((0, 0, 1, 60))
        log.append((position, at(seconds)))
    times = sorted({time + step for _, time in [*log, (0, at(0))] for step in (-TICK, 0 * TICK, TICK)})
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "insert into log.events (position, stream, version, type, schema_version, recorded_at, correlation_id,"
                " command_id, actor, data)"
                " values (%s, 's', %s, 't', 1, %s, gen_random_uuid(), gen_random_uuid(), '', '')",
                [(position, version, time) for version, (position, time) in enumerate(log, 1)],
            )
        found = await connection.execute(
            f"select time, {last_by('time')}, {last_before('time')} from unnest(%s::timestamptz[]) as time", [times]
        )
        assert await found.fetchall() == [
            (
                time,
                max((position for position, recorded_at in log if recorded_at <= time), default=0),
                max((position for position, recorded_at in log if recorded_at < time), default=0),
            )
            for time in times
        ]
