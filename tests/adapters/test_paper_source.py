"""The paper venue's market as everybody sees it."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.exchanges.paper_feed import RULES, SyntheticFeed
from adapters.market_data.paper_source import PaperSource
from domain.errors import NotFound
from domain.matching.depth import ladder

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
PAIR = "BTC-USDT"


@pytest.fixture
def source() -> PaperSource:
    return PaperSource(SyntheticFeed(1), name="paper", perpetual=True, tick_seconds=0, clock=lambda: NOW)


async def test_its_book_is_what_orders_trade_against(source):
    (quotes,) = SyntheticFeed(1).steps(None, NOW)
    depth = ladder(quotes[PAIR], RULES[PAIR])
    async with aclosing(source.books(PAIR)) as books:
        for _ in range(2):
            book = (await anext(books))()
            assert (book.bids, book.asks) == (depth.bids, depth.asks)
    assert (await source.tickers(None)).keys() == RULES.keys()
    assert (await source.tickers([PAIR]))[PAIR].price == quotes[PAIR].mid


async def test_its_funding_is_what_it_pays(source):
    terms = await source.funding(PAIR)
    assert (terms.rate, terms.next_at) == (Decimal("0.0001"), datetime(2026, 11, 22, 16, tzinfo=UTC))
    assert terms.mark_price == (await source.tickers([PAIR]))[PAIR].price


async def test_it_has_no_trades_of_others_and_no_other_pairs(source):
    async with aclosing(source.trades(PAIR)) as trades:
        assert await anext(trades) == ()
        waiting = asyncio.ensure_future(anext(trades))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    await source.check(PAIR)
    with pytest.raises(NotFound, match="Trading pair 'NOPE-USDT' not found on paper"):
        await source.check("NOPE-USDT")
