"""Configuration classes on the wire: what a user may fill in, and what is wrong with what was filled in."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice

from domain.errors import Invalid
from domain.strategies.configs import ConfigClass, Field
from domain.strategies.expressions import Made, Member, Undefined, Unread
from domain.strategies.types import Wrong, is_member, number_of, out_of_bounds, wrong
from domain.values import Json

_PROBLEMS = 100
_SHOWN = 200


def controller_template(config: ConfigClass) -> Json:
    """Return field → its default, its type as Python shows it, whether it must be given, and what it is for."""
    return {
        _text(field.name): {
            "default": _plain(field.default),
            "type": _text(str(field.type)),
            "required": field.required,
            "prompt": _text(field.prompt) or None,
            "updatable": field.updatable,
        }
        for field in config.fields
    }


def script_template(config: ConfigClass) -> Json:
    """Return field → its default, null for one that must be given."""
    return {
        _text(field.name): None if isinstance(field.default, Undefined) else _plain(field.default)
        for field in config.fields
    }


def check(config: ConfigClass, content: Mapping[str, object]) -> None:
    """Refuse what is no configuration of a class. Raises `Invalid` with all that is wrong, up to a hundred things."""
    found = list(islice(_wrong(config, content), _PROBLEMS))
    if found:
        count = f"{len(found)} validation error{'s' * (len(found) > 1)} for {config.name}"
        lines = [f"{at}\n  {should}, got {_shown(value)}" for at, should, value in found]
        raise Invalid("\n".join([count, *lines]))


def _wrong(config: ConfigClass, content: Mapping[str, object]) -> Iterator[Wrong]:
    known = {field.name: field for field in config.fields}
    for name, field in known.items():
        if name in content:
            yield from _wrong_value(field, content[name])
        elif field.required and not config.remade:
            yield name, "Field required", content
    if config.closed and not config.remade:
        for name in content:
            if name not in known:
                yield name, "Extra inputs are not permitted", content[name]


def _wrong_value(field: Field, value: object) -> Iterator[Wrong]:
    """Yield what is wrong with a field. What its validator takes beside its type is looked at first."""
    at = field.name
    match field.takes, value:
        case "any", _:
            return
        case "number" | "pair" | "numbers" | "names", "":
            return
        case "numbers" | "names", None:
            return
        case "names", str():
            return
        case "numbers", str():
            if any(number_of(part) is None for part in value.split(",")):
                yield at, "Input should be numbers with commas between them", value
            return
        case "numbers", int() | float() if not isinstance(value, bool):
            return
        case "pair", str():
            parts = [number_of(part) for part in value.split(",")]
            if len(parts) != len(("activation", "delta")) or None in parts:
                yield at, "Input should be two numbers with a comma between them", value
            return
        case "member", _ if is_member(field.type, value):
            return
        case "member", None if at == "take_profit_order_type":  # what it then is, is MARKET
            return
    found = list(wrong(field.type, value, at))
    yield from found or out_of_bounds(field.bounds, value, at)


def _plain(value: object) -> object:
    match value:
        case Undefined():
            return value.value
        case str():
            return _text(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal() | Member() | Made() | Unread():
            return _text(str(value))
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {_text(key): _plain(item) for key, item in value.items()}
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    # Half a surrogate pair is a text in Python, and none in JSON.
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(value: object) -> str:
    text = _text(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
