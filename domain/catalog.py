"""The table of all event types, and how an event becomes bytes and is read again.

A type is a name in this table, for ever; it is stored beside the event, never a module path. The bytes are a JSON
object of the event's fields: readable with `psql` alone, amounts as strings, times as ISO 8601 in UTC.
"""

import msgspec

from domain import (
    accounts,
    archives,
    bots,
    containers,
    orders,
    portfolio,
    positions,
    rates,
    reconciliation,
    strategies,
    views,
)
from domain.events import Event
from domain.upcasters import upcast
from domain.values import Json

TYPES: dict[str, type[Event]] = {
    event.__name__: event
    for area in (
        accounts,
        orders,
        positions,
        portfolio,
        reconciliation,
        rates,
        bots,
        strategies,
        archives,
        containers,
        views,
    )
    for event in area.EVENTS
}

_encode = msgspec.json.Encoder().encode
_decoders = {name: (event.schema_version, msgspec.json.Decoder(event).decode) for name, event in TYPES.items()}
_any_object = msgspec.json.Decoder(Json).decode


def type_of(event: Event) -> str:
    """Return the name under which an event is stored."""
    return type(event).__name__


def encode(event: Event) -> bytes:
    """Return the bytes that are stored for an event."""
    return _encode(event)


def decode(type_: str, schema_version: int, data: bytes) -> Event:
    """Return the event that was stored, in today's shape.

    Raises `KeyError` for a type that is not in the table and `msgspec.DecodeError` for bytes that are no such event: a
    log that cannot be read has to stop whoever reads it.
    """
    current, decoder = _decoders[type_]
    if schema_version == current:
        return decoder(data)
    return msgspec.convert(upcast(type_, schema_version, current, _any_object(data)), TYPES[type_], strict=False)
