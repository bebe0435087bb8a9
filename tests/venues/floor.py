"""The venue's core, which every dialect shares: accounts with keys, two markets, one ledger, the levers.

An account trades on both markets with what it has on each; a dialect whose venue keeps one wallet for both shows the
market that it was asked for. Nothing here speaks HTTP. All of it belongs to one thread.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from adapters.exchanges.paper_feed import RULES, SyntheticFeed, quote_around
from domain.connectors import TradingRule
from domain.matching.depth import Quote
from domain.matching.fees import Fees
from domain.values import OrderType, PositionAction, Side, Utc
from tests.venues.desk import Desk
from tests.venues.ledger import Ledger, Market, Order, TimeInForce
from tests.venues.levers import Lever, Levers

PRICES: Mapping[str, str] = {"BTC-USDT": "60000", "ETH-USDT": "3000", "SOL-USDT": "150", "ETH-BTC": "0.05"}
SIZES: Mapping[str, str] = {"BTC-USDT": "0.4", "ETH-USDT": "6", "SOL-USDT": "120", "ETH-BTC": "4"}
STARTING: Mapping[Market, Mapping[str, Decimal]] = {
    Market.SPOT: {"USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(20), "SOL": Decimal(200)},
    Market.SWAP: {"USDT": Decimal(100_000)},
}
"""What an account begins with where nobody says it: units of tokens by market."""

FEES = {
    Market.SPOT: Fees(maker=Decimal("0.001"), taker=Decimal("0.001")),
    Market.SWAP: Fees(maker=Decimal("0.0002"), taker=Decimal("0.0005")),
}


def _swap_rule(trading_pair: str, size: str, price: str) -> TradingRule:
    return msgspec.structs.replace(
        RULES[trading_pair],
        min_order_size=Decimal(size),
        min_base_amount_increment=Decimal(size),
        min_price_increment=Decimal(price),
    )


SWAP_RULES: Mapping[str, TradingRule] = {
    "BTC-USDT": _swap_rule("BTC-USDT", "0.001", "0.1"),
    "ETH-USDT": _swap_rule("ETH-USDT", "0.01", "0.01"),
    "SOL-USDT": _swap_rule("SOL-USDT", "0.1", "0.01"),
}
"""Coarser than on spot, as on real venues; amounts in base."""


class Keys(msgspec.Struct, kw_only=True):
    """An account's keys. Those that are `revoked` open nothing any more."""

    account: str
    api_key: str
    secret: str
    passphrase: str
    revoked: bool = False


class Floor:
    """The venue. With a `feed` its prices follow the feed at every tick, without one they stand until they are moved.

    `clock` is the true time; the venue's own is that plus the levers' skew.
    """

    def __init__(
        self, *, seed: int = 0, clock: Callable[[], Utc] | None = None, feed: SyntheticFeed | None = None
    ) -> None:
        """Begin with no account."""
        self.levers = Levers(seed)
        self.ledger = Ledger()
        self.keys: dict[str, Keys] = {}  # by API key
        self.stream_keys: dict[str, tuple[str, Utc]] = {}  # what opens a user stream: account, and until when
        self._revoked: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._feed = feed
        self._fed_at: Utc | None = None
        self._pinned: set[tuple[Market, str]] = set()
        self._random = random.Random(seed)
        self._rules: Mapping[Market, Mapping[str, TradingRule]] = {Market.SPOT: RULES, Market.SWAP: SWAP_RULES}
        self._desks = {
            market: Desk(market, rules=rules, fees=FEES[market], ledger=self.ledger, clock=self.now)
            for market, rules in self._rules.items()
        }
        for market, rules in self._rules.items():
            quotes = {
                pair: quote_around(Decimal(PRICES[pair]), rule, Decimal(SIZES[pair])) for pair, rule in rules.items()
            }
            self._desks[market].quote(quotes)
        self.tick()

    def now(self) -> Utc:
        """Return the venue's time."""
        return self._clock() + timedelta(seconds=self.levers.skew_seconds)

    def desk(self, market: Market) -> Desk:
        """Return one of the markets."""
        return self._desks[market]

    # Accounts.

    def open_account(
        self, account: str, *, starting: Mapping[Market, Mapping[str, Decimal]] = STARTING, keys: Keys | None = None
    ) -> Keys:
        """Let an account trade, and return its keys: those given, or new ones that follow from the seed."""
        for market, desk in self._desks.items():
            desk.join(account, starting.get(market, {}))
        made = keys or Keys(account=account, api_key=self.word(), secret=self.word(), passphrase=self.word()[:12])
        self.keys[made.api_key] = made
        return made

    def keys_of(self, account: str) -> Keys:
        """Return an account's keys. Raises `KeyError` for an account that nobody opened."""
        for keys in self.keys.values():
            if keys.account == account:
                return keys
        raise KeyError(account)

    def opened_by(self, api_key: str) -> Keys | None:
        """Return the keys that a client shows, None if there are none such or they were revoked."""
        keys = self.keys.get(api_key)
        return keys if keys is not None and not keys.revoked else None

    def revoke(self, account: str) -> None:
        """Let an account's keys open nothing any more, and end its user streams; its orders stay."""
        self.keys_of(account).revoked = True
        for key in [key for key, (whose, _) in self.stream_keys.items() if whose == account]:
            del self.stream_keys[key]
        for ended in list(self._revoked[account]):
            ended()

    def on_revoke(self, account: str, ended: Callable[[], None]) -> Callable[[], None]:
        """Tell a user stream when its keys are revoked; returns what ends that."""
        self._revoked[account].append(ended)
        return lambda: self._revoked[account].remove(ended)

    # The market.

    def tick(self) -> None:
        """Let a moment pass: prices follow the feed, depth is as deep as before, what can trade trades."""
        now = self._clock()
        quotes: dict[str, Quote] = {}
        for step in self._feed.steps(self._fed_at, now) if self._feed is not None else ():
            quotes |= step
        self._fed_at = now
        for market, desk in self._desks.items():
            fed = {pair: quote for pair, quote in quotes.items() if (market, pair) not in self._pinned}
            desk.quote({**desk.quotes, **fed})

    def move(
        self, trading_pair: str, price: Decimal, *, size: Decimal | None = None, market: Market | None = None
    ) -> None:
        """Move a pair to a price, where it stays, on one market or on all. `size` in base is had at the best levels."""
        for each in (market,) if market is not None else tuple(Market):
            if trading_pair in self._desks[each].rules:
                self._pinned.add((each, trading_pair))
                self._desks[each].move(trading_pair, price, size=size)

    async def run(self, seconds: float) -> None:
        """Tick until canceled."""
        while True:
            await asyncio.sleep(seconds)
            self.tick()

    # Orders.

    def place(
        self,
        account: str,
        market: Market,
        *,
        client_id: str = "",
        trading_pair: str,
        side: Side,
        order_type: OrderType,
        amount: Decimal,
        price: Decimal | None = None,
        action: PositionAction = PositionAction.OPEN,
        time_in_force: TimeInForce = TimeInForce.UNTIL_CANCELED,
    ) -> Order:
        """Take an order, for a dialect or for somebody else with the same keys. Raises `Refusal`.

        Without a client id the venue makes one. Returns the order as it stands after it has met the book.
        """
        return self._desks[market].place(
            account,
            client_id=client_id or self.word()[:22],
            trading_pair=trading_pair,
            side=side,
            order_type=order_type,
            amount=amount,
            price=price,
            action=action,
            time_in_force=time_in_force,
        )

    def cancel(
        self, account: str, market: Market, *, order_id: int | None = None, client_id: str | None = None
    ) -> Order:
        """Cancel an order by the venue's id or else the client's. Raises `Refusal`.

        With the lever pulled it trades just before: all of it, and the cancel comes too late, or half.
        """
        desk = self._desks[market]
        order = self.ledger.find(account, market, order_id=order_id, client_id=client_id)
        if order is not None and order.status.is_open:
            if self.levers.pull(Lever.FILL_UNDER_CANCEL, "cancel", account) is not None:
                step = desk.rules[order.trading_pair].min_base_amount_increment
                rest = order.amount - order.filled
                half = rest / 2 // step * step
                desk.fill(account, order.order_id, half if half and self.levers.share() < 0.5 else rest)
            order_id = order.order_id
        return desk.cancel(account, order_id=order_id, client_id=client_id)

    def delist(self, trading_pair: str, market: Market | None = None) -> None:
        """Trade a pair no more, on one market or on all."""
        for each in (market,) if market is not None else tuple(Market):
            if trading_pair in self._desks[each].rules:
                self._desks[each].delist(trading_pair)

    def word(self) -> str:
        """Return 64 letters and digits, as API keys and listen keys have them."""
        return self._random.randbytes(32).hex()
