"""Where ccxt's unified shapes do not say the same for every venue: what is mended before a message is taken in."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from adapters.exchanges.standing import Raw, number


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How one venue's messages are read.

    `streamed_fees_are_negative`: a fee of a trade on the stream has the venue's sign, in which a charge is negative.
    `names`: field of an order's message that bears its client order id where ccxt leaves that out.
    `wallet` gives, out of the venue's answer for balances, token → what is owned without profit that is not taken: that
    moves with the price, and would be told as a change of balance each time.
    `ends`: field of a canceled order's message → the values by which the user canceled; by any other the venue did.
    """

    streamed_fees_are_negative: bool = False
    names: str = ""
    wallet: Callable[[Any], Mapping[str, object]] | None = None
    ends: Mapping[str, frozenset[str]] = {}

    def balances(self, raw: Raw) -> Raw:
        """Return balances with what is owned as their totals."""
        if self.wallet is None:
            return raw
        return {**raw, "total": {**(raw.get("total") or {}), **self.wallet(raw["info"])}}

    def trade(self, raw: Raw) -> Raw:
        """Return a trade of the stream with its fees as answers have them: a charge is positive."""
        if not self.streamed_fees_are_negative:
            return raw
        return {**raw, "fee": _negated(raw.get("fee")), "fees": [_negated(fee) for fee in raw.get("fees") or ()]}

    def client_order_id(self, raw: Raw) -> str:
        """Return the client order id that the venue says of an order, empty where it says none."""
        info = raw.get("info")
        named = info.get(self.names) if self.names and isinstance(info, Mapping) else None
        return str(named or raw.get("clientOrderId") or "")

    def is_canceled_by_venue(self, raw: Raw) -> bool:
        """Whether the venue itself ended an order that it calls canceled."""
        info = raw.get("info")
        if not isinstance(info, Mapping):
            return False
        return any(str(info.get(field) or "") not in by_user for field, by_user in self.ends.items() if field in info)


def untold(order: Raw, traded: Decimal) -> Raw:
    """Return what an order traded beyond `traded` contracts as one trade, for a venue that lists no trades.

    The price is the order's average, and a fee is not known.
    """
    filled = number(order.get("filled"))
    return {
        "id": f"{order['id']}-{filled.normalize():f}",
        "order": order["id"],
        "symbol": order.get("symbol"),
        "amount": filled - traded,
        "price": order.get("average") or order.get("price"),
        "timestamp": order.get("lastUpdateTimestamp") or order.get("timestamp"),
    }


def _negated(fee: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not fee or fee.get("cost") is None:
        return fee
    cost = str(fee["cost"])
    return {**fee, "cost": cost[1:] if cost.startswith("-") else f"-{cost}"}


def _binance_wallet(info: Any) -> Mapping[str, object]:  # noqa: ANN401 - the venue's own form
    return {asset["asset"]: asset["walletBalance"] for asset in info["assets"]}


def _okx_wallet(info: Any) -> Mapping[str, object]:  # noqa: ANN401
    return {detail["ccy"]: detail["cashBal"] for account in info["data"] for detail in account["details"]}


_READINGS = {
    # On the stream ccxt 4.5.90 reads `order_userref` alone (Kraken WebSocket v2, "Executions", 2026-03).
    "kraken": Reading(names="cl_ord_id"),
    # `fillFee` is negative for a charge, and ccxt 4.5.90 gives it as it is on the stream alone. `cancelSource` is 1
    # where the user canceled (OKX API v5, "Order channel", 2026-03).
    "okx": Reading(streamed_fees_are_negative=True, wallet=_okx_wallet, ends={"cancelSource": frozenset({"", "1"})}),
    "binanceusdm": Reading(wallet=_binance_wallet),
}
_PLAIN = Reading()


def reading(exchange_id: str) -> Reading:
    """Return how the messages of one of ccxt's exchanges are read."""
    return _READINGS.get(exchange_id, _PLAIN)
