"""Client order ids as venues take them.

Ours are `n` and 32 hexadecimal digits. Each form here says the same 128 bits in the alphabet and the length of a venue
and reads them back, so that an order is known for ours wherever it is met. Where a venue takes a number that is too
short for them, the number is remembered for as long as the process lives; after a restart it is made from the order
again, when that is asked for.
"""

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from typing import Protocol
from uuid import UUID

from domain.errors import Invalid

REMEMBERED = 100_000
"""So many numbers are remembered; more orders than that are not open at once."""

_OURS = re.compile(r"n[0-9a-f]{32}")
_DIGITS = re.compile(r"[0-9a-f]{32}")


class Form(Protocol):
    """How one venue takes client order ids."""

    def write(self, client_order_id: str) -> str:
        """Return an id of ours as the venue takes it."""
        ...

    def read(self, venue_client_id: str) -> str | None:
        """Return our id, None for one that cannot be ours."""
        ...


class Whole:
    """As it is: 33 characters of a to z and 0 to 9."""

    def write(self, client_order_id: str) -> str:
        """Return the id itself."""
        return client_order_id

    def read(self, venue_client_id: str) -> str | None:
        """Return the id itself if it has the form of ours."""
        return venue_client_id if _OURS.fullmatch(venue_client_id) else None


class Digits:
    """The 32 digits, with a prefix of the venue's (`0x`)."""

    def __init__(self, prefix: str = "") -> None:
        """Begin with the prefix that the venue wants."""
        self._prefix = prefix

    def write(self, client_order_id: str) -> str:
        """Return the digits."""
        return f"{self._prefix}{_digits(client_order_id)}"

    def read(self, venue_client_id: str) -> str | None:
        """Return our id of the digits."""
        digits = venue_client_id.lower().removeprefix(self._prefix)
        return f"n{digits}" if _DIGITS.fullmatch(digits) else None


class Uuid:
    """The digits in the form of a UUID."""

    def write(self, client_order_id: str) -> str:
        """Return a UUID with its hyphens."""
        return str(UUID(_digits(client_order_id)))

    def read(self, venue_client_id: str) -> str | None:
        """Return our id of a UUID."""
        digits = venue_client_id.lower().replace("-", "")
        return f"n{digits}" if len(venue_client_id) == len(str(UUID(int=0))) and _DIGITS.fullmatch(digits) else None


class Short:
    """The bits in 22 characters of base64 with `-` and `_`, after a prefix of the venue's (`t-`)."""

    def __init__(self, prefix: str) -> None:
        """Begin with the prefix that the venue wants."""
        self._prefix = prefix

    def write(self, client_order_id: str) -> str:
        """Return the characters."""
        bits = bytes.fromhex(_digits(client_order_id))
        return self._prefix + base64.urlsafe_b64encode(bits).decode().rstrip("=")

    def read(self, venue_client_id: str) -> str | None:
        """Return our id of the characters."""
        text = venue_client_id.removeprefix(self._prefix)
        try:
            bits = base64.b64decode(f"{text}==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        found = f"n{bits.hex()}"
        # Of the texts that say the same bits, only the one that we would write is ours.
        return found if _OURS.fullmatch(found) and self.write(found) == venue_client_id else None


class Number:
    """A whole number of so many bytes, which is too short to be read back, and is remembered."""

    def __init__(self, size: int) -> None:
        """Begin with nothing remembered; `size` in bytes."""
        self._size = size
        self._ours: OrderedDict[str, str] = OrderedDict()

    def write(self, client_order_id: str) -> str:
        """Return the number, which is the same in every process, and remember whose it is."""
        digest = hashlib.blake2b(client_order_id.encode(), digest_size=self._size).digest()
        number = str(int.from_bytes(digest, "big"))
        self._ours[number] = client_order_id
        self._ours.move_to_end(number)
        if len(self._ours) > REMEMBERED:
            self._ours.popitem(last=False)
        return number

    def read(self, venue_client_id: str) -> str | None:
        """Return our id of a number that was written in this process."""
        return self._ours.get(venue_client_id)


def _digits(client_order_id: str) -> str:
    if not _OURS.fullmatch(client_order_id):
        raise Invalid(f"Client order id '{client_order_id[:64]}' is not the letter n and 32 hexadecimal digits")
    return client_order_id[1:]
