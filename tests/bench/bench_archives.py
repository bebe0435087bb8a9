"""Take a large database of an archived bot into the log of a server at work, and ask for its performance."""

import asyncio
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import httpx

from tests.archives import path_of
from tests.bench import big_archive
from tests.bench.database import fresh_database
from tests.bench.load import HEAD_END, LENGTH, USER
from tests.bench.table import Row, at_most, show
from tests.contract.serving import CREDENTIALS, Nectar

IMPORT_SECONDS, ANSWER_MS, OTHERS_MS, MEGABYTES = 5, 50, 100, 400
ASKED = 300
_PATH = f"/archived-bots/{path_of('big')}"
_EVERY_SECONDS = 0.01
_ROOM = 1 << 20


async def main() -> bool:
    """Print the figures beside their limits; return whether all were met."""
    async with fresh_database() as url:
        with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
            root = Path(folder)
            (root / "bots" / "archived").mkdir(parents=True)
            made = root / "made.sqlite"
            await asyncio.to_thread(big_archive.write, made)
            server = Nectar(root / "data", {"DATABASE_URL": url, "BOTS_PATH": folder})
            try:
                await asyncio.to_thread(server.start)
                async with httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=60) as client:
                    return await _measure(server, client, made, root)
            finally:
                await asyncio.to_thread(server.stop)


async def _measure(server: Nectar, client: httpx.AsyncClient, made: Path, root: Path) -> bool:
    place = root / path_of("big")
    place.parent.mkdir(parents=True)
    idle = await _others(client, asyncio.create_task(asyncio.sleep(3)))
    made.rename(place)
    began, busy = perf_counter(), _processor_seconds(server)
    others = await _others(client, asyncio.create_task(_imported(client)))
    busy = _processor_seconds(server) - busy
    waited = perf_counter() - began
    done = next(json.loads(line) for line in server.output().splitlines() if '"ImportArchive"' in line)
    answers, size = await asyncio.to_thread(_answers, server.port)
    return show(
        f"A database of {big_archive.FILLS:,} fills, {place.stat().st_size / 1e6:.0f} MB",
        [
            at_most("import", done["ms"] / 1000, IMPORT_SECONDS, "s"),
            Row(name="from the file to its performance, the look every few seconds among it", figure=waited, unit="s"),
            Row(name="processor time of the server meanwhile", figure=busy, unit="s"),
            at_most("performance, p99", _p99(answers), ANSWER_MS, "ms"),
            Row(name="performance, first answer", figure=answers[0], unit="ms"),
            Row(name="its size", figure=size / 1e6, unit="MB"),
            at_most("other requests meanwhile, p99", _p99(others), OTHERS_MS, "ms"),
            Row(name="other requests meanwhile, the longest", figure=max(others), unit="ms"),
            Row(name="other requests before, p99", figure=_p99(idle), unit="ms"),
            at_most("memory of the server, at most", _megabytes(server), MEGABYTES, "MB"),
        ],
    )


def _answers(port: int) -> tuple[list[float], int]:
    """Ask for the performance, again and again, by a client that does nothing with it but read it."""
    request = f"GET {_PATH}/performance HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {USER}\r\n\r\n".encode()
    room, taken, size = memoryview(bytearray(_ROOM)), [], 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(ASKED):
            asked = perf_counter()
            connection.sendall(request)
            head = connection.recv(_ROOM)
            head, _, begin = head.partition(HEAD_END)
            found = LENGTH.search(b"\r\n" + head)
            if not head.startswith(b"HTTP/1.1 200 ") or found is None:
                raise ConnectionError(f"The performance was answered {head[:200]!r}")
            size = int(found[1])
            left = size - len(begin)
            while left:
                left -= connection.recv_into(room, min(left, _ROOM))
            taken.append((perf_counter() - asked) * 1000)
    return taken, size


async def _imported(client: httpx.AsyncClient) -> None:
    while (await client.get(f"{_PATH}/performance")).status_code != 200:
        await asyncio.sleep(0.05)


async def _others(client: httpx.AsyncClient, task: "asyncio.Task[None]") -> list[float]:
    """Ask for the portfolio, again and again until a task is done; return how many milliseconds each answer took."""
    taken = []
    while not task.done():
        asked = perf_counter()
        (await client.post("/portfolio/state", json={})).raise_for_status()
        taken.append((perf_counter() - asked) * 1000)
        await asyncio.sleep(_EVERY_SECONDS)
    await task
    return taken


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


def _processor_seconds(server: Nectar) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(server: Nectar) -> float:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
