"""What a venue offers: trading rules, order types, the fields of its credentials.

A *connector* is a venue under Hummingbot's name for it (`binance_perpetual`). Connectors have no events of their own.
"""

from decimal import Decimal

import msgspec

UNBOUNDED = Decimal("1e56")
"""Hummingbot's number for "no bound" in trading rules (`hummingbot trading_rule.pyx s_decimal_max`)."""


class TradingRule(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes a venue accepts for one pair.

    Amounts and steps in base, prices in quote per base, notional in quote.
    """

    trading_pair: str
    min_order_size: Decimal
    max_order_size: Decimal = UNBOUNDED
    min_price_increment: Decimal
    min_base_amount_increment: Decimal
    min_quote_amount_increment: Decimal = Decimal("1e-56")
    min_notional_size: Decimal = Decimal(0)
    min_order_value: Decimal = Decimal(0)
    max_price_significant_digits: Decimal = UNBOUNDED
    supports_limit_orders: bool = True
    supports_market_orders: bool = True
    buy_order_collateral_token: str
    sell_order_collateral_token: str


class ConfigField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field that a connector's credentials have. `type` is the reference's word for it (`SecretStr`, `bool`)."""

    type: str
    required: bool
    allowed_values: list[str] | None = None
