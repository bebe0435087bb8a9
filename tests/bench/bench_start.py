"""How long a start takes on a data folder that is there, and what the server weighs when it has nothing to do."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import msgspec

from tests.bench.load import is_ready
from tests.bench.table import Row, at_most, show

RUNS = 5
READY_SECONDS = 4.0
MEGABYTES = 150
GIVE_UP_SECONDS = 60.0
IDLE_SECONDS = 3.0
_POLL_SECONDS = 0.005
_MEGABYTE = 1024  # in the kB of /proc


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start: seconds from exec to `/ready`, and memory of the Python process in MB some seconds later."""

    seconds: float
    resident: float
    proportional: float


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
        data = Path(folder) / "data"
        first = await start(data)
        starts = [await start(data) for _ in range(RUNS)]
    seconds = median(one.seconds for one in starts)
    resident = median(one.resident for one in starts)
    proportional = median(one.proportional for one in starts)
    rows = [
        Row(name="first start, data folder made", figure=first.seconds, unit="s"),
        at_most(f"start, median of {RUNS}", seconds, READY_SECONDS, "s"),
        Row(name="start, slowest", figure=max(one.seconds for one in starts), unit="s"),
        at_most("idle memory, resident", resident, MEGABYTES, "MB"),
        Row(name="idle memory, proportional", figure=proportional, unit="MB"),
    ]
    return show("From exec to ready, with a Postgres and a broker of its own", rows)


async def start(data: Path) -> Start:
    """Start the server on a data folder, wait until it is ready, weigh it, stop it."""
    began = perf_counter()
    async with running(data) as (process, port):
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while not await is_ready(port):
                if process.returncode is not None:
                    raise ChildProcessError(f"The server ended with {process.returncode} instead of starting")
                await asyncio.sleep(_POLL_SECONDS)
        seconds = perf_counter() - began
        await asyncio.sleep(IDLE_SECONDS)
        resident, proportional = weight(process.pid)
    return Start(seconds=seconds, resident=resident, proportional=proportional)


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run `nectar serve` with nothing set but the data folder, and stop it as an operator would."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL"}}
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("nectar")), "serve", "--port", str(port)),
        env={**kept, "NECTAR_DATA": str(data)},
        cwd=data.parent,  # where no .env is
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def weight(process_id: int) -> tuple[float, float]:
    """Return what a process holds of memory, in MB: all of it, and with what it shares divided among who shares it."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return kilobytes["Rss"] / _MEGABYTE, kilobytes["Pss"] / _MEGABYTE


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
