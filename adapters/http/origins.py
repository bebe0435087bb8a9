"""Build the origin of what a request causes: who wants it, in which story, and under which key it may be repeated."""

from uuid import UUID

from adapters.http.bodies import MalformedRequest
from adapters.http.problems import Problem, shown
from adapters.http.protocol import Scope
from adapters.http.requests import CORRELATION
from adapters.ids import time_ordered
from domain.events import Origin

KEY_CHARACTERS = 255


def origin_of(scope: Scope) -> Origin:
    """Return the origin of a request; one that names no correlation id begins a story of its own.

    Raises `MalformedRequest` for an `Idempotency-Key` that is empty, too long or not printable ASCII.
    """
    command_id = time_ordered()
    correlation_id, key = command_id, None
    for name, value in scope["headers"]:
        if name == b"x-correlation-id":
            correlation_id = _uuid(value) or command_id
        elif name == b"idempotency-key":
            key = _key(value)
    scope[CORRELATION] = correlation_id
    return Origin(correlation_id=correlation_id, command_id=command_id, actor=scope["user"], idempotency_key=key)


def _uuid(value: bytes) -> UUID | None:
    try:
        return UUID(value.decode("latin-1"))
    except ValueError:
        return None


def _key(value: bytes) -> str:
    key = value.decode("latin-1")
    if 1 <= len(key) <= KEY_CHARACTERS and key.isascii() and key.isprintable():
        return key
    raise MalformedRequest(
        [
            Problem(
                type="string_pattern_mismatch",
                loc=("header", "Idempotency-Key"),
                msg=f"Idempotency-Key should be 1 to {KEY_CHARACTERS} printable ASCII characters",
                input=shown(key),
                ctx={"max_length": KEY_CHARACTERS},
            )
        ]
    )
