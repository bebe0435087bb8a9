"""The database of this installation: the one that is set, or the private one of the data folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from adapters.private_postgres import NoPostgres, private_postgres
from adapters.settings import Settings

_URL_FILE = "database.url"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[str, bool]]:
    """Give the URL of the database and whether it is private; a private one runs while the block runs.

    Raises `NoPostgres`.
    """
    if settings.database_url is not None:
        yield settings.database_url, False
        return
    async with private_postgres(settings.data) as url:
        file = settings.data / _URL_FILE
        _write(file, url)
        try:
            yield url, True
        finally:
            file.unlink(missing_ok=True)


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[str]:
    """Give the URL of the database, whether a server runs on it now or not. Raises `NoPostgres`."""
    async with AsyncExitStack() as stack:
        try:
            url, _ = await stack.enter_async_context(opened(settings))
        except NoPostgres:
            # A server is at work on the data folder: its Postgres is ours to ask, too.
            file = settings.data / _URL_FILE
            if not file.exists():
                raise
            url = file.read_text(encoding="utf-8")
        yield url


def described(settings: Settings) -> str:
    """Return which database that is, in words, without its password."""
    if settings.database_url is None:
        return f"the private database of '{settings.data}'"
    known = conninfo_to_dict(settings.database_url)
    where = f"{known['host']}:{known.get('port') or 5432}" if known.get("host") else "the local socket"
    return f"the database '{known.get('dbname') or known.get('user')}' at {where}"


def _write(file: Path, url: str) -> None:
    file.touch(mode=0o600)
    file.write_text(url, encoding="utf-8")
