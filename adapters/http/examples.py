"""Make an example of a body from its schema: the same one every time, with values that make sense here."""

from typing import Any

Json = dict[str, Any]

_BY_NAME: Json = {
    "account_name": "master_account",
    "account_names": ["master_account"],
    "amount": "0.01",
    "client_order_id": "n0190f3a5c2b84d0f9d1a6f5e3c7b2a10",
    "connector_name": "paper",
    "connector_names": ["paper"],
    "detail": "Account 'nobody' not found",
    "exchange_order_id": "1042",
    "interval": "1h",
    "leverage": 10,
    "limit": 100,
    "message": "Done",
    "order_id": "n0190f3a5c2b84d0f9d1a6f5e3c7b2a10",
    "position_mode": "HEDGE",
    "price": "50000",
    "reason": None,
    "state": "accepted",
    "status": "submitted",
    "trading_pair": "BTC-USDT",
    "trading_pairs": ["BTC-USDT"],
}
_BY_TYPE: Json = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None, "object": {}}
_BY_FORMAT = {
    "date-time": "2026-01-02T03:04:05Z",
    "uuid": "0190f3a5-c2b8-4d0f-9d1a-6f5e3c7b2a10",
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
    if name in _BY_NAME and schema.get("type") != "object":
        return _BY_NAME[name]
    if depth > _DEPTH:
        return None
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return example(schema[union][0], schemas, name, depth + 1)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Json, schemas: Json, name: str, depth: int) -> Any:  # noqa: ANN401 - any JSON
    if schema.get("default") is not None:
        return schema["default"]
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
