"""What Hummingbot's own configuration classes hold: facts of hummingbot 20260922, to read what inherits from them.

Types and defaults are Python expressions, as a file that imports `IMPORTS` would write them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Takes = Literal["", "numbers", "number", "member", "pair", "names", "any"]
"""What a field takes beside values of its type, because a validator makes one of it first.

`numbers`: one number, or a text of numbers between commas; `number`: a text of a number, empty for none; `member`: the
name of an enum's member; `pair`: a text of two numbers; `names`: a text of names between commas; `any`: nobody knows.
"""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a class. `default` is None where it must be given; `bounds` are rule → number (`gt` → `0`)."""

    name: str
    type: str
    default: str | None = None
    prompt: str = ""
    updatable: bool = False
    takes: Takes = ""
    bounds: Mapping[str, str] = {}


_ABOVE_0 = {"gt": "0"}
_COMMON = "hummingbot.core.data_type.common"
_POSITION = "hummingbot.strategy_v2.executors.position_executor.data_types"

PATHS: Mapping[str, str] = {
    **{
        name: f"{_COMMON}.{name}"
        for name in (
            "LPType",
            "OrderType",
            "PositionAction",
            "PositionMode",
            "PositionSide",
            "PriceType",
            "TradeType",
        )
    },
    "CandlesConfig": "hummingbot.data_feed.candles_feed.data_types.CandlesConfig",
    "ConnectorPair": "hummingbot.strategy_v2.executors.data_types.ConnectorPair",
    "ExecutionStrategy": "hummingbot.strategy_v2.executors.order_executor.data_types.ExecutionStrategy",
    "InitialPositionConfig": "hummingbot.strategy_v2.models.position_config.InitialPositionConfig",
    "LimitChaserConfig": "hummingbot.strategy_v2.executors.order_executor.data_types.LimitChaserConfig",
    "TrailingStop": f"{_POSITION}.TrailingStop",
    "TripleBarrierConfig": f"{_POSITION}.TripleBarrierConfig",
}
"""Where each class stands; other modules of Hummingbot hand it on."""

IMPORTS: Mapping[str, str] = {
    **PATHS,
    "Decimal": "decimal.Decimal",
    "List": "typing.List",
    "Optional": "typing.Optional",
}

ENUMS: Mapping[str, Mapping[str, object]] = {
    "ExecutionStrategy": {name: name for name in ("LIMIT", "LIMIT_MAKER", "MARKET", "LIMIT_CHASER")},
    "LPType": {"ADD": 1, "REMOVE": 2, "COLLECT": 3},
    "OrderType": {"MARKET": 1, "LIMIT": 2, "LIMIT_MAKER": 3, "AMM_SWAP": 4, "AMM_ADD": 5, "AMM_REMOVE": 6},
    "PositionAction": {name: name for name in ("OPEN", "CLOSE", "NIL")},
    "PositionMode": {name: name for name in ("HEDGE", "ONEWAY")},
    "PositionSide": {name: name for name in ("LONG", "SHORT", "BOTH")},
    "PriceType": {
        "MidPrice": 1,
        "BestBid": 2,
        "BestAsk": 3,
        "LastTrade": 4,
        "LastOwnTrade": 5,
        "InventoryCost": 6,
        "Custom": 7,
    },
    "TradeType": {"BUY": 1, "SELL": 2, "RANGE": 3},
}
"""Enum → member → value."""

MODELS: Mapping[str, Sequence[Fact]] = {
    "CandlesConfig": (
        Fact(name="connector", type="str"),
        Fact(name="trading_pair", type="str"),
        Fact(name="interval", type="str", default="'1m'"),
        Fact(name="max_records", type="int", default="500"),
    ),
    "ConnectorPair": (Fact(name="connector_name", type="str"), Fact(name="trading_pair", type="str")),
    "InitialPositionConfig": (
        Fact(name="connector_name", type="str"),
        Fact(name="trading_pair", type="str"),
        Fact(name="amount", type="Decimal"),
        Fact(name="side", type="TradeType", takes="member"),
    ),
    "LimitChaserConfig": (
        Fact(name="distance", type="Decimal", bounds=_ABOVE_0),
        Fact(name="refresh_threshold", type="Decimal", bounds=_ABOVE_0),
    ),
    "TrailingStop": (
        Fact(name="activation_price", type="Decimal", bounds=_ABOVE_0),
        Fact(name="trailing_delta", type="Decimal", bounds=_ABOVE_0),
    ),
    "TripleBarrierConfig": (
        Fact(name="stop_loss", type="Optional[Decimal]", default="None", bounds=_ABOVE_0),
        Fact(name="take_profit", type="Optional[Decimal]", default="None", bounds=_ABOVE_0),
        Fact(name="time_limit", type="Optional[int]", default="None", bounds=_ABOVE_0),
        Fact(name="trailing_stop", type="Optional[TrailingStop]", default="None"),
        Fact(name="open_order_type", type="OrderType", default="OrderType.LIMIT"),
        Fact(name="take_profit_order_type", type="OrderType", default="OrderType.MARKET"),
        Fact(name="stop_loss_order_type", type="OrderType", default="OrderType.MARKET"),
        Fact(name="time_limit_order_type", type="OrderType", default="OrderType.MARKET"),
    ),
}
"""Model → its fields; none of them refuses fields that it does not know."""

_SCRIPT = (
    Fact(name="script_file_name", type="str", default="''"),
    Fact(
        name="controllers_config",
        type="List[str]",
        default="[]",
        prompt="Configurations of controllers, with commas between them",
        takes="names",
    ),
)
_CONTROLLER = (
    Fact(name="id", type="str"),
    Fact(name="controller_name", type="str"),
    Fact(name="controller_type", type="str", default="'generic'"),
    Fact(
        name="total_amount_quote",
        type="Decimal",
        default="Decimal('100')",
        prompt="Amount to trade with, in quote",
        updatable=True,
    ),
    Fact(name="manual_kill_switch", type="bool", default="False", updatable=True),
    Fact(
        name="initial_positions",
        type="List[InitialPositionConfig]",
        default="[]",
        prompt="Positions that the account holds already",
    ),
)
_MARKET = (
    Fact(name="connector_name", type="str", default="'binance_perpetual'", prompt="Connector to trade on"),
    Fact(name="trading_pair", type="str", default="'WLD-USDT'", prompt="Trading pair"),
)
_MARGIN = (
    Fact(name="leverage", type="int", default="20", prompt="Leverage, 1 on spot"),
    Fact(
        name="position_mode",
        type="PositionMode",
        default="'HEDGE'",
        prompt="Position mode: HEDGE or ONEWAY",
        takes="member",
    ),
)


def _share(name: str, default: str, prompt: str) -> Fact:
    return Fact(
        name=name,
        type="Optional[Decimal]",
        default=default,
        prompt=prompt,
        updatable=True,
        takes="number",
        bounds=_ABOVE_0,
    )


_BARRIERS = (
    _share("stop_loss", "Decimal('0.03')", "Stop loss as a share of the price"),
    _share("take_profit", "Decimal('0.02')", "Take profit as a share of the price"),
    Fact(
        name="time_limit",
        type="Optional[int]",
        default="2700",
        prompt="Time limit in seconds",
        updatable=True,
        takes="number",
        bounds=_ABOVE_0,
    ),
    Fact(
        name="take_profit_order_type",
        type="OrderType",
        default="OrderType.LIMIT",
        prompt="Order type of the take profit",
        updatable=True,
        takes="member",
    ),
    Fact(
        name="trailing_stop",
        type="Optional[TrailingStop]",
        default="None",
        prompt="Trailing stop: activation price and delta, with a comma between them",
        updatable=True,
        takes="pair",
    ),
)


def _listed(name: str, type_: str, default: str, prompt: str) -> Fact:
    return Fact(name=name, type=type_, default=default, prompt=prompt, updatable=True, takes="numbers")


_SHARES = "Optional[List[Decimal]]"

Base = Literal["scripts", "controllers"]

BASES: Mapping[str, tuple[Base, Sequence[Fact]]] = {
    # Scripts that use no V2 strategy inherit from this one, which has no fields.
    "BaseClientModel": ("scripts", ()),
    "StrategyV2ConfigBase": ("scripts", _SCRIPT),
    "ControllerConfigBase": ("controllers", _CONTROLLER),
    "DirectionalTradingControllerConfigBase": (
        "controllers",
        (
            *_CONTROLLER[:2],
            Fact(name="controller_type", type="str", default="'directional_trading'"),
            *_CONTROLLER[3:],
            *_MARKET,
            Fact(
                name="max_executors_per_side",
                type="int",
                default="2",
                prompt="Executors at a time, on each side",
                updatable=True,
            ),
            Fact(
                name="cooldown_time",
                type="int",
                default="300",
                prompt="Seconds to wait after a signal",
                updatable=True,
                bounds=_ABOVE_0,
            ),
            *_MARGIN,
            *_BARRIERS,
        ),
    ),
    "MarketMakingControllerConfigBase": (
        "controllers",
        (
            *_CONTROLLER[:2],
            Fact(name="controller_type", type="str", default="'market_making'"),
            *_CONTROLLER[3:],
            *_MARKET,
            _listed("buy_spreads", "List[float]", "'0.01,0.02'", "Spreads of buy orders, with commas between them"),
            _listed("sell_spreads", "List[float]", "'0.01,0.02'", "Spreads of sell orders, with commas between them"),
            _listed("buy_amounts_pct", _SHARES, "None", "Weights of buy orders; all the same if there are none"),
            _listed("sell_amounts_pct", _SHARES, "None", "Weights of sell orders; all the same if there are none"),
            Fact(
                name="executor_refresh_time",
                type="int",
                default="300",
                prompt="Seconds after which orders are placed anew",
                updatable=True,
            ),
            Fact(
                name="cooldown_time",
                type="int",
                default="15",
                prompt="Seconds to wait after a trade",
                updatable=True,
            ),
            *_MARGIN,
            *_BARRIERS,
            Fact(
                name="position_rebalance_threshold_pct",
                type="Decimal",
                default="Decimal('0.05')",
                prompt="Share of the position from which it is rebalanced",
                updatable=True,
                takes="number",
            ),
            Fact(name="skip_rebalance", type="bool", default="False"),
        ),
    ),
}
"""Configuration class → whose it is, and all its fields, inherited ones too. None takes fields it does not know."""
