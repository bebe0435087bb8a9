"""What connectors there are, and what they take."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from domain.connectors import ConfigField, TradingRule
from read_api.pages import described
from read_api.ports import Markets


class RuleItem(msgspec.Struct, frozen=True, kw_only=True):
    """A trading rule on the wire; 1e56 is no bound."""

    min_order_size: float
    max_order_size: float
    min_price_increment: float
    min_base_amount_increment: float
    min_quote_amount_increment: float
    min_notional_size: float
    min_order_value: float
    max_price_significant_digits: float
    supports_limit_orders: bool
    supports_market_orders: bool
    buy_order_collateral_token: str
    sell_order_collateral_token: str


class OrderTypes(msgspec.Struct, frozen=True, kw_only=True):
    """The types of order that a connector takes."""

    connector: str
    supported_order_types: list[str]


def on_the_wire(rule: TradingRule) -> RuleItem:
    """Return a trading rule as clients read it."""
    return RuleItem(
        min_order_size=float(rule.min_order_size),
        max_order_size=float(rule.max_order_size),
        min_price_increment=float(rule.min_price_increment),
        min_base_amount_increment=float(rule.min_base_amount_increment),
        min_quote_amount_increment=float(rule.min_quote_amount_increment),
        min_notional_size=float(rule.min_notional_size),
        min_order_value=float(rule.min_order_value),
        max_price_significant_digits=float(rule.max_price_significant_digits),
        supports_limit_orders=rule.supports_limit_orders,
        supports_market_orders=rule.supports_market_orders,
        buy_order_collateral_token=rule.buy_order_collateral_token,
        sell_order_collateral_token=rule.sell_order_collateral_token,
    )


class Connectors(Controller):
    """Connectors, as they are."""

    path = "/connectors"
    tags = ("Connectors",)

    @get("/", status_code=200, summary="List the connectors", responses=described(list[str], "Names of connectors"))
    async def all(self, markets: NamedDependency[Markets]) -> Answer:
        """Answer the names of the connectors that this server can trade on."""
        return Answer(200, encode(list(markets.connectors())))

    @get(
        "/{connector_name:str}/config-map",
        status_code=200,
        summary="Say which credentials a connector needs",
        responses=described(dict[str, ConfigField], "Name of the field → what it takes"),
    )
    async def config_map(self, connector_name: FromPath[str], markets: NamedDependency[Markets]) -> Answer:
        """Answer the fields of its credentials."""
        return Answer(200, encode(markets.config_map(connector_name)))

    @get(
        "/{connector_name:str}/trading-rules",
        status_code=200,
        summary="Say which orders a connector takes",
        responses=described(dict[str, RuleItem], "Trading pair → its rule"),
    )
    async def trading_rules(
        self,
        connector_name: FromPath[str],
        markets: NamedDependency[Markets],
        trading_pairs: FromQuery[list[str] | None] = None,
    ) -> Answer:
        """Answer the rules of all pairs, or of those named that it trades."""
        rules = await markets.exchange(connector_name).trading_rules()
        wanted = [pair for pair in trading_pairs if pair in rules] if trading_pairs else list(rules)
        return Answer(200, encode({pair: on_the_wire(rules[pair]) for pair in wanted}))

    @get(
        "/{connector_name:str}/order-types",
        status_code=200,
        summary="Say which types of order a connector takes",
        responses=described(OrderTypes, "Types of order"),
    )
    async def order_types(self, connector_name: FromPath[str], markets: NamedDependency[Markets]) -> Answer:
        """Answer the types."""
        types = [kind.value for kind in markets.exchange(connector_name).order_types]
        return Answer(200, encode(OrderTypes(connector=connector_name, supported_order_types=types)))
