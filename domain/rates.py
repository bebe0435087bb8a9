"""Rates: what one token is worth in another, through the pairs whose price is known."""

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal

from domain.values import ONE

DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "TUSD", "USDP", "DAI", "BUSD"})
"""Tokens that count as one US dollar."""


def usd_prices(tokens: Iterable[str], prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return token → USD for those tokens that a path of known pairs leads to a dollar, by the shortest path.

    `prices` is pair → quote per base. Prices of 0 are no prices. Of paths of one length the first in the order of
    `prices` counts, so the answer does not depend on the order of `tokens`.
    """
    wanted = set(tokens)
    found = dict.fromkeys(wanted & DOLLARS, ONE)
    direct = {token: price for token in wanted - DOLLARS if (price := _direct(token, prices)) is not None}
    found.update(direct)
    missing = wanted - found.keys()
    if missing:
        reachable = _all_by_path(prices)
        found.update((token, reachable[token]) for token in missing if token in reachable)
    return found


def _direct(token: str, prices: Mapping[str, Decimal]) -> Decimal | None:
    for dollar in ("USDT", "USDC", "USD"):
        price = prices.get(f"{token}-{dollar}")
        if price:
            return price
    return None


def _all_by_path(prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Walk outward from the dollars, one pair at a time."""
    neighbours: dict[str, list[tuple[str, Decimal]]] = {}
    for pair, price in prices.items():
        base, _, quote = pair.partition("-")
        if price:
            neighbours.setdefault(quote, []).append((base, price))
            neighbours.setdefault(base, []).append((quote, ONE / price))
    found = dict.fromkeys(sorted(DOLLARS & neighbours.keys()), ONE)
    queue = deque(found)
    while queue:
        token = queue.popleft()
        for other, rate in neighbours[token]:
            if other not in found:
                found[other] = rate * found[token]
                queue.append(other)
    return found
