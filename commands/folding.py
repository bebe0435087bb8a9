"""Streams become states: short ones from all of their events, long ones from a snapshot and what came after it.

A snapshot is only ever a shortcut. One that cannot be read is passed over, and the stream is folded from its beginning.
"""

from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
import structlog

from commands.ports.snapshots import AT_ONCE, Recent, Snapshot, Snapshots
from domain.events import Event, Recorded
from domain.values import Ids

S = TypeVar("S")

logger = structlog.get_logger()

EVERY = 250
"""A snapshot is kept after so many events behind the last one: they take some 2 ms to read, decode and fold."""


class Folded(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """A stream's state, with its first event (None where it has none) and some of its newest, the last one included."""

    state: S
    first: Recorded | None = None
    newest: Sequence[Recorded] = ()

    @property
    def version(self) -> int:
        """The stream's version, 0 where it does not exist."""
        return self.newest[-1].version if self.newest else 0

    @property
    def position(self) -> int:
        """The position of the stream's last event, 0 where it does not exist."""
        return self.newest[-1].position if self.newest else 0


def fold(state: S, evolve: Callable[[S, Event], S], history: Sequence[Recorded]) -> S:
    """Return the state after more of a stream's events."""
    return reduce(lambda so_far, recorded: evolve(so_far, recorded.event), history, state)


async def load(log: Snapshots, stream: str, new: S, evolve: Callable[[S, Event], S]) -> Folded[S]:
    """Return what became of one stream. Raises `Unavailable`."""
    return (await load_all(log, [stream], new, evolve))[stream]


async def load_all(
    log: Snapshots, streams: Sequence[str], new: S, evolve: Callable[[S, Event], S]
) -> dict[str, Folded[S]]:
    """Return what became of each stream; all are of the kind that `evolve` folds. Raises `Unavailable`."""
    found = await log.recent(streams)
    return {stream: await _fold(log, stream, found[stream], new, evolve) for stream in streams}


def encode(state: object) -> bytes:
    """Return the bytes that are kept of a state."""
    return _encode(state)


def decode(data: bytes, evolve: Callable[[S, Event], S]) -> S:
    """Return a kept state of the kind that `evolve` returns. Raises `msgspec.DecodeError` for other bytes."""
    state: S = _decoder(evolve).decode(data)
    return state


async def _fold(log: Snapshots, stream: str, recent: Recent, new: S, evolve: Callable[[S, Event], S]) -> Folded[S]:
    state, events, known = new, recent.events, 0
    if recent.snapshot is not None:
        try:
            state, known = decode(recent.snapshot.state, evolve), recent.snapshot.version
        except msgspec.DecodeError as e:
            logger.warning("snapshot_discarded", stream=stream, version=recent.snapshot.version, why=str(e))
            events = await log.beyond(stream, 0)
    newest, reached = events, known
    while events:
        state = fold(state, evolve, [recorded for recorded in events if recorded.version > known])
        newest, reached = events, events[-1].version
        events = await log.beyond(stream, reached) if len(events) == AT_ONCE else ()
    if reached - known >= EVERY:
        command_id = newest[-1].command_id
        await log.keep(Snapshot(stream=stream, version=reached, command_id=command_id, state=encode(state)))
    return Folded(state=state, first=recent.first, newest=newest)


def _plain(value: object) -> object:
    if isinstance(value, Ids):
        return list(value)
    raise NotImplementedError(f"a state holds a {type(value).__name__}, which nobody knows to keep")


def _made(kind: type, value: Any) -> object:  # noqa: ANN401 - whatever was kept
    if kind is object:
        return value
    if kind is Ids and isinstance(value, list) and all(isinstance(name, str) for name in value):
        return Ids(value)
    raise ValueError(f"no {kind.__name__}")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


@cache
def _decoder(evolve: Callable[[Any, Event], object]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(get_type_hints(evolve)["return"], dec_hook=_made)
