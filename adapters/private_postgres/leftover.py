"""Which Postgres runs on a cluster's folder, and how to end it, whoever started it."""

import os
import signal
import time
from pathlib import Path

import structlog

from adapters.private_postgres.errors import NoPostgres

_PROC = Path("/proc")
_CLEAN_STOP_SECONDS = 60
_HARD_STOP_SECONDS = 20
_STATUS_LINE = 7  # Of postmaster.pid, from 0: see `miscadmin.h` of Postgres.

logger = structlog.get_logger()


def is_ready(cluster: Path, pid: int) -> bool:
    """Return whether the Postgres with that process id takes connections."""
    lines = _pid_file_lines(cluster)
    return len(lines) > _STATUS_LINE and lines[0].strip() == str(pid) and lines[_STATUS_LINE].strip() == "ready"


def stop(cluster: Path) -> bool:
    """Stop the Postgres that runs on a cluster cleanly, and return whether there was one.

    Afterwards none runs there and no trace of one keeps the next from starting. Raises `NoPostgres` if it does not end.
    """
    if not _running(cluster):
        _forget(cluster)
        return False
    for how, seconds in ((signal.SIGINT, _CLEAN_STOP_SECONDS), (signal.SIGQUIT, _HARD_STOP_SECONDS)):
        postmaster = _postmaster(cluster)
        if postmaster in _running(cluster):
            _signal(postmaster, how, cluster)
        if _ended(cluster, seconds):
            _forget(cluster)
            return True
        logger.warning("private_postgres_slow_to_stop", cluster=str(cluster), after_seconds=seconds)
    raise NoPostgres(
        f"The Postgres that runs on '{cluster}' does not stop (processes {_running(cluster)})."
        " End it by hand, then start again."
    )


def _ended(cluster: Path, seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while _running(cluster):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def _signal(pid: int, how: signal.Signals, cluster: Path) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return
    except PermissionError as e:
        raise NoPostgres(
            f"A Postgres of another user (process {pid}) runs on '{cluster}'. Stop it as that user, or choose another"
            " data folder with NECTAR_DATA."
        ) from e


def _forget(cluster: Path) -> None:
    # A number left by a Postgres that was killed may by now belong to any other program, and would keep the next
    # Postgres from starting. Where processes can be looked through we know that it has ended.
    if _PROC.is_dir():
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _postmaster(cluster: Path) -> int:
    lines = _pid_file_lines(cluster)
    return abs(int(lines[0])) if lines and lines[0].strip().lstrip("-").isdigit() else 0


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _running(cluster: Path) -> list[int]:
    """Return the processes of Postgres that work in the cluster's folder: the postmaster and its children.

    Where there is no /proc the file of the postmaster has to be believed.
    """
    postmaster = _postmaster(cluster)
    if not _PROC.is_dir():
        return [postmaster] if postmaster and _is_alive(postmaster) else []
    folder = cluster.resolve()
    return [int(process.name) for process in _PROC.iterdir() if process.name.isdigit() and _works_in(process, folder)]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder and (process / "comm").read_text().strip() == "postgres"
    except OSError:
        # It has ended meanwhile, or is another user's: a cluster's Postgres has the user who owns it.
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
