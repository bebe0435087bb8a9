"""Connections for asking the views."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.errors import Unavailable
from projections.view import SCHEMA, Connection


class Pool:
    """A pool of connections that see one schema of views; they read only what is committed."""

    def __init__(self, connections: AsyncConnectionPool[Connection]) -> None:
        """Use `open` instead."""
        self._connections = connections

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database_url: str, *, schema: str = SCHEMA, size: int = 8, timeout_seconds: float = 5.0
    ) -> AsyncIterator[Self]:
        """Open up to `size` connections, and close them when the context ends.

        A caller waits at most `timeout_seconds` for one.
        """

        async def configure(connection: Connection) -> None:
            await connection.execute(
                "select set_config('search_path', %s, false), set_config('timezone', 'UTC', false),"
                " set_config('jit', 'off', false)",
                [schema],
            )

        connections = AsyncConnectionPool[Connection](
            database_url,
            min_size=min(2, size),
            max_size=size,
            timeout=timeout_seconds,
            kwargs={"autocommit": True},
            configure=configure,
            open=False,
        )
        async with connections:
            yield cls(connections)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises `Unavailable` when the database does not answer, or a view is not built yet."""
        try:
            async with self._connections.connection() as connection:
                yield connection
        except psycopg.OperationalError as lost:
            raise Unavailable(f"The views cannot be reached: {str(lost).strip()}") from lost
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as missing:
            raise Unavailable(f"A view is being built: {str(missing).splitlines()[0]}") from missing
