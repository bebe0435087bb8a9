"""How far each process has worked off the log, in Postgres."""

from projections.pool import Pool


class PostgresCheckpoints:
    """The port `Checkpoints` over the table `work.process_checkpoints`."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from a pool."""
        self._pool = pool

    async def read(self, process: str) -> int:
        """Return the position up to which a process is done, 0 for a new one."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select position from work.process_checkpoints where process = %s", (process,)
            )
            row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def save(self, process: str, position: int) -> None:
        """Keep that a process is done up to a position; it never goes back."""
        async with self._pool.connection() as connection:
            await connection.execute(
                """insert into work.process_checkpoints as c (process, position) values (%s, %s)
                   on conflict (process) do update
                   set position = greatest(c.position, excluded.position), updated_at = now()""",
                (process, position),
            )
