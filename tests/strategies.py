"""Controllers and scripts of our own, with the fields, types and defaults that Hummingbot's have under these names.

Their configurations are what matters; each is written in another style that is met in the wild.
"""

_HEAD = """\
from decimal import Decimal
from typing import List, Optional, Union

from pydantic import Field, field_validator

from hummingbot.core.data_type.common import OrderType, PositionMode, TradeType
from hummingbot.strategy_v2.controllers.controller_base import ControllerBase, ControllerConfigBase
from hummingbot.strategy_v2.controllers.directional_trading_controller_base import (
    DirectionalTradingControllerBase,
    DirectionalTradingControllerConfigBase,
)
from hummingbot.strategy_v2.controllers.market_making_controller_base import (
    MarketMakingControllerBase,
    MarketMakingControllerConfigBase,
)
from hummingbot.strategy_v2.executors.data_types import ConnectorPair
from hummingbot.strategy_v2.executors.position_executor.data_types import TrailingStop, TripleBarrierConfig
"""

PMM_SIMPLE = f"""{_HEAD}

class PMMSimpleConfig(MarketMakingControllerConfigBase):
    controller_name: str = "pmm_simple"


class PMMSimple(MarketMakingControllerBase):
    pass
"""

PMM_DYNAMIC = f"""{_HEAD}

class PMMDynamicControllerConfig(MarketMakingControllerConfigBase):
    controller_name: str = "pmm_dynamic"
    candles_connector: str = Field(default=None, json_schema_extra={{"prompt": "Candles of", "prompt_on_new": True}})
    candles_trading_pair: str = Field(default=None)
    interval: str = Field(default="3m")
    macd_fast: int = Field(default=21)
    macd_slow: int = Field(default=42)
    macd_signal: int = Field(default=9)
    natr_length: int = Field(default=14)

    @field_validator("candles_connector", "candles_trading_pair", mode="before")
    @classmethod
    def the_same_market_if_none_is_given(cls, value, info):
        return value or info.data.get("connector_name")


class PMMDynamicController(MarketMakingControllerBase):
    pass
"""

DMAN_MAKER_V2 = f"""{_HEAD}

class DManMakerV2Config(MarketMakingControllerConfigBase):
    controller_name: str = "dman_maker_v2"
    dca_spreads: List[Decimal] = Field(default="0.01,0.02,0.04,0.08")
    dca_amounts: List[Decimal] = Field(default="0.1,0.2,0.4,0.8")
    top_executor_refresh_time: Optional[float] = Field(default=None, json_schema_extra={{"is_updatable": True}})
    executor_activation_bounds: Optional[List[Decimal]] = Field(default=None)
"""

_BANDS = """
    candles_connector: str = Field(default=None)
    candles_trading_pair: str = Field(default=None)
    interval: str = "3m"
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0

    @field_validator("candles_connector", "candles_trading_pair", mode="before")
    @classmethod
    def the_same_market_if_none_is_given(cls, value, info):
        return value or info.data.get("connector_name")
"""

BOLLINGER_V1 = f"""{_HEAD}

class BollingerV1Config(DirectionalTradingControllerConfigBase):
    controller_name: str = "bollinger_v1"
{_BANDS}
"""

BOLLINGER_V2 = BOLLINGER_V1.replace("V1", "V2").replace("bollinger_v1", "bollinger_v2")

# In the style of pydantic 1, and with a base that sorts before the class.
MACD_BB_V1 = """\
from pydantic import Field, validator

from hummingbot.client.config.config_data_types import ClientFieldData
from hummingbot.smart_components.controllers import DirectionalTradingControllerConfigBase


class MACDBBV1Config(DirectionalTradingControllerConfigBase):
    controller_name = "macd_bb_v1"
    candles_connector: str = Field(
        default=None, client_data=ClientFieldData(prompt=lambda mi: "Candles of", prompt_on_new=True)
    )
    candles_trading_pair: str = Field(default=None)
    interval: str = Field(default="3m", client_data=ClientFieldData(is_updatable=True))
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0
    macd_fast: int = 21
    macd_slow: int = 42
    macd_signal: int = 9

    @validator("candles_connector", "candles_trading_pair", pre=True, always=True)
    def the_same_market_if_none_is_given(cls, value, values):
        return value or values.get("connector_name")
"""

SUPERTREND_V1 = f"""{_HEAD}

class SuperTrendConfig(DirectionalTradingControllerConfigBase):
    controller_name: str = "supertrend_v1"
    candles_connector: Optional[str] = Field(default=None)
    candles_trading_pair: Optional[str] = Field(default=None)
    interval: str = Field(default="3m")
    length: int = Field(default=20)
    multiplier: float = Field(default=4.0)
    percentage_threshold: float = Field(default=0.01)
"""

DMAN_V3 = f"""{_HEAD}

class DManV3Config(DirectionalTradingControllerConfigBase):
    controller_name: str = "dman_v3"
    trailing_stop: Optional[TrailingStop] = Field(default="0.015,0.005", json_schema_extra={{"is_updatable": True}})
{_BANDS}
    dca_spreads: List[Decimal] = "0.001,0.018,0.15,0.25"
    dca_amounts_pct: List[Decimal] = None
    dynamic_order_spread: bool = None
    dynamic_target: bool = None
    activation_bounds: Optional[List[Decimal]] = None
"""

ARBITRAGE = f"""{_HEAD}

class ArbitrageConfig(ControllerConfigBase):
    controller_name: str = "arbitrage_controller"
    exchange_pair_1: ConnectorPair = ConnectorPair(connector_name="binance", trading_pair="SOL-USDT")
    exchange_pair_2: ConnectorPair = ConnectorPair(connector_name="jupiter/router", trading_pair="SOL-USDC")
    min_profitability: Decimal = Decimal("0.01")
    delay_between_executors: int = 10
    max_executors_imbalance: int = 1
    rate_connector: str = "binance"
    quote_conversion_asset: str = "USDT"
"""

GRID_STRIKE = f"""{_HEAD}

class GridStrikeConfig(ControllerConfigBase):
    controller_type: str = "generic"
    controller_name: str = "grid_strike"
    total_amount_quote: Decimal = Field(default=Decimal("1000"), json_schema_extra={{"is_updatable": True}})
    leverage: int = 20
    position_mode: PositionMode = PositionMode.HEDGE
    connector_name: str = "okx"
    trading_pair: str = "WLD-USDT"
    side: TradeType = TradeType.BUY
    start_price: Decimal = Field(default=Decimal("0.38"), json_schema_extra={{"is_updatable": True}})
    end_price: Decimal = Decimal("0.75")
    limit_price: Decimal = Decimal("0.35")
    min_spread_between_orders: Optional[Decimal] = Decimal("0.001")
    min_order_amount_quote: Optional[Decimal] = Decimal("5")
    max_open_orders: int = 2
    max_orders_per_batch: Optional[int] = 1
    order_frequency: int = 3
    activation_bounds: Optional[Decimal] = None
    keep_position: bool = False
    triple_barrier_config: TripleBarrierConfig = TripleBarrierConfig(
        take_profit=Decimal("0.001"),
        open_order_type=OrderType.LIMIT_MAKER,
        take_profit_order_type=OrderType.LIMIT_MAKER,
    )
"""

XEMM = f"""{_HEAD}

class XEMMConfig(ControllerConfigBase):
    controller_name: str = "xemm_multiple_levels"
    maker_connector: str = "mexc"
    maker_trading_pair: str = "PEPE-USDT"
    taker_connector: str = "binance"
    taker_trading_pair: str = "PEPE-USDT"
    buy_levels_targets_amount: List[List[Decimal]] = "0.003,10-0.006,20-0.009,30"
    sell_levels_targets_amount: List[List[Decimal]] = "0.003,10-0.006,20-0.009,30"
    min_profitability: Decimal = 0.003
    max_profitability: Decimal = 0.01
    max_executors_imbalance: int = 1
"""

_MISTER_NUMBERS = "\n".join(
    f'    {name}: Decimal = Field(default=Decimal("{value}"), json_schema_extra={{"is_updatable": True}})'
    for name, value in (("portfolio_allocation", "0.1"), ("target_base_pct", "0.5"), ("min_base_pct", "0.3"))
)

PMM_MISTER = f"""{_HEAD}

class PMMMisterConfig(ControllerConfigBase):
    controller_type: str = "generic"
    controller_name: str = "pmm_mister"
    connector_name: str = Field("binance")
    trading_pair: str = Field("BTC-USDT")
{_MISTER_NUMBERS}
    max_base_pct: Decimal = Field(default=Decimal("0.7"))
    buy_spreads: List[float] = "0.0005"
    sell_spreads: List[float] = "0.0005"
    buy_amounts_pct: Union[List[Decimal], None] = "1"
    sell_amounts_pct: Union[List[Decimal], None] = "1"
    executor_refresh_time: int = 30
    buy_cooldown_time: int = 60
    sell_cooldown_time: int = 60
    buy_position_effectivization_time: int = 2 * 60
    sell_position_effectivization_time: int = 2 * 60
    price_distance_tolerance: Decimal = Decimal("0.0005")
    refresh_tolerance: Decimal = Decimal("0.0005")
    tolerance_scaling: Decimal = Decimal("1.2")
    leverage: int = 20
    position_mode: PositionMode = PositionMode.ONEWAY
    position_side: TradeType = "BUY"
    take_profit: Optional[Decimal] = Field(default=Decimal("0.0001"), gt=0)
    take_profit_order_type: Optional[OrderType] = OrderType.LIMIT_MAKER
    open_order_type: Optional[OrderType] = OrderType.LIMIT_MAKER
    max_active_executors_by_level: Optional[int] = 4
    tick_mode: bool = False
    position_profit_protection: bool = False
    min_skew: Decimal = Decimal("1.0")
    global_take_profit: Decimal = Decimal("0.03")
    global_stop_loss: Decimal = Decimal("0.05")
    global_tp_enabled: bool = False
    global_sl_enabled: bool = False
    global_tp_activation_from: str = "min_base"
    global_sl_activation_from: str = "target_base"
    global_pnl_reference: str = "position"
"""

CONTROLLERS = {
    "directional_trading/bollinger_v1": BOLLINGER_V1,
    "directional_trading/bollinger_v2": BOLLINGER_V2,
    "directional_trading/dman_v3": DMAN_V3,
    "directional_trading/macd_bb_v1": MACD_BB_V1,
    "directional_trading/supertrend_v1": SUPERTREND_V1,
    "generic/arbitrage_controller": ARBITRAGE,
    "generic/grid_strike": GRID_STRIKE,
    "generic/pmm_mister": PMM_MISTER,
    "generic/xemm_multiple_levels": XEMM,
    "market_making/dman_maker_v2": DMAN_MAKER_V2,
    "market_making/pmm_dynamic": PMM_DYNAMIC,
    "market_making/pmm_simple": PMM_SIMPLE,
}
"""Type and name → source."""

V2_WITH_CONTROLLERS = """\
import os
from decimal import Decimal
from typing import Optional

from hummingbot.strategy.strategy_v2_base import StrategyV2Base, StrategyV2ConfigBase


class V2WithControllersConfig(StrategyV2ConfigBase):
    script_file_name: str = os.path.basename(__file__)
    max_global_drawdown_quote: Optional[float] = None
    max_controller_drawdown_quote: Optional[float] = None


class V2WithControllers(StrategyV2Base):
    pass
"""
