"""Order books as they stand, what trading against them would cost, and how their feeds are."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Annotated, Literal, get_args

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Amount, Body, Name, Pair, Text, encode
from domain import order_books
from domain.market_data import Shown
from domain.order_books import Book, Level, Offer
from domain.values import Side
from read_api.order_books.diagnostics import Diagnostics, on_the_wire
from read_api.pages import described
from read_api.ports import Feeds


class BookRequest(Body, frozen=True, kw_only=True):
    """Whose book, and how many levels of each side."""

    connector_name: Name
    trading_pair: Pair
    depth: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


class Question(Body, frozen=True, kw_only=True):
    """Which book, and which side of it: who buys takes from the asks."""

    connector_name: Name
    trading_pair: Pair
    is_buy: bool

    @property
    def side(self) -> Side:
        """The side of the one who asks."""
        return Side.BUY if self.is_buy else Side.SELL


class VolumeQuestion(Question, frozen=True, kw_only=True):
    """A question about an amount of base."""

    volume: Amount


class QuoteVolumeQuestion(Question, frozen=True, kw_only=True):
    """A question about an amount of quote."""

    quote_volume: Amount


class PriceQuestion(Question, frozen=True, kw_only=True):
    """A question about all that is offered up to a price."""

    price: Amount


class LevelItem(msgspec.Struct, frozen=True, kw_only=True):
    """One price of a book."""

    price: float
    amount: float


class Aged(msgspec.Struct, frozen=True, kw_only=True):
    """When the book was heard, in seconds since 1970, and how long ago that is; one that is stale is not answered."""

    timestamp: float
    age_seconds: float
    stale: bool = False


class BookAnswer(Aged, frozen=True, kw_only=True):
    """The best levels of a book, best price first."""

    trading_pair: str
    bids: list[LevelItem]
    asks: list[LevelItem]


class OfferAnswer(Aged, frozen=True, kw_only=True):
    """What was asked for and what there is.

    Where the book ends before all of it is had, there is no price, and volumes are what it holds.
    """

    trading_pair: str
    is_buy: bool
    query_volume: float | None = None
    query_price: float | None = None
    result_price: float | None = None
    result_volume: float | None = None
    result_quote_volume: float | None = None
    average_price: float | None = None


class Restarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which books begin anew, or why none does."""

    success: bool
    message: str | None = None
    trading_pairs: Sequence[str] | None = None
    error: str | None = None


def levels_on_the_wire(levels: Sequence[Level], depth: int) -> list[LevelItem]:
    """Return the best levels of a side as clients read them."""
    return [LevelItem(price=float(price), amount=float(amount)) for price, amount in levels[:depth]]


Asked = VolumeQuestion | QuoteVolumeQuestion | PriceQuestion
Part = Literal["price", "volume", "quote_volume", "average_price"]


def offer_on_the_wire(asked: Asked, shown: Shown[Book], found: Offer, parts: Collection[Part]) -> OfferAnswer:
    """Return the answer to a question as clients read it, with those parts of what was found that it is about."""
    price, volume, quote_volume, average_price = (
        _number(getattr(found, part)) if part in parts else None for part in get_args(Part)
    )
    about = asked.price if isinstance(asked, PriceQuestion) else None
    if isinstance(asked, VolumeQuestion):
        amount: Decimal | None = asked.volume
    else:
        amount = asked.quote_volume if isinstance(asked, QuoteVolumeQuestion) else None
    return OfferAnswer(
        trading_pair=asked.trading_pair,
        is_buy=asked.is_buy,
        query_volume=_number(amount),
        query_price=_number(about),
        result_price=price,
        result_volume=volume,
        result_quote_volume=quote_volume,
        average_price=average_price,
        timestamp=shown.heard_at.timestamp(),
        age_seconds=round(shown.age_seconds, 3),
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


async def _answer(feeds: Feeds, asked: Asked, ask: Callable[[Book], Offer], *parts: Part) -> Answer:
    """Ask a question of a book that is not stale."""
    shown = await feeds.book(asked.connector_name, asked.trading_pair)
    return Answer(200, encode(offer_on_the_wire(asked, shown, ask(shown.value), parts)))


class OrderBooks(Controller):
    """Order books, as they stand."""

    path = "/market-data"
    tags = ("Market data",)

    @post("/order-book", status_code=200, summary="Show a book", responses=described(BookAnswer, "Its best levels"))
    async def order_book(self, data: JSONBody[BookRequest], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer the best levels of a book that is not stale; the first question begins to follow it."""
        shown = await feeds.book(data.connector_name, data.trading_pair)
        answer = BookAnswer(
            trading_pair=data.trading_pair,
            bids=levels_on_the_wire(shown.value.bids, data.depth),
            asks=levels_on_the_wire(shown.value.asks, data.depth),
            timestamp=shown.heard_at.timestamp(),
            age_seconds=round(shown.age_seconds, 3),
        )
        return Answer(200, encode(answer))

    @post(
        "/order-book/price-for-volume",
        status_code=200,
        summary="Say up to which price an amount is had",
        responses=described(OfferAnswer, "The price"),
    )
    async def price_for_volume(self, data: JSONBody[VolumeQuestion], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer the price of the last part of an amount of base."""
        return await _answer(
            feeds, data, lambda book: order_books.price_for_volume(book, data.side, data.volume), "price", "volume"
        )

    @post(
        "/order-book/volume-for-price",
        status_code=200,
        summary="Say how much is had up to a price",
        responses=described(OfferAnswer, "The amount of base"),
    )
    async def volume_for_price(self, data: JSONBody[PriceQuestion], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer how much base is had at a price or a better one, and the last price that counts."""
        return await _answer(
            feeds, data, lambda book: order_books.volume_for_price(book, data.side, data.price), "price", "volume"
        )

    @post(
        "/order-book/price-for-quote-volume",
        status_code=200,
        summary="Say up to which price an amount of quote is traded",
        responses=described(OfferAnswer, "The price"),
    )
    async def price_for_quote_volume(
        self, data: JSONBody[QuoteVolumeQuestion], feeds: NamedDependency[Feeds]
    ) -> Answer:
        """Answer the price of the last part of an amount of quote, and the base that is had for it."""
        return await _answer(
            feeds,
            data,
            lambda book: order_books.price_for_quote_volume(book, data.side, data.quote_volume),
            "price",
            "volume",
            "quote_volume",
        )

    @post(
        "/order-book/quote-volume-for-price",
        status_code=200,
        summary="Say how much quote is traded up to a price",
        responses=described(OfferAnswer, "The amount of quote"),
    )
    async def quote_volume_for_price(self, data: JSONBody[PriceQuestion], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer how much quote is traded at a price or a better one, and the last price that counts."""
        return await _answer(
            feeds,
            data,
            lambda book: order_books.volume_for_price(book, data.side, data.price),
            "price",
            "volume",
            "quote_volume",
        )

    @post(
        "/order-book/vwap-for-volume",
        status_code=200,
        summary="Say what an amount costs on average",
        responses=described(OfferAnswer, "The average price"),
    )
    async def vwap_for_volume(self, data: JSONBody[VolumeQuestion], feeds: NamedDependency[Feeds]) -> Answer:
        """Answer the average price of an amount of base, weighted by volume."""
        return await _answer(
            feeds,
            data,
            lambda book: order_books.average_price_for_volume(book, data.side, data.volume),
            "volume",
            "average_price",
        )

    @get(
        "/order-book/diagnostics/{connector_name:str}",
        status_code=200,
        summary="Say how the feeds of a connector are",
        responses=described(Diagnostics, "Feeds, books, and how much was heard"),
    )
    async def diagnostics(
        self,
        connector_name: FromPath[Name],
        feeds: NamedDependency[Feeds],
        account_name: FromQuery[Text | None] = None,  # noqa: ARG002 - feeds are the same for all accounts
    ) -> Answer:
        """Answer which books are followed, how they stand, and how old they are."""
        market = feeds.market_of(connector_name)
        states = [state for state in feeds.states() if state.connector == market]
        books = {state.trading_pair: feeds.glance(market, state.trading_pair) for state in states}
        return Answer(200, encode(on_the_wire(connector_name, market, states, books, feeds.now())))

    @post(
        "/order-book/restart/{connector_name:str}",
        status_code=200,
        summary="Begin the books of a connector anew",
        responses=described(Restarted, "Their pairs"),
    )
    async def restart(
        self,
        connector_name: FromPath[Name],
        feeds: NamedDependency[Feeds],
        account_name: FromQuery[Text | None] = None,  # noqa: ARG002 - feeds are the same for all accounts
    ) -> Answer:
        """Begin every book of the connector with a new snapshot."""
        pairs = await feeds.restart(connector_name)
        if not pairs:
            return Answer(200, encode(Restarted(success=False, error="No trading pairs to restart")))
        message = f"Order book tracker restarted for {connector_name}"
        return Answer(200, encode(Restarted(success=True, message=message, trading_pairs=pairs)))
