"""The markets of a venue: trading pairs and ccxt's symbols, trading rules, sizes of contracts."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import structlog

from adapters.exchanges.clients import VenueClient
from adapters.exchanges.names import Connector
from domain.connectors import UNBOUNDED, TradingRule
from domain.errors import Invalid
from domain.values import ONE, ZERO, plain

logger = structlog.get_logger()

DECIMAL_PLACES = 2
SIGNIFICANT_DIGITS = 3
TICK_SIZE = 4
"""How an exchange of ccxt states precision (ccxt.base.decimal_to_precision)."""

# Hyperliquid takes five significant digits, and so many decimals less those of the amount (Hyperliquid docs, "Tick and
# lot size", 2026-03). What ccxt states as a step of prices is true only at the price of that moment.
_HYPERLIQUID_DIGITS = Decimal(5)
_HYPERLIQUID_DECIMALS = {"spot": 8, "swap": 6}


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One pair as the venue trades it. `contract_size` is the base in one contract, 1 where amounts are in base.

    One that is not `active` takes no orders; those that it had are still told of.
    """

    symbol: str
    contract_size: Decimal
    rule: TradingRule
    active: bool = True


class Markets:
    """The pairs of one connector, which are spot markets or perpetuals."""

    def __init__(self, markets: Iterable[Market], *, is_perpetual: bool = False) -> None:
        """Hold what a venue trades; of two markets for one pair the first one counts."""
        self.is_perpetual = is_perpetual
        self._markets: dict[str, Market] = {}
        for market in markets:
            self._markets.setdefault(market.rule.trading_pair, market)
        self._pairs = {market.symbol: pair for pair, market in self._markets.items()}
        self.rules: Mapping[str, TradingRule] = {
            pair: market.rule for pair, market in self._markets.items() if market.active
        }

    def symbol(self, trading_pair: str) -> str:
        """Return ccxt's symbol of a pair. Raises `Invalid` for a pair that the venue does not trade."""
        return self._market(trading_pair).symbol

    def pair(self, symbol: str) -> str | None:
        """Return the pair of ccxt's symbol, None for a market that is not traded here."""
        return self._pairs.get(symbol)

    def contract_size(self, trading_pair: str) -> Decimal:
        """Return the base in one contract, 1 where amounts are in base. Raises `Invalid` as `symbol` does."""
        return self._market(trading_pair).contract_size

    def _market(self, trading_pair: str) -> Market:
        market = self._markets.get(trading_pair)
        if market is None:
            raise Invalid(f"Trading pair '{trading_pair}' is not traded on this connector")
        return market


async def load(client: VenueClient, connector: Connector) -> Markets:
    """Ask the venue for its markets, anew each time. Raises `Unavailable` or `Refused`."""
    found: Mapping[str, Mapping[str, Any]] = await client.call("load_markets", True)  # noqa: FBT003 - ccxt's `reload`
    return read(found.values(), connector, precision_mode=client.exchange.precisionMode)


def read(found: Iterable[Mapping[str, Any]], connector: Connector, *, precision_mode: int = TICK_SIZE) -> Markets:
    """Return the markets that a connector trades out of all that ccxt knows of an exchange.

    Those are the spot markets, or the linear perpetuals. An inverse contract is worth a fixed number of quote, so that
    its base changes with the price: an amount in base cannot be kept with it.
    """
    markets: list[Market] = []
    for market in sorted((market for market in found if _is_ours(market, connector)), key=_rank):
        try:
            markets.append(_market(market, connector, precision_mode))
        except (ArithmeticError, LookupError, TypeError) as error:
            # One market that is stated in a new way is no reason to trade none of the others.
            logger.warning(
                "market_unreadable", connector=connector.name, symbol=market["symbol"], error=type(error).__name__
            )
    return Markets(markets, is_perpetual=connector.market == "swap")


def _is_ours(market: Mapping[str, Any], connector: Connector) -> bool:
    if "-" in f"{market['base']}{market['quote']}":
        return False
    if connector.market == "spot":
        return market.get("spot") is True
    return market.get("swap") is True and market.get("linear") is True


def _rank(market: Mapping[str, Any]) -> tuple[bool, bool, str]:
    # Of perpetuals on one pair that are settled in different tokens, the one settled in the quote goes first.
    return (market.get("active") is False, market.get("settle") not in {None, market["quote"]}, market["symbol"])


def _market(market: Mapping[str, Any], connector: Connector, mode: int) -> Market:
    size = _number(market.get("contractSize")) or ONE if market.get("contract") else ONE
    limits, precision = market["limits"], market["precision"]
    step = _step(precision["amount"], mode)
    smallest = _number(limits["amount"].get("min")) or ZERO
    quote = market.get("settle") or market["quote"]
    digits = UNBOUNDED
    if connector.exchange_id == "hyperliquid":
        digits, tick = _HYPERLIQUID_DIGITS, ONE.scaleb(-_HYPERLIQUID_DECIMALS[connector.market]) / step
    elif mode == SIGNIFICANT_DIGITS:
        digits, tick = Decimal(str(precision["price"])), ZERO
    else:
        tick = _step(precision["price"], mode)
    return Market(
        symbol=market["symbol"],
        contract_size=plain(size),
        active=market.get("active") is not False,
        rule=TradingRule(
            trading_pair=f"{market['base']}-{connector.quotes.get(market['quote'], market['quote'])}",
            min_order_size=plain(max(smallest, step) * size),
            # The largest size depends on the type of the order and on the account: the venue says where it is.
            min_price_increment=plain(tick),
            min_base_amount_increment=plain(step * size),
            min_notional_size=plain(_number((limits.get("cost") or {}).get("min")) or ZERO),
            max_price_significant_digits=digits,
            supports_market_orders=_takes_market_orders(market["info"]),
            buy_order_collateral_token=quote,
            sell_order_collateral_token=quote,
        ),
    )


def _step(precision: object, mode: int) -> Decimal:
    """Return a precision as the smallest step, 0 where the venue states none."""
    value = _number(precision)
    if value is None or mode == SIGNIFICANT_DIGITS:
        return ZERO
    return ONE.scaleb(-int(value)) if mode == DECIMAL_PLACES else value


def _number(value: object) -> Decimal | None:
    return None if value is None or value == "" else Decimal(str(value))


def _takes_market_orders(info: object) -> bool:
    """Return whether a market takes MARKET orders, where the venue says so; most of them do not need to."""
    if not isinstance(info, Mapping):
        return True
    types = info.get("orderTypes")
    if isinstance(types, list) and types:
        return any(str(kind).upper() == "MARKET" for kind in types)
    return info.get("limit_only") is not True
