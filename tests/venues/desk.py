"""One market of the venue: the matching engine behind it, driven by quotes, telling what happens on each account."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from adapters.exchanges.paper_feed import quote_around
from domain.connectors import TradingRule
from domain.errors import Invalid
from domain.matching.book import Offer
from domain.matching.depth import Quote, ladder
from domain.matching.engine import Engine, Standing
from domain.matching.fees import Fees
from domain.matching.floor import Terms
from domain.matching.margin import side_of
from domain.orders import OrderExpired, OrderFact, OrderPlaced, OrderRejected, observed_id
from domain.portfolio import Holding
from domain.positions import PositionObserved
from domain.reports import AccountReport
from domain.values import ZERO, OrderType, PositionAction, PositionMode, Side, Utc, split_pair
from tests.venues.ledger import Ledger, Market, Order, TimeInForce
from tests.venues.steps import Change, Print, Refusal, Step, Why, after, observed, printed

DELISTED = "The pair is not traded any more"
NOT_AT_ONCE = "What cannot be traded at once is not wanted"

Listener = Callable[[Step], None]
Watcher = Callable[[str, Sequence[Print]], None]
"""Told of a pair whose book changed, with the trades that were made there."""


class Desk:
    """One market. Orders are known to the engine under ids of the desk's own: a client may use one id again."""

    def __init__(
        self, market: Market, *, rules: Mapping[str, TradingRule], fees: Fees, ledger: Ledger, clock: Callable[[], Utc]
    ) -> None:
        """Begin with no account, and with no quote."""
        self.market = market
        self.rules = dict(rules)
        self.fees = fees
        self.quotes: dict[str, Quote] = {}
        self.prints: defaultdict[str, deque[Print]] = defaultdict(lambda: deque(maxlen=1000))
        self.changes: defaultdict[str, int] = defaultdict(int)  # how often a pair's book changed
        self._clock = clock
        self._ledger = ledger
        terms = Terms(connector=market, perpetual=market is Market.SWAP, rules=rules, fees=fees)
        self.funding_rate = terms.funding_rate
        self._engine = Engine(terms, clock())
        self._live: dict[str, Order] = {}  # by the desk's id; without an order id until the engine took it
        self._names: dict[int, str] = {}  # the desk's ids of the orders that are open
        self._refused: str | None = None
        self._tokens: defaultdict[str, dict[str, Holding]] = defaultdict(dict)
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._watchers: list[Watcher] = []
        self._count = 0

    # Accounts.

    def join(self, account: str, units: Mapping[str, Decimal]) -> None:
        """Let an account trade."""
        self._take(self._engine.join(account, Standing(units=units), self._clock(), tell=True))

    def holdings(self, account: str) -> Sequence[Holding]:
        """Return all tokens of an account."""
        return self._report(account).holdings or ()

    def positions(self, account: str) -> Sequence[PositionObserved]:
        """Return the positions that an account has."""
        return self._report(account).positions

    def leverage(self, account: str, trading_pair: str) -> int:
        """Return the leverage at which an account trades a pair."""
        return self._engine._margin(account).exposure(trading_pair, split_pair(trading_pair)[1]).leverage

    def mode(self, account: str) -> PositionMode:
        """Return the position mode of an account."""
        return self._engine._margin(account).mode

    def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Set the leverage of a pair. Raises `Refusal`."""
        try:
            reports = self._engine.set_leverage(account, trading_pair, leverage, self._clock())
        except Invalid as refused:
            raise Refusal(Why.SETTING, str(refused)) from refused
        self._take(reports, leverage={trading_pair: leverage})

    def set_mode(self, account: str, mode: PositionMode) -> None:
        """Set the position mode. Raises `Refusal`."""
        try:
            self._engine.set_mode(account, mode)
        except Invalid as refused:
            raise Refusal(Why.SETTING, str(refused)) from refused

    def listen(self, account: str, listener: Listener) -> Callable[[], None]:
        """Tell a listener of everything that happens on an account; returns what ends that."""
        self._listeners[account].append(listener)
        return lambda: self._listeners[account].remove(listener)

    def followed(self, account: str) -> int:
        """Return how many listeners an account has."""
        return len(self._listeners[account])

    # Orders.

    def place(
        self,
        account: str,
        *,
        client_id: str,
        trading_pair: str,
        side: Side,
        order_type: OrderType,
        amount: Decimal,
        price: Decimal | None,
        action: PositionAction = PositionAction.OPEN,
        time_in_force: TimeInForce = TimeInForce.UNTIL_CANCELED,
    ) -> Order:
        """Take an order in and return it as it stands after it has met the book. Raises `Refusal`."""
        known = self._ledger.find(account, self.market, client_id=client_id)
        if known is not None and known.status.is_open:
            raise Refusal(Why.REPEATED_ID, f"Order '{client_id}' is open already")
        self._check(trading_pair, amount, price, action)
        now = self._clock()
        mode = self.mode(account) if self.market is Market.SWAP else PositionMode.ONEWAY
        self._count += 1
        name = f"{self.market}-{self._count}"
        self._live[name] = Order(
            order_id=0,
            client_id=client_id,
            account=account,
            market=self.market,
            trading_pair=trading_pair,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            amount=amount,
            price=price,
            action=action,
            position_side=side_of(mode, side, action),
            created_at=now,
            updated_at=now,
        )
        placed = OrderPlaced(
            client_order_id=name,
            account=account,
            connector=self.market,
            trading_pair=trading_pair,
            side=side,
            order_type=order_type,
            amount=amount,
            price=price,
            position_action=action,
            server="",
            placed_at=now,
        )
        self._refused = None
        self._take(self._engine.place(placed, now))
        if self._refused is not None:
            raise Refusal(_why(self._refused), self._refused)
        if time_in_force is TimeInForce.AT_ONCE:
            self._expire([name], NOT_AT_ONCE)
        order = self._ledger.find(account, self.market, client_id=client_id)
        assert order is not None
        return order

    def cancel(self, account: str, *, order_id: int | None = None, client_id: str | None = None) -> Order:
        """Take an open order out and return it. Raises `Refusal`."""
        name, order = self._named(account, order_id=order_id, client_id=client_id)
        self._take(self._engine.cancel(account, name, self._clock()))
        canceled = self._ledger.find(account, self.market, order_id=order.order_id)
        assert canceled is not None
        return canceled

    def fill(self, account: str, order_id: int, amount: Decimal) -> None:
        """Let somebody trade with a resting order, at its price, past everybody else. Raises `Refusal`."""
        name, _ = self._named(account, order_id=order_id, client_id=None)
        floor = self._engine._floor
        floor.begin(self._clock())
        member = floor.members[account]
        working = member.orders[name]
        room = min(amount, member.ledger.room(working))
        floor._fill(member, working, room, working.limit, is_maker=True)
        self._take(floor.reports(), passive=True)

    # The market.

    def quote(self, quotes: Mapping[str, Quote]) -> None:
        """Take in new quotes: depth is refreshed, and what rests within its reach trades."""
        quotes = {pair: quote for pair, quote in quotes.items() if pair in self.rules}
        moved = [pair for pair, quote in quotes.items() if pair in self.quotes and self.quotes[pair] != quote]
        rose = {pair: quotes[pair].mid > self.quotes[pair].mid for pair in moved}
        self.quotes |= quotes
        depths = {pair: ladder(quote, self.rules[pair]) for pair, quote in quotes.items()}
        reports = self._engine.tick(depths, self._clock())
        others = [self._others_traded(pair, Side.BUY if rose[pair] else Side.SELL) for pair in moved]
        self._take(reports, passive=True, prints=others, touched=quotes)

    def move(self, trading_pair: str, price: Decimal, *, size: Decimal | None = None) -> None:
        """Move the market to a price, with `size` in base to be had at the best levels (None: as before)."""
        quote = quote_around(price, self.rules[trading_pair], size or self.quotes[trading_pair].bid_size)
        self.quote({trading_pair: quote})

    def marks(self) -> Mapping[str, Decimal]:
        """Return the mark price of every pair."""
        return {pair: mark for pair, mark in self._engine.marks.items() if pair in self.rules}

    def depth(self, trading_pair: str, levels: int) -> tuple[list[tuple[Decimal, Decimal]], ...]:
        """Return (price, amount) of bids and asks, best first, resting orders included."""
        book = self._engine._floor.book(trading_pair)
        return _levels(book.bids.offers(None), levels), _levels(book.asks.offers(None), levels)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell a watcher of every pair whose book changes; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def delist(self, trading_pair: str) -> None:
        """Trade a pair no more: its open orders expire, and nobody finds it any more."""
        self._expire([name for name, order in self._live.items() if order.trading_pair == trading_pair], DELISTED)
        del self.rules[trading_pair]
        self.quotes.pop(trading_pair, None)

    def pay_funding(self) -> None:
        """Have a funding time now."""
        floor = self._engine._floor
        floor.begin(self._clock())
        for member in floor.members.values():
            floor.pay_funding(member, floor.now)
        self._take(floor.reports())

    # What the engine tells becomes the ledger's, and then the listeners'.

    def _take(
        self,
        reports: Iterable[AccountReport],
        *,
        passive: bool = False,
        prints: Sequence[Print] = (),
        touched: Iterable[str] = (),
        leverage: Mapping[str, int] | None = None,
    ) -> None:
        """Take in what the engine told; `passive` when it was the market that came to the orders."""
        news: defaultdict[str, list[Print]] = defaultdict(list)
        for pair in touched:
            news[pair] = []
        for seen in prints:
            news[seen.trading_pair].append(seen)
        for report in reports:
            for made in report.observed:
                name = observed_id(made.account, made.connector, made.exchange_order_id)
                self._live[name] = observed(made, self.market, self.mode(made.account))
            changes = [c for name, fact in report.orders if (c := self._change(name, fact)) is not None]
            for change in changes:
                pair = change.order.trading_pair
                trade = change.trade
                news[pair] += [printed(trade)] if trade is not None and (passive or not trade.is_maker) else []
            self._tell(report, changes, leverage or {})
        for pair, trades in news.items():
            self.changes[pair] += 1
            self.prints[pair].extend(trades)
            for watcher in list(self._watchers):
                watcher(pair, trades)

    def _change(self, name: str, fact: OrderFact) -> Change | None:
        if isinstance(fact, OrderRejected):
            self._refused = fact.reason
            del self._live[name]
            return None
        order = self._live.get(name)
        change = after(order, fact) if order is not None else None
        if change is None:
            return None  # a cancel that came too late
        if change.order.status.is_open:
            self._live[name] = change.order
            self._names[change.order.order_id] = name
        else:
            del self._live[name]
            self._names.pop(change.order.order_id, None)
        self._ledger.keep(change.order)
        if change.trade is not None:
            self._ledger.keep_trade(change.trade)
        return change

    def _tell(self, report: AccountReport, changes: Sequence[Change], leverage: Mapping[str, int]) -> None:
        funding = [(self._engine._floor.number(), payment) for payment in report.funding]
        for number, payment in funding:
            self._ledger.keep_funding(number, payment)
        step = Step(
            at=report.reported_at,
            changes=changes,
            holdings=self._changed(report) if report.holdings is not None else (),
            positions=report.positions,
            funding=funding,
            leverage=leverage,
        )
        for listener in list(self._listeners[report.account]):
            listener(step)

    def _changed(self, report: AccountReport) -> list[Holding]:
        """Return the tokens that are not what they were, those that are gone with 0."""
        before, now = self._tokens[report.account], {holding.token: holding for holding in report.holdings or ()}
        gone = [Holding(token=token, units=ZERO, available=ZERO) for token in before if token not in now]
        self._tokens[report.account] = now
        return [holding for token, holding in now.items() if before.get(token) != holding] + gone

    def _check(self, trading_pair: str, amount: Decimal, price: Decimal | None, action: PositionAction) -> None:
        rule = self.rules.get(trading_pair)
        if rule is None:
            raise Refusal(Why.UNKNOWN_PAIR, f"Pair '{trading_pair}' is not traded")
        if price is not None and (price <= 0 or price % rule.min_price_increment):
            raise Refusal(Why.PRICE_STEP, f"Price {price:f} is no multiple of {rule.min_price_increment:f}")
        if amount < rule.min_order_size or amount % rule.min_base_amount_increment:
            raise Refusal(Why.AMOUNT_STEP, f"Amount {amount:f} is no multiple of {rule.min_base_amount_increment:f}")
        worth = amount * (self.quotes[trading_pair].mid if price is None else price)
        if action is PositionAction.OPEN and worth < rule.min_notional_size:
            raise Refusal(Why.NOTIONAL, f"Notional {worth:f} is below {rule.min_notional_size:f}")

    def _named(self, account: str, *, order_id: int | None, client_id: str | None) -> tuple[str, Order]:
        """Return an open order and the desk's id of it. Raises `Refusal`."""
        order = self._ledger.find(account, self.market, order_id=order_id, client_id=client_id)
        if order is not None and order.status.is_open:
            return self._names[order.order_id], order
        raise Refusal(Why.UNKNOWN_ORDER, f"Order '{order_id or client_id}' is not open")

    def _expire(self, names: Iterable[str], reason: str) -> None:
        floor = self._engine._floor
        floor.begin(self._clock())
        for name in names:
            order = self._live.get(name)
            member = floor.members[order.account] if order is not None else None
            if member is not None and name in member.orders:
                floor.end(member, member.orders[name], OrderExpired(reason=reason, expired_at=floor.now))
        self._take(floor.reports())

    def _others_traded(self, trading_pair: str, taker: Side) -> Print:
        """Return a trade between strangers, at the price that the market has come to.

        It is of a hundred of the market's smallest steps. Those of perpetuals are larger, as on the real exchanges
        (0.001 BTC, and 0.00001 on the spot market), so that a hundred times as much is traded there.
        """
        quote = self.quotes[trading_pair]
        return Print(
            trade_id=self._engine._floor.number(),
            trading_pair=trading_pair,
            price=quote.ask if taker is Side.BUY else quote.bid,
            amount=self.rules[trading_pair].min_base_amount_increment * 100,
            taker=taker,
            at=self._clock(),
        )

    def _report(self, account: str) -> AccountReport:
        report = self._engine.report(account)
        assert report is not None, f"account '{account}' is not on this market"
        return report


def _why(reason: str) -> Why:
    """Return the kind of an engine's refusal."""
    if reason.startswith("Insufficient"):
        return Why.FUNDS
    if reason.startswith("LIMIT_MAKER"):
        return Why.WOULD_TAKE
    assert reason.startswith("There is no"), reason
    return Why.NOTHING_TO_REDUCE


def _levels(offers: Iterable[Offer], most: int) -> list[tuple[Decimal, Decimal]]:
    """Return what is offered by price, best first."""
    levels: dict[Decimal, Decimal] = {}
    for price, amount, _ in offers:
        if price not in levels and len(levels) == most:
            break
        levels[price] = levels.get(price, ZERO) + amount
    return list(levels.items())
