"""OKX's public sockets: books, tickers, trades, candles, mark prices and funding rates as they change."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.venues.okx_answers import Refusal, Row, millis
from tests.venues.okx_instruments import Instrument, text
from tests.venues.okx_market import (
    BARS,
    DEEPEST,
    book_row,
    candle_rows,
    funding_row,
    mark_row,
    ticker_row,
    trade_row,
)
from tests.venues.okx_streams import Arg, End, Session, Start, message_of
from tests.venues.steps import Print

_LEVELS = {"bbo-tbt": 1, "books5": 5}
"""Channels that bring a few whole levels each time."""

_ROWS = {"tickers": ticker_row, "mark-price": mark_row, "funding-rate": funding_row}
"""Channels that bring one row each time."""

Told = Callable[[Sequence[Print]], None]


class MarketSession(Session):
    """A socket on the public path, or on the business one, which has the candles."""

    def begin(self, arg: Arg) -> Start:
        """Return what begins to tell of an instrument; what there is comes first. Raises `Refusal`."""
        instrument = self.venue.instruments.get(arg.get("instId", ""))
        if instrument is None:
            raise Refusal("60018")
        told = self._told(arg, arg.get("channel", ""), instrument)

        def changed(trading_pair: str, prints: Sequence[Print]) -> None:
            if trading_pair == instrument.trading_pair and instrument.id in self.venue.instruments:
                told(prints)

        def start() -> End:
            told(())
            return self.venue.desk(instrument).watch(changed)

        return start

    def _told(self, arg: Arg, channel: str, instrument: Instrument) -> Told:
        """Return what tells of a change. Raises `Refusal` for a channel that there is not."""
        if channel == "books":
            return _Book(self, arg, instrument).told
        if channel in _LEVELS:
            return lambda _: self.tell(arg, [book_row(self.venue, instrument, _LEVELS[channel])])
        if channel in _ROWS:
            return lambda _: self.tell(arg, [_ROWS[channel](self.venue, instrument)])
        if channel == "trades":
            return partial(self._trades, arg, instrument)
        if channel.removeprefix("candle") in BARS:
            return partial(self._candles, arg, instrument)
        raise Refusal("60018")

    def _trades(self, arg: Arg, instrument: Instrument, prints: Sequence[Print]) -> None:
        for seen in prints:
            self.tell(arg, [trade_row(instrument, seen)])

    def _candles(self, arg: Arg, instrument: Instrument, prints: Sequence[Print]) -> None:
        del prints
        rows = candle_rows(self.venue, instrument, arg["channel"].removeprefix("candle"))
        if rows:
            self.tell(arg, [rows[0]])


class _Book:
    """The `books` channel: the whole book once, then the levels that changed, each message naming the one before."""

    def __init__(self, session: Session, arg: Arg, instrument: Instrument) -> None:
        """Begin with nothing told."""
        self._session = session
        self._arg = arg
        self._instrument = instrument
        self._last: list[dict[str, str]] | None = None
        self._number = 0

    def told(self, prints: Sequence[Print]) -> None:
        """Tell how the book stands now, or what changed in it."""
        del prints
        venue, instrument = self._session.venue, self._instrument
        sides = venue.desk(instrument).depth(instrument.trading_pair, DEEPEST)
        now = [{text(price): instrument.size(amount) for price, amount in side} for side in sides]
        before, self._last = self._last, now
        changes = [_changes(was, side) for was, side in zip(before or ({}, {}), now, strict=True)]
        if before is not None and not any(changes):
            return
        row: Row = {
            "bids": changes[0],
            "asks": changes[1],
            "ts": millis(venue.now()),
            "prevSeqId": self._number if before is not None else -1,
            "seqId": self._number + 1,
        }
        self._number += 1
        if before is None:
            self._session.tell(self._arg, [row], action="snapshot")
        else:
            self._session.outbox.news(message_of(self._arg, [row], action="update"), on="market")


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[list[str]]:
    """Return the levels that are not what they were, those that are gone with size 0."""
    gone = [[price, "0", "0", "0"] for price in before if price not in now]
    return [[price, size, "0", "1"] for price, size in now.items() if before.get(price) != size] + gone
