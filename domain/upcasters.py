"""How an event that was stored in an older shape is read today.

Adding a field with a default needs nothing here. Any other change of an event raises its `schema_version` and adds one
entry: from the version before, the stored object (as JSON types) → the object in the next version.
"""

from collections.abc import Callable

from domain.values import Json

UPCASTERS: dict[tuple[str, int], Callable[[Json], Json]] = {}


def upcast(type_: str, from_version: int, to_version: int, stored: Json) -> Json:
    """Return a stored object in the shape of `to_version`. Raises `KeyError` where a step is missing."""
    for version in range(from_version, to_version):
        stored = UPCASTERS[type_, version](stored)
    return stored
