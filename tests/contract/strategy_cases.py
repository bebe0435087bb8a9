"""Every recorded answer about strategies, and the request to ours that has to answer alike.

Most are the recorded requests themselves; others name something that stays, or goes, in a test of its own.
"""

from tests.contract.cases import Case, Json, get

BOT = "peerbot-20261122-062610"
HEADLESS = "headlessbot-20261122-063121"
_CONFIG: Json = {
    "id": "pmm_btc",
    "controller_name": "pmm_simple",
    "controller_type": "market_making",
    "connector_name": "binance_paper_trade",
    "trading_pair": "BTC-USDT",
    "total_amount_quote": 500,
    "buy_spreads": [0.001, 0.002],
    "sell_spreads": [0.001, 0.002],
    "buy_amounts_pct": [50, 50],
    "sell_amounts_pct": [50, 50],
    "executor_refresh_time": 15,
    "cooldown_time": 5,
    "leverage": 1,
    "position_mode": "HEDGE",
    "take_profit": 0.0015,
    "stop_loss": 0.01,
    "time_limit": 300,
    "take_profit_order_type": 2,
    "manual_kill_switch": False,
}
_TEMPLATES = {
    "": "market_making/pmm_simple",
    "__arbitrage_controller": "generic/arbitrage_controller",
    "__bollinger_v1": "directional_trading/bollinger_v1",
    "__bollinger_v2": "directional_trading/bollinger_v2",
    "__dman_maker_v2": "market_making/dman_maker_v2",
    "__dman_v3": "directional_trading/dman_v3",
    "__grid_strike": "generic/grid_strike",
    "__macd_bb_v1": "directional_trading/macd_bb_v1",
    "__pmm_dynamic": "market_making/pmm_dynamic",
    "__pmm_mister": "generic/pmm_mister",
    "__supertrend_v1": "directional_trading/supertrend_v1",
    "__xemm_multiple_levels": "generic/xemm_multiple_levels",
}
_VALIDATE = "/controllers/market_making/pmm_simple/config/validate"

CONTROLLERS = {
    "create_or_update_controller": Case(
        path="/controllers/generic/golden_ctrl", body={"content": "X = 1\n", "type": "generic"}
    ),
    "create_or_update_controller__missing_content": Case(path="/controllers/generic/golden_ctrl", body={}),
    "create_or_update_controller__type_mismatch": Case(
        path="/controllers/generic/golden_ctrl",
        body={"content": "X = 1\n", "type": "market_making"},
        words="Controller type mismatch",
    ),
    **{
        f"create_or_update_controller_config{case}": Case(path="/controllers/configs/to_delete", body=_CONFIG)
        for case in ("", "__again", "__bollinger", "__update")
    },
    "delete_controller": Case(method="DELETE", path="/controllers/generic/to_delete"),
    "delete_controller__unknown": Case(method="DELETE", path="/controllers/generic/nope", words="'nope' not found"),
    "delete_controller_config": Case(method="DELETE", path="/controllers/configs/to_delete"),
    "delete_controller_config__unknown": Case(method="DELETE", path="/controllers/configs/nope", words="'nope'"),
    "get_bot_controller_configs__live": get(f"/controllers/bots/{BOT}/configs"),
    "get_bot_controller_configs__live_after_update": get(f"/controllers/bots/{BOT}/configs"),
    "get_bot_controller_configs__live_headless": get(f"/controllers/bots/{HEADLESS}/configs"),
    "get_bot_controller_configs__unknown": get("/controllers/bots/nobot/configs", words="'nobot'"),
    "get_controller": get("/controllers/market_making/pmm_simple"),
    "get_controller__bad_type": get("/controllers/bad_type/nope"),
    "get_controller__custom": get("/controllers/generic/golden_ctrl"),
    "get_controller__unknown": get("/controllers/market_making/nope", words="'nope' not found in 'market_making'"),
    "get_controller_config": get("/controllers/configs/kept"),
    "get_controller_config__unknown": get("/controllers/configs/nope", words="Configuration 'nope' not found"),
    **{
        f"get_controller_config_template{case}": get(f"/controllers/{controller}/config/template")
        for case, controller in _TEMPLATES.items()
    },
    "get_controller_config_template__no_class": get(
        "/controllers/generic/golden_ctrl/config/template", words="'golden_ctrl' not found"
    ),
    "list_controller_configs": get("/controllers/configs/"),
    "list_controller_configs__empty": get("/controllers/configs/"),
    "list_controllers": get("/controllers/"),
    "update_bot_controller_config__live": Case(
        path=f"/controllers/bots/{BOT}/pmm_btc/config", body={"total_amount_quote": 600}
    ),
    "update_bot_controller_config__live_kill_switch": Case(
        path=f"/controllers/bots/{HEADLESS}/pmm_perp_btc/config", body={"manual_kill_switch": True}
    ),
    "update_bot_controller_config__live_kill_switch_off": Case(
        path=f"/controllers/bots/{HEADLESS}/pmm_perp_btc/config", body={"manual_kill_switch": False}
    ),
    "update_bot_controller_config__live_unknown_controller": Case(
        path=f"/controllers/bots/{BOT}/nope/config", body={"a": 1}, words="'nope'"
    ),
    "update_bot_controller_config__unknown": Case(
        path="/controllers/bots/nobot/x/config", body={"a": 1}, words="'nobot'"
    ),
    "validate_controller_config": Case(path=_VALIDATE, body=_CONFIG),
    "validate_controller_config__invalid": Case(
        path=_VALIDATE,
        body={**_CONFIG, "total_amount_quote": "abc", "leverage": "x"},
        words="2 validation errors for ",
    ),
    "validate_controller_config__unknown": Case(
        path="/controllers/market_making/nope/config/validate", body=_CONFIG, words="class for 'nope' not found"
    ),
}
_SCRIPT: Json = {"script_file_name": "v2_with_controllers.py", "controllers_config": ["pmm_btc.yml", "boll_eth.yml"]}
SCRIPTS = {
    "create_or_update_script": Case(path="/scripts/golden_script", body={"content": "X = 1\n"}),
    "create_or_update_script__missing_content": Case(path="/scripts/golden_script", body={}),
    "create_or_update_script_config": Case(path="/scripts/configs/golden_conf", body=_SCRIPT),
    "delete_script": Case(method="DELETE", path="/scripts/to_delete"),
    "delete_script__unknown": Case(method="DELETE", path="/scripts/nope", words="Script 'nope' not found"),
    "delete_script_config": Case(method="DELETE", path="/scripts/configs/to_delete"),
    "delete_script_config__unknown": Case(method="DELETE", path="/scripts/configs/nope", words="'nope' not found"),
    "get_script": get("/scripts/v2_with_controllers"),
    "get_script__unknown": get("/scripts/nope", words="Script 'nope' not found"),
    "get_script_config": get("/scripts/configs/kept"),
    "get_script_config__unknown": get("/scripts/configs/nope", words="Configuration 'nope' not found"),
    "get_script_config_template": get("/scripts/v2_with_controllers/config/template"),
    "get_script_config_template__golden": get("/scripts/golden/config/template"),
    "get_script_config_template__unknown": get("/scripts/nope/config/template", words="class for 'nope' not found"),
    "list_script_configs": get("/scripts/configs/"),
    "list_script_configs__empty": get("/scripts/configs/"),
    "list_script_configs__live": get("/scripts/configs/"),
    "list_scripts": get("/scripts/"),
}
CASES = {
    f"{area}/{name}": case
    for area, cases in (("controllers", CONTROLLERS), ("scripts", SCRIPTS))
    for name, case in cases.items()
}
