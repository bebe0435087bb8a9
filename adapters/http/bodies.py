"""Decode the bodies of requests: exactly, fast, and with every problem named when they are refused.

A good body is decoded once, straight from its bytes into the struct of the route. Only a refused one is looked at field
by field (`problems.py`), for an answer in the contract's shape.
"""

import json
from collections.abc import Hashable, Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, TypeVar, cast

import msgspec
from msgspec import inspect

from adapters.http.problems import Problem, broken_bound, missing, problems
from domain.errors import Malformed

T = TypeVar("T")

AMOUNT = "Above 0, at most 19 digits before the point and 18 decimals"
Amount = Annotated[Decimal, msgspec.Meta(extra={"bounded": True}, extra_json_schema={"description": AMOUNT})]
"""An amount or price as a JSON number or a string: above 0, at most 19 digits before the point and 18 decimals."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+(?!\n)$")]
"""The name of an account, a connector, a bot: safe in files, streams and paths."""

Text = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00]*$")]
"""Any short text that the database can hold."""

Pair = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x20\x7f]+$")]
"""A trading pair, `BASE-QUOTE`."""

Cursor = Annotated[str, msgspec.Meta(max_length=1024, pattern=r"^[^\x00]*$")]
"""A place in a list, as an answer gave it."""

PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""How many items a page has at most."""

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
"""A time as milliseconds since 1970, up to the end of the year 9999."""


class MalformedRequest(Malformed):
    """Refuse a request whose schema it breaks, with everything that is wrong with it."""

    def __init__(self, found: list[Problem]) -> None:
        first = found[0]
        super().__init__(first.msg, location=first.loc, kind=first.type, given=first.input, bounds=first.ctx)
        self.problems = tuple(found)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's body says; fields that it does not know are ignored.

    An `Amount` stands in a field of its own, or in one that may be None. Inside a list or a dict it would not be
    checked: the first value made of such a type says so with a `TypeError`.
    """

    def __post_init__(self) -> None:
        """Refuse amounts out of bounds with a `ValueError`."""
        for name in _amounts(type(self)):
            value = getattr(self, name)
            if value is not None and (broken := broken_bound(value)) is not None:
                raise ValueError(broken[1])


def decode(raw: bytes, target: type[T]) -> T:
    """Return the body as a `target`. Raises `MalformedRequest` with every problem it has, and never anything else."""
    try:
        return cast("T", _decoder(cast("Hashable", target)).decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequest(_why(raw, target, error)) from error


def encode(answer: object) -> bytes:
    """Return the JSON of an answer; a Decimal is a string, as clients of the contract expect."""
    return _encoder.encode(answer)


_encoder = msgspec.json.Encoder()


@cache
def _decoder(target: object) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(target, strict=False)  # lax: `"10"` is an integer in the contract


@cache
def _amounts(body: type[Body]) -> tuple[str, ...]:
    names = []
    for field in cast("inspect.StructType", inspect.type_info(body)).fields:
        members = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if any(_is_amount(member) for member in members):
            names.append(field.name)
        elif any(_is_amount(inside) for member in members for inside in _items(member)):
            raise TypeError(f"{body.__name__}.{field.name}: an Amount must be a field of its own")
    return tuple(names)


def _is_amount(info: inspect.Type) -> bool:
    return isinstance(info, inspect.Metadata) and bool(info.extra and info.extra.get("bounded"))


def _items(info: inspect.Type) -> Iterator[inspect.Type]:
    match info:
        case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            yield inner
            yield from _items(inner)
        case inspect.UnionType(types=members):
            for member in members:
                yield member
                yield from _items(member)


def _why(raw: bytes, target: object, error: Exception) -> list[Problem]:
    # An empty body counts as none at all, as in the reference.
    if not raw:
        return [missing(("body",), None)]
    try:
        value = json.loads(raw.decode(), parse_float=_exact, parse_int=_exact_integer, parse_constant=_no_number)
        msgspec.json.encode(value)  # finds half a surrogate pair, which `json` takes
    except json.JSONDecodeError as wrong:
        return [_not_json(wrong.pos, wrong.msg)]
    except UnicodeError as wrong:
        return [_not_json(getattr(wrong, "start", 0), f"invalid text: {wrong}")]
    except RecursionError:
        return [_not_json(0, "Nested too deeply")]
    found = list(problems(target, value, ("body",)))
    return found or [Problem(type="value_error", loc=("body",), msg=str(error), input=None)]


def _not_json(position: int, reason: str) -> Problem:
    return Problem(
        type="json_invalid", loc=("body", position), msg="JSON decode error", input={}, ctx={"error": reason}
    )


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that no Decimal has: one that is as much out of bounds stands for it
        return Decimal("1E-999999" if "e-" in digits.lower() else "1E+999999")


def _exact_integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else Decimal(digits)


def _no_number(word: str) -> object:
    raise json.JSONDecodeError(f"{word} is no JSON number", word, 0)


_INTEGER_DIGITS = 40  # far above what any field takes, far below where Python refuses to convert
