"""Bring a database to the shape this program needs: plain SQL files, in the order of their names, each applied once."""

import hashlib
from importlib import resources

import structlog
from psycopg import AsyncConnection, OperationalError

from domain.errors import Unavailable

logger = structlog.get_logger()

_CONNECT_SECONDS = 5
_LOCK = 7_306_912_445_120_833
_REMEMBER = """
create schema if not exists work;
create table if not exists work.migrations (
    name       text        primary key,
    checksum   text        not null,
    applied_at timestamptz not null default now()
)
"""


class WrongMigration(Exception):
    """Say that the database was made by other migrations than this program's."""


def found() -> dict[str, str]:
    """Return the migrations that come with the program: name → SQL, in the order in which they are applied."""
    files = (file for file in resources.files("migrations").iterdir() if file.name.endswith(".sql"))
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(files, key=lambda file: file.name)}


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing, each file in a transaction of its own, and return the names of what was applied.

    Programs that start at the same time wait for each other. Raises `WrongMigration` for a file that has changed since
    it was applied and for a database that a newer program has been at, `Unavailable` when there is no database.
    """
    return await apply(database_url, found())


async def apply(database_url: str, migrations: dict[str, str]) -> list[str]:
    """Apply those of `migrations` (name → SQL) that the database does not have; returns and raises as `migrate`."""
    try:
        return await _apply(database_url, migrations)
    except OperationalError as lost:
        raise Unavailable(f"The database cannot be reached: {str(lost).strip().splitlines()[0]}") from lost


async def _apply(database_url: str, migrations: dict[str, str]) -> list[str]:
    connecting = AsyncConnection.connect(database_url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
    async with await connecting as connection:
        await connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        await connection.execute(_REMEMBER)
        cursor = await connection.execute("select name, checksum from work.migrations")
        known: dict[str, str] = dict(await cursor.fetchall())
        _check(known, migrations)
        missing = [name for name in migrations if name not in known]
        for name in missing:
            async with connection.transaction():
                await connection.execute(migrations[name].encode())
                await connection.execute(
                    "insert into work.migrations (name, checksum) values (%s, %s)", (name, _checksum(migrations[name]))
                )
            logger.info("migration_applied", name=name)
        return missing


def _check(known: dict[str, str], migrations: dict[str, str]) -> None:
    for name, checksum in known.items():
        if name not in migrations:
            raise WrongMigration(f"The database has migration {name}, which only a newer program knows")
        if checksum != _checksum(migrations[name]):
            raise WrongMigration(f"Migration {name} was changed after it was applied; add a new file instead")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
