"""Rates of pairs, by the prices of the source that the user has chosen."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, TypedDict

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from adapters.http.answers import Answer
from adapters.http.as_of import never_recorded
from adapters.http.bodies import Body, Pair, encode
from adapters.http.requests import Request
from domain.rates import SOURCES, RateSettings, SourcePrices
from domain.values import split_pair
from projections import rates
from read_api.pages import described
from read_api.ports import RateSources
from read_api.settle import Headers, Reads

SOON_SECONDS = 3.0
"""How long an answer waits for a source that nobody has asked for a while; after that it says what is known."""

PATIENT_SECONDS = 10.0
"""As `SOON_SECONDS`, where the caller would rather wait."""


_PRICES = never_recorded("prices of a source")


class RatesRequest(Body, frozen=True, kw_only=True):
    """Whose rates."""

    trading_pairs: Annotated[list[Pair], msgspec.Meta(max_length=1000)]


class Sourced(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer comes from, how old its prices are (null where there are none), and why they are not newer."""

    source: str
    quote_token: str
    age_seconds: float | None
    problem: str | None


class RatesAnswer(Sourced, frozen=True, kw_only=True):
    """Rates of pairs, null where no way of known pairs leads from base to quote."""

    rates: dict[str, float | None]


class RateAnswer(Sourced, frozen=True, kw_only=True):
    """The rate of a pair, null where no way of known pairs leads from base to quote."""

    trading_pair: str
    rate: float | None


class PricesAnswer(Sourced, frozen=True, kw_only=True):
    """All that the source says: pair → quote per base."""

    prices_count: int
    prices: dict[str, float]


class SourceName(msgspec.Struct, frozen=True, kw_only=True):
    """Where prices come from."""

    name: str


class GlobalToken(msgspec.Struct, frozen=True, kw_only=True):
    """What values are shown in."""

    global_token_name: str
    global_token_symbol: str


class ConfigAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of rates, and what may be chosen."""

    rate_oracle_source: SourceName
    global_token: GlobalToken
    available_sources: Sequence[str] = SOURCES


class _From(TypedDict):
    source: str
    quote_token: str
    age_seconds: float | None
    problem: str | None


def _sourced(settings: RateSettings, known: SourcePrices) -> _From:
    return {
        "source": settings.source,
        "quote_token": settings.token,
        "age_seconds": None if known.age_seconds is None else round(known.age_seconds, 3),
        "problem": known.problem,
    }


def rate_on_the_wire(pair: str, settings: RateSettings, known: SourcePrices) -> RateAnswer:
    """Return the rate of one pair as clients read it. Raises `Invalid` for what is no pair."""
    rate = known.prices.rate(*split_pair(pair))
    return RateAnswer(**_sourced(settings, known), trading_pair=pair, rate=_number(rate))


def _number(rate: Decimal | None) -> float | None:
    return None if rate is None else float(rate)


async def _settings(request: Request, reads: Reads) -> tuple[RateSettings, Headers]:
    headers = await reads.settle(request, "rates")
    async with reads.connection(request) as connection:
        return await rates.settings(connection), headers


async def _rate(request: Request, pair: str, reads: Reads, sources: RateSources, wait_seconds: float) -> Answer:
    split_pair(pair)  # what is no pair is refused before anybody is asked
    settings, headers = await _settings(request, reads)
    known = await sources.prices(settings.source, wait_seconds=wait_seconds)
    return Answer(200, encode(rate_on_the_wire(pair, settings, known)), headers)


class RateReads(Controller):
    """Rates, as they are now."""

    path = "/rate-oracle"
    tags = ("Rate oracle",)

    @get("/sources", status_code=200, summary="List the sources", responses=described(list[str], "Names of sources"))
    async def sources(self) -> Answer:
        """Answer where prices can be taken from."""
        return Answer(200, encode(SOURCES))

    @get("/config", status_code=200, summary="Show the settings of rates", responses=described(ConfigAnswer, "They"))
    async def config(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer where prices come from, what values are shown in, and which sources there are."""
        settings, headers = await _settings(request, reads)
        shown = ConfigAnswer(
            rate_oracle_source=SourceName(name=settings.source),
            global_token=GlobalToken(global_token_name=settings.token, global_token_symbol=settings.symbol),
        )
        return Answer(200, encode(shown), headers)

    @post(
        "/rates",
        status_code=200,
        summary="Say what pairs are worth",
        responses=described(RatesAnswer, "Rates"),
        opt=_PRICES,
    )
    async def rates(
        self,
        request: Request,
        data: JSONBody[RatesRequest],
        reads: NamedDependency[Reads],
        rate_sources: NamedDependency[RateSources],
    ) -> Answer:
        """Answer the rate of each pair, over as few known pairs as there must be."""
        pairs = {pair: split_pair(pair) for pair in data.trading_pairs}
        settings, headers = await _settings(request, reads)
        known = await rate_sources.prices(settings.source, wait_seconds=SOON_SECONDS)
        answer = RatesAnswer(
            **_sourced(settings, known),
            rates={pair: _number(known.prices.rate(*tokens)) for pair, tokens in pairs.items()},
        )
        return Answer(200, encode(answer), headers)

    @get(
        "/rate/{trading_pair:str}",
        status_code=200,
        summary="Say what a pair is worth",
        responses=described(RateAnswer, "The rate"),
        opt=_PRICES,
    )
    async def rate(
        self,
        request: Request,
        trading_pair: FromPath[Pair],
        reads: NamedDependency[Reads],
        rate_sources: NamedDependency[RateSources],
    ) -> Answer:
        """Answer the rate of a pair, over as few known pairs as there must be."""
        return await _rate(request, trading_pair, reads, rate_sources, SOON_SECONDS)

    @get(
        "/rate-async/{trading_pair:str}",
        status_code=200,
        summary="Say what a pair is worth, and wait for the source if need be",
        responses=described(RateAnswer, "The rate"),
        opt=_PRICES,
    )
    async def patient_rate(
        self,
        request: Request,
        trading_pair: FromPath[Pair],
        reads: NamedDependency[Reads],
        rate_sources: NamedDependency[RateSources],
    ) -> Answer:
        """Answer as `rate` does, after a longer wait for a source that has not answered yet."""
        return await _rate(request, trading_pair, reads, rate_sources, PATIENT_SECONDS)

    @get(
        "/prices",
        status_code=200,
        summary="Show all that the source says",
        responses=described(PricesAnswer, "It"),
        opt=_PRICES,
    )
    async def prices(
        self, request: Request, reads: NamedDependency[Reads], rate_sources: NamedDependency[RateSources]
    ) -> Answer:
        """Answer the price of every pair that the source knows."""
        settings, headers = await _settings(request, reads)
        known = await rate_sources.prices(settings.source, wait_seconds=SOON_SECONDS)
        answer = PricesAnswer(
            **_sourced(settings, known),
            prices_count=len(known.prices.by_pair),
            prices={pair: float(price) for pair, price in known.prices.by_pair.items()},
        )
        return Answer(200, encode(answer), headers)
