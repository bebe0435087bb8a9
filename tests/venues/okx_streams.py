"""OKX's sockets: pings, login and subscriptions; what is told on each channel of an account.

A ping is the text `ping`. A subscription is answered with its own arguments, and these stand on every message that it
brings (OKX API v5, WebSocket).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from domain.positions import PositionObserved
from tests.venues.floor import Keys
from tests.venues.ledger import Market
from tests.venues.okx_answers import TOLERATED, WORDS, Refusal, same, signature
from tests.venues.okx_instruments import KINDS
from tests.venues.okx_rows import balance_row, order_row, position_row
from tests.venues.okx_venue import Venue
from tests.venues.outbox import Outbox
from tests.venues.steps import Step

Arg = dict[str, str]
"""A subscription's arguments: `channel`, and what the channel wants (`instType`, `instId`)."""

End = Callable[[], None]
Start = Callable[[], End]
"""Tells what is to be told first, goes on from there, and returns what ends that."""


class Session:
    """One socket and its subscriptions."""

    def __init__(self, venue: Venue, outbox: Outbox) -> None:
        """Begin with no subscription."""
        self.venue = venue
        self.outbox = outbox
        self._subscribed: dict[str, End] = {}
        outbox.closed.append(self._end)

    def heard(self, words: str) -> None:
        """Take a message of the client in."""
        if words == "ping":
            self.outbox.tell("pong")
            return
        message = json.loads(words)
        try:
            self._obey(message)
        except Refusal as refused:
            error = {"event": "error", "code": refused.code, "msg": refused.words, "connId": "1"}
            self.outbox.tell(json.dumps(error))

    def begin(self, arg: Arg) -> Start:
        """Return what begins a subscription once it is acknowledged. Raises `Refusal`."""
        raise NotImplementedError

    def login(self, args: Mapping[str, str]) -> None:
        """Take keys in. Raises `Refusal`."""
        del args
        raise Refusal("60012")

    def tell(self, arg: Arg, data: object, **more: object) -> None:
        """Send what a subscription brings, where no lever may bend it."""
        self.outbox.tell(message_of(arg, data, **more))

    def _obey(self, message: Mapping[str, object]) -> None:
        args = message.get("args")
        if not isinstance(args, list) or not all(isinstance(arg, dict) for arg in args):
            raise Refusal("60012", f"{WORDS['60012']}: {json.dumps(message)}")
        match message.get("op"):
            case "login" if args:
                self.login(args[0])
                self.outbox.tell(json.dumps({"event": "login", "code": "0", "msg": "", "connId": "1"}))
            case "subscribe":
                for arg in args:
                    self._subscribe(arg)
            case "unsubscribe":
                for arg in args:
                    self._subscribed.pop(_key(arg), _nothing)()
                    self.outbox.tell(json.dumps({"event": "unsubscribe", "arg": arg, "connId": "1"}))
            case _:
                raise Refusal("60012", f"{WORDS['60012']}: {json.dumps(message)}")

    def _subscribe(self, arg: Arg) -> None:
        start = self.begin(arg)
        self._subscribed.pop(_key(arg), _nothing)()
        self.outbox.tell(json.dumps({"event": "subscribe", "arg": arg, "connId": "1"}))
        self._subscribed[_key(arg)] = start()

    def _end(self) -> None:
        for end in self._subscribed.values():
            end()
        self._subscribed.clear()


class AccountSession(Session):
    """A socket on the private path: orders, balances and positions of the account that logged in."""

    def __init__(self, venue: Venue, market: Market, outbox: Outbox) -> None:
        """Begin without an account; `market` is whose balances are told."""
        super().__init__(venue, outbox)
        self._market = market
        self._keys: Keys | None = None

    def login(self, args: Mapping[str, str]) -> None:
        """Take keys in. Raises `Refusal`."""
        keys = self.venue.floor.opened_by(str(args.get("apiKey")))
        timestamp = str(args.get("timestamp"))
        if keys is None:
            raise Refusal("60005")
        if not same(str(args.get("passphrase")), keys.passphrase):
            raise Refusal("60024")
        if not timestamp.isdigit():
            raise Refusal("60006")
        if abs(self.venue.now() - datetime.fromtimestamp(int(timestamp), UTC)) > TOLERATED:
            raise Refusal("60006")
        if not same(str(args.get("sign")), signature(keys.secret, f"{timestamp}GET/users/self/verify")):
            raise Refusal("60007")
        self._keys = keys
        self.outbox.account = keys.account

    def begin(self, arg: Arg) -> Start:
        """Return what begins to tell of an account; of balances and positions what there is comes first."""
        keys = self._keys
        if keys is None:
            raise Refusal("60011")
        channels = {"orders": self._orders, "account": self._balances, "positions": self._positions}
        told = channels.get(arg.get("channel", ""))
        if told is None:
            raise Refusal("60018")

        def happened(market: Market, step: Step) -> None:
            if self.venue.floor.opened_by(keys.api_key) is None:
                self.outbox.drop()
                return
            for data in told(arg, market, step):
                self.outbox.news(message_of(_owned(arg, keys), data))

        def start() -> End:
            for data in self._present(arg, keys):
                self.tell(_owned(arg, keys), data, eventType="snapshot")
            return self.venue.listen(keys.account, happened)

        return start

    def _present(self, arg: Arg, keys: Keys) -> list[list[object]]:
        """Return the messages that a subscription begins with."""
        match arg["channel"]:
            case "account":
                holdings = self.venue.floor.desk(self._market).holdings(keys.account)
                return [[balance_row(holdings, self.venue.now())]]
            case "positions":
                return [self._rows(arg, self.venue.floor.desk(Market.SWAP).positions(keys.account))]
            case _:
                return []

    def _orders(self, arg: Arg, market: Market, step: Step) -> list[list[object]]:
        """Return one message for each change of an order, with the trade that made it."""
        if arg.get("instType") not in {"ANY", KINDS[market]}:
            return []
        rows = [order_row(self.venue, change.order, change.trade) for change in step.changes]
        wanted = arg.get("instId")
        return [[{**row, "code": "0", "msg": ""}] for row in rows if wanted in {None, row["instId"]}]

    def _balances(self, arg: Arg, market: Market, step: Step) -> list[list[object]]:
        del arg
        return [[balance_row(step.holdings, step.at)]] if step.holdings and market is self._market else []

    def _positions(self, arg: Arg, market: Market, step: Step) -> list[list[object]]:
        rows = self._rows(arg, step.positions) if market is Market.SWAP else []
        return [rows] if rows else []

    def _rows(self, arg: Arg, positions: Sequence[PositionObserved]) -> list[object]:
        rows = [
            position_row(self.venue, self.venue.instrument(Market.SWAP, each.trading_pair), each) for each in positions
        ]
        return [row for row in rows if arg.get("instId") in {None, row["instId"]}]


def message_of(arg: Arg, data: object, **more: object) -> str:
    """Return a message of a subscription."""
    return json.dumps({"arg": arg, **more, "data": data})


def _owned(arg: Arg, keys: Keys) -> Arg:
    return {**arg, "uid": keys.account}


def _key(arg: Arg) -> str:
    return json.dumps(arg, sort_keys=True)


def _nothing() -> None:
    """End what was never begun."""
