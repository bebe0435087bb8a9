"""Prices, tickers and terms of funding of any connector; and which markets are followed live."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter

from adapters.http.answers import Answer
from adapters.http.as_of import never_recorded
from adapters.http.bodies import Body, Name, Pair, Text, encode
from adapters.http.requests import Request
from domain.errors import DomainError, Invalid, Unavailable
from domain.market_data import FeedState, FundingTerms, NoTicker, Shown, Ticker, readable
from domain.rates import Prices
from domain.values import ZERO, split_pair
from projections import rates
from read_api.pages import described
from read_api.ports import Candles, Feeds, RateSources
from read_api.settle import Reads

SOURCE_SECONDS = 3.0
"""An answer waits for so long for the source of rates; after that it says what is known."""
MOST_CONNECTORS = 20
"""So many connectors may be asked for their tickers at once."""

Tickers = Shown[Mapping[str, Ticker | NoTicker]]
Pairs = Annotated[list[Pair], msgspec.Meta(max_length=1000)]


class PricesRequest(Body, frozen=True, kw_only=True):
    """Which pairs of a connector."""

    connector_name: Name
    trading_pairs: Pairs


class PairRequest(Body, frozen=True, kw_only=True):
    """A pair of a connector; the account is of no matter, a market is the same for all."""

    connector_name: Name
    trading_pair: Pair
    account_name: Text | None = None


class AddRequest(PairRequest, frozen=True, kw_only=True):
    """A pair to follow, and how many seconds to wait for its first book."""

    timeout: Annotated[float, msgspec.Meta(ge=1, le=120)] = 30.0


class RatesRequest(Body, frozen=True, kw_only=True):
    """Which rates; by the prices of one connector, or of all that are known."""

    trading_pairs: Pairs
    connector: Name | None = None


class PricesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Pair → its last price, without those that never traded; and when they were heard, in seconds since 1970.

    `errors` are by pair: why it has no price, though it may have traded.
    """

    connector: str
    prices: dict[str, float]
    timestamp: float
    age_seconds: float
    errors: dict[str, str]


class FundingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What longs pay shorts next, as a share of the notional, and when, in seconds since 1970."""

    trading_pair: str
    funding_rate: float | None
    next_funding_time: float | None
    mark_price: float | None
    index_price: float | None
    age_seconds: float


class TickerItem(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's last price, and what was traded in 24 hours, null where the venue does not say."""

    price: float
    base_volume: float | None
    quote_volume: float | None
    timestamp: float | None


class TickersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Connector → pair → ticker; when each connector was asked, in seconds since 1970, and why one is not there."""

    tickers: dict[str, dict[str, TickerItem]]
    counts: dict[str, int]
    updated_at: dict[str, float]
    age_seconds: dict[str, float]
    errors: dict[str, str]


class RatesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Pair → its rate, null where no way of known pairs leads from base to quote."""

    quote_token: str
    connector: str | None
    rates: dict[str, float | None]


class FeedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One live feed: when somebody was last interested, when it ends without anybody, and whether it is stale."""

    feed_type: str
    last_access_time: float
    seconds_since_access: float
    will_expire_in: float
    config: str
    connector_name: str
    trading_pair: str
    readers: int
    age_seconds: float | None
    stale: bool
    why: str


class SettingsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How long feeds last, in seconds."""

    cleanup_interval: float
    feed_timeout: float
    description: str = (
        "cleanup_interval: seconds between cleanup runs, feed_timeout: seconds before unused feeds expire"
    )


class PairAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish to follow a pair, or not to."""

    success: bool
    connector_name: str
    trading_pair: str
    message: str


def feed_on_the_wire(state: FeedState, now: datetime) -> FeedItem:
    """Return how a feed stands, as clients read it."""
    return FeedItem(
        feed_type=state.kind,
        last_access_time=state.asked_at.timestamp(),
        seconds_since_access=(now - state.asked_at).total_seconds(),
        will_expire_in=(state.ends_at - now).total_seconds(),
        config=_config(state),
        connector_name=state.connector,
        trading_pair=state.trading_pair,
        readers=state.readers,
        age_seconds=_rounded(state.age_seconds),
        stale=state.stale,
        why=state.why,
    )


def _config(state: FeedState) -> str:
    config = f"connector='{state.connector}' trading_pair='{state.trading_pair}'"
    return config if state.interval is None else f"{config} interval='{state.interval}' max_records={state.max_records}"


def _name(state: FeedState) -> str:
    parts = (state.kind, state.connector, state.trading_pair, state.interval)
    return "_".join(part for part in parts if part is not None)


def funding_on_the_wire(trading_pair: str, shown: Shown[FundingTerms]) -> FundingAnswer:
    """Return the terms of funding as clients read them."""
    terms = shown.value
    return FundingAnswer(
        trading_pair=trading_pair,
        funding_rate=_number(terms.rate),
        next_funding_time=None if terms.next_at is None else terms.next_at.timestamp(),
        mark_price=_number(terms.mark_price),
        index_price=_number(terms.index_price),
        age_seconds=round(shown.age_seconds, 3),
    )


def prices_on_the_wire(connector: str, shown: Tickers) -> PricesAnswer:
    """Return prices as clients read them. Raises `Unavailable` where all that was told cannot be read."""
    prices = {pair: float(ticker.price) for pair, ticker in readable(shown.value).items()}
    errors = {pair: ticker.why for pair, ticker in shown.value.items() if isinstance(ticker, NoTicker)}
    if errors and not prices:
        pair, why = next(iter(errors.items()))
        raise Unavailable(f"{connector} tells no price of {pair} that can be read: {why}")
    return PricesAnswer(
        connector=connector,
        prices=prices,
        timestamp=shown.heard_at.timestamp(),
        age_seconds=round(shown.age_seconds, 3),
        errors=errors,
    )


def tickers_on_the_wire(shown: Mapping[str, Tickers], errors: dict[str, str]) -> TickersAnswer:
    """Return the tickers that can be read as clients read them."""
    items = {
        connector: {pair: _ticker(ticker) for pair, ticker in readable(tickers.value).items()}
        for connector, tickers in shown.items()
    }
    return TickersAnswer(
        tickers=items,
        counts={connector: len(found) for connector, found in items.items()},
        updated_at={connector: tickers.heard_at.timestamp() for connector, tickers in shown.items()},
        age_seconds={connector: round(tickers.age_seconds, 3) for connector, tickers in shown.items()},
        errors=errors,
    )


def _ticker(ticker: Ticker) -> TickerItem:
    return TickerItem(
        price=float(ticker.price),
        base_volume=_number(ticker.base_volume),
        quote_volume=_number(ticker.quote_volume),
        timestamp=None if ticker.ticked_at is None else ticker.ticked_at.timestamp(),
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


class MarketData(Controller):
    """Markets, as they are now."""

    path = "/market-data"
    tags = ("Market data",)

    @get(
        "/active-feeds",
        status_code=200,
        summary="List the live feeds",
        responses=described(dict[str, FeedItem], "Name of the feed → how it stands"),
    )
    async def active_feeds(self, feeds: NamedDependency[Feeds], candles: NamedDependency[Candles]) -> Answer:
        """Answer which feeds are running, for whom, and how old their last news are."""
        now = feeds.now()
        states = [*feeds.states(), *candles.states(feeds.timeout_seconds)]
        return Answer(200, encode({_name(state): feed_on_the_wire(state, now) for state in states}))

    @get("/settings", status_code=200, summary="Show the settings", responses=described(SettingsAnswer, "They"))
    async def settings(self, feeds: NamedDependency[Feeds]) -> Answer:
        """Answer how long feeds last."""
        answer = SettingsAnswer(cleanup_interval=feeds.cleanup_seconds, feed_timeout=feeds.timeout_seconds)
        return Answer(200, encode(answer))

    @post("/prices", status_code=200, summary="Show prices", responses=described(PricesAnswer, "The last prices"))
    async def market_prices(self, data: JSONBody[PricesRequest], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer the last price of each pair that ever traded."""
        shown = await feeds.tickers(data.connector_name, data.trading_pairs)
        return Answer(200, encode(prices_on_the_wire(data.connector_name, shown)))

    @post(
        "/funding-info",
        status_code=200,
        summary="Say what is next paid on a perpetual",
        responses=described(FundingAnswer, "The terms of funding"),
    )
    async def funding_info(self, data: JSONBody[PairRequest], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer what longs pay shorts at the next funding time."""
        shown = await feeds.funding(data.connector_name, data.trading_pair)
        return Answer(200, encode(funding_on_the_wire(data.trading_pair, shown)))

    @get(
        "/tickers",
        status_code=200,
        summary="Show the tickers of connectors",
        responses=described(TickersAnswer, "Connector → pair → ticker"),
    )
    async def tickers(
        self,
        feeds: NamedDependency[Feeds],
        connectors: FromQuery[list[Text] | None] = None,
        anew: Annotated[bool, QueryParameter(name="refresh")] = False,  # noqa: FBT002 - a query parameter
        max_age: FromQuery[Decimal | None] = None,
    ) -> Answer:
        """Answer the tickers of connectors, by commas, or of all that were asked for lately.

        One that fails is told in `errors` beside the others; if all do, the answer is the first one's refusal.
        """
        wanted = list(dict.fromkeys(name.strip() for part in connectors or () for name in part.split(",")))
        wanted = [name for name in wanted if name] or (list(feeds.collected()) if anew else [])
        if not wanted:
            return Answer(200, encode(tickers_on_the_wire(feeds.collected(), {})))
        shown, errors = await _collect(feeds, wanted, 0.0 if anew else _number(max_age))
        return Answer(200, encode(tickers_on_the_wire(shown, errors)))

    @post(
        "/rates",
        status_code=200,
        summary="Say what pairs are worth by the tickers that are known",
        responses=described(RatesAnswer, "Rates"),
        opt=never_recorded("tickers of connectors"),
    )
    async def market_rates(
        self,
        request: Request,
        data: JSONBody[RatesRequest],
        feeds: NamedDependency[Feeds],
        rate_sources: NamedDependency[RateSources],
        reads: NamedDependency[Reads],
    ) -> Answer:
        """Answer the rate of each pair, over as few known pairs as there must be."""
        pairs = {pair: split_pair(pair) for pair in data.trading_pairs}
        headers = await reads.settle(request, "rates")
        async with reads.connection(request) as connection:
            settings = await rates.settings(connection)
        if data.connector is not None:
            shown = await feeds.tickers(data.connector)
            known = Prices({pair: ticker.price for pair, ticker in readable(shown.value).items()})
        else:
            said = await rate_sources.prices(settings.source, wait_seconds=SOURCE_SECONDS)
            known = Prices({**said.prices.by_pair, **_most_liquid(feeds.collected().values())})
        worth = {pair: _number(known.rate(*tokens)) for pair, tokens in pairs.items()}
        answer = RatesAnswer(quote_token=settings.token, connector=data.connector, rates=worth)
        return Answer(200, encode(answer), headers)

    @post(
        "/trading-pair/add",
        status_code=200,
        summary="Follow a pair's book",
        responses=described(PairAnswer, "Its first book has come"),
    )
    async def add_trading_pair(self, data: JSONBody[AddRequest], feeds: NamedDependency[Feeds]) -> Answer:
        """Begin to follow a book and answer when its first one has come; unread, it ends like every feed."""
        await feeds.book(data.connector_name, data.trading_pair, wait_seconds=data.timeout)
        return _pair_answer(data, f"Order book initialized for {data.trading_pair}")

    @post(
        "/trading-pair/remove",
        status_code=200,
        summary="Follow a pair no more",
        responses=described(PairAnswer, "Whether it was followed"),
    )
    async def remove_trading_pair(self, data: JSONBody[PairRequest], feeds: NamedDependency[Feeds]) -> Answer:
        """End the feeds of a pair; who reads them is told."""
        if await feeds.end(data.connector_name, data.trading_pair):
            return _pair_answer(data, f"Trading pair {data.trading_pair} removed")
        return _pair_answer(data, f"Trading pair {data.trading_pair} not found or already removed", success=False)


def _pair_answer(data: PairRequest, message: str, *, success: bool = True) -> Answer:
    answer = PairAnswer(
        success=success, connector_name=data.connector_name, trading_pair=data.trading_pair, message=message
    )
    return Answer(200, encode(answer))


async def _collect(
    feeds: Feeds, connectors: Sequence[str], max_age: float | None
) -> tuple[dict[str, Tickers], dict[str, str]]:
    """Return the tickers of connectors, and why some have none. Raises why, if none has."""
    if len(connectors) > MOST_CONNECTORS:
        raise Invalid(f"{len(connectors)} connectors are asked for; at most {MOST_CONNECTORS} may be at once")
    if max_age is not None and max_age < 0:
        raise Invalid(f"max_age {max_age:g} is below 0")
    for connector in connectors:
        feeds.market_of(connector)
    asked = [feeds.tickers(connector, max_age_seconds=max_age) for connector in connectors]
    answers = dict(zip(connectors, await asyncio.gather(*map(_told, asked)), strict=True))
    refused = {connector: answer for connector, answer in answers.items() if isinstance(answer, DomainError)}
    if len(refused) == len(connectors):
        raise next(iter(refused.values()))
    shown = {connector: answer for connector, answer in answers.items() if isinstance(answer, Shown)}
    return shown, {connector: reason.message for connector, reason in refused.items()}


async def _told(asking: Coroutine[object, object, Tickers]) -> Tickers | DomainError:
    try:
        return await asking
    except DomainError as reason:
        return reason


def _most_liquid(collected: Iterable[Tickers]) -> dict[str, Decimal]:
    """Return the price of each pair where most quote of it was traded in 24 hours."""
    best: dict[str, Ticker] = {}
    for shown in collected:
        for pair, ticker in readable(shown.value).items():
            known = best.get(pair)
            if known is None or (ticker.quote_volume or ZERO) > (known.quote_volume or ZERO):
                best[pair] = ticker
    return {pair: ticker.price for pair, ticker in best.items()}
