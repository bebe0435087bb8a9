"""An MQTT broker of our own on the loopback address, for who has set no BROKER_HOST.

It is mosquitto if the machine has it. Else it is the library amqtt inside our process, fit for a trial only: it loses
messages that it has acknowledged (0.12; 433 and 1,962 of 5,000 in two runs) and knows MQTT 3.1.1 alone.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
import structlog

HOST = "127.0.0.1"

_PORTS_TRIED = 100
_STOP_SECONDS = 10
_SYSTEM_FOLDERS = os.pathsep.join(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"])

# It keeps our user: the data folder may be closed to others, and only this machine can reach it.
_CONFIGURATION = """\
# Written at every start.
listener {port} {host}
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 100000
log_dest stdout
log_type error
log_type warning
"""

logger = structlog.get_logger()


class NoBroker(Exception):
    """Say why the private broker cannot run, and what the operator can do about it."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that runs."""

    host: str
    port: int
    kind: Literal["mosquitto", "embedded"]


@asynccontextmanager
async def private_broker(data: Path, port: int) -> AsyncIterator[Broker]:
    """Run a broker on `port` or the next one that is free, and at later starts where it was, if that is free.

    Raises `NoBroker` when there is none.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_FOLDERS)
    if program is None:
        async with _embedded(port) as broker:
            yield broker
    else:
        async with _mosquitto(program, data / "mosquitto", port) as broker:
            yield broker


def free_ports(port: int) -> list[int]:
    """Return `port` and those after it that nothing listens on now. Raises `NoBroker` if all are taken."""
    free = []
    for candidate in range(port, min(port + _PORTS_TRIED, 65536)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, candidate))
            free.append(candidate)
    if not free:
        raise NoBroker(f"No port from {port} on is free for the MQTT broker. Set BROKER_PORT, or BROKER_HOST.")
    return free


@asynccontextmanager
async def _mosquitto(program: str, folder: Path, port: int) -> AsyncIterator[Broker]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = folder / "mosquitto.conf"
    await _stop_left(folder)
    process, port = await _started(program, configuration, port)
    (folder / "mosquitto.pid").write_text(f"{process.pid}\n", encoding="utf-8")
    watching = asyncio.create_task(_watch(process))
    logger.info("private_broker_started", kind="mosquitto", port=port)
    try:
        yield Broker(host=HOST, port=port, kind="mosquitto")
    finally:
        watching.cancel()
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            logger.warning("private_broker_slow_to_stop", after_seconds=_STOP_SECONDS)
            process.kill()
            await process.wait()
        (folder / "mosquitto.pid").unlink()


async def _started(program: str, configuration: Path, port: int) -> tuple[asyncio.subprocess.Process, int]:
    log_path = configuration.with_name("mosquitto.log")
    # Bots were told the last one, and know no other.
    last = _last_port(configuration)
    for candidate in sorted(free_ports(port), key=lambda free: free != last):
        configuration.write_text(
            _CONFIGURATION.format(port=candidate, host=HOST, user=_user(), folder=configuration.parent),
            encoding="utf-8",
        )
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                program,
                "-c",
                str(configuration),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; it is stopped when we are done with it.
            )
        if await _listens(process, candidate):
            if last not in {None, candidate}:
                remedy = f"free port {last} and restart, or deploy bots that run anew: they know no other"
                logger.warning("private_broker_moved", before=last, port=candidate, remedy=remedy)
            return process, candidate
        said = log_path.read_text(encoding="utf-8", errors="replace").strip()
        if "Address already in use" not in said:
            raise NoBroker(f"mosquitto did not start. It said: {said[-1000:]}. Set BROKER_HOST to use another broker.")
    raise NoBroker(f"No port from {port} on stayed free for the MQTT broker. Set BROKER_PORT, or BROKER_HOST.")


def _last_port(configuration: Path) -> int | None:
    """Return the port of the broker's last start, None before the first one."""
    if not configuration.is_file():
        return None
    said = re.search(r"^listener (\d+) ", configuration.read_text(encoding="utf-8"), re.MULTILINE)
    return None if said is None else int(said[1])


async def _listens(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until the broker takes connections, and return True; False if it ended before."""
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False


async def _watch(process: asyncio.subprocess.Process) -> None:
    code = await process.wait()
    logger.error("private_broker_ended", kind="mosquitto", exit_code=code, remedy="restart the server")


async def _stop_left(folder: Path) -> None:
    """Stop the mosquitto that outlived a server that was killed: it holds the port and the queues on disk."""
    pid_file = folder / "mosquitto.pid"
    if not pid_file.is_file():
        return
    said = pid_file.read_bytes().strip()
    pid = int(said) if said.isdigit() else 0  # a power cut can leave any file empty
    with suppress(ProcessLookupError):
        # The number may by now belong to any other program.
        while pid and _runs(pid, folder / "mosquitto.conf"):
            os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.02)
    pid_file.unlink()


def _runs(pid: int, configuration: Path) -> bool:
    try:
        return os.fsencode(configuration) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _user() -> str:
    # mosquitto changes its user only when it is root's.
    return "root" if os.geteuid() == 0 else "mosquitto"


@asynccontextmanager
async def _embedded(port: int) -> AsyncIterator[Broker]:
    # Imported here, because it costs memory and time that nobody pays who has a broker.
    from amqtt.broker import Broker as Embedded  # noqa: PLC0415

    port = free_ports(port)[0]
    broker = Embedded(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    logger.warning("private_broker_started", kind="embedded", port=port, fit_for="a trial only")
    try:
        yield Broker(host=HOST, port=port, kind="embedded")
    finally:
        await broker.shutdown()
