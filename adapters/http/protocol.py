"""The shapes of ASGI (specification 3.0), for what stands in front of the framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that name (lower case), None if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None
