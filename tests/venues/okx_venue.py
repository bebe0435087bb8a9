"""The OKX venue over the floor: which instruments there are, how orders were asked for, who is told what.

One OKX account trades spot and swaps from one wallet. Here each of the floor's two markets keeps a wallet of its own,
so the path's prefix says whose balances a client is shown (`/okx/spot`, `/okx/swap`). All else is as on OKX: either
prefix lists and trades all instruments and tells of all orders of the account.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

import msgspec

from domain.matching.floor import LIQUIDATION, NO_DEPTH, NOTHING_TO_REDUCE, SELF_TRADE
from domain.values import PositionMode, Utc
from tests.venues.desk import DELISTED, NOT_AT_ONCE, Desk
from tests.venues.floor import Floor, Keys
from tests.venues.ledger import Ledger, Market, Order, Status, TimeInForce
from tests.venues.okx_answers import Refusal
from tests.venues.okx_instruments import Instrument, listed
from tests.venues.okx_orders import Asked, asked
from tests.venues.steps import Change, Step, What, Why
from tests.venues.steps import Refusal as FloorRefusal

WOULD_TAKE = "A post_only order would take"

CANCEL_SOURCES = {
    DELISTED: "0",
    LIQUIDATION: "3",
    NO_DEPTH: "14",
    NOT_AT_ONCE: "14",
    NOTHING_TO_REDUCE: "23",
    WOULD_TAKE: "31",
    SELF_TRADE: "32",
}
"""The venue's number for why an order ended that nobody canceled (OKX API v5, `cancelSource`); "1" is the user."""

_CODES = {
    Why.FUNDS: "51008",
    Why.NOTHING_TO_REDUCE: "51169",
    Why.PRICE_STEP: "51000",
    Why.AMOUNT_STEP: "51121",
    Why.NOTIONAL: "51020",
    Why.UNKNOWN_PAIR: "51001",
    Why.UNKNOWN_ORDER: "51400",
    Why.REPEATED_ID: "51016",
    Why.SETTING: "59000",
}

_APART = 10**12

Listener = Callable[[Market, Step], None]


class Venue:
    """One OKX venue on a floor."""

    def __init__(self, floor: Floor) -> None:
        """Speak for a floor."""
        self.floor = floor
        self._listed: dict[str, Instrument] = {}
        for market in Market:
            self._listed |= listed(market, floor.desk(market).rules)
        self._asked: dict[tuple[str, Market, str], Asked] = {}
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._count = 0
        # No two orders here have one number; the floor counts on each market by itself, so its counts begin far apart.
        floor.desk(Market.SWAP)._engine._floor.skip(floor.desk(Market.SPOT)._engine._floor.number() + _APART)

    def now(self) -> Utc:
        """Return the venue's time."""
        return self.floor.now()

    @property
    def ledger(self) -> Ledger:
        """The venue's truth."""
        return self.floor.ledger

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """All that can be traded now, by id."""
        return {name: each for name, each in self._listed.items() if each.trading_pair in self.desk(each).rules}

    def desk(self, instrument: Instrument) -> Desk:
        """Return the market of an instrument."""
        return self.floor.desk(instrument.market)

    def instrument(self, market: Market, trading_pair: str) -> Instrument:
        """Return a pair's instrument, of one that is not traded any more too."""
        return self._listed[f"{trading_pair}-SWAP" if market is Market.SWAP else trading_pair]

    def how(self, order: Order) -> Asked | None:
        """Return how an order was asked for; None for one that did not come through OKX."""
        return self._asked.get((order.account, order.market, order.client_id))

    def mode(self, account: str) -> PositionMode:
        """Return the position mode of an account."""
        return self.floor.desk(Market.SWAP).mode(account)

    # Orders.

    def place(self, keys: Keys, args: Mapping[str, object]) -> Order:
        """Take an order in. Raises `Refusal` in the venue's own codes."""
        wanted = asked(args, self.instruments, self.mode(keys.account))
        instrument = wanted.instrument
        self._count += 1
        client_id = wanted.client_id or f"o{self._count}"
        known = self.ledger.find(keys.account, instrument.market, client_id=client_id)
        if known is not None and known.status.is_open:
            raise Refusal("51016")
        named = keys.account, instrument.market, client_id
        before = self._asked.get(named)
        self._asked[named] = wanted  # before it is placed: what is told of it says how it was asked for
        quote = self.desk(instrument).quotes[instrument.trading_pair]
        amount = wanted.amount(quote.ask)
        try:
            return self.floor.place(
                keys.account,
                instrument.market,
                client_id=client_id,
                trading_pair=instrument.trading_pair,
                side=wanted.side,
                order_type=wanted.type,
                amount=amount,
                price=wanted.price,
                action=wanted.action,
                time_in_force=TimeInForce.AT_ONCE if wanted.kind == "ioc" else TimeInForce.UNTIL_CANCELED,
            )
        except FloorRefusal as refused:
            if refused.why is Why.WOULD_TAKE:
                return self._stillborn(keys.account, wanted, client_id, amount)
            self._forget(named, before)
            raise translated(refused) from refused

    def _forget(self, named: tuple[str, Market, str], before: Asked | None) -> None:
        """Forget an order that was refused; one before it under the same id stays what it was."""
        if before is None:
            del self._asked[named]
        else:
            self._asked[named] = before

    def _stillborn(self, account: str, wanted: Asked, client_id: str, amount: Decimal) -> Order:
        """Take a post_only order in that would take, and end it: the venue does not reject it."""
        market, now = wanted.instrument.market, self.now()
        taken = Order(
            order_id=self.floor.desk(market)._engine._floor.number(),
            client_id=client_id,
            account=account,
            market=market,
            trading_pair=wanted.instrument.trading_pair,
            side=wanted.side,
            order_type=wanted.type,
            time_in_force=TimeInForce.MAKER,
            amount=amount,
            price=wanted.price,
            action=wanted.action,
            position_side=wanted.touches,
            created_at=now,
            updated_at=now,
        )
        ended = msgspec.structs.replace(taken, status=Status.EXPIRED, reason=WOULD_TAKE)
        self.ledger.keep(ended)
        changes = [Change(what=What.TAKEN, order=taken), Change(what=What.EXPIRED, order=ended)]
        for listener in list(self._listeners[account]):
            listener(market, Step(at=now, changes=changes))
        return ended

    def find(self, keys: Keys, instrument: Instrument, args: Mapping[str, object]) -> Order | None:
        """Return the order that a request names, by `ordId` or else `clOrdId`."""
        order_id = str(args.get("ordId") or "")
        client_id = str(args.get("clOrdId") or "")
        if not order_id and not client_id:
            raise Refusal("50014", status=400)
        number = int(order_id) if order_id.isdigit() else None
        if order_id and number is None:
            return None
        return self.ledger.find(keys.account, instrument.market, order_id=number, client_id=client_id)

    # Who is told.

    def listen(self, account: str, listener: Listener) -> Callable[[], None]:
        """Tell a listener of all that happens to an account; returns what ends that."""
        self._listeners[account].append(listener)
        ends = [self.floor.desk(market).listen(account, partial(listener, market)) for market in Market]

        def end() -> None:
            self._listeners[account].remove(listener)
            for each in ends:
                each()

        return end


def translated(refused: FloorRefusal) -> Refusal:
    """Return the floor's refusal in the venue's codes."""
    return Refusal(_CODES[refused.why], str(refused))
