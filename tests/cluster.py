"""A throw-away Postgres on a Unix socket, made of the binaries on the machine, that a test may kill and start again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from adapters.private_postgres import binaries, ground
from adapters.private_postgres.errors import NoPostgres

_START_SECONDS = 30.0

# A process that is killed keeps what it gave to the operating system, so a test needs no disk; a bench does.
_CARELESS = ("shared_buffers=64MB", "fsync=off", "full_page_writes=off", "max_wal_size=128MB", "min_wal_size=32MB")
_SETTINGS = (
    "listen_addresses=",
    "max_connections=200",
    "timezone=UTC",
)
# As Nectar's own Postgres has it, which is what a bench is about.
_DURABLE = ("shared_buffers=192MB", "max_wal_size=2GB", "wal_compression=on", "jit=off")
# The files of a database that lives for one test are better made in memory: to make and remove those costs the kernel
# half of what a disk's do. There has to be room for them, and for the log of what was written.
_MEMORY = Path("/dev/shm")
_PREFIX = "nectar-test-"
_ROOM_BYTES = 2 * 2**30


class Cluster:
    """One server: `folder` is for its socket and what it prints, `data` for its files."""

    def __init__(self, folder: Path, data: Path, programs: Path, settings: Sequence[str]) -> None:
        self._settings = settings
        self._folder = folder
        self._data = data
        self._programs = programs
        # Postgres refuses to run as root.
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, as its superuser."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def create(self) -> None:
        """Make the files of the server."""
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            for folder in (self._folder, self._data):
                os.chown(folder, entry.pw_uid, entry.pw_gid)
        subprocess.run(
            [
                *(self._programs / "initdb", "--pgdata", self._data, "--username", "postgres"),
                *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            cwd=self._folder,
            env=ground.environment(),
            user=self._user,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "server.log").open("ab") as output:
            self._server = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data, "-k", self._folder),
                    *(argument for setting in self._settings for argument in ("-c", setting)),
                ],
                cwd=self._folder,
                env=ground.environment(),
                user=self._user,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > give_up_at:
                pytest.fail(f"Postgres did not start:\n{(self._folder / 'server.log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server as an operator would, ending its connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its processes at once, in the middle of whatever they do."""
        self._end(signal.SIGKILL)

    def drop(self) -> None:
        """End the server without its last checkpoint; unlike a kill, that leaves no memory behind."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        if how is signal.SIGKILL:
            os.killpg(self._server.pid, how)
        else:
            self._server.send_signal(how)
        self._server.wait(_START_SECONDS)
        self._server = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def cluster(*, durable: bool = False, settings: Sequence[str] = ()) -> Iterator[Cluster]:
    """Run a server for as long as the context lasts; a durable one waits for the disk with each commit."""
    # Not below pytest's own folder, which only its user may enter; and short, because a socket's path has 107 bytes.
    _sweep()
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(None))
        data = folder / "data" if durable else stack.enter_context(_folder(_in_memory()))
        data.mkdir(exist_ok=True)
        made = Cluster(folder, data, _binaries(folder), (*_SETTINGS, *(_DURABLE if durable else _CARELESS), *settings))
        stack.callback(made.drop)
        made.create()
        made.start()
        yield made


@contextmanager
def _folder(place: Path | None) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def _sweep() -> None:
    """Remove what test processes that were killed have left in memory, where it would stay until the next boot."""
    for left in _MEMORY.glob(f"{_PREFIX}*-*"):
        process = left.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not Path("/proc", process).exists() and os.access(left, os.W_OK):
            with suppress(OSError, ValueError):  # it has ended, or is not ours
                server = int((left / "postmaster.pid").read_text().split()[0])
                if str(left) in Path(f"/proc/{server}/cmdline").read_text():
                    os.kill(server, signal.SIGQUIT)
            shutil.rmtree(left, ignore_errors=True)


def _in_memory() -> Path | None:
    """Return where files are kept in memory and have room; None where there is no such place."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
        return _MEMORY
    return None


def _binaries(folder: Path) -> Path:
    try:
        found = binaries.find()
    except NoPostgres as e:
        pytest.fail(f"These tests need a Postgres; TEST_DATABASE_URL may name one. {e}")
    if found.from_wheel and os.geteuid() == 0:  # the user that it will run as may not reach our environment
        found = found.copied_to(folder)
    return found.folder


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
