"""A Postgres of our own under the data folder, for who has set no DATABASE_URL.

`private_postgres(data)` gives its URL while it runs. It is reached over a Unix socket only, in a folder that is closed
to other users, so it needs no password. It is in a session of its own: Ctrl-C reaches us and not it, and it is stopped
last. If we are killed it goes on; the next start stops it cleanly and starts it anew.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import structlog
from psycopg import sql

from adapters.private_postgres import binaries, ground, leftover
from adapters.private_postgres.errors import AlreadyServed, NoPostgres

__all__ = ["AlreadyServed", "NoPostgres", "compress_cheaply", "private_postgres"]

_NAME = "nectar"  # Of the database, and of the role that owns it.
_START_SECONDS = 300  # Recovery after a crash can take long, and must not be interrupted.
_SOCKET_PATH_BYTES = 85  # The system's limit is 103 at the least, with the socket's own name in it.
_LOG_BYTES = 10_000_000

_CONFIGURATION = """\
# Written at every start. Settings of your own go into postgresql.conf, below the line that includes this file.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 192MB
synchronous_commit = on
max_wal_size = 2GB
wal_compression = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
"""

_COMPRESSES_OTHERWISE = """
    select true from pg_settings
     where name = 'wal_compression' and setting = 'pglz' and 'lz4' = any(enumvals)
       and not exists (
               select from pg_db_role_setting s, unnest(s.setconfig) as setting
                where s.setdatabase = (select oid from pg_database where datname = %s)
                  and starts_with(setting, 'wal_compression=')
           )
"""

logger = structlog.get_logger()


@asynccontextmanager
async def private_postgres(data: Path, *, elsewhere: Path = ground.ELSEWHERE) -> AsyncIterator[str]:
    """Run the Postgres of a data folder, made if it is not there, and give the URL of its database.

    `elsewhere` is where clusters lie that cannot lie in their data folder. Raises `NoPostgres`, naming the remedy: no
    binaries, no user that can run them there, or (`AlreadyServed`) another server at work on the same data folder.
    """
    with _locked(data):
        server = _Server(data, elsewhere)
        starting = asyncio.ensure_future(asyncio.to_thread(server.start))
        try:
            yield await asyncio.shield(starting)
        finally:
            # A start that was interrupted goes on in its thread, and what it started has to be stopped.
            await asyncio.wait([starting])
            starting.exception()
            await asyncio.to_thread(server.stop)


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as e:
        raise NoPostgres(
            f"The data folder '{data}' cannot be written to ({e.strerror}). Choose another with NECTAR_DATA,"
            " or give it to the user who runs Nectar."
        ) from e
    with os.fdopen(descriptor, "r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise AlreadyServed(
                f"Another server (process {lock.read().strip() or 'unknown'}) runs on the data folder '{data}'."
                " Stop it first, or choose another folder with NECTAR_DATA."
            ) from e
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


class _Server:
    """The Postgres of one data folder. Blocking: it is driven from a thread."""

    def __init__(self, data: Path, elsewhere: Path) -> None:
        self._data = data
        self._elsewhere = elsewhere
        self._log = data / "postgres.log"
        self._cluster: Path | None = None
        self._socket: Path | None = None
        self._stopping = threading.Event()

    def start(self) -> str:
        """Start it, and make the cluster and the database first where there is none. Return the URL."""
        began = time.monotonic()
        cluster = ground.cluster_of(self._data)
        if cluster.exists() and not os.access(cluster, os.R_OK | os.W_OK | os.X_OK):
            raise NoPostgres(
                f"The database in '{cluster}' belongs to another user (number {cluster.stat().st_uid}). Start Nectar as"
                " the user who made it, give the folder to this one (chown -R), or choose another with NECTAR_DATA."
            )
        if leftover.stop(cluster):
            logger.info("private_postgres_left_running_stopped", cluster=str(cluster))
        major = (cluster / "PG_VERSION").read_text().strip() if ground.is_cluster(cluster) else None
        chosen = ground.choose(self._data, cluster, binaries.find(major), self._elsewhere)
        self._cluster = chosen.cluster
        if not ground.is_cluster(chosen.cluster):
            self._make(chosen)
        socket = self._socket = _socket_folder(chosen)
        _configure(chosen, socket)
        self._run(chosen)
        self._make_database(socket)
        logger.info(
            "private_postgres_started",
            cluster=str(chosen.cluster),
            version=chosen.binaries.version,
            run_as=chosen.run_as.name,
            ms=round((time.monotonic() - began) * 1000),
        )
        return f"postgresql://{_NAME}@/{_NAME}?host={quote(str(socket), safe='')}&port=5432"

    def stop(self) -> None:
        """Stop what runs on the cluster now, also if it was restarted by hand since."""
        if self._cluster is None:
            return
        self._stopping.set()
        began = time.monotonic()
        if leftover.stop(self._cluster):
            logger.info("private_postgres_stopped", ms=round((time.monotonic() - began) * 1000))
        if self._socket not in {None, self._cluster}:
            shutil.rmtree(self._socket, ignore_errors=True)

    def _make(self, chosen: ground.Ground) -> None:
        making = ground.making_of(chosen.cluster)
        options = [f"--username={_NAME}", "--encoding=UTF8", "--no-locale", "--auth=trust"]
        made = chosen.run_as.run([chosen.binaries.folder / "initdb", f"--pgdata={making}", *options])
        if made.returncode != 0:
            raise NoPostgres(f"The private database cannot be made in '{making}': {made.stdout.strip()}")
        with (making / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write("\ninclude_if_exists = 'nectar.conf'\n")
        try:
            making.rename(chosen.cluster)
        except OSError as e:
            raise NoPostgres(
                f"The folder '{chosen.cluster}' holds something that is no database ({e.strerror}). Move it away, or"
                " choose another data folder with NECTAR_DATA."
            ) from e

    def _run(self, chosen: ground.Ground) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            began_at = log.tell()
            process = subprocess.Popen(
                [*chosen.run_as.prefix, chosen.binaries.folder / "postgres", "-D", chosen.cluster],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=ground.environment(),
                start_new_session=True,
                umask=0o077,
                **chosen.run_as.switch,
            )
        threading.Thread(target=self._watch, args=(process,), name="private_postgres", daemon=True).start()
        give_up = time.monotonic() + _START_SECONDS
        while not leftover.is_ready(chosen.cluster, process.pid):
            if process.returncode is not None or time.monotonic() > give_up:
                with self._log.open("rb") as log:
                    log.seek(began_at)
                    said = log.read().decode(errors="replace").strip()[-2000:]
                raise NoPostgres(f"The private Postgres on '{chosen.cluster}' did not start. It said: {said}")
            time.sleep(0.005)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        if not self._stopping.is_set():
            logger.error("private_postgres_ended", exit_code=code, said_in=str(self._log))

    @staticmethod
    def _make_database(socket: Path) -> None:
        with psycopg.connect(
            host=str(socket), port=5432, user=_NAME, dbname="postgres", password="", autocommit=True
        ) as connection:
            there = connection.execute("select from pg_database where datname = %s", [_NAME]).fetchone()
            if there is None:
                connection.execute(f"create database {_NAME}")
            compress_cheaply(connection, _NAME)


def compress_cheaply(connection: psycopg.Connection[Any], database: str) -> None:
    """Have a database compress what it logs with LZ4, where Postgres can: its own way costs several times as much.

    Not where the operator has said how, in `postgresql.conf` or for the database.
    """
    if connection.execute(_COMPRESSES_OTHERWISE, [database]).fetchone():
        connection.execute(sql.SQL("alter database {} set wal_compression = 'lz4'").format(sql.Identifier(database)))


def _configure(chosen: ground.Ground, socket: Path) -> None:
    path = chosen.cluster / "nectar.conf"
    path.write_text(_CONFIGURATION.format(socket=socket), encoding="utf-8")
    if chosen.run_as.owner:
        for changed in (path, chosen.cluster / "postgresql.conf"):
            os.chown(changed, *chosen.run_as.owner)


def _socket_folder(chosen: ground.Ground) -> Path:
    """Return where the socket is: in the cluster's folder, or in a shorter one if that is too long for a socket."""
    if len(os.fsencode(chosen.cluster)) <= _SOCKET_PATH_BYTES and not set("',\"\n") & set(str(chosen.cluster)):
        return chosen.cluster
    status = chosen.cluster.stat()
    folder = Path(f"/tmp/nectar-{status.st_dev:x}-{status.st_ino:x}")  # noqa: S108, anyone might have made it: see below.
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = chosen.run_as.owner or (os.geteuid(), os.getegid())
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in {os.geteuid(), owner[0]} or found.st_mode & 0o077:
        raise NoPostgres(f"The folder '{folder}' for the socket of Postgres belongs to somebody else. Remove it.")
    if chosen.run_as.owner:
        os.chown(folder, *owner, follow_symlinks=False)
    return folder
