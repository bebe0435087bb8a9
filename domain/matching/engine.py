"""The paper venue: what can be asked of it; every step returns what it tells of each account.

Orders trade by price and then by time, against each other and against the market's depth, which is used up until the
next tick. What takes pays the prices of what rests; what rests trades at its own price, also when the market's depth
comes to it or trades of others go past it. A pair whose market is away waits. Facts of one step and account stand in
one report, so a fill and the balances after it are recorded together or not at all. Nothing here reads a clock: steps
are told the time, and time never goes back.

Exchange order ids and trade ids are one count. It begins at the microsecond of the start, so it could only meet an id
of an earlier run if that run gave a million ids a second for as long as it lived.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.errors import Invalid
from domain.matching.cash import Cash
from domain.matching.depth import Away, Depth, News
from domain.matching.floor import MICROSECOND, Floor, Terms
from domain.matching.funding import EPOCH, boundaries
from domain.matching.margin import MAX_LEVERAGE, Margin, Position
from domain.matching.telling import Facts, Member
from domain.matching.working import Working
from domain.orders import CancelRejected, OrderCanceled, OrderPlaced
from domain.positions import PositionObserved
from domain.reports import AccountReport
from domain.values import PositionMode, Utc, split_pair


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it was last seen: tokens, open orders with their id and the base filled, positions, settings."""

    units: Mapping[str, Decimal]
    orders: Sequence[tuple[OrderPlaced, str, Decimal]] = ()
    positions: Sequence[PositionObserved] = ()
    leverage: Mapping[str, int] = {}
    mode: PositionMode = PositionMode.ONEWAY
    seen_at: Utc | None = None


class Engine:
    """One venue. Not for two threads."""

    def __init__(self, terms: Terms, now: Utc) -> None:
        """Begin with no account and no market."""
        self.terms = terms
        self._floor = Floor(terms, now)

    @property
    def marks(self) -> Mapping[str, Decimal]:
        """The mark prices of the last tick, pair → quote per base."""
        return self._floor.marks

    @property
    def borne(self) -> Decimal:
        """What the venue paid for accounts that had lost more than they owned."""
        return self._floor.borne

    @property
    def busy(self) -> set[str]:
        """The pairs whose market matters: those with open orders or positions."""
        members = self._floor.members.values()
        held = {pair for member in members if member.margin is not None for pair, _, _ in member.margin.exposed()}
        return held | {order.trading_pair for member in members for order in member.orders.values()}

    def list_pairs(self, trading_pairs: Iterable[str]) -> None:
        """Trade these pairs from now on, beside those of the terms."""
        self._floor.tokens.update((pair, split_pair(pair)) for pair in trading_pairs)

    def join(self, account: str, standing: Standing, now: Utc, *, tell: bool = False) -> list[AccountReport]:
        """Let an account trade, going on from where it stood; `tell` its balances even if nothing happened since.

        Funding that fell due since it was last seen is paid now, at today's mark prices. An account that is on the
        venue stays as it is.
        """
        floor = self._floor
        floor.begin(now)
        if account in floor.members:
            return floor.reports()
        if standing.seen_at is not None:
            floor.skip((standing.seen_at - EPOCH) // MICROSECOND)
        member = floor.members[account] = self._member(account, standing)
        for due in boundaries(standing.seen_at or floor.now, floor.now):
            floor.pay_funding(member, due)
        for placed, exchange_order_id, filled in sorted(standing.orders, key=lambda order: int(order[1])):
            floor.skip(int(exchange_order_id))
            floor.resume(member, placed, int(exchange_order_id), filled)
        for trading_pair in {order.trading_pair: None for order in member.orders.values()}:
            floor.uncross(trading_pair)
        if tell:
            floor.facts(account).settled = True
        return floor.reports()

    def leave(self, account: str) -> None:
        """Forget an account and its orders; one that is not there is no error."""
        floor = self._floor
        member = floor.members.pop(account, None)
        for order in member.orders.values() if member is not None else ():
            floor.book(order.trading_pair).own(order.side).remove(order)
            floor.told.forget(order.client_order_id)

    def place(self, placed: OrderPlaced, now: Utc) -> list[AccountReport]:
        """Take an order in, once: of one that the venue has had it is told again what became of it."""
        floor = self._floor
        floor.begin(now)
        known = floor.told.of(placed.account, placed.client_order_id)
        if known is not None:
            floor.facts(placed.account).orders += known
            return floor.reports()
        floor.told.begin(placed.account, placed.client_order_id)
        member = floor.members.get(placed.account)
        if member is None:
            floor.refuse(placed, f"Account '{placed.account}' is not connected to {self.terms.connector}")
        elif placed.trading_pair in floor.away:
            floor.refuse(placed, floor.away[placed.trading_pair])
        elif placed.trading_pair not in floor.tokens:
            floor.refuse(placed, f"Trading pair '{placed.trading_pair}' is not traded on {self.terms.connector}")
        else:
            floor.enter(member, placed)
        return floor.reports()

    def cancel(self, account: str, client_order_id: str, now: Utc) -> list[AccountReport]:
        """Take an order out of the book; of one that is not open it is told that it cannot be canceled."""
        floor = self._floor
        floor.begin(now)
        member = floor.members.get(account)
        order = member.orders.get(client_order_id) if member is not None else None
        if member is None or order is None:
            refusal = CancelRejected(reason=f"Order '{client_order_id}' is not open", rejected_at=floor.now)
            floor.facts(account).orders.append((client_order_id, refusal))
        else:
            floor.end(member, order, OrderCanceled(canceled_at=floor.now))
        return floor.reports()

    def tick(self, market: Mapping[str, News], now: Utc) -> list[AccountReport]:
        """Take in what is new of the market: orders it comes to trade, positions that it ruins are liquidated."""
        floor = self._floor
        for trading_pair, news in market.items():
            if isinstance(news, Depth):
                floor.marks[trading_pair] = news.mark
        floor.begin(now)
        for trading_pair, news in market.items():
            match news:
                case Depth():
                    floor.meet_depth(trading_pair, news)
                case Away():
                    floor.lose(trading_pair, news.reason)
                case _:
                    floor.meet_trades(trading_pair, news)
        for member in floor.members.values():
            if member.margin is not None:
                for token in member.margin.doomed(floor.away):
                    floor.liquidate(member, member.margin, token)
        return floor.reports()

    def recall(self, account: str, client_order_id: str) -> AccountReport | None:
        """Return all that the venue knows of an account's order, None if it does not know it."""
        facts = self._floor.told.of(account, client_order_id)
        if facts is None:
            return None
        return self._floor.report(account, Facts(orders=facts))

    def report(self, account: str) -> AccountReport | None:
        """Return balances and positions of an account as they are now, None for one that is not on the venue."""
        member = self._floor.members.get(account)
        if member is None:
            return None
        held = member.margin.exposed() if member.margin is not None else ()
        facts = Facts(settled=True, touched={(pair, side): position for pair, side, position in held})
        return self._floor.report(account, facts, snapshot=True)

    def open_orders(self, account: str) -> list[Working]:
        """Return an account's orders in the book, oldest first."""
        return sorted(self._floor.members[account].orders.values(), key=lambda order: order.number)

    def set_leverage(self, account: str, trading_pair: str, leverage: int, now: Utc) -> list[AccountReport]:
        """Trade a pair at this leverage from now on. Raises `Invalid`."""
        floor, margin = self._floor, self._margin(account)
        if trading_pair not in floor.tokens:
            raise Invalid(f"Trading pair '{trading_pair}' is not traded on {self.terms.connector}")
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise Invalid(f"Leverage {leverage} for {trading_pair} is not between 1 and {MAX_LEVERAGE}")
        exposure = margin.exposure(trading_pair, floor.tokens[trading_pair][1])
        refusal = margin.leverage_refusal(exposure, leverage)
        if refusal is not None:
            raise Invalid(refusal)
        floor.begin(now)
        exposure.leverage = leverage
        margin.reserve(exposure)
        facts = floor.facts(account)
        facts.settled = True
        facts.touched.update({(trading_pair, s): p for s, p in exposure.positions.items() if p.amount})
        return floor.reports()

    def set_mode(self, account: str, mode: PositionMode) -> None:
        """Keep positions in this mode from now on. Raises `Invalid`."""
        margin = self._margin(account)
        if margin.mode is mode:
            return
        if self._floor.members[account].orders or any(True for _ in margin.exposed()):
            raise Invalid(
                f"Position mode of account '{account}' on {self.terms.connector} cannot become {mode}"
                " while it has open orders or positions"
            )
        margin.mode = mode

    def _margin(self, account: str) -> Margin:
        member = self._floor.members.get(account)
        if member is None:
            raise Invalid(f"Account '{account}' is not connected to {self.terms.connector}")
        if member.margin is None:
            raise Invalid(f"Connector '{self.terms.connector}' is not a perpetual connector")
        return member.margin

    def _member(self, account: str, standing: Standing) -> Member:
        if not self.terms.perpetual:
            return Member(name=account, ledger=Cash(standing.units, self.terms.fees), margin=None)
        margin = Margin(standing.units, self.terms.fees, self._floor.marks, standing.mode)
        for trading_pair, leverage in standing.leverage.items():
            margin.exposure(trading_pair, split_pair(trading_pair)[1]).leverage = leverage
        for seen in standing.positions:
            if seen.amount:
                exposure = margin.exposure(seen.trading_pair, split_pair(seen.trading_pair)[1])
                exposure.positions[seen.side] = Position(amount=seen.amount, entry=seen.entry_price)
                exposure.leverage = seen.leverage  # told again whenever it changes, so never older than the setting
                margin.reserve(exposure)
        return Member(name=account, ledger=margin, margin=margin)
