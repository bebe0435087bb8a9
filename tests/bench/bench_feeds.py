"""Following a hundred order books at once: what it costs, and how soon a question about one is answered.

The books come from a process of its own as Binance tells them, through ccxt, twenty changes a second each. Questions
are asked one after the other, of one book after the other, so that nearly each one is the first to look at its book as
it is now; they are timed from asking the feeds to having the answer in Decimal.
"""

import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal
from statistics import quantiles
from time import perf_counter, process_time, thread_time

import uvloop

from adapters.exchanges import names
from adapters.garbage import collect_rarely
from adapters.logging import configure
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients, opener
from adapters.market_data.sources import USUAL
from domain.order_books import (
    Book,
    Offer,
    average_price_for_volume,
    price_for_quote_volume,
    price_for_volume,
    volume_for_price,
)
from domain.values import Side
from tests.bench.books import Wanted, book_venue, pair_of, urls
from tests.bench.table import Row, at_least, at_most, show
from tests.fakes.feeds import running_feeds
from tests.venues.public import sources_of

PAIRS, PER_SECOND = 100, 20
SECONDS = 10.0
QUESTIONS_PER_SECOND = 100
CPU_PERCENT = 60.0
P99_MS = 5.0

QUESTIONS: tuple[Callable[[Book], Offer], ...] = (
    lambda book: price_for_volume(book, Side.BUY, Decimal(500)),
    lambda book: volume_for_price(book, Side.SELL, book.bids[0][0] - 2),
    lambda book: price_for_quote_volume(book, Side.SELL, Decimal(500_000)),
    lambda book: volume_for_price(book, Side.BUY, book.asks[0][0] + 2),
    lambda book: average_price_for_volume(book, Side.BUY, Decimal(500)),
)
"""Each about some hundred levels."""


async def ask(feeds: Feeds) -> tuple[list[float], list[float]]:
    """Ask at a steady rate; return how many milliseconds each answer took, and how many of them of the processor."""
    took, worked = [], []
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(int(SECONDS * QUESTIONS_PER_SECOND)):
        await asyncio.sleep(start + number / QUESTIONS_PER_SECOND - loop.time())
        began, working = perf_counter(), thread_time()
        shown = await feeds.book("binance", pair_of(number % PAIRS))
        QUESTIONS[number % len(QUESTIONS)](shown.value)
        took.append((perf_counter() - began) * 1000)
        worked.append((thread_time() - working) * 1000)
    return took, worked


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    collect_rarely()
    async with book_venue(Wanted(pairs=PAIRS, per_second=PER_SECOND)) as address:
        clients = PublicClients(opener({"binance": urls(address)}))
        async with clients.of(names.connector("binance")).lease() as (client, _):
            client.exchange.enableRateLimit = False  # ccxt asks for two first books a second, as Binance wants it
        async with running_feeds(sources_of(clients), patience=USUAL) as feeds:
            await asyncio.gather(*(feeds.book("binance", pair_of(n), wait_seconds=60) for n in range(PAIRS)))
            await ask(feeds)
            heard = sum(state.heard for state in feeds.states())
            began, used = perf_counter(), process_time()
            took, worked = await ask(feeds)
            seconds = perf_counter() - began
            percent = (process_time() - used) / seconds * 100
            heard = sum(state.heard for state in feeds.states()) - heard
            stale = sum(state.stale for state in feeds.states())
            await clients.close()
    percentiles = quantiles(took, n=100)
    rows = [
        at_most(f"CPU of {PAIRS} books, {PER_SECOND} changes a second each", percent, CPU_PERCENT, "%"),
        Row(name="Questions, p50", figure=percentiles[49], unit="ms"),
        at_most("Questions, p99", percentiles[98], P99_MS, "ms"),
        Row(name="Questions, p99 of the processor's time", figure=quantiles(worked, n=100)[98], unit="ms"),
        at_least("Times a second that each book is shown anew", heard / seconds / PAIRS, 5),
        at_most("Books that are stale at the end", stale, 0),
    ]
    return show("Order books", rows)


if __name__ == "__main__":
    configure("error")
    sys.exit(0 if uvloop.run(main()) else 1)
