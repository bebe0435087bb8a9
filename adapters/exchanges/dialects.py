"""What differs between venues in placing, finding and canceling an order: one table of exceptions over one default.

ccxt's own words for what an order is to do are the same for most exchanges (`postOnly`, `reduceOnly`, `hedged`,
`clientOrderId`); the table holds those that want something else, and those that ccxt cannot ask by our id.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from adapters.exchanges import names
from adapters.exchanges.client_order_ids import Digits, Form, Number, Short, Uuid, Whole
from adapters.exchanges.clients import NotKnown, VenueClient
from adapters.exchanges.markets import Markets
from domain.errors import Invalid, Unavailable
from domain.orders import OrderPlaced
from domain.values import ONE, OrderType, PositionAction, PositionMode, Side, plain, round_down

Arguments = tuple[str, str, str, object, object, dict[str, object]]
"""Symbol, type, side, amount, price and params of ccxt's `create_order`; numbers are texts of plain digits."""

Order = Mapping[str, Any]
"""An order as ccxt reads it."""

ALL_TYPES = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
SLIPPAGE = Decimal("0.05")
"""Where a MARKET order is a LIMIT order that does not rest: so far from the price now it may still trade."""
CLOCKS_DIFFER = timedelta(minutes=1)
FULL_PAGE = 20
"""The shortest page of orders of any venue here; a list that is shorter is all there is."""

_Asking = Literal["param", "id", "list"]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one connector speaks of orders.

    `finds` and `cancels` say how an order of ours is named where its venue id is not known: as a parameter of ccxt's
    method, in the place of the id, or not at all, so that it is looked for in lists.
    """

    form: Form = msgspec.field(default_factory=Whole)
    param: str = "clientOrderId"
    finds: _Asking = "param"
    cancels: _Asking = "param"
    cancels_by_ours: bool = False  # even where the venue's id is known
    finds_by_id: bool = True  # else ccxt cannot ask for one order by the venue's id either
    list_param: str = ""  # narrows lists down to one order, by our id
    list_id_param: str = ""  # the same, by the venue's
    order_types: Sequence[OrderType] = ALL_TYPES
    maker: Mapping[str, object] = msgspec.field(default_factory=lambda: {"postOnly": True})
    hedged: bool = True  # positions of both sides are told apart by `hedged`, else by `reduceOnly` alone
    priced: Literal["", "buys", "bounds"] = ""  # MARKET: buys are told in quote; all are told a worst price
    takes_text: bool = True  # else it compares amounts before it writes them
    signs_fee: bool = False  # the most that may be charged is signed with the order
    extra: Mapping[str, object] = {}

    def venue_id(self, client_order_id: str) -> str:
        """Return a client order id of ours as the venue takes it. Raises `Invalid` for one that is not ours."""
        return self.form.write(client_order_id)

    def our_id(self, venue_client_id: str) -> str | None:
        """Return our client order id, None for one that cannot be ours."""
        return self.form.read(venue_client_id)

    def needs_price(self, order: OrderPlaced) -> bool:
        """Whether the price now has to be known to say an order."""
        if order.order_type is not OrderType.MARKET:
            return False
        return self.priced == "bounds" or (self.priced == "buys" and order.side is Side.BUY)

    def arguments(
        self, order: OrderPlaced, *, markets: Markets, mode: PositionMode, price_hint: Decimal | None
    ) -> Arguments:
        """Return the arguments of ccxt's `create_order`. `price_hint` is the price now, quote per base.

        Raises `Invalid` for a pair, a type or a price that the venue does not take, or when the price has to be known
        and is not.
        """
        pair = order.trading_pair
        symbol = markets.symbol(pair)
        if order.order_type not in self.order_types:
            taken = ", ".join(self.order_types)
            raise Invalid(f"{order.connector} does not take {order.order_type} orders. Those it takes: {taken}")
        params = {self.param: self.venue_id(order.client_order_id), **self.extra}
        if order.order_type is OrderType.LIMIT_MAKER:
            params |= self.maker
        if markets.is_perpetual:
            closes = order.position_action is PositionAction.CLOSE
            if closes:
                params["reduceOnly"] = True
            if mode is PositionMode.HEDGE and self.hedged:
                params["hedged"] = True
        contracts = order.amount / markets.contract_size(pair)
        price = self._price(order, markets, price_hint)
        if self.signs_fee:
            params |= _highest_fee(price)
        return (
            symbol,
            "market" if order.order_type is OrderType.MARKET else "limit",
            order.side.value.lower(),
            text(contracts) if self.takes_text else plain(contracts),
            None if price is None else text(price),
            params,
        )

    def _price(self, order: OrderPlaced, markets: Markets, price_hint: Decimal | None) -> Decimal | None:
        rule = markets.rules[order.trading_pair]
        if order.order_type is not OrderType.MARKET:
            assert order.price is not None  # noqa: S101 - decided so when the order was placed
            digits = rule.max_price_significant_digits
            if order.price != order.price.to_integral_value() and _significant(order.price) > digits:
                raise Invalid(
                    f"Order price {plain(order.price):f} has more than {digits} significant digits for"
                    f" {order.trading_pair}"
                )
            return order.price
        if not self.needs_price(order):
            return None
        if price_hint is None or price_hint <= 0:
            raise Invalid(f"The price of {order.trading_pair} is not known, and {order.connector} needs it to trade")
        if self.priced == "buys":
            return price_hint
        worst = price_hint * (ONE + SLIPPAGE if order.side is Side.BUY else ONE - SLIPPAGE)
        return round_down(worst, rule.min_price_increment) or price_hint

    async def find(
        self, client: VenueClient, markets: Markets, order: OrderPlaced, exchange_order_id: str | None
    ) -> Order | None:
        """Return the order as ccxt reads it, None when the venue positively does not know it.

        Raises `Unavailable` when the venue does not say.
        """
        symbol = markets.symbol(order.trading_pair)
        ours = self.venue_id(order.client_order_id)
        try:
            if exchange_order_id is not None and self.finds_by_id:
                found: Order = await client.call("fetch_order", exchange_order_id, symbol)
            elif exchange_order_id is None and self.finds == "param":
                found = await client.call("fetch_order", "", symbol, {self.param: ours})
            elif exchange_order_id is None and self.finds == "id":
                found = await client.call("fetch_order", ours, symbol)
            else:
                return await self._search(client, symbol, order, exchange_order_id)
        except NotKnown:
            return None
        return found

    async def cancel(
        self,
        client: VenueClient,
        markets: Markets,
        trading_pair: str,
        client_order_id: str,
        exchange_order_id: str | None,
    ) -> Order | None:
        """Ask to cancel, by the venue's id or by ours; return the order as the venue says it is now, if it says so.

        Raises `Refused` in the venue's words, `NotKnown` for an order that it does not have, and as `VenueClient.call`.
        """
        symbol = markets.symbol(trading_pair)
        ours = self.venue_id(client_order_id)
        if exchange_order_id is not None and not self.cancels_by_ours:
            answer = await client.call("cancel_order", exchange_order_id, symbol)
        elif self.cancels == "param":
            answer = await client.call("cancel_order", None, symbol, {self.param: ours})
        elif self.cancels == "id":
            answer = await client.call("cancel_order", ours, symbol)
        else:
            found = await self._listed(client, "fetch_open_orders", symbol, client_order_id, None)
            if isinstance(found, int):
                raise NotKnown(f"{client.connector.name} has no open order {client_order_id} of {trading_pair}")
            answer = await client.call("cancel_order", found["id"], symbol)
        # Most venues say no more than that they have heard.
        return answer if isinstance(answer, Mapping) and answer.get("id") and answer.get("status") else None

    async def _search(
        self, client: VenueClient, symbol: str, order: OrderPlaced, exchange_order_id: str | None
    ) -> Order | None:
        """Look for an order in the venue's lists, first in that of the open ones."""
        since = int((order.placed_at - CLOCKS_DIFFER).timestamp() * 1000)
        complete = False
        for method in ("fetch_open_orders", *_lists(client)):
            start = None if method == "fetch_open_orders" else since
            found = await self._listed(client, method, symbol, order.client_order_id, exchange_order_id, since=start)
            if not isinstance(found, int):
                return found
            if method != "fetch_open_orders":
                complete = found < FULL_PAGE or bool(self.list_param)
                if not complete:
                    break
        if not complete:
            raise Unavailable(
                f"{client.connector.name} does not say whether it knows order {order.client_order_id}: its list of past"
                " orders is too long or not to be had"
            )
        return None

    async def _listed(
        self,
        client: VenueClient,
        method: str,
        symbol: str,
        client_order_id: str,
        exchange_order_id: str | None,
        *,
        since: int | None = None,
    ) -> Order | int:
        """Return an order of a list, or how many orders the list has without it."""
        narrow: dict[str, object] = {}
        if exchange_order_id is not None and self.list_id_param:
            narrow = {self.list_id_param: exchange_order_id}
        elif exchange_order_id is None and self.list_param:
            narrow = {self.list_param: self.venue_id(client_order_id)}
        orders: Sequence[Order] = await client.call(method, symbol, since, None, narrow)
        for order in orders:
            if exchange_order_id is not None and order["id"] == exchange_order_id:
                return order
            if order.get("clientOrderId") and self.our_id(str(order["clientOrderId"])) == client_order_id:
                return order
        return len(orders)


def text(value: Decimal) -> str:
    """Return a number in plain digits, without an exponent and without zeros at its end."""
    return f"{plain(value):f}"


def dialect(name: str) -> Dialect:
    """Return a connector's dialect. Raises `NotFound`."""
    return _DIALECTS.get(names.connector(name).exchange_id, Dialect)()


def _significant(price: Decimal) -> int:
    return len(price.normalize().as_tuple().digits)


def _lists(client: VenueClient) -> Sequence[str]:
    """Return the methods that list past orders, as few as there are to see all; what ccxt only emulates is none."""
    has = client.exchange.has
    for capability, method in (
        ("fetchOrders", "fetch_orders"),
        ("fetchCanceledAndClosedOrders", "fetch_canceled_and_closed_orders"),
    ):
        if has.get(capability) is True:
            return (method,)
    closed = (("fetchClosedOrders", "fetch_closed_orders"), ("fetchCanceledOrders", "fetch_canceled_orders"))
    return tuple(method for capability, method in closed if has.get(capability) is True)


def _highest_fee(price: Decimal | None) -> dict[str, object]:
    # What the user would pay at most for one base is signed with the order. The venue charges its published rate
    # whatever is signed, and refuses what is below; so this stands out of the way.
    return {"max_fee": text(max(Decimal(1000), price or Decimal(0)))}


def _okx() -> Dialect:
    return Dialect(form=Digits())  # letters and digits, 32 (OKX API v5, "Place order", 2026-03)


def _bybit() -> Dialect:
    # Up to 36 (Bybit v5, "Place order"). ccxt asks for one order in the list of all, and only by the venue's id.
    return Dialect(
        param="orderLinkId",
        finds="list",
        finds_by_id=False,
        list_param="orderLinkId",
        list_id_param="orderId",
    )


def _kucoin_futures() -> Dialect:
    return Dialect(takes_text=False)


def _gate() -> Dialect:
    # `t-` and up to 28 (Gate API v4, "Create an order"); stands in the place of the id.
    return Dialect(form=Short("t-"), finds="param", cancels="id", priced="buys", hedged=False)


def _kraken() -> Dialect:
    # A UUID, or 18 free characters (Kraken REST, "Add order", cl_ord_id).
    return Dialect(form=Uuid(), finds="list", list_param="clientOrderId")


def _coinbase() -> Dialect:
    return Dialect(form=Uuid(), param="client_order_id", finds="list", cancels="list", priced="buys")


def _hyperliquid() -> Dialect:
    return Dialect(form=Digits("0x"), priced="bounds")


def _bought_by_quote() -> Dialect:
    return Dialect(priced="buys")


def _mexc() -> Dialect:
    return Dialect(form=Digits())  # up to 32


def _bitstamp() -> Dialect:
    # ccxt has no word for an order that must not take.
    return Dialect(cancels="list", order_types=(OrderType.LIMIT, OrderType.MARKET))


def _bingx() -> Dialect:
    return Dialect(finds="list")


def _bitrue() -> Dialect:
    return Dialect(finds="list", order_types=(OrderType.LIMIT, OrderType.MARKET))


def _gemini() -> Dialect:
    return Dialect(finds="list", cancels="list", order_types=(OrderType.LIMIT, OrderType.LIMIT_MAKER))


def _btcmarkets() -> Dialect:
    return Dialect(form=Digits(), finds="id", cancels="id")  # up to 32


def _foxbit() -> Dialect:
    return Dialect(form=Number(7), finds="list", cancels="list")  # up to 20 digits


def _backpack() -> Dialect:
    return Dialect(form=Number(4), finds="list", finds_by_id=False, cancels="list", hedged=False)


def _dydx() -> Dialect:
    # The chain knows an order by its owner's number; ccxt cancels by nothing else.
    return Dialect(form=Number(4), finds="list", cancels_by_ours=True, priced="bounds")


def _derive() -> Dialect:
    return Dialect(finds="list", priced="bounds", signs_fee=True, extra={"referral_code": ""}, hedged=False)


def _pacifica() -> Dialect:
    return Dialect(form=Uuid(), finds="list", maker={"timeInForce": "ALO"}, hedged=False)


_DIALECTS = {
    "okx": _okx,
    "bybit": _bybit,
    "kucoinfutures": _kucoin_futures,
    "gate": _gate,
    "kraken": _kraken,
    "coinbase": _coinbase,
    "hyperliquid": _hyperliquid,
    "bitget": _bought_by_quote,
    "htx": _bought_by_quote,
    "mexc": _mexc,
    "bitstamp": _bitstamp,
    "bingx": _bingx,
    "bitrue": _bitrue,
    "gemini": _gemini,
    "btcmarkets": _btcmarkets,
    "foxbit": _foxbit,
    "backpack": _backpack,
    "dydx": _dydx,
    "derive": _derive,
    "pacifica": _pacifica,
}
