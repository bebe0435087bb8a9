"""Notice a change of a book that did not come, where the venue numbers its changes and ccxt does not look.

ccxt takes the first change that fits its snapshot, and from then on whatever comes. It checks the numbers of Binance,
OKX, Gate and HTX, and Bitget's checksum (ADR 89); for the venues here it is done by wrapping the method that takes a
change in. A book with a hole ends its stream, and the feed begins with a new snapshot.
"""

import importlib
from collections.abc import Mapping
from typing import Any

_NUMBERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "backpack": (("U",), ("u",)),
    "kucoin": (("sequenceStart", "sequence"), ("sequenceEnd", "sequence")),
    "kucoinfutures": (("sequenceStart", "sequence"), ("sequenceEnd", "sequence")),
    "mexc": (("fromVersion",), ("toVersion",)),
}
"""Exchange → where a change says the first and the last number that is in it: each is one after the last before it
(Backpack, KuCoin and MEXC docs of their depth streams, 2026-03)."""


def check(exchange_id: str, exchange: Any) -> None:  # noqa: ANN401 - ccxt has no types that hold
    """Let an exchange object refuse a change of a book that leaves a hole."""
    if exchange_id not in _NUMBERS:
        return
    first_names, last_names = _NUMBERS[exchange_id]
    errors = importlib.import_module("ccxt.base.errors")
    take = exchange.handle_book_delta

    def take_checked(orderbook: Any, delta: Any) -> None:  # noqa: ANN401
        first, last = _number(delta, first_names), _number(delta, last_names)
        noted = getattr(orderbook, "noted", None)
        # What was noted holds while ccxt's own number is the one of then: a new snapshot sets another one.
        before = noted[1] if noted is not None and noted[0] == orderbook["nonce"] else None
        if before is not None and first is not None and first > before + 1:
            # Without its number ccxt begins the book anew, whatever its next stream says.
            orderbook["nonce"], orderbook.cache = None, []
            raise errors.InvalidNonce(f"{exchange_id} left out the changes {before + 1} to {first - 1} of a book")
        take(orderbook, delta)
        if last is not None:
            orderbook.noted = orderbook["nonce"], max(last, before or last)

    exchange.handle_book_delta = take_checked


def _number(delta: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    told = next((delta[name] for name in names if delta.get(name) is not None), None)
    return None if told is None else int(str(told))
