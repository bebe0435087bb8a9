"""Candles of the test venues through ccxt's own classes."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.candles.history import CandleHistory
from adapters.candles.store import CandleStore
from adapters.candles.table import candle_history
from adapters.candles.venues import VenueCandles
from adapters.exchanges import names
from adapters.exchanges.paper_feed import SyntheticFeed
from domain.candles import Candle
from domain.errors import Invalid, Unavailable
from domain.values import Side
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.levers import Lever, Pull
from tests.venues.public import public_clients
from tests.venues.serving import running_venue
from tests.venues.steps import Print

PAIR = "BTC-USDT"
MINUTE = timedelta(minutes=1)


def trade(number, at, price, amount, taker=Side.BUY):
    return Print(trade_id=number, trading_pair=PAIR, price=Decimal(price), amount=Decimal(amount), taker=taker, at=at)


class Stage:
    """A venue that remembers an hour of trades, but for some minutes; the time stands."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
        self.floor = Floor(seed=1)
        self.quiet = {10, 11, 40}
        for market in Market:
            prints = self.floor.desk(market).prints[PAIR]
            for minute in set(range(61)) - self.quiet:
                at = self.begins(minute)
                prints.append(trade(2 * minute, at, f"{60_000 + minute}.12", "0.25"))
                prints.append(trade(2 * minute + 1, at + MINUTE / 3, f"{59_000 + minute}.5", "0.1", Side.SELL))

    def begins(self, minute):
        return self.now.replace(second=0) - timedelta(minutes=60 - minute)

    def clock(self):
        return self.now

    def seconds(self, minute):
        return int(self.begins(minute).timestamp())

    def candle(self, minute, volume=0.35, *, counted=True):
        bought, sold = Decimal(f"{60_000 + minute}.12"), Decimal(f"{59_000 + minute}.5")
        quote = float(bought / 4 + sold / 10)
        further = (quote, 2.0, 0.25, float(bought / 4)) if counted else (quote, 0.0, 0.0, 0.0)
        shape = (float(bought), float(bought), float(sold), float(sold))
        return Candle(float(self.seconds(minute)), *shape, volume, *further)


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
async def begun(stage, tmp_path):
    """Return what makes the candles of a connector on the running venue, nothing of them known."""
    async with AsyncExitStack() as running:
        venue = await running.enter_async_context(running_venue(stage.floor))
        clients = await running.enter_async_context(public_clients(venue.urls))

        async def make(connector):
            known = names.connector(connector)
            source = VenueCandles(known, clients.of(known))
            return CandleHistory(CandleStore(tmp_path), {connector: source}, listed=[connector], clock=stage.clock)

        yield make


def rows(columns):
    return [Candle(*row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("connector", "counted"), [("binance", True), ("binance_perpetual", True), ("okx", False), ("okx_perpetual", False)]
)
async def test_candles_come_with_all_that_the_venue_says(stage, begun, connector, counted):
    history = await begun(connector)
    found = rows(await history.between(connector, PAIR, "1m", stage.seconds(5), stage.seconds(15)))
    assert found == [stage.candle(minute, counted=counted) for minute in (5, 6, 7, 8, 9, 12, 13, 14, 15)]
    newest = rows(await history.latest(connector, PAIR, "1m", 3))
    assert newest == [stage.candle(minute, counted=counted) for minute in (58, 59, 60)]


async def test_what_was_asked_once_is_there_when_the_venue_is_not(stage, begun):
    history = await begun("binance")
    first = rows(await history.between("binance", PAIR, "1m", stage.seconds(0), stage.seconds(59)))
    assert len(first) == 57
    stage.floor.levers.go_down()
    assert rows(await history.between("binance", PAIR, "1m", stage.seconds(0), stage.seconds(59))) == first
    with pytest.raises(Unavailable, match="binance"):
        await history.latest("binance", PAIR, "1m", 5)
    stage.floor.levers.release()
    assert len(rows(await history.latest("binance", PAIR, "1m", 5))) == 5


async def test_a_venue_that_is_away_at_first_is_opened_when_it_is_back(stage, begun):
    history = await begun("binance")
    stage.floor.levers.go_down()
    with pytest.raises(Unavailable, match="binance"):
        await history.latest("binance", PAIR, "1m", 5)
    stage.floor.levers.release()
    assert len(rows(await history.latest("binance", PAIR, "1m", 5))) == 5


async def test_longer_candles_are_the_venue_s_own(stage, begun):
    history = await begun("binance")
    (hour,) = rows(await history.between("binance", PAIR, "1h", stage.seconds(0), stage.seconds(59)))
    minutes = [stage.candle(minute) for minute in range(60) if minute not in stage.quiet]
    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert (hour.high, hour.low) == (max(m.high for m in minutes), min(m.low for m in minutes))
    assert hour.n_trades == 2 * len(minutes)


@pytest.mark.parametrize(
    ("connector", "pair", "interval", "reason"),
    [
        ("binance", "NOPE-USDT", "1m", "Trading pair 'NOPE-USDT' is not traded"),
        ("okx", PAIR, "8h", "Interval '8h' is not offered by okx. Its intervals: 1m, 3m, .*, 1M"),
    ],
)
async def test_what_a_venue_does_not_have_is_refused(begun, connector, pair, interval, reason):
    with pytest.raises(Invalid, match=reason):
        await (await begun(connector)).latest(connector, pair, interval, 5)


async def test_a_venue_that_fails_once_has_not_answered(stage, begun):
    history = await begun("binance")
    await history.latest("binance", PAIR, "1m", 1)
    stage.floor.levers.arm(Pull(lever=Lever.FAIL_BEFORE, on=frozenset({"public"})))
    with pytest.raises(Unavailable, match="binance"):
        await history.between("binance", PAIR, "1m", stage.seconds(20), stage.seconds(30))
    found = rows(await history.between("binance", PAIR, "1m", stage.seconds(20), stage.seconds(30)))
    assert found == [stage.candle(minute) for minute in range(20, 31)]


async def test_paper_trade_has_the_candles_of_the_real_market_and_asks_for_them_no_second_time(stage, tmp_path):
    async with running_venue(stage.floor) as venue, public_clients(venue.urls) as clients:
        history = candle_history(tmp_path, feed=SyntheticFeed(1), seed=1, clients=clients, clock=stage.clock)
        real = rows(await history.between("binance", PAIR, "1m", stage.seconds(0), stage.seconds(50)))
        stage.floor.levers.go_down()
        same = await history.between("binance_paper_trade", PAIR, "1m", stage.seconds(0), stage.seconds(50))
        assert rows(same) == real


async def test_many_readers_at_once_are_answered_alike(stage, tmp_path):
    async with running_venue(stage.floor) as venue, public_clients(venue.urls) as clients:
        history = candle_history(tmp_path, feed=SyntheticFeed(1), seed=1, clients=clients, clock=stage.clock)
        answers = await asyncio.gather(*(history.latest("binance", PAIR, "1m", 5) for _ in range(30)))
        assert all(rows(answer) == rows(answers[0]) for answer in answers)
