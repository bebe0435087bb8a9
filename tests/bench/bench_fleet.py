"""A thousand bots on a real broker, heard by a real server: what it costs, and when their news can be asked for.

Each bot publishes one message a second, of those that a real one was heard to say, in its proportions (heartbeats, log
lines, performance of two controllers). The broker is a mosquitto that holds whatever its subscribers are late for, so
that nothing is lost before the server; publisher, broker, Postgres and server share this machine.
"""

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median, quantiles

import httpx
import msgspec
import psycopg
import uvloop

from adapters.logging import configure
from adapters.mqtt.reading import read
from tests.bench import bots
from tests.bench.database import fresh_database
from tests.bench.load import HEAD_END, LENGTH, USER
from tests.bench.table import Row, at_least, at_most, show
from tests.broker import mosquitto
from tests.contract.serving import CREDENTIALS, Nectar

BOTS = 1000
PER_SECOND = 1000
BUSY_SECONDS = 15
WATCHED_SECONDS = 55
PROBES = 150
ASKED = 200
SELDOM = 15
LONGEST_ANSWER = 1 << 24
FLOOD = 40_000
PROBE = "probe-20261122-070417"
_PATIENCE_SECONDS = 60.0
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Fleet:
    """The bots, the server that hears them, and its log."""

    def __init__(self, broker: int, server: Nectar, client: httpx.AsyncClient, log: psycopg.AsyncConnection) -> None:
        """Take the broker's port, and a client of the server."""
        self.broker = broker
        self.server = server
        self.client = client
        self.log = log
        self._expected = 0

    async def recorded(self) -> int:
        """Return how many events of the fleet are in the log."""
        found = await self.log.execute("select count(*) from log.events where stream like 'bot\\_updates-fleet%'")
        (count,) = await found.fetchone() or (0,)
        return int(count)

    async def publish(self, per_second: float, amount: int) -> float:
        """Have the bots publish so many messages, from a process of its own; return the seconds it took."""
        told = islice(bots.messages(BOTS), amount)
        self._expected += sum(len(read(f"hbot/{bot}/{kind}", payload, _NOW)) for bot, kind, payload in told)
        command = [sys.executable, "-m", "tests.bench.bots", str(self.broker), str(BOTS), str(per_second), str(amount)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        return float(said)

    async def all_recorded(self) -> int:
        """Wait until all that was published is recorded; return how many events are missing, after a long while."""
        until = time.perf_counter() + _PATIENCE_SECONDS
        while (missing := self._expected - await self.recorded()) > 0 and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        return missing

    async def get(self, path: str) -> httpx.Response:
        """Return an answer. Raises `ConnectionError` for another status than 200."""
        answer = await self.client.get(path)
        if answer.status_code != httpx.codes.OK:
            raise ConnectionError(f"{path} was answered {answer.status_code}: {answer.text[:500]}")
        return answer

    async def connected(self) -> None:
        """Wait until the server hears the broker."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (await self.get("/bot-orchestration/mqtt")).json()["data"]["mqtt_connected"]:
                await asyncio.sleep(0.05)


async def visible(fleet: Fleet) -> list[float]:
    """Return the milliseconds from each of many messages' leaving until a query shows what it told."""
    _, writer = await bots.connect(fleet.broker, "probe")
    took = []
    for n in range(PROBES):
        report = b'{"c":{"performance":{"realized_pnl_quote":%d.5},"custom_info":{}}}' % n
        began = time.perf_counter()
        writer.write(bots.packet(f"hbot/{PROBE}/performance".encode(), report))
        await writer.drain()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                answer = await fleet.client.get(f"/bot-orchestration/{PROBE}/status")
                if b'"realized_pnl_quote":%d.5' % n in answer.content:
                    break
                await asyncio.sleep(0.01)
        took.append((time.perf_counter() - began) * 1000)
    writer.close()
    await writer.wait_closed()
    return took


async def answered(
    fleet: Fleet, path: str, *, asked: int = ASKED, pause_seconds: float = 0
) -> tuple[list[float], bytes]:
    """Return the milliseconds that each of many answers took until all of it was there, and the last one.

    They are read as bytes and no further. Raises `ConnectionError` for another status than 200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", fleet.server.port, limit=LONGEST_ANSWER)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {USER}\r\n\r\n".encode()
    took, answer = [], b""
    for _ in range(asked):
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(HEAD_END)
        length = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise ConnectionError(f"{path} was answered {head!r}")
        answer = await reader.readexactly(int(length[1]))
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(pause_seconds)
    writer.close()
    await writer.wait_closed()
    return took, answer


async def broker_alone(port: int) -> float:
    """Return the messages a second that go through the broker to a subscriber that only counts them."""
    reader, writer = await bots.connect(port, "counter")
    await bots.subscribe(reader, writer, b"hbot/#")
    counter = bots.Counter()
    listening = asyncio.create_task(counter.listen(reader))
    command = [sys.executable, "-m", "tests.bench.bots", str(port), str(BOTS), "0", str(FLOOD)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    began = None
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while counter.heard < FLOOD:
            if began is None and counter.heard:
                began = time.perf_counter()
            await asyncio.sleep(0.002)
    ended = time.perf_counter()
    await process.communicate()
    listening.cancel()
    writer.close()
    return FLOOD / (ended - (began or ended))


async def flooded(fleet: Fleet) -> float:
    """Return the messages a second that the server records when they come as fast as they can."""
    before = await fleet.recorded()
    publishing = asyncio.create_task(fleet.publish(0, FLOOD))
    while await fleet.recorded() == before:
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    await publishing
    if await fleet.all_recorded():
        raise TimeoutError("Not all of the flood is recorded")
    return FLOOD / (time.perf_counter() - began)


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ninety_nine(took: list[float]) -> float:
    """Return what 99 of 100 keep within."""
    return quantiles(took, n=100)[98]


async def main() -> bool:
    """Print the table; return whether all limits were kept."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nectar-bench-")))
        broker = stack.enter_context(mosquitto("max_queued_messages 0"))
        alone = await broker_alone(broker.port)
        url = await stack.enter_async_context(fresh_database())
        environment = {"DATABASE_URL": url, "BROKER_HOST": "127.0.0.1", "BROKER_PORT": str(broker.port)}
        server = Nectar(folder / "data", environment)
        stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        client = httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=_PATIENCE_SECONDS)
        await stack.enter_async_context(client)
        log = await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
        fleet = Fleet(broker.port, server, client, log)
        await fleet.connected()
        await fleet.publish(PER_SECOND, 4 * BOTS)
        await fleet.all_recorded()
        if server.process is None:
            raise TypeError("the server has no process")
        began, busy = time.perf_counter(), processor_seconds(server.process.pid)
        await fleet.publish(PER_SECOND, PER_SECOND * BUSY_SECONDS)
        share = (processor_seconds(server.process.pid) - busy) / (time.perf_counter() - began) * 100
        missing = await fleet.all_recorded()
        status, everybody = await answered(fleet, "/bot-orchestration/status")
        publishing = asyncio.create_task(fleet.publish(PER_SECOND, PER_SECOND * WATCHED_SECONDS))
        news = await visible(fleet)
        crowded, _ = await answered(fleet, "/bot-orchestration/status")
        seldom, _ = await answered(fleet, "/bot-orchestration/status", asked=SELDOM, pause_seconds=1.0)
        one, _ = await answered(fleet, f"/bot-orchestration/{bots.name(7)}/status")
        await publishing
        missing += await fleet.all_recorded()
        listed = len(msgspec.json.decode(everybody)["data"])
        saturated = await flooded(fleet)
    return show(
        f"{BOTS:,} bots that publish {PER_SECOND:,} messages a second in all",
        [
            at_most("messages that were not recorded", missing, 0),
            at_most("processor time of the server, of one core", share, 60, "%"),
            at_most("from a bot to whoever asks, 99 % within", ninety_nine(news), 500, "ms"),
            Row(name="  half within", figure=median(news), unit="ms"),
            at_least("bots in the status of all", listed, BOTS),
            Row(name="  size of the answer", figure=len(everybody) / 1000, unit="kB"),
            at_most("status of all bots at rest, 99 % within", ninety_nine(status), 50, "ms"),
            Row(name="  half within", figure=median(status), unit="ms"),
            at_most("status of all bots while they publish, 99 % within", ninety_nine(crowded), 50, "ms"),
            Row(name="  half within", figure=median(crowded), unit="ms"),
            Row(name="  asked once a second, so that all have changed, half within", figure=median(seldom), unit="ms"),
            Row(name="status of one bot, while they publish, 99 % within", figure=ninety_nine(one), unit="ms"),
            Row(name="messages a second, recorded, when flooded", figure=saturated),
            Row(name="messages a second through the broker alone", figure=alone),
        ],
    )


if __name__ == "__main__":
    configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(0 if runner.run(main()) else 1)
