"""Rates: what one token is worth in another, through the pairs whose price is known, and where prices are taken from.

A rate goes the shortest way from base to quote, over pairs and inverse pairs. Of ways of one length the first one
counts: token by token from the base, USDT, USDC and USD go before others, then tokens with more pairs, then those
earlier in the alphabet. So it depends on which pairs there are, and never on the order in which a source tells them.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from itertools import pairwise

import msgspec

from domain.errors import Invalid
from domain.events import Event
from domain.values import ONE

DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "TUSD", "USDP", "DAI", "BUSD"})
"""Tokens that count as one US dollar."""

LONGEST_WAY = 4
"""A rate goes over so many pairs at most: each adds the spread of its market."""

SOURCES = (
    "backpack",
    "binance",
    "coin_gecko",
    "coin_cap",
    "kucoin",
    "gate_io",
    "coinbase_advanced_trade",
    "hyperliquid",
    "hyperliquid_perpetual",
    "derive",
    "mexc",
    "pacifica_perpetual",
    "paper",
)
"""Where prices can be taken from, under Hummingbot's names and in its order; `paper` is the market of that venue."""

STREAM = "rates"

_FIRST_DOLLARS = ("USDT", "USDC", "USD")


class RateSourceChanged(Event, frozen=True, kw_only=True):
    """Prices for rates are taken from another source from now on."""

    source: str


class GlobalTokenChanged(Event, frozen=True, kw_only=True):
    """Clients show values in another token, or with another sign for it."""

    token: str
    symbol: str


EVENTS = (RateSourceChanged, GlobalTokenChanged)


class RateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where prices come from and what values are shown in; what a new installation has is the reference's default."""

    source: str = "gate_io"
    token: str = "USDT"  # noqa: S105 - a currency, no secret
    symbol: str = "$"


NEW = RateSettings()


def evolve(state: RateSettings, event: Event) -> RateSettings:
    """Return the settings after one more event."""
    match event:
        case RateSourceChanged(source=source):
            return msgspec.structs.replace(state, source=source)
        case GlobalTokenChanged(token=token, symbol=symbol):
            return msgspec.structs.replace(state, token=token, symbol=symbol)
        case _:
            return state


def change(
    state: RateSettings, *, source: str | None = None, token: str | None = None, symbol: str | None = None
) -> list[Event]:
    """Change what is given and differs; None leaves a setting as it is. Raises `Invalid` for an unknown source."""
    if source is not None and source not in SOURCES:
        raise Invalid(f"Invalid rate oracle source: {source}. Available sources: {list(SOURCES)}")
    events: list[Event] = []
    if source is not None and source != state.source:
        events.append(RateSourceChanged(source=source))
    wanted = (state.token if token is None else token, state.symbol if symbol is None else symbol)
    if wanted != (state.token, state.symbol):
        events.append(GlobalTokenChanged(token=wanted[0], symbol=wanted[1]))
    return events


class Prices:
    """Prices of pairs, and the rates that follow from them.

    `by_pair` is pair → quote per base. Prices of 0 or below are no prices.
    """

    def __init__(self, by_pair: Mapping[str, Decimal]) -> None:
        self.by_pair = by_pair
        self._neighbours: dict[str, set[str]] | None = None

    def rate(self, base: str, quote: str) -> Decimal | None:
        """Return what one `base` is worth in `quote`, None where no way of known pairs leads there."""
        if base == quote:
            return ONE
        direct = self._direct(base, quote)
        if direct is not None:
            return direct
        way = self._way(base, {quote})
        return None if way is None else self._along(way)

    def in_dollars(self, token: str) -> Decimal | None:
        """Return what a token is worth in US dollars, None where no way of known pairs leads to one."""
        if token in DOLLARS:
            return ONE
        for dollar in _FIRST_DOLLARS:
            direct = self._direct(token, dollar)
            if direct is not None:
                return direct
        way = self._way(token, DOLLARS)
        return None if way is None else self._along(way)

    def _direct(self, base: str, quote: str) -> Decimal | None:
        price = self.by_pair.get(f"{base}-{quote}")
        if price is not None and price > 0:
            return price
        inverse = self.by_pair.get(f"{quote}-{base}")
        return ONE / inverse if inverse is not None and inverse > 0 else None

    def _way(self, start: str, goals: Collection[str]) -> list[str] | None:
        """Return the tokens of the way from `start` to a goal that counts.

        The search goes out from both ends, always where there is less to look at: one of two tokens mostly has few
        pairs, while thousands lead from USDT.
        """
        neighbours = self._all_neighbours()
        ends = [goal for goal in goals if goal in neighbours]
        if start not in neighbours or not ends:
            return None
        ahead, back = [{start}], [set(ends)]
        seen_ahead, seen_back = {start}, set(ends)
        while not ahead[-1] & back[-1]:
            if len(ahead) + len(back) - 2 == LONGEST_WAY:
                return None
            side, seen = (ahead, seen_ahead) if self._fan(ahead[-1]) <= self._fan(back[-1]) else (back, seen_back)
            side.append({other for token in side[-1] for other in neighbours[token]} - seen)
            if not side[-1]:
                return None
            seen |= side[-1]
        return self._first(start, ahead, back)

    def _first(self, start: str, ahead: list[set[str]], back: list[set[str]]) -> list[str]:
        """Return the way that counts, among all that go through the rings found from both ends."""
        neighbours = self._all_neighbours()
        rings = [*ahead[:-1], ahead[-1] & back[-1], *reversed(back[:-1])]
        # A ring ahead of the meeting holds dead ends, too: only what leads on to the next ring stays.
        for n in range(len(rings) - 2, 0, -1):
            rings[n] = {token for token in rings[n] if not neighbours[token].isdisjoint(rings[n + 1])}
        way = [start]
        for ring in rings[1:]:
            way.append(min(neighbours[way[-1]] & ring, key=self._rank))
        return way

    def _rank(self, token: str) -> tuple[int, int, str]:
        dollar = _FIRST_DOLLARS.index(token) if token in _FIRST_DOLLARS else len(_FIRST_DOLLARS)
        return (dollar, -len(self._all_neighbours()[token]), token)

    def _fan(self, ring: set[str]) -> int:
        neighbours = self._all_neighbours()
        return sum(len(neighbours[token]) for token in ring)

    def _along(self, way: list[str]) -> Decimal:
        """Return the rate along a way, rounded once: prices are multiplied first, and divided by at the end."""
        above = below = ONE
        for base, quote in pairwise(way):
            price = self.by_pair.get(f"{base}-{quote}")
            if price is not None and price > 0:
                above *= price
            else:
                below *= self.by_pair[f"{quote}-{base}"]
        return above / below

    def _all_neighbours(self) -> dict[str, set[str]]:
        """Return token → the tokens it has a pair with; made when a rate first needs more than one pair."""
        if self._neighbours is None:
            self._neighbours = {}
            for pair, price in self.by_pair.items():
                base, dash, quote = pair.partition("-")
                if base and dash and quote and base != quote and price > 0:
                    self._neighbours.setdefault(base, set()).add(quote)
                    self._neighbours.setdefault(quote, set()).add(base)
        return self._neighbours


class SourcePrices(msgspec.Struct, frozen=True, kw_only=True):
    """What a source last said. `age_seconds` is None where it said nothing that still counts.

    `problem` is why there is nothing newer, None where all is well.
    """

    prices: Prices
    age_seconds: float | None = None
    problem: str | None = None


def usd_prices(tokens: Iterable[str], prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return token → USD for those tokens that a way of known pairs leads to a dollar."""
    known = Prices(prices)
    found = {token: known.in_dollars(token) for token in tokens}
    return {token: price for token, price in found.items() if price is not None}
