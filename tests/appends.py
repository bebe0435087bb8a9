"""What tests of the log append: small events, in a story of their own."""

from uuid import uuid4

from commands.ports import Write
from domain.accounts import AccountAdded
from domain.events import Event, Origin


def added(name: str) -> AccountAdded:
    return AccountAdded(account=name)


def write(stream: str, expected_version: int, *events: Event) -> Write:
    return Write(stream=stream, expected_version=expected_version, events=events)


def origin(key: str | None = None, actor: str = "anna") -> Origin:
    return Origin(correlation_id=uuid4(), command_id=uuid4(), actor=actor, idempotency_key=key)
