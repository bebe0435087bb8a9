"""How the OKX venue answers and whom it believes: envelopes, error codes, signatures.

An answer is `{"code", "msg", "data"}`. What concerns the request as a whole (keys, signature, rate) is a 4xx with a
code; what concerns one order is HTTP 200 with code "1" and the reason inside `data`, as `sCode` and `sMsg` (OKX API v5,
REST authentication and error codes).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from aiohttp import web

from domain.values import Utc

Row = dict[str, object]

TOLERATED = timedelta(seconds=30)
"""A request whose timestamp is further from the venue's clock is refused."""

WORDS = {
    "0": "",
    "1": "All operations failed",
    "2": "Some operations failed",
    "50001": "Service is down for maintenance",
    "50004": "The endpoint timed out; ask for the order's state",
    "50011": "Too many requests",
    "50013": "Systems are busy",
    "50014": "A required parameter is missing",
    "50026": "System error",
    "50102": "Timestamp request expired",
    "50103": "Header OK-ACCESS-KEY is empty",
    "50105": "Header OK-ACCESS-PASSPHRASE is wrong",
    "50111": "Invalid OK-ACCESS-KEY",
    "50112": "Invalid OK-ACCESS-TIMESTAMP",
    "50113": "Invalid signature",
    "51001": "Instrument ID does not exist",
    "51008": "Insufficient balance or margin",
    "51016": "Client order ID already exists",
    "51020": "Order amount is below the minimum",
    "51087": "Instrument is not traded any more",
    "51121": "Order size is no multiple of the lot size",
    "51169": "No position in this direction to reduce",
    "51400": "Order does not exist, or is filled or canceled already",
    "51603": "Order does not exist",
    "59000": "Open orders or positions are in the way of this setting",
    "59102": "Leverage exceeds the maximum",
    "60005": "Invalid apiKey",
    "60006": "Timestamp request expired",
    "60007": "Invalid sign",
    "60011": "Please log in",
    "60012": "Illegal request",
    "60018": "Channel or instrument does not exist",
    "60024": "Wrong passphrase",
}
"""What the codes say."""


class Refusal(Exception):
    """Refuse a request, or one order of it. `status` is for what concerns the request as a whole."""

    def __init__(self, code: str, words: str = "", *, status: int = 200) -> None:
        super().__init__(f"{code} {words}")
        self.code = code
        self.words = words or WORDS[code]
        self.status = status

    def row(self) -> Row:
        """Return the refusal as a whole answer."""
        return {"code": self.code, "msg": self.words, "data": []}


def wrong_parameter(name: str) -> Refusal:
    """Return the refusal of a parameter."""
    return Refusal("51000", f"Parameter {name} error")


def answer(data: Sequence[object], code: str = "0") -> web.Response:
    """Answer with rows."""
    return web.json_response({"code": code, "msg": WORDS[code], "data": list(data)})


def bulk(rows: Sequence[Row]) -> web.Response:
    """Answer with one row an order, each with an `sCode` of its own."""
    failed = sum(row["sCode"] != "0" for row in rows)
    return answer(rows, "0" if not failed else "1" if failed == len(rows) else "2")


def millis(at: datetime) -> str:
    """Return a time as the venue writes it: milliseconds, in a string."""
    return str(int(at.timestamp() * 1000))


def signature(secret: str, words: str) -> str:
    """Return the signature of words."""
    return base64.b64encode(hmac.new(secret.encode(), words.encode(), hashlib.sha256).digest()).decode()


def same(given: str, expected: str) -> bool:
    """Whether a secret was given, in a time that says nothing of it."""
    return hmac.compare_digest(given.encode(), expected.encode())


def timely(headers: Mapping[str, str], now: Utc) -> None:
    """Raise `Refusal` for a request that was signed at another time."""
    try:
        signed_at = datetime.fromisoformat(headers.get("OK-ACCESS-TIMESTAMP", ""))
    except ValueError as wrong:
        raise Refusal("50112", status=401) from wrong
    if signed_at.tzinfo is None:
        raise Refusal("50112", status=401)
    if abs(now - signed_at) > TOLERATED:
        raise Refusal("50102", status=401)
