"""Answers of a venue that are shown again while they are young. Who asks meanwhile waits for the same question."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Generic, TypeVar

from adapters.questions import Questions
from commands.ports import Clock
from domain.market_data import NoTicker, Shown, Ticker

Answer = TypeVar("Answer")
Told = Ticker | NoTicker
Moment = tuple[datetime, float]  # when something was heard, on our clock and on the loop's


class Asked(Generic[Answer]):
    """One question. What was heard after somebody began to wait is new to them, however young it had to be."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], clock: Clock) -> None:
        """Begin with no answer."""
        self._ask = ask
        self._clock = clock
        self._questions = Questions()
        self._known: tuple[Answer, Moment] | None = None

    async def get(self, max_age_seconds: float) -> Shown[Answer]:
        """Return an answer that is not older. Raises what asking does."""
        began = _now()
        async with self._questions.turn():
            if self._known is None or self._known[1][1] < min(began, _now() - max_age_seconds):
                answer = await self._ask()
                self._known = answer, (self._clock(), _now())
            return _shown(*self._known)


class AskedTickers:
    """The tickers of one connector: of all its pairs at once, or of some, each of its own age."""

    def __init__(self, ask: Callable[[Collection[str] | None], Awaitable[Mapping[str, Told]]], clock: Clock) -> None:
        """Begin with none."""
        self._ask = ask
        self._clock = clock
        self._questions = Questions()
        self._all: tuple[Mapping[str, Told], Moment] | None = None
        self._some: dict[str, tuple[Told | None, Moment]] = {}

    async def get(self, trading_pairs: Collection[str] | None, max_age_seconds: float) -> Shown[Mapping[str, Told]]:
        """Return tickers that are not older, all or those of some pairs; one that has none is left out."""
        began = _now()
        async with self._questions.turn():
            since = min(began, _now() - max_age_seconds)
            if trading_pairs is None:
                if self._all is None or self._all[1][1] < since:
                    self._all = await self._ask(None), (self._clock(), _now())
                return _shown(*self._all)
            missing = [pair for pair in trading_pairs if pair not in self._some or self._some[pair][1][1] < since]
            if missing and (self._all is None or self._all[1][1] < since):
                found = await self._ask(missing)
                heard = self._clock(), _now()
                self._some |= {pair: (found.get(pair), heard) for pair in missing}
            elif missing and self._all is not None:
                everything, heard = self._all
                self._some |= {pair: (everything.get(pair), heard) for pair in missing}
            known = {pair: self._some[pair] for pair in trading_pairs}
            oldest = min((moment for _, moment in known.values()), key=_time_of, default=(self._clock(), _now()))
            return _shown({pair: ticker for pair, (ticker, _) in known.items() if ticker is not None}, oldest)

    def all(self) -> Shown[Mapping[str, Told]] | None:
        """Return the tickers of all pairs as they were asked for last, None if they never were."""
        return None if self._all is None else _shown(*self._all)


def _shown(answer: Answer, heard: Moment) -> Shown[Answer]:
    return Shown(value=answer, heard_at=heard[0], age_seconds=_now() - heard[1])


def _time_of(moment: Moment) -> float:
    return moment[1]


def _now() -> float:
    return asyncio.get_running_loop().time()
