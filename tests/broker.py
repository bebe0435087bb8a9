"""A real mosquitto that tests start, kill and start again, and a client to listen and speak with."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiomqtt
import pytest

HOST = "127.0.0.1"
MOSQUITTO = shutil.which("mosquitto", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
NEEDS_MOSQUITTO = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
SECONDS = 20.0
"""How long anything may take that a test waits for."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker on a port of its own, which stays its own over restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._configuration = folder / "mosquitto.conf"
        user = "root" if os.geteuid() == 0 else "mosquitto"
        lines = (f"listener {self.port} {HOST}", "allow_anonymous true", f"user {user}", "log_dest none", *options)
        self._configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                socket.create_connection((HOST, self.port)).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, f"mosquitto ended with {self._process.returncode}"
                assert time.monotonic() < deadline, "mosquitto takes no connections"
                time.sleep(0.005)
            else:
                return

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def mosquitto(*options: str) -> Iterator[Mosquitto]:
    """Run a broker; `options` are further lines of its configuration."""
    with tempfile.TemporaryDirectory(prefix="nectar-broker-") as folder:
        broker = Mosquitto(Path(folder), *options)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


@asynccontextmanager
async def client(port: int, name: str | None = None) -> AsyncIterator[aiomqtt.Client]:
    """Connect to a broker."""
    async with aiomqtt.Client(HOST, port, identifier=name) as connected:
        yield connected


async def until(holds: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.005)
