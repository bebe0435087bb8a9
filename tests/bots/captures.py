"""What real bots said on a broker, message by message: three captures, and what they answered to each command.

`headlessbot` traded with two controllers and no screen, `uibot` with a screen and so with market events, `peerbot` on
paper. Payloads are the bots' own text, but for the paths of their libraries.
"""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from adapters.mqtt.reading import read
from domain.events import Event

FOLDER = Path(__file__).parent / "captures"
NAMES = ("headlessbot", "peerbot", "uibot")


class Message(msgspec.Struct, frozen=True):
    """One message as it was heard; `t` in seconds since 1970."""

    t: float
    topic: str
    qos: int
    payload: str

    @property
    def heard_at(self) -> datetime:
        return datetime.fromtimestamp(self.t, UTC)


_decode = msgspec.json.Decoder(Message).decode


def messages(name: str) -> Iterator[Message]:
    """Yield all messages of a capture in order, those to the bot included."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz") as lines:
        yield from map(_decode, lines)


def told(message: Message) -> list[tuple[str, Event]]:
    """Return instance and event of what a message told."""
    return read(message.topic, message.payload.encode(), message.heard_at)


def events(name: str) -> Iterator[tuple[str, Event]]:
    """Yield instance and event of all that the bot of a capture told."""
    for message in messages(name):
        yield from told(message)


def conversations(name: str) -> list[dict[str, Any]]:
    """Return the commands of a transcript, each with its `request`, `response` (None for silence) and `latency_s`."""
    return list(msgspec.json.decode(gzip.decompress((FOLDER / f"rpc_{name}.json.gz").read_bytes())))
