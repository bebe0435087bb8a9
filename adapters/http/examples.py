"""Make an example of a body from its schema: the same one every time, with values that make sense here."""

from typing import Any

Json = dict[str, Any]

CONTROLLER_CONFIG: Json = {
    "id": "pmm_btc",
    "controller_type": "market_making",
    "controller_name": "pmm_simple",
    "connector_name": "binance_paper_trade",
    "trading_pair": "BTC-USDT",
    "total_amount_quote": 1000,
}
SCRIPT_CONFIG: Json = {"script_file_name": "v2_with_controllers.py", "controllers_config": ["pmm_btc.yml"]}
"""Bodies whose schema says nothing of what is in them."""

_BOT = "grid-20260102-030405"
_IMAGE = "hummingbot/hummingbot:latest"
_BY_NAME: Json = {
    "account_name": "master_account",
    "account_names": ["master_account"],
    "active_bots": [_BOT],
    "actual_bot_name": _BOT,
    "amount": "0.01",
    "bot_name": _BOT,
    "broker_host": "127.0.0.1",
    "broker_port": 1883,
    "client_order_id": "n0190f3a5c2b84d0f9d1a6f5e3c7b2a10",
    "config_name": "pmm_btc",
    "connector_name": "paper",
    "connector_names": ["paper"],
    "container_name": _BOT,
    "controller_id": "pmm_btc",
    "controllers_config": ["pmm_btc"],
    "controllers_deployed": ["pmm_btc"],
    "credentials_profile": "master_account",
    "deployed_at": "2026-01-02T03:04:05+00:00",
    "deployment_status": "DEPLOYED",
    "detail": "Account 'nobody' not found",
    "discovered_bots": [_BOT],
    "exchange_order_id": "1042",
    "image": _IMAGE,
    "image_name": _IMAGE,
    "image_version": _IMAGE,
    "input_name": _BOT,
    "instance_name": _BOT,
    "interval": "1h",
    "level_name": "INFO",
    "level_no": 20,
    "leverage": 10,
    "limit": 100,
    "logger_name": "hummingbot.strategy.strategy_v2_base",
    "max_controller_drawdown_quote": 50,
    "max_global_drawdown_quote": 100,
    "message": "Done",
    "msg": "The strategy has started.",
    "order_id": "n0190f3a5c2b84d0f9d1a6f5e3c7b2a10",
    "position_mode": "HEDGE",
    "price": "50000",
    "process": "The bot is told to stop; when it has, its files are archived",
    "reason": None,
    "run_status": "RUNNING",
    "script": "v2_with_controllers.py",
    "script_config": "grid.yml",
    "script_config_generated": f"{_BOT}.yml",
    "script_file_name": "v2_with_controllers.py",
    "state": "accepted",
    "status": "submitted",
    "stopped_at": None,
    "strategy": "pure_mm_btc",
    "strategy_name": "v2_with_controllers",
    "strategy_type": "controller",
    "trading_pair": "BTC-USDT",
    "trading_pairs": ["BTC-USDT"],
    "unique_instance_name": _BOT,
}
_BY_TYPE: Json = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None, "object": {}}
_BY_FORMAT = {
    "date-time": "2026-01-02T03:04:05Z",
    "uuid": "0190f3a5-c2b8-4d0f-9d1a-6f5e3c7b2a10",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}
_DEPTH = 6


def example(schema: Json, schemas: Json, name: str = "", depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Return an example of what `schema` describes; it may refer to `schemas`; `name` is the field it is for."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("default") is not None:
        return schema["default"]
    if name in _BY_NAME and _takes(schema, schemas, _BY_NAME[name]):
        return _BY_NAME[name]
    if depth > _DEPTH:
        return None
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return example(schema[union][0], schemas, name, depth + 1)
    return _of_type(schema, schemas, name, depth)


def _takes(schema: Json, schemas: Json, value: object) -> bool:
    """Whether a schema takes a value, as far as its kind goes: fields of one name may be of several."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return any(_takes(kind, schemas, value) for kind in schema[union])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return not kinds or any(isinstance(value, _TYPES.get(kind, ())) for kind in kinds)


def _of_type(schema: Json, schemas: Json, name: str, depth: int) -> Any:  # noqa: ANN401 - any JSON
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if "properties" in schema:
        return {key: example(value, schemas, key, depth + 1) for key, value in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example(schema.get("items", {}), schemas, name, depth + 1)]
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return {"BTC-USDT": example(schema["additionalProperties"], schemas, "", depth + 1)}
    kind = schema.get("type", "object")
    first = kind[0] if isinstance(kind, list) else kind
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE[first])
