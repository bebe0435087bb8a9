"""Compare an answer of ours with a recorded one: every key must be there, with a value of the same JSON type.

Where the recorded value is null its type is not known, so ours may be anything. Where the recorded list is empty its
items are not known. A *map* is an object whose keys are data (accounts, tokens): its values are compared with the first
recorded one. A map inside of a map may be empty: an account without connectors is data too.
"""

from collections.abc import Collection, Iterator
from typing import Any


def json_type(value: object) -> str:
    """Return the JSON type of a decoded value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def differences(
    recorded: Any, ours: Any, *, maps: Collection[str] = (), nullable: Collection[str] = (), at: str = "$"
) -> Iterator[str]:
    """Yield what is missing or of another type in `ours`.

    `maps` and `nullable` are paths like `$.data[].price`; below a map a key is `*`.
    """
    if recorded is None:
        return
    if ours is None and at in nullable:
        return
    if json_type(recorded) != json_type(ours):
        yield f"{at}: {json_type(recorded)} recorded, {json_type(ours)} answered"
    elif isinstance(recorded, list) and recorded:
        if not ours:
            yield f"{at}: items recorded, none answered"
        for item in ours:
            yield from differences(recorded[0], item, maps=maps, nullable=nullable, at=f"{at}[]")
    elif isinstance(recorded, dict) and at in maps:
        if recorded and not ours and "*" not in at:
            yield f"{at}: entries recorded, none answered"
        for value in ours.values() if recorded else ():
            first = next(iter(recorded.values()))
            yield from differences(first, value, maps=maps, nullable=nullable, at=f"{at}.*")
    elif isinstance(recorded, dict):
        for key, value in recorded.items():
            if key in ours:
                yield from differences(value, ours[key], maps=maps, nullable=nullable, at=f"{at}.{key}")
            else:
                yield f"{at}.{key}: recorded, not answered"
