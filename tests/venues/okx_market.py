"""OKX's market data: books, tickers, trades and candles, for REST and the public streams alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from aiohttp import web

from domain.matching.funding import EPOCH, boundary_after
from domain.values import ZERO, Side
from tests.venues.ledger import Market
from tests.venues.okx_answers import Refusal, Row, answer, millis, wrong_parameter
from tests.venues.okx_instruments import KINDS, Instrument, text
from tests.venues.okx_orders import instrument_of
from tests.venues.okx_venue import Venue
from tests.venues.steps import Print

DEEPEST = 400

Args = Mapping[str, str]

BARS = {
    "1m": timedelta(minutes=1),
    "3m": timedelta(minutes=3),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1H": timedelta(hours=1),
    "4H": timedelta(hours=4),
    "1D": timedelta(days=1),
}
"""The widths of candles."""


def time(venue: Venue, args: Args) -> web.Response:
    """Return the venue's time."""
    del args
    return answer([{"ts": millis(venue.now())}])


def instruments(venue: Venue, args: Args) -> web.Response:
    """Return the instruments of a kind; there are none of futures and options."""
    kind = args.get("instType", "")
    if kind not in {*KINDS.values(), "MARGIN", "FUTURES", "OPTION"}:
        raise wrong_parameter("instType")
    wanted = args.get("instId")
    return answer([i.row() for i in venue.instruments.values() if i.kind == kind and wanted in {None, i.id}])


def books(venue: Venue, args: Args) -> web.Response:
    """Return an instrument's book."""
    size = args.get("sz", "1")
    if not size.isdigit():
        raise wrong_parameter("sz")
    return answer([book_row(venue, instrument_of(args, venue.instruments), min(int(size), DEEPEST))])


def ticker(venue: Venue, args: Args) -> web.Response:
    """Return one ticker."""
    return answer([ticker_row(venue, instrument_of(args, venue.instruments))])


def tickers(venue: Venue, args: Args) -> web.Response:
    """Return the tickers of all instruments of a kind."""
    kind = args.get("instType", "")
    return answer([ticker_row(venue, each) for each in venue.instruments.values() if each.kind == kind])


def trades(venue: Venue, args: Args) -> web.Response:
    """Return an instrument's last trades, newest first."""
    instrument = instrument_of(args, venue.instruments)
    limit = args.get("limit", "100")
    if not limit.isdigit():
        raise wrong_parameter("limit")
    last = list(venue.desk(instrument).prints[instrument.trading_pair])[-int(limit) :]
    return answer([trade_row(instrument, seen) for seen in reversed(last)])


def candles(venue: Venue, args: Args) -> web.Response:
    """Return an instrument's candles, newest first."""
    instrument = instrument_of(args, venue.instruments)
    bar = args.get("bar", "1m")
    if bar not in BARS:
        raise wrong_parameter("bar")
    return answer(candle_rows(venue, instrument, bar))


def mark_price(venue: Venue, args: Args) -> web.Response:
    """Return the mark prices of swaps."""
    wanted = args.get("instId")
    swaps = [each for each in venue.instruments.values() if each.perpetual and wanted in {None, each.id}]
    return answer([mark_row(venue, each) for each in swaps])


def funding_rate(venue: Venue, args: Args) -> web.Response:
    """Return a swap's funding rate and when it is due."""
    instrument = instrument_of(args, venue.instruments)
    if not instrument.perpetual:
        raise Refusal("51001")
    return answer([funding_row(venue, instrument)])


def funding_rates(venue: Venue, args: Args) -> web.Response:
    """Return the rates of a swap's funding times, newest first."""
    instrument = instrument_of(args, venue.instruments)
    times = {
        payment.paid_at: payment.rate
        for _, payment in venue.ledger.all_funding()
        if payment.trading_pair == instrument.trading_pair
    }
    newest = sorted(((millis(at), rate) for at, rate in times.items()), reverse=True)
    before = args.get("before", "0")
    rows = [
        {"instType": "SWAP", "instId": instrument.id, "fundingRate": text(rate), "realizedRate": text(rate),
         "fundingTime": at, "method": "current_period"}
        for at, rate in newest
        if int(at) > int(before)
    ]  # fmt: skip
    return answer(rows[: int(args.get("limit", "100"))])


def book_row(venue: Venue, instrument: Instrument, levels: int) -> Row:
    """Return a book: price, size, nothing, number of orders, best first."""
    bids, asks = venue.desk(instrument).depth(instrument.trading_pair, levels)
    return {
        "bids": [[text(price), instrument.size(amount), "0", "1"] for price, amount in bids],
        "asks": [[text(price), instrument.size(amount), "0", "1"] for price, amount in asks],
        "ts": millis(venue.now()),
        "seqId": venue.desk(instrument).changes[instrument.trading_pair],
    }


def ticker_row(venue: Venue, instrument: Instrument) -> Row:
    """Return a ticker: the day's figures are those of the trades that are kept."""
    desk = venue.desk(instrument)
    quote = desk.quotes[instrument.trading_pair]
    seen = desk.prints[instrument.trading_pair]
    prices = [each.price for each in seen] or [quote.mid]
    base = sum((each.amount for each in seen), ZERO)
    notional = sum((each.amount * each.price for each in seen), ZERO)
    bids, asks = desk.depth(instrument.trading_pair, 1)
    bid, ask = bids[0] if bids else (quote.bid, ZERO), asks[0] if asks else (quote.ask, ZERO)
    return {
        "instType": instrument.kind,
        "instId": instrument.id,
        "last": text(prices[-1]),
        "lastSz": instrument.size(seen[-1].amount) if seen else "0",
        "bidPx": text(bid[0]),
        "bidSz": instrument.size(bid[1]),
        "askPx": text(ask[0]),
        "askSz": instrument.size(ask[1]),
        "open24h": text(prices[0]),
        "high24h": text(max(prices)),
        "low24h": text(min(prices)),
        "vol24h": instrument.size(base),
        "volCcy24h": text(base if instrument.perpetual else notional),
        "ts": millis(venue.now()),
    }


def trade_row(instrument: Instrument, seen: Print) -> Row:
    """Return a trade as everybody sees it."""
    return {
        "instId": instrument.id,
        "tradeId": str(seen.trade_id),
        "px": text(seen.price),
        "sz": instrument.size(seen.amount),
        "side": "buy" if seen.taker is Side.BUY else "sell",
        "ts": millis(seen.at),
    }


def candle_rows(venue: Venue, instrument: Instrument, bar: str) -> list[list[str]]:
    """Return the candles of the trades that are kept, newest first; the newest is not finished."""
    width = BARS[bar]
    buckets: dict[datetime, list[Print]] = {}
    for seen in venue.desk(instrument).prints[instrument.trading_pair]:
        buckets.setdefault(EPOCH + (seen.at - EPOCH) // width * width, []).append(seen)
    now = venue.now()
    return [_candle(instrument, start, held, now >= start + width) for start, held in sorted(buckets.items())][::-1]


def mark_row(venue: Venue, instrument: Instrument) -> Row:
    """Return a mark price."""
    mark = venue.desk(instrument).marks()[instrument.trading_pair]
    return {"instType": instrument.kind, "instId": instrument.id, "markPx": text(mark), "ts": millis(venue.now())}


def funding_row(venue: Venue, instrument: Instrument) -> Row:
    """Return what longs will pay shorts at the next funding time."""
    due = boundary_after(venue.now())
    rate = text(venue.floor.desk(Market.SWAP)._engine.terms.funding_rate)
    return {
        "instType": instrument.kind,
        "instId": instrument.id,
        "fundingRate": rate,
        "nextFundingRate": "",
        "fundingTime": millis(due),
        "nextFundingTime": millis(boundary_after(due)),
        "ts": millis(venue.now()),
    }


def _candle(instrument: Instrument, start: datetime, held: Sequence[Print], over: bool) -> list[str]:
    prices = [seen.price for seen in held]
    base = sum((seen.amount for seen in held), ZERO)
    notional: Decimal = sum((seen.amount * seen.price for seen in held), ZERO)
    return [
        millis(start),
        text(prices[0]),
        text(max(prices)),
        text(min(prices)),
        text(prices[-1]),
        instrument.size(base),
        text(base),
        text(notional),
        "1" if over else "0",
    ]
