"""A fleet of bots for benches: one connection that publishes for all of them what a real bot was heard to say.

A program of its own: `python -m tests.bench.bots PORT BOTS PER_SECOND MESSAGES` publishes, at a steady rate or, with 0
for it, as fast as the broker takes them, and prints how long that took.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count, islice

from tests.bots import captures

KINDS = ("hb", "status_updates", "log", "performance")
_AT_ONCE = 20


def packet(topic: bytes, payload: bytes) -> bytes:
    """Return a PUBLISH of MQTT 3.1.1, quality of service 0."""
    length = 2 + len(topic) + len(payload)
    header = bytearray([0x30])
    while True:
        length, digit = divmod(length, 128)
        header.append(digit | (0x80 if length else 0))
        if not length:
            break
    return bytes(header) + len(topic).to_bytes(2, "big") + topic + payload


def name(number: int) -> str:
    """Return the name of a bot of the fleet."""
    return f"fleet-{number:04d}-20261122-070417"


def said() -> list[tuple[str, bytes]]:
    """Return kind and payload of what a captured bot told while it traded, in its own proportions."""
    told = [(m.topic.split("/", 2)[2], m.payload.encode()) for m in captures.messages("headlessbot")]
    trading = b'"performance"'
    return [
        (kind, payload) for kind, payload in told if kind in KINDS and (kind != "performance" or trading in payload)
    ]


def messages(bots: int, first: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """Yield bot, kind and payload for ever: each bot in turn says the next thing, each from another place on."""
    story = said()
    for n in count(first):
        bot = n % bots
        kind, payload = story[(n // bots + bot * 37) % len(story)]
        yield name(bot), kind, payload


async def connect(port: int, client_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a broker. Raises `ConnectionError` when it refuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    names = client_id.encode()
    variable = b"\x00\x04MQTT\x04\x02\x00\x00" + len(names).to_bytes(2, "big") + names
    writer.write(bytes([0x10, len(variable)]) + variable)
    if await reader.readexactly(4) != b"\x20\x02\x00\x00":
        raise ConnectionError("the broker refused")
    return reader, writer


async def subscribe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, topic: bytes) -> None:
    """Subscribe to a topic."""
    body = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x00"
    writer.write(bytes([0x82, len(body)]) + body)
    await reader.readexactly(5)


class Counter:
    """Counts the messages that a connection hears."""

    def __init__(self) -> None:
        """Begin with none."""
        self.heard = 0

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Count for ever."""
        rest = b""
        while data := await reader.read(1 << 20):
            rest += data
            at = 0
            while (end := _end(rest, at)) is not None:
                self.heard += 1
                at = end
            rest = rest[at:]


def _end(data: bytes, at: int) -> int | None:
    """Return where the packet at a place ends, None if not all of it is there."""
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        length |= (data[place] & 0x7F) << shift
        shift += 7
        if not data[place] & 0x80:
            end = place + 1 + length
            return end if end <= len(data) else None
    return None


async def publish(port: int, bots: int, per_second: float, amount: int) -> float:
    """Publish so many messages, and return the seconds that it took."""
    _, writer = await connect(port, "fleet")
    clock = time.perf_counter
    fleet = messages(bots)
    packets = [packet(f"hbot/{bot}/{kind}".encode(), payload) for bot, kind, payload in islice(fleet, amount)]
    began = clock()
    for place in range(0, amount, _AT_ONCE):
        if per_second:
            await asyncio.sleep(max(0.0, began + place / per_second - clock()))
        writer.write(b"".join(packets[place : place + _AT_ONCE]))
        await writer.drain()
    took = clock() - began
    writer.write(b"\xe0\x00")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    return took


if __name__ == "__main__":
    _port, _bots, _per_second, _amount = sys.argv[1:]
    print(asyncio.run(publish(int(_port), int(_bots), float(_per_second), int(_amount))))
