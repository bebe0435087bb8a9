"""Bots as processes of this machine, without Docker: the port `Runtime`.

A bot runs in the folder of its instance, under a shell that waits for it and writes down how it ended, in a session of
its own: it goes on while the server is away. Both hold a lock on a file for as long as they live, which the kernel
lets go of however they end. So whether a bot runs is whether its lock is held, whoever asks and whatever happened to
process ids meanwhile, and nobody can start it a second time.
"""

import asyncio
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from commands.ports.bots import Instance
from domain.bots import BotDeployed
from domain.errors import Invalid, Unavailable

T = TypeVar("T")

ERRORS_BYTES = 10_000_000
"""A bot's `errors.log` that is longer is cut to the newest half of so many, whenever the instances are asked for."""

_LOOK_SECONDS = 0.05
_KILL_SECONDS = 10.0
_KILLED = 128 + signal.SIGKILL

# The strategies' sources, which are linked into an instance's folder for as long as it may run there.
_SHARED = ("scripts", "controllers")

# `$0` is where the records of the instance lie, without their endings; `$@` is the bot. What runs in the brackets is
# nobody's child when the outer shell ends. It must outlive the bot to tell its exit code, so it does not end when the
# whole session is told to; the bot hears of that all the same.
_SHELL = """
echo "$$" > "$0.session" || exit 1
(
    trap : TERM HUP
    "$@"
    echo "$?" > "$0.new" && mv "$0.new" "$0.exit"
) < /dev/null > /dev/null 2>> logs/errors.log &
"""

# A bot has no business with the rest of what the server was started with, its passwords above all.
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")


class ProcessRuntime:
    """Processes of this machine as the place where bots run.

    `command` is a bot's program with its arguments; it has to take `conf`, `data`, `logs`, `scripts` and `controllers`
    from the folder that it is started in. `bots` is the folder with `instances`, `records` is where it is written down
    what runs. An image means nothing here, and there is no screen, so that every bot is headless.
    """

    name = "process"

    def __init__(
        self,
        *,
        command: Sequence[str],
        bots: Path,
        records: Path,
        config_password: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = tuple(command)
        self._bots = bots.absolute()
        self._records = records.absolute()
        self._config_password = config_password
        self._environment = os.environ if environment is None else environment

    async def place(self) -> str:
        """Return the name alone: the records of processes are of use on their own machine only."""
        return self.name

    async def check(self, image: str) -> None:  # noqa: ARG002 - the port's
        """Make sure that there is a program to run. Raises `Invalid`, whatever the image."""
        await _apart(self._program)

    async def start(self, order: BotDeployed) -> Instance:
        """Run the program in the instance's folder, unless it runs there already."""
        return await _apart(lambda: self._start(order))

    async def stop(self, instance: str, grace_seconds: float) -> int | None:
        """Ask the program to end, end it after `grace_seconds`, and return its exit code."""
        if await _apart(lambda: self._signal(instance, signal.SIGTERM)):
            ended = await self._wait(instance, grace_seconds)
            if not ended and await _apart(lambda: self._signal(instance, signal.SIGKILL)):
                if not await self._wait(instance, _KILL_SECONDS):
                    raise Unavailable(f"Instance '{instance}' still runs {_KILL_SECONDS:g} seconds after it was killed")
                await _apart(lambda: self._note_killed(instance))
        return await _apart(lambda: self._exit_code(instance))

    async def collect(self, instance: str) -> None:
        """Leave nothing in the folder but what is the instance's own: it may be put away next."""

        def work() -> None:
            for name in _SHARED:
                link = self._bots / "instances" / instance / name
                if link.is_symlink():
                    link.unlink()

        await _apart(work)

    async def remove(self, instance: str) -> None:
        """Forget an instance that has ended."""

        def work() -> None:
            if self._runs(instance):
                raise Invalid(f"Instance '{instance}' is running: its process cannot be removed")
            for ending in ("session", "exit", "new", "lock"):
                self._path(instance, ending).unlink(missing_ok=True)

        await _apart(work)

    async def instances(self) -> Mapping[str, Instance]:
        """Return every instance that was started and not removed."""

        def work() -> dict[str, Instance]:
            with self._alone():
                pass  # There are records to be read.
            there = [path.stem for path in sorted(self._records.glob("*.lock"))]
            for instance in there:
                _cut(self._bots / "instances" / instance / "logs" / "errors.log", ERRORS_BYTES)
            return {instance: self._shown(instance) for instance in there}

        return await _apart(work)

    def _program(self) -> list[str]:
        if not self._command:
            raise Invalid("No program is set to run bots as processes: set BOT_COMMAND")
        program = shutil.which(self._command[0], path=self._environment.get("PATH"))
        if program is None:
            raise Invalid(f"The program that runs bots, '{self._command[0]}', is not there or cannot be run")
        return [str(Path(program).absolute()), *self._command[1:]]

    def _start(self, order: BotDeployed) -> Instance:
        command, instance = self._program(), order.instance
        folder = self._bots / "instances" / instance
        if not folder.is_dir():
            raise Invalid(f"Instance '{instance}' has no folder to run in")
        with self._alone(), self._locked(instance) as lock:
            if lock is not None:
                self._share(folder)
                self._path(instance, "exit").unlink(missing_ok=True)
                self._path(instance, "session").unlink(missing_ok=True)
                self._spawn(order, command, folder, lock)
        return self._shown(instance)

    def _spawn(self, order: BotDeployed, command: Sequence[str], folder: Path, lock: int) -> None:
        given = {"CONFIG_PASSWORD": self._config_password, "HEADLESS_MODE": "true"}
        if order.script_config is not None:
            given["SCRIPT_CONFIG"] = order.script_config
        passed_on = {name: value for name, value in self._environment.items() if name in _PASSED_ON}
        done = subprocess.run(
            ["/bin/sh", "-c", _SHELL, str(self._records / order.instance), *command],
            cwd=folder,
            env={**passed_on, **given},
            pass_fds=[lock],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode or done.stderr:
            said = done.stderr.decode(errors="replace").strip()
            raise Unavailable(f"Instance '{order.instance}' cannot be started with {shlex.join(command)}: {said}")

    def _share(self, folder: Path) -> None:
        """Show the strategies' sources in the instance's folder, as in a container."""
        for name in _SHARED:
            with suppress(FileExistsError):
                (folder / name).symlink_to(self._bots / name)

    def _path(self, instance: str, ending: str) -> Path:
        return self._records / f"{instance}.{ending}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from looking or starting meanwhile: who only looks whether a lock is held, holds it shortly."""
        self._records.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._records / ".door").open("ab") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _locked(self, instance: str) -> Iterator[int | None]:
        """Give the instance's lock as a descriptor that holds it, None while the instance runs."""
        with self._path(instance, "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield file.fileno()

    def _runs(self, instance: str) -> bool:
        with self._alone():
            if not self._path(instance, "lock").exists():
                return False
            with self._locked(instance) as lock:
                return lock is None

    def _shown(self, instance: str) -> Instance:
        runs = self._runs(instance)
        return Instance(
            instance=instance,
            runtime_id=str(self._number(instance, "session") or ""),
            state="running" if runs else "exited",
            exit_code=None if runs else self._exit_code(instance),
        )

    def _signal(self, instance: str, which: signal.Signals) -> bool:
        """Send a signal to an instance that runs; False if it does not."""
        # While the lock is held the session has members, and its number can be nobody else's.
        with self._alone():
            if not self._path(instance, "lock").exists():
                return False
            with self._locked(instance) as lock:
                if lock is not None:
                    return False
                session = self._number(instance, "session")
                if session is None:
                    raise Unavailable(f"Instance '{instance}' runs, and the record of its session is gone")
                with suppress(ProcessLookupError):  # It ends in this moment.
                    os.killpg(session, which)
                return True

    async def _wait(self, instance: str, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while await _apart(lambda: self._runs(instance)):  # noqa: ASYNC110 - it is no child to be waited for
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    def _note_killed(self, instance: str) -> None:
        # The shell that would have told the exit code was killed, too.
        if self._exit_code(instance) is None:
            self._path(instance, "exit").write_text(f"{_KILLED}\n", encoding="ascii")

    def _exit_code(self, instance: str) -> int | None:
        return self._number(instance, "exit")

    def _number(self, instance: str, ending: str) -> int | None:
        try:
            text = self._path(instance, ending).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None


def _cut(log: Path, most: int) -> None:
    """Leave the newest half of `most` bytes, from the start of a line on, in a log that has outgrown them."""
    try:
        if log.stat().st_size <= most:
            return
        with log.open("r+b") as file:
            file.seek(-(most // 2), os.SEEK_END)
            file.readline()
            newest = file.read()
            # In the same file, for the bot has it open: it appends, so that it goes on behind what is left. What it
            # says in this moment may be lost.
            file.seek(0)
            file.write(newest)
            file.truncate()
    except (FileNotFoundError, NotADirectoryError):
        return  # It was put away, or has none yet.


async def _apart(work: Callable[[], T]) -> T:
    """Do what waits for the disk in a thread. Raises `Unavailable` where the disk does not take it."""
    try:
        return await asyncio.to_thread(work)
    except OSError as e:
        raise Unavailable(f"Processes of bots cannot be looked after: {e}") from e
