"""A migrated database for a bench: on the server of `TEST_DATABASE_URL`, or on one of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from adapters.migrations import migrate
from adapters.private_postgres import compress_cheaply
from tests.cluster import cluster

_numbers = count()


@asynccontextmanager
async def fresh_database(server: str | None = None) -> AsyncIterator[str]:
    """Make a migrated database, and drop it at the end. `server` is the URL of another one on the server to take."""
    name = f"nectar_bench_{os.getpid()}_{next(_numbers)}"
    with ExitStack() as stack:
        server = server or os.environ.get("TEST_DATABASE_URL") or stack.enter_context(cluster(durable=True)).url()
        connection = stack.enter_context(psycopg.connect(server, autocommit=True))
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        compress_cheaply(connection, name)
        url = urlsplit(server)._replace(path=f"/{name}").geturl()
        try:
            await migrate(url)
            yield url
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
