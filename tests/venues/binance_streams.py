"""Binance's market streams: SUBSCRIBE and UNSUBSCRIBE over one socket, on spot and on futures alike.

Source: Binance Spot API docs, "WebSocket Streams"; USDⓈ-M Futures docs, "Websocket Market Streams" (2026-03).
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from aiohttp import web

from domain.values import Json, Side
from tests.venues import binance_market
from tests.venues.binance_gate import Ask, Denied, pair_of
from tests.venues.binance_words import digits, milliseconds, symbol_of
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.outbox import Outbox, converse
from tests.venues.steps import Print

_EVERY_SECONDS = 0.1
_LEVELS = 1000
Book = tuple[Mapping[Decimal, Decimal], Mapping[Decimal, Decimal]]


def routes(floor: Floor, market: Market, path: str) -> Sequence[web.RouteDef]:
    """Return the market streams under a path; a client may number its sockets behind it."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        streams: dict[int, Streams] = {}

        def opened(outbox: Outbox) -> None:
            streams[0] = Streams(floor, market, outbox)

        return await converse(request, floor.levers, lambda _, text: streams[0].heard(text), opened=opened)

    return [web.get(path, handle), web.get(path + "/{number:[0-9]+}", handle)]


class Streams:
    """What one socket is subscribed to. Books are told as differences, at most ten times a second."""

    def __init__(self, floor: Floor, market: Market, outbox: Outbox) -> None:
        """Begin without a subscription."""
        self._ask = Ask(floor=floor, market=market, account="", params={})
        self._desk = floor.desk(market)
        self._spot = market is Market.SPOT
        self._outbox = outbox
        self._names: dict[str, tuple[str, str]] = {}  # stream → pair and what of it (`depth`, `trade`)
        self._books: dict[str, tuple[int, Book]] = {}  # what was told of a pair's book last, and its number
        self._due: dict[str, asyncio.TimerHandle] = {}
        outbox.closed.append(self._desk.watch(self._changed))
        outbox.closed.append(self._stop)

    def heard(self, text: str) -> None:
        """Take in what the client wants."""
        asked = json.loads(text)
        try:
            for name in asked.get("params", ()):
                pair = pair_of(self._desk, name.partition("@")[0])
                if asked["method"] == "SUBSCRIBE":
                    self._names[name] = pair, name.partition("@")[2].split("@")[0]
                    self._books.setdefault(pair, (self._desk.changes[pair], self._book(pair)))
                else:
                    self._names.pop(name, None)
        except Denied as denied:
            said: Json = {"error": {"code": denied.code, "msg": denied.words}, "id": asked.get("id")}
            self._outbox.tell(json.dumps(said))
            return
        self._outbox.tell(json.dumps({"result": None, "id": asked.get("id")}))

    def _changed(self, pair: str, prints: Sequence[Print]) -> None:
        kinds = {kind for of, kind in self._names.values() if of == pair}
        if not kinds:
            return
        for each in prints:
            if "trade" in kinds:
                self._say(_trade(each, "trade"))
            if "aggTrade" in kinds:
                self._say(_trade(each, "aggTrade"))
        if pair not in self._due:
            self._due[pair] = asyncio.get_running_loop().call_later(_EVERY_SECONDS, self._tell, pair)

    def _tell(self, pair: str) -> None:
        """Tell of a pair what is told as it stands now."""
        del self._due[pair]
        if pair not in self._desk.rules:
            return
        tellers: Mapping[str, Callable[[str], Json]] = {
            "depth": self._difference,
            "bookTicker": self._best,
            "ticker": self._day,
            "miniTicker": self._mini,
            "markPrice": self._mark,
        }
        for kind in sorted({kind for of, kind in self._names.values() if of == pair}):
            if kind in tellers:
                self._say(tellers[kind](pair))
            elif kind.startswith("kline_"):
                self._say_candle(pair, kind.removeprefix("kline_"))

    def _difference(self, pair: str) -> Json:
        last, told = self._books[pair]
        number, book = self._desk.changes[pair], self._book(pair)
        self._books[pair] = number, book
        sides = [
            {price: now.get(price, Decimal(0)) for price in {**before, **now} if before.get(price) != now.get(price)}
            for before, now in zip(told, book, strict=True)
        ]
        said = {"U": last + 1, "u": number, "b": _levels(sides[0]), "a": _levels(sides[1])}
        if self._spot:
            return self._event("depthUpdate", pair, said)
        return self._event("depthUpdate", pair, {"T": self._now(), "pu": last, **said})

    def _best(self, pair: str) -> Json:
        best = binance_market.best(self._ask, pair)
        said: Json = {
            "u": self._desk.changes[pair],
            "s": symbol_of(pair),
            "b": best["bidPrice"],
            "B": best["bidQty"],
            "a": best["askPrice"],
            "A": best["askQty"],
        }
        return said if self._spot else {"e": "bookTicker", "E": self._now(), "T": self._now(), **said}

    def _day(self, pair: str) -> Json:
        day = binance_market.day(self._ask, pair)
        return self._event(
            "24hrTicker",
            pair,
            {
                "p": day["priceChange"],
                "c": day["lastPrice"],
                "Q": day["lastQty"],
                "b": day["bidPrice"],
                "B": day["bidQty"],
                "a": day["askPrice"],
                "A": day["askQty"],
                "o": day["openPrice"],
                "h": day["highPrice"],
                "l": day["lowPrice"],
                "v": day["volume"],
                "q": day["quoteVolume"],
                "O": day["openTime"],
                "C": day["closeTime"],
                "n": day["count"],
            },
        )

    def _mini(self, pair: str) -> Json:
        day = self._day(pair)
        return self._event("24hrMiniTicker", pair, {name: day[name] for name in ("c", "o", "h", "l", "v", "q")})

    def _mark(self, pair: str) -> Json:
        mark = digits(self._desk.marks()[pair])
        return self._event("markPriceUpdate", pair, {"p": mark, "i": mark, "r": digits(self._desk.funding_rate)})

    def _say_candle(self, pair: str, interval: str) -> None:
        found = binance_market.candles(self._desk.prints[pair], interval)
        if not found:
            return
        candle = list(found.values())[-1]
        names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
        said: Json = {**dict(zip(names, candle, strict=True)), "s": symbol_of(pair), "i": interval, "x": False}
        self._say(self._event("kline", pair, {"k": said}))

    def _book(self, pair: str) -> Book:
        bids, asks = self._desk.depth(pair, _LEVELS)
        return dict(bids), dict(asks)

    def _event(self, name: str, pair: str, said: Json) -> Json:
        return {"e": name, "E": self._now(), "s": symbol_of(pair), **said}

    def _now(self) -> int:
        return milliseconds(self._ask.floor.now())

    def _say(self, said: Json) -> None:
        self._outbox.news(json.dumps(said), on="market")

    def _stop(self) -> None:
        for timer in self._due.values():
            timer.cancel()


def _trade(each: Print, kind: str) -> Json:
    at = milliseconds(each.at)
    said: Json = {"e": kind, "E": at, "s": symbol_of(each.trading_pair)}
    number: Json = {"t": each.trade_id}
    if kind == "aggTrade":
        number = {"a": each.trade_id, "f": each.trade_id, "l": each.trade_id}
    maker_bought = each.taker is Side.SELL
    return {**said, **number, "p": digits(each.price), "q": digits(each.amount), "T": at, "m": maker_bought, "M": True}


def _levels(side: Mapping[Decimal, Decimal]) -> list[list[str]]:
    return binance_market.levels(list(side.items()))
