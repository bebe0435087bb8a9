"""Load, decide, append; again from the start when the stream moved meanwhile."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Generic, TypeVar

import msgspec

from commands.folding import load
from commands.ports import Appended, Log, Write
from domain.errors import StreamMoved
from domain.events import Event, Origin

S = TypeVar("S")

ATTEMPTS = 20
"""How often a decision is made again. Only writers of one stream compete, and each round lets one of them through."""


class AlreadyAnswered(Exception):
    """The idempotency key was used before; the handler must do nothing more."""

    def __init__(self, appended: Appended) -> None:
        super().__init__("answered before")
        self.appended = appended


class Decided(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What was decided on which state, and at which position of the log the caller's view of the world now is."""

    state: S
    events: Sequence[Event]
    position: int


async def append(
    log: Log, writes: Sequence[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
) -> int:
    """Append and return the position. Raises `AlreadyAnswered` where the origin's idempotency key is known."""
    appended = await log.append(writes, origin, answer=answer, request=request)
    if appended.repeated:
        raise AlreadyAnswered(appended)
    return appended.position


async def decide(
    log: Log,
    origin: Origin,
    *,
    stream: str,
    new: S,
    evolve: Callable[[S, Event], S],
    decision: Callable[[S], list[Event]],
    answer: bytes | Callable[[S], bytes | None] | None = None,
    request: bytes = b"",
) -> Decided[S]:
    """Decide on the present state of one stream and append what was decided.

    A decision of `[]` appends nothing, but where the origin has an idempotency key its answer is kept; one that shows
    the state is made of the state after the decision. Raises what the decision raises, `AlreadyAnswered`,
    `Unavailable`, and `StreamMoved` when other writers always came first.
    """
    for attempt in range(1, ATTEMPTS + 1):
        loaded = await load(log, stream, new, evolve)
        state = loaded.state
        events = decision(state)
        if not events and origin.idempotency_key is None:
            return Decided(state=state, events=events, position=loaded.position)
        try:
            position = await append(
                log,
                [Write(stream=stream, expected_version=loaded.version, events=events)],
                origin,
                answer=answer(reduce(evolve, events, state)) if callable(answer) else answer,
                request=request,
            )
        except StreamMoved:
            if attempt == ATTEMPTS:
                raise
        else:
            return Decided(state=state, events=events, position=position)
    raise AssertionError("the last attempt returns or raises")
