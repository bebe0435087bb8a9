"""One way in for every command: its handler, its first answer where it is a repeat, one log line."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

import msgspec
import structlog

from commands.deciding import AlreadyAnswered
from commands.ports import Ports
from domain.errors import DomainError
from domain.events import Origin

logger = structlog.get_logger()

ResultType = Any
"""What msgspec can decode into: a struct class, or None for a command that gives nothing."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants. Its handler stands in the same file.

    A `routine` one comes many times a second for as long as the server runs: its log line is for who looks for a fault.
    """

    routine: ClassVar[bool] = False

    def fingerprint(self) -> bytes:
        """Return what tells this command from another under the same idempotency key; never shows a secret."""
        return hashlib.sha256(type(self).__name__.encode() + msgspec.json.encode(self)).digest()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One dispatch of a command: who wants it, how to reach the outside, and how to keep an answer for a repeat."""

    origin: Origin
    ports: Ports
    request: bytes = b""

    def keep(self, result: object) -> bytes | None:
        """Return the bytes of an answer to keep beside the events, None where nobody can ask for it again."""
        return None if self.origin.idempotency_key is None else msgspec.json.encode(result)

    def plain(self) -> Origin:
        """Return the origin without its idempotency key, for an append that is not the command's last one."""
        return msgspec.structs.replace(self.origin, idempotency_key=None)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command gave. `position` is where the log stood after it, `repeated` says that it had been done before."""

    result: Any
    position: int
    repeated: bool = False


class Handler(Protocol):
    """Carries out one type of command."""

    __name__: str

    def __call__(self, command: Any, call: Call, /) -> Awaitable[Outcome]:  # noqa: ANN401 - each handler has its own
        """Carry the command out."""
        ...


Handlers = Mapping[type[Command], tuple[Handler, ResultType]]
"""Command type → its handler and the type of its result."""


class Bus:
    """Dispatches commands to the handlers of all areas."""

    def __init__(self, ports: Ports, handlers: Handlers) -> None:
        """Take the table of handlers: command type → (handler, type of its result)."""
        self.ports = ports
        self._handlers = handlers

    async def dispatch(self, command: Command, origin: Origin) -> Outcome:
        """Carry out a command, or give the first answer again if its idempotency key was used before.

        Raises `DomainError`s: those of the decision, `Conflict` when the key belongs to another request, `Unavailable`.
        """
        handler, result_type = self._handlers[type(command)]
        began = self.ports.clock()
        request = b"" if origin.idempotency_key is None else command.fingerprint()
        try:
            outcome = None if not request else await self._first_answer(origin, request, result_type)
            if outcome is None:
                outcome = await handler(command, Call(origin=origin, ports=self.ports, request=request))
        except AlreadyAnswered as answered:
            outcome = _again(answered.appended.answer, answered.appended.position, result_type)
        except DomainError as refusal:
            logger.info(
                "command_refused",
                command=type(command).__name__,
                **_concerned(command),
                why=type(refusal).__name__,
                ms=self._ms_since(began),
                correlation_id=str(origin.correlation_id),
            )
            raise
        say = logger.debug if command.routine else logger.info
        say(
            "command_done",
            command=type(command).__name__,
            **_concerned(command, outcome.result),
            position=outcome.position,
            repeated=outcome.repeated,
            ms=self._ms_since(began),
            correlation_id=str(origin.correlation_id),
        )
        return outcome

    async def _first_answer(self, origin: Origin, request: bytes, result_type: ResultType) -> Outcome | None:
        appended = await self.ports.log.answered(origin, request)
        return None if appended is None else _again(appended.answer, appended.position, result_type)

    def _ms_since(self, began: datetime) -> float:
        return round((self.ports.clock() - began).total_seconds() * 1000, 2)


def _concerned(*things: object) -> dict[str, str]:
    """Return whom a command and its result are about, as far as they say, for the log line."""
    found: dict[str, str] = {}
    for thing in things:
        told = getattr(thing, "report", thing)
        for name in ("account", "connector", "client_order_id", "order_id", "instance", "name", "container", "image"):
            value = getattr(told, name, None)
            if isinstance(value, str):
                found[name] = value
    return found


def _again(answer: bytes | None, position: int, result_type: ResultType) -> Outcome:
    return Outcome(result=msgspec.json.decode(answer or b"null", type=result_type), position=position, repeated=True)


def origin_of_process(process: str, new_id: Callable[[], UUID], cause: Origin | None = None) -> Origin:
    """Return the origin of a command that one of our own processes gives, in the story of `cause` if there is one."""
    return Origin(
        correlation_id=new_id() if cause is None else cause.correlation_id,
        causation_id=None if cause is None else cause.command_id,
        command_id=new_id(),
        actor=f"<{process}>",
    )
