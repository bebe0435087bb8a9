"""The database that tests run on: one server for all of them, one fresh, migrated database for each.

`TEST_DATABASE_URL` names a server to use as its superuser; without it a throw-away one is started.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog
from psycopg import sql
from structlog.dev import ConsoleRenderer, plain_traceback

from adapters.event_store import PostgresLog
from adapters.migrations import migrate
from tests.cluster import cluster
from tests.engine import Engine, engine, own_engine

# What tests read keyfiles with lets all code of its process recurse 100,000 deep, and no server does that.
_DEEPEST = sys.getrecursionlimit()
import_module("eth_keyfile")
sys.setrecursionlimit(_DEEPEST)

# To print the values of variables takes seconds of the loop that a test runs on.
structlog.configure([*structlog.get_config()["processors"][:-1], ConsoleRenderer(exception_formatter=plain_traceback)])

_HERE = Path(__file__).parent
_LONGEST = ("venues", "faults", "contract", "ports", "adapters")

_numbers = count(1)
_COPIES_IF_TOLD = 15_00_00


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what runs whole servers, so that no worker is left with that when the others have ended."""

    def folder(item: pytest.Item) -> int:
        name = item.path.relative_to(_HERE).parts[0]
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)

    items.sort(key=folder)


@contextmanager
def _database(server_url: str, name: str, template: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as connection:
        # To copy the files costs less than to log what is in them; Postgres before 15 knows no other way.
        how = sql.SQL(" strategy file_copy" if connection.info.server_version >= _COPIES_IF_TOLD else "")
        create = sql.SQL("create database {} template {} encoding 'UTF8'")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)) + how)
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Return the superuser's URL of the server that tests share."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
    else:
        with cluster() as started:
            yield started.url()


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Return the name of a migrated database that nobody is connected to."""
    with _database(server_url, f"nectar_template_{os.getpid()}", "template0") as url:
        with ThreadPoolExecutor(1) as elsewhere:  # the fixture may be asked for inside of an event loop
            elsewhere.submit(asyncio.run, migrate(url)).result()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """Return the URL of a fresh, migrated database."""
    with _database(server_url, f"nectar_test_{os.getpid()}_{next(_numbers)}", template) as url:
        yield url


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """Return the URL of a database with nothing in it."""
    with _database(server_url, f"nectar_test_{os.getpid()}_{next(_numbers)}", "template0") as url:
        yield url


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[PostgresLog]:
    """Return an open, empty event log."""
    async with PostgresLog.open(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """Return the Docker engine that answers, else one that is started for these tests."""
    with engine() as found:
        yield found


@pytest.fixture(scope="session")
def swarm_engine(docker_engine: Engine) -> Iterator[Engine]:
    """Return an engine that may be made a Swarm of: one of our own, never the machine's."""
    if docker_engine.own:
        yield docker_engine
    else:
        with own_engine() as started:
            yield started
