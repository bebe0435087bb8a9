"""What every write route does: dispatch one command for the caller, and answer with the position it reached."""

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from adapters.http.callers import Committed
from adapters.http.origins import origin_of
from adapters.http.requests import Request
from commands.bus import Bus, Command, Outcome
from commands.orders import Word
from write_api.ports import VenueWord


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Says what was done."""

    message: str


class Writes:
    """What the write routes share."""

    def __init__(self, bus: Bus, committed: Committed, word: VenueWord) -> None:
        self._bus = bus
        self._committed = committed
        self._word = word

    async def dispatch(self, command: Command, request: Request) -> Outcome:
        """Carry out a command for the request's caller, whose reads will show it from now on.

        Raises `DomainError`s, among them `MalformedRequest` for a bad `Idempotency-Key`.
        """
        outcome = await self._bus.dispatch(command, origin_of(request.asgi))
        self._committed.note(request.asgi["user"], outcome.position)
        return outcome

    async def follow_up(self, command: Command, request: Request) -> Outcome:
        """Carry out what waits for what a command of the same request began; the idempotency key is that command's."""
        origin = msgspec.structs.replace(origin_of(request.asgi), idempotency_key=None)
        outcome = await self._bus.dispatch(command, origin)
        self._committed.note(request.asgi["user"], outcome.position)
        return outcome

    async def word(self, client_order_id: str, wait_seconds: float, request: Request) -> Word:
        """Return the venue's word on an order, waited for at most so long; the caller's reads will show it."""
        word = await self._word(client_order_id, wait_seconds)
        self._committed.note(request.asgi["user"], word.position)
        return word


def answer(status: int, content: object, position: int) -> Answer:
    """Return the answer of a write; `X-Position` is where the log stood after it."""
    return Answer(status, encode(content), ((b"x-position", b"%d" % position),))


def answers(model: type[msgspec.Struct], status: int) -> dict[int, ResponseSpec]:
    """Describe the answer of a write for the API's own documentation."""
    return {status: ResponseSpec(data_container=model, generate_examples=False, description="Done, durably")}
