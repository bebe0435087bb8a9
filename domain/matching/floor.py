"""The trading floor: who is there, what rests in the books, and how orders trade.

Facts are collected per account until the step is over, and then become its report.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec

from domain.connectors import TradingRule
from domain.matching.book import Book, Half
from domain.matching.depth import Depth, Trade
from domain.matching.fees import Fees
from domain.matching.funding import EPOCH, boundaries, boundary_after
from domain.matching.margin import Margin, Position, side_of
from domain.matching.telling import Facts, Member, Told, seen
from domain.matching.working import Working, worked
from domain.orders import (
    OrderAccepted,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderObserved,
    OrderPlaced,
    OrderRejected,
    observed_id,
)
from domain.positions import FundingPaid
from domain.reports import AccountReport
from domain.values import ZERO, OrderType, PositionAction, PositionSide, Side, Utc, plain, split_pair

SELF_TRADE = "Self-trade prevention: the next order in the book is the account's own"
NO_DEPTH = "Nothing is left in the book to trade with"
NOTHING_TO_REDUCE = "Nothing is left to reduce"
LIQUIDATION = "Liquidation: the wallet does not cover the maintenance margin"
NOT_COVERED = "The balance does not cover the order any more"
NOTHING = Depth(bids=(), asks=(), mark=ZERO)
MICROSECOND = timedelta(microseconds=1)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue trades. `funding_rate` is what longs pay shorts each funding time, as a share of the notional."""

    connector: str
    perpetual: bool
    rules: Mapping[str, TradingRule]
    fees: Fees
    funding_rate: Decimal = Decimal("0.0001")


class Floor:
    """The accounts and books of one venue.

    `borne` is what the venue paid for accounts that lost more than they had, `away` why a pair's market is not seen.
    """

    def __init__(self, terms: Terms, now: Utc) -> None:
        """Begin with no account and no market."""
        self.terms = terms
        self.now = now
        self.marks: dict[str, Decimal] = {}
        self.borne = ZERO
        self.members: dict[str, Member] = {}
        self.away: dict[str, str] = {}
        self.tokens = {pair: split_pair(pair) for pair in terms.rules}
        self.told = Told()
        self._books: dict[str, Book] = {}
        self._facts: dict[str, Facts] = {}
        self._funding_at = boundary_after(now)
        self._count = (now - EPOCH) // MICROSECOND

    def begin(self, now: Utc) -> None:
        """Begin a step: funding that is due comes before anything else."""
        self.now = max(now, self.now)
        if self.now < self._funding_at:
            return
        for due in boundaries(self._funding_at - MICROSECOND, self.now):
            for member in self.members.values():
                self.pay_funding(member, due)
        self._funding_at = boundary_after(self.now)

    def facts(self, account: str) -> Facts:
        """Return what is collected of an account in this step."""
        found = self._facts.get(account)
        if found is None:
            found = self._facts[account] = Facts()
        return found

    def reports(self) -> list[AccountReport]:
        """End a step: return one report for each account that something happened to."""
        for account in self._facts:
            member = self.members.get(account)
            if member is not None and member.margin is not None:
                self.borne += member.margin.cover()
        reports = [self.report(account, facts) for account, facts in self._facts.items()]
        self._facts = {}
        return reports

    def report(self, account: str, facts: Facts, *, snapshot: bool = False) -> AccountReport:
        """Return facts as a report; balances are told when something may have changed them."""
        member = self.members.get(account)
        margin = member.margin if member is not None else None
        connector = self.terms.connector
        return AccountReport(
            account=account,
            connector=connector,
            reported_at=self.now,
            orders=facts.orders,
            observed=facts.observed,
            holdings=member.ledger.holdings() if member is not None and facts.settled else None,
            positions=[
                seen(margin, pair, side, position, account=account, connector=connector, now=self.now)
                for (pair, side), position in facts.touched.items()
            ]
            if margin is not None
            else [],
            funding=facts.funding,
            snapshot=snapshot,
        )

    def book(self, trading_pair: str) -> Book:
        """Return a pair's book."""
        found = self._books.get(trading_pair)
        if found is None:
            found = self._books[trading_pair] = Book()
        return found

    def number(self) -> int:
        """Return a number above all that were given out."""
        self._count += 1
        return self._count

    def skip(self, number: int) -> None:
        """Give out only numbers above this one."""
        self._count = max(self._count, number)

    # Orders: in, traded, out.

    def refuse(self, placed: OrderPlaced, reason: str) -> None:
        """Reject an order."""
        self._tell(placed.account, placed.client_order_id, OrderRejected(reason=reason, rejected_at=self.now))
        self.told.end(placed.client_order_id)

    def enter(self, member: Member, placed: OrderPlaced) -> None:
        """Accept or reject an order; trade what can be traded now, let the rest of a LIMIT order rest."""
        base, quote = self.tokens[placed.trading_pair]
        order = worked(placed, number=0, base=base, quote=quote, filled=ZERO)
        half = self.book(order.trading_pair).other(order.side)
        reach = None if order.price is None else half.reach(order.price)
        offer = half.best(reach)
        if offer is not None and order.order_type is OrderType.LIMIT_MAKER:
            self.refuse(
                placed,
                f"LIMIT_MAKER {order.side} at {plain(order.limit):f} would trade at once with {plain(offer[0]):f}",
            )
            return
        trades, rest = _plan(order, half, reach) if offer is not None else ([], order.remaining)
        refusal = member.ledger.refusal(order, trades, ZERO if order.price is None else rest)
        if refusal is not None:
            self.refuse(placed, refusal)
            return
        order.number = self.number()
        accepted = OrderAccepted(exchange_order_id=order.exchange_order_id, accepted_at=self.now)
        self._tell(order.account, order.client_order_id, accepted)
        self.facts(order.account).settled = True
        ending = self._trade(member, order, half, reach)
        if not order.remaining:
            self.told.end(order.client_order_id)
        elif ending is not None or order.price is None:
            self.expire(member, order, ending or NO_DEPTH)
        else:
            self.rest(member, order)

    def rest(self, member: Member, order: Working) -> None:
        """Put an order into the book and lock what it needs."""
        member.ledger.hold(order)
        order.rested_at = self.now
        member.orders[order.client_order_id] = order
        if order.action is PositionAction.CLOSE:
            member.closing[order.client_order_id] = order
        self.book(order.trading_pair).own(order.side).add(order)

    def end(self, member: Member, order: Working, fact: OrderFact) -> None:
        """Take an order out of the venue; what it held is free."""
        if order.resting:
            member.ledger.release(order)
            self._take_out(member, order)
        self._tell(order.account, order.client_order_id, fact)
        self.facts(order.account).settled = True
        self.told.end(order.client_order_id)

    def expire(self, member: Member, order: Working, reason: str) -> None:
        """End an order by the venue's own rules."""
        self.end(member, order, OrderExpired(reason=reason, expired_at=self.now))

    def resume(self, member: Member, placed: OrderPlaced, number: int, filled: Decimal) -> None:
        """Let an order rest again that rested before a restart, at its old place in time."""
        base, quote = self.tokens.get(placed.trading_pair) or split_pair(placed.trading_pair)
        order = worked(placed, number=number, base=base, quote=quote, filled=filled)
        accepted = OrderAccepted(exchange_order_id=order.exchange_order_id, accepted_at=placed.placed_at)
        self.told.begin(order.account, order.client_order_id)
        self.told.add(order.client_order_id, accepted)
        if member.margin is None and member.ledger.refusal(order, (), order.remaining) is not None:
            self.expire(member, order, NOT_COVERED)  # fees were raised since, or the log holds less than the venue did
        elif not member.ledger.room(order):
            self.expire(member, order, NOTHING_TO_REDUCE)
        else:
            self.rest(member, order)

    def uncross(self, trading_pair: str) -> None:
        """Trade resting orders that meet because their accounts came back at different times: the older one's price."""
        book = self.book(trading_pair)
        while trading_pair not in self.away:
            bid, ask = book.bids.first(), book.asks.first()
            if bid is None or ask is None or bid.limit < ask.limit:
                return
            older, newer = (bid, ask) if bid.number < ask.number else (ask, bid)
            there, here = self.members[older.account], self.members[newer.account]
            if there is here:
                self.expire(here, newer, SELF_TRADE)
                continue
            amount = min(there.ledger.room(older), here.ledger.room(newer))
            self._fill(there, older, amount, older.limit, is_maker=True)
            self._fill(here, newer, amount, older.limit, is_maker=False)

    def meet_depth(self, trading_pair: str, depth: Depth) -> None:
        """Take in new depth and fill what rests within its reach, each order at its own price."""
        book = self.book(trading_pair)
        book.refresh(depth)
        if self.away.pop(trading_pair, None) is not None:
            self.uncross(trading_pair)
        for side in (Side.BUY, Side.SELL):
            own, other = book.own(side), book.other(side)
            while (order := own.first()) is not None:
                member = self.members[order.account]
                taken = other.take(other.reach(order.limit), member.ledger.room(order))
                if not taken:
                    break
                self._fill(member, order, taken, order.limit, is_maker=True)

    def meet_trades(self, trading_pair: str, trades: Sequence[Trade]) -> None:
        """Fill what others' trades went past: at its own price, all together at most what was traded.

        Who took there would have come to our order first. At the price of the trade itself others were first.
        """
        for trade in trades if trading_pair not in self.away else ():
            own, left = self.book(trading_pair).own(trade.taker.opposite), trade.amount
            while left and (order := own.ahead_of(trade.price, trade.traded_at)) is not None:
                member = self.members[order.account]
                amount = min(left, member.ledger.room(order))
                self._fill(member, order, amount, order.limit, is_maker=True)
                left -= amount

    def lose(self, trading_pair: str, reason: str) -> None:
        """Trade a pair no more until its next depth: what rests waits."""
        self.book(trading_pair).refresh(NOTHING)
        self.away[trading_pair] = reason

    def _trade(self, member: Member, order: Working, half: Half, reach: Decimal | None) -> str | None:
        """Trade an order with what is within reach, best first; return why it must not rest, None if it may."""
        while order.remaining and (offer := half.best(reach)) is not None:
            price, there, other = offer
            maker = self.members[other.account] if other is not None else None
            if maker is member:
                return SELF_TRADE
            amount = min(there, member.ledger.room(order))
            if not amount:
                break
            if other is None or maker is None:
                half.consume(amount)
            else:
                amount = min(amount, maker.ledger.room(other))
                self._fill(maker, other, amount, price, is_maker=True)
            self._fill(member, order, amount, price, is_maker=False)
        return None if member.ledger.room(order) else NOTHING_TO_REDUCE

    def _fill(self, member: Member, order: Working, amount: Decimal, price: Decimal, *, is_maker: bool) -> None:
        fee = amount * price * (self.terms.fees.maker if is_maker else self.terms.fees.taker)
        member.ledger.settle(order, amount, price, fee)
        order.remaining -= amount
        fact = OrderFilled(
            trade_id=str(self.number()),
            amount=plain(amount),
            price=plain(price),
            fee=plain(fee),
            fee_currency=order.quote,
            is_maker=is_maker,
            filled_at=self.now,
            exchange_order_id=order.exchange_order_id,
        )
        self._tell(order.account, order.client_order_id, fact)
        facts = self.facts(order.account)
        facts.settled = True
        if order.resting and not order.remaining:
            self._take_out(member, order)
            self.told.end(order.client_order_id)
        if member.margin is not None:
            side = side_of(member.margin.mode, order.side, order.action)
            facts.touched[order.trading_pair, side] = member.margin.position(order)
            for closing in [other for other in member.closing.values() if not member.margin.room(other)]:
                self.expire(member, closing, NOTHING_TO_REDUCE)

    def _take_out(self, member: Member, order: Working) -> None:
        self.book(order.trading_pair).own(order.side).remove(order)
        del member.orders[order.client_order_id]
        member.closing.pop(order.client_order_id, None)

    def _tell(self, account: str, client_order_id: str, fact: OrderFact) -> None:
        self.facts(account).orders.append((client_order_id, fact))
        self.told.add(client_order_id, fact)

    # Positions: funding and liquidation.

    def pay_funding(self, member: Member, due: Utc) -> None:
        """Pay one funding time's funding for every position of an account."""
        margin = member.margin
        if margin is None:
            return
        for trading_pair, side, position in margin.exposed():
            facts = self.facts(member.name)
            facts.settled = True
            long = position.amount > 0
            facts.funding.append(
                FundingPaid(
                    account=member.name,
                    connector=self.terms.connector,
                    trading_pair=trading_pair,
                    funding_id=f"{member.name}-{self.terms.connector}-{trading_pair}-{side}-{due:%Y%m%dT%H}",
                    rate=self.terms.funding_rate,
                    payment=plain(margin.pay_funding(trading_pair, position, self.terms.funding_rate)),
                    currency=margin.exposures[trading_pair].token,
                    position_size=plain(abs(position.amount)),
                    position_side=PositionSide.LONG if long else PositionSide.SHORT,
                    paid_at=due,
                )
            )

    def liquidate(self, member: Member, margin: Margin, token: str) -> None:
        """Close all positions of a wallet: at what the book gives, and beyond that at the mark price by the venue."""
        for resting in [order for order in member.orders.values() if order.quote == token]:
            self.expire(member, resting, LIQUIDATION)
        held = [(pair, position) for pair, _, position in margin.exposed() if margin.exposures[pair].token == token]
        for trading_pair, position in held:
            self._close(member, margin, trading_pair, position)

    def _close(self, member: Member, margin: Margin, trading_pair: str, position: Position) -> None:
        number = self.number()
        base, quote = split_pair(trading_pair)
        order = Working(
            number=number,
            client_order_id=observed_id(member.name, self.terms.connector, str(number)),
            account=member.name,
            trading_pair=trading_pair,
            base=base,
            quote=quote,
            side=Side.SELL if position.amount > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            action=PositionAction.CLOSE,
            price=None,
            remaining=abs(position.amount),
        )
        observed = OrderObserved(
            account=order.account,
            connector=self.terms.connector,
            trading_pair=trading_pair,
            exchange_order_id=order.exchange_order_id,
            side=order.side,
            order_type=order.order_type,
            amount=order.remaining,
            price=None,
            position_action=order.action,
            observed_at=self.now,
            reason=LIQUIDATION,
        )
        self.facts(member.name).observed.append(observed)
        self.told.begin(order.account, order.client_order_id)
        self._trade(member, order, self.book(trading_pair).other(order.side), None)
        if order.remaining:
            self._fill(member, order, order.remaining, margin.mark(trading_pair, position), is_maker=False)
        self.told.end(order.client_order_id)


def _plan(order: Working, half: Half, reach: Decimal | None) -> tuple[list[tuple[Decimal, Decimal]], Decimal]:
    """Return the (price, amount) that an order would trade at once, and how much base would then rest."""
    trades: list[tuple[Decimal, Decimal]] = []
    rest = order.remaining
    for price, there, other in half.offers(reach):
        if other is not None and other.account == order.account:
            return trades, ZERO
        amount = min(there, rest)
        trades.append((price, amount))
        rest -= amount
        if not rest:
            break
    return trades, rest
