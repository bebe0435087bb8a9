"""Ids of the server: of commands, stories and orders."""

import os
import time
from uuid import UUID

_VERSION, _VARIANT = 7, 0b10


def time_ordered() -> UUID:
    """Return an id that comes after those of earlier milliseconds (UUID version 7, RFC 9562); the rest of it is chance.

    What is indexed by such ids grows at one place of the index, however long it is.
    """
    chance = int.from_bytes(os.urandom(10), "big")
    in_order = time.time_ns() // 1_000_000 << 80 | _VERSION << 76 | chance >> 68 << 64
    return UUID(int=in_order | _VARIANT << 62 | chance & (1 << 62) - 1)
