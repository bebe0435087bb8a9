"""List everything that is wrong with a value, in the words and the shape that clients of the contract read.

Only refused requests come here; a good one is decoded straight into its type (`bodies.py`). The kinds and messages are
those of pydantic, whose shape the contract is: `{"type", "loc", "msg", "input"}`, and `ctx` with the rule's own bounds.
"""

import enum
import math
import operator
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import inspect

Location = tuple[str | int, ...]

WHOLE_DIGITS = 19
DECIMAL_PLACES = 18
_INTEGER_BITS = 63
_BEYOND = 1 << 80
_SHOWN_BYTES = 2_000
_SHOWN_CHARACTERS = 200
_CONVERTED: dict[type[inspect.Type], tuple[object, str, str]] = {
    inspect.DateTimeType: (
        Annotated[datetime, msgspec.Meta(tz=True)],
        "datetime_parsing",
        "Input should be a valid datetime with a time zone",
    ),
    inspect.UUIDType: (UUID, "uuid_parsing", "Input should be a valid UUID"),
}
_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("gt", operator.le, "greater_than"),
    ("ge", operator.lt, "greater_than_equal"),
    ("lt", operator.ge, "less_than"),
    ("le", operator.gt, "less_than_equal"),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong: its kind, where it stands (outermost first), what the rule says, and what came."""

    type: str
    loc: Location
    msg: str
    input: object
    ctx: dict[str, object] | None = None


def problems(annotation: object, value: object, location: Location) -> Iterator[Problem]:
    """Yield what keeps `value`, decoded JSON or the text of a parameter, from being an `annotation`."""
    yield from _in(_info(annotation), value, location)


def missing(location: Location, parent: object) -> Problem:
    """Return the problem that a required value is not there; `parent` is what it is not in."""
    return Problem(type="missing", loc=location, msg="Field required", input=shown(parent))


def shown(value: object) -> object:
    """Return a value as an error may repeat it: long text is cut, and what is large otherwise is left out (None)."""
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
    return value if len(msgspec.json.encode(value)) <= _SHOWN_BYTES else None


def is_list(annotation: object) -> bool:
    """Return whether an annotation is that of a list, or of one that may be missing."""
    info = _info(annotation)
    members = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(member, inspect.ListType) for member in members)


@cache
def _info(annotation: object) -> inspect.Type:
    return inspect.type_info(annotation)


def _in(info: inspect.Type, value: object, at: Location) -> Iterator[Problem]:
    match info:
        case inspect.Metadata(type=inner, extra=extra):
            yield from _in_bounded(inner, extra, value, at)
        case inspect.UnionType(types=members):
            optional = any(isinstance(member, inspect.NoneType) for member in members)
            if not (optional and value in (None, "null")):
                yield from _in(next(m for m in members if not isinstance(m, inspect.NoneType)), value, at)
        case inspect.StructType():
            yield from _in_struct(info, value, at)
        case inspect.ListType(item_type=item):
            yield from _in_list(info, item, value, at)
        case inspect.DictType():
            if not isinstance(value, dict):
                yield _problem("dict_type", at, "Input should be a valid dictionary", value)
        case inspect.EnumType(cls=names):
            yield from _in_words([member.value for member in names], value, at)
        case inspect.LiteralType(values=words):
            yield from _in_words(words, value, at)
        case inspect.StrType():
            yield from _in_text(info, value, at)
        case inspect.IntType():
            yield from _in_integer(info, value, at)
        case inspect.BoolType():
            yield from _in_boolean(value, at)
        case inspect.DecimalType():
            yield from _in_decimal(value, at)
        case inspect.AnyType():
            pass
        case _:
            yield from _in_converted(info, value, at)


def _in_struct(info: inspect.StructType, value: object, at: Location) -> Iterator[Problem]:
    if not isinstance(value, dict):
        msg = "Input should be a valid dictionary or object to extract fields from"
        yield _problem("model_attributes_type", at, msg, value)
        return
    for field in info.fields:
        if field.encode_name in value:
            yield from _in(field.type, value[field.encode_name], (*at, field.encode_name))
        elif field.required:
            yield missing((*at, field.encode_name), value)


def _in_list(info: inspect.ListType, item: inspect.Type, value: object, at: Location) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _problem("list_type", at, "Input should be a valid list", value)
        return
    if info.max_length is not None and len(value) > info.max_length:
        msg = f"List should have at most {info.max_length} items after validation, not {len(value)}"
        ctx = {"field_type": "List", "max_length": info.max_length, "actual_length": len(value)}
        yield _problem("too_long", at, msg, value, ctx)
        return
    for index, element in enumerate(value):
        yield from _in(item, element, (*at, index))


def _in_words(words: list[object] | tuple[object, ...], value: object, at: Location) -> Iterator[Problem]:
    if value not in words:
        *most, last = [repr(word.value if isinstance(word, enum.Enum) else word) for word in words]
        expected = f"{', '.join(most)} or {last}" if most else last
        yield _problem("literal_error", at, f"Input should be {expected}", value, {"expected": expected})


def _in_text(info: inspect.StrType, value: object, at: Location) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _problem("string_type", at, "Input should be a valid string", value)
    elif info.max_length is not None and len(value) > info.max_length:
        msg = f"String should have at most {info.max_length} characters"
        yield _problem("string_too_long", at, msg, value, {"max_length": info.max_length})
    elif info.min_length is not None and len(value) < info.min_length:
        msg = f"String should have at least {info.min_length} character{'s' * (info.min_length > 1)}"
        yield _problem("string_too_short", at, msg, value, {"min_length": info.min_length})
    elif info.pattern is not None and re.search(info.pattern, value) is None:
        msg = f"String should match pattern '{info.pattern}'"
        yield _problem("string_pattern_mismatch", at, msg, value, {"pattern": info.pattern})


def _in_integer(info: inspect.IntType, value: object, at: Location) -> Iterator[Problem]:
    number = value
    if isinstance(value, str):
        try:
            number = msgspec.convert(value, int, strict=False)
        except msgspec.ValidationError:
            msg = "Input should be a valid integer, unable to parse string as an integer"
            yield _problem("int_parsing", at, msg, value)
            return
    elif isinstance(value, Decimal):
        if value.adjusted() > WHOLE_DIGITS:
            number = _BEYOND if value > 0 else -_BEYOND  # as an integer it might fill the memory
        elif value != value.to_integral_value():
            msg = "Input should be a valid integer, got a number with a fractional part"
            yield _problem("int_from_float", at, msg, value)
            return
        else:
            number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        yield _problem("int_type", at, "Input should be a valid integer", value)
    elif info.ge is not None and number < info.ge:
        msg = f"Input should be greater than or equal to {info.ge}"
        yield _problem("greater_than_equal", at, msg, value, {"ge": info.ge})
    elif info.le is not None and number > info.le:
        msg = f"Input should be less than or equal to {info.le}"
        yield _problem("less_than_equal", at, msg, value, {"le": info.le})
    elif number.bit_length() > _INTEGER_BITS:
        msg = "Unable to parse input string as an integer, exceeded maximum size"
        yield _problem("int_parsing_size", at, msg, value)


def _in_number(info: inspect.FloatType, value: object, at: Location) -> Iterator[Problem]:
    try:
        number = msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        yield _problem("float_parsing", at, "Input should be a valid number", value)
        return
    if not math.isfinite(number):
        yield _problem("finite_number", at, "Input should be a finite number", value)
        return
    for name, breaks, kind in _BOUNDS:
        bound = getattr(info, name)
        if bound is not None and breaks(number, bound):
            words = kind.replace("_", " ").removesuffix(" equal")
            msg = f"Input should be {words}{' or equal to' if kind.endswith('equal') else ''} {bound:g}"
            yield _problem(kind, at, msg, value, {name: bound})


def _in_boolean(value: object, at: Location) -> Iterator[Problem]:
    try:
        msgspec.convert(value, bool, strict=False)
    except msgspec.ValidationError:
        if isinstance(value, str | int | Decimal):
            yield _problem("bool_parsing", at, "Input should be a valid boolean, unable to interpret input", value)
        else:
            yield _problem("bool_type", at, "Input should be a valid boolean", value)


def _in_decimal(value: object, at: Location) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        msg = "Decimal input should be an integer, float, string or Decimal object"
        yield _problem("decimal_type", at, msg, value)
        return
    try:
        number = Decimal(value)
    except InvalidOperation:
        yield _problem("decimal_parsing", at, "Input should be a valid decimal", value)
        return
    if not number.is_finite():
        yield _problem("finite_number", at, "Input should be a finite number", value)


def _in_bounded(inner: inspect.Type, extra: dict[str, object] | None, value: object, at: Location) -> Iterator[Problem]:
    others = list(_in(inner, value, at))
    yield from others
    if not others and extra is not None and extra.get("bounded"):
        broken = broken_bound(Decimal(value))  # type: ignore[arg-type]  # `_in` found it to be a decimal
        if broken is not None:
            kind, msg, ctx = broken
            yield _problem(kind, at, msg, value, ctx)


def broken_bound(number: Decimal) -> tuple[str, str, dict[str, object]] | None:
    """Return which bound of an amount `number` breaks (kind, message, the bound itself), None if it keeps all."""
    if not number.is_finite():
        return "finite_number", "Input should be a finite number", {}
    if number <= 0:
        return "greater_than", "Input should be greater than 0", {"gt": 0}
    if number.adjusted() >= WHOLE_DIGITS:
        msg = f"Decimal input should have no more than {WHOLE_DIGITS} digits before the decimal point"
        return "decimal_whole_digits", msg, {"whole_digits": WHOLE_DIGITS}
    if number.as_tuple().exponent < -DECIMAL_PLACES:  # type: ignore[operator]  # a finite number's exponent is an int
        msg = f"Decimal input should have no more than {DECIMAL_PLACES} decimal places"
        return "decimal_max_places", msg, {"decimal_places": DECIMAL_PLACES}
    return None


def _in_converted(info: inspect.Type, value: object, at: Location) -> Iterator[Problem]:
    if isinstance(info, inspect.FloatType):
        yield from _in_number(info, value, at)
        return
    target, kind, msg = _CONVERTED[type(info)]
    try:
        msgspec.convert(value, target, strict=False)
    except msgspec.ValidationError:
        yield _problem(kind, at, msg, value)


def _problem(kind: str, at: Location, msg: str, value: object, ctx: dict[str, object] | None = None) -> Problem:
    return Problem(type=kind, loc=at, msg=msg, input=shown(value), ctx=ctx or None)
