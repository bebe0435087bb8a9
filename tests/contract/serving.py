"""A real server in a process of its own, which a test may stop, kill and start again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx

T = TypeVar("T")
CREDENTIALS = ("admin", "admin")
_START_SECONDS = 60
_ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], T | None], seconds: float = 20) -> T:
    """Return what `condition` gives as soon as it gives something true; fail when that takes too long."""
    last = time.monotonic() + seconds
    while not (given := condition()):
        assert time.monotonic() < last, f"still not so after {seconds} s"
        time.sleep(0.02)
    return given


def answered_while(server: "Nectar", slow: Callable[[int], int], times: int) -> int:
    """Return how often `/health` has answered while `slow` ran so many times, on four threads.

    A server that stands still for each request of `slow` answers between two of them: 0.5 to 1.8 times for each.
    """
    answers = 0
    with ThreadPoolExecutor(4) as at_once, httpx.Client(base_url=server.url) as watch:
        running = [at_once.submit(slow, number) for number in range(times)]
        while not all(one.done() for one in running):
            watch.get("/health").raise_for_status()
            answers += 1
        assert sorted(one.result() for one in running) == list(range(times))
    return answers


class Nectar:
    """`nectar serve` on a data folder. `environment` is added to what it finds there."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._printed = data.parent / f"{data.name}.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")},
            "NECTAR_DATA": str(data),
            "PYTHONPATH": str(_ROOT),
            **(environment or {}),
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *arguments: str) -> "Nectar":
        """Start it, with more arguments if need be, and do not wait for anything."""
        self.data.mkdir(parents=True, exist_ok=True)
        with self._printed.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "adapters",
                    "serve",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                    *arguments,
                ],
                cwd=self.data,  # where no `.env` is
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def start(self) -> "Nectar":
        """Start it and wait until it is ready."""
        self.launch()
        until(self.is_ready, _START_SECONDS)
        return self

    def is_ready(self) -> bool:
        """Return whether it is ready; fail if it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended instead of starting:\n{self.output()[-4000:]}"
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def output(self) -> str:
        """Return what it has printed so far."""
        return self._printed.read_text()

    def kill(self) -> None:
        """End it as a loss of power would."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process is not None:
            self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> int:
        """Send it a signal if it still runs, and return its exit code when it has ended."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)

    def client(self) -> httpx.Client:
        """Return a client that knows the password."""
        return httpx.Client(base_url=self.url, auth=CREDENTIALS, timeout=30)
