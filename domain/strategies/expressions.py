"""What an expression in a source is worth, where it is made of constants, enums and models that are known.

Nothing is called. Whatever else stands there is `Unread`: its text is all that is said of it.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Self

import msgspec

from domain.strategies import hummingbot
from domain.strategies.modules import Module

STEPS = 50_000
"""So many expressions are looked at for one configuration class; what comes after them is unread."""

_DEPTH = 30
_BITS = 63
_DIGITS = 40
_TEXT = 10_000
_SHOWN = 200
_LINES = 100


class Undefined(Enum):
    """What a field has for a default that has none."""

    UNDEFINED = "PydanticUndefined"


UNDEFINED = Undefined.UNDEFINED


class Unread(msgspec.Struct, frozen=True):
    """An expression whose value is not known."""

    node: ast.expr

    def __str__(self) -> str:
        """Show it as it is written, or its beginning."""
        lines = (self.node.end_lineno or 0) - self.node.lineno
        if lines > _LINES or (not lines and (self.node.end_col_offset or 0) - self.node.col_offset > _TEXT):
            return "…"  # it would take a while to be written out
        try:
            text = ast.unparse(self.node)
        except (RecursionError, ValueError):
            return "…"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Member(msgspec.Struct, frozen=True):
    """A member of an enum; its value may be anything."""

    enum: str
    name: str
    value: object

    def __str__(self) -> str:
        """Show it as Python does."""
        return f"{self.enum}.{self.name}"


class Members(msgspec.Struct, frozen=True):
    """The members of an enum: name → value. `words` are the values, none where some of them are not known."""

    values: Mapping[str, object]
    names: tuple[str, ...]
    words: tuple[object, ...]

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Return the members with these values."""
        known = not any(isinstance(value, Unread) for value in values.values())
        return cls(values, tuple(values), tuple(values.values()) if known else ())


class Made(msgspec.Struct, frozen=True):
    """An object of a model, with its fields in their order."""

    model: str
    fields: tuple[tuple[str, object], ...]

    def __str__(self) -> str:
        """Show it as pydantic does."""
        return " ".join(f"{name}={_repr(value)}" for name, value in self.fields)


_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ENUMS = {"Enum", "IntEnum", "StrEnum"}


class Evaluator:
    """Says what expressions are worth, for one configuration class."""

    def __init__(self) -> None:
        self._steps = STEPS
        self._members: dict[tuple[str, str], Members | None] = {}

    def step(self) -> bool:
        """Count one more thing that is looked at, and return whether it may be."""
        self._steps -= 1
        return self._steps >= 0

    def value(self, module: Module, node: ast.expr, depth: int = 0) -> object:
        """Return what an expression is worth: a value of JSON, `Decimal`, `Member`, `Made`, or `Unread`."""
        if depth > _DEPTH or not self.step():
            return Unread(node)
        try:
            value = self._value(module, node, depth + 1)
        except (ArithmeticError, ValueError):
            return Unread(node)
        return Unread(node) if _is_too_long(value) else value

    def members(self, module: Module, name: str) -> Members | None:
        """Return the members of an enum that a file defines or that Hummingbot has, None for no enum."""
        key = module.path, name
        if key not in self._members:
            values = self._members_of(module, name)
            self._members[key] = None if values is None else Members.of(values)
        return self._members[key]

    def _value(self, module: Module, node: ast.expr, depth: int) -> object:
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str() as value):
                return value
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self.value(module, item, depth) for item in items]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                read = [self.value(module, key, depth) for key in keys if key is not None]
                return {str(k): self.value(module, v, depth) for k, v in zip(read, values, strict=True)}
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _negative(self.value(module, operand, depth), node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _reckoned(self.value(module, left, depth), op, self.value(module, right, depth), node)
            case ast.JoinedStr(values=parts):
                return self._joined(module, parts, node, depth)
            case ast.Name(id="__file__"):
                return f"/home/hummingbot/{module.path}"
            case ast.Name(id=name) if name in module.constants:
                return self.value(module, module.constants[name], depth)
            case ast.Attribute():
                return self._member(module, node)
            case ast.Call():
                return self._called(module, node, depth)
            case _:
                return Unread(node)

    def _joined(self, module: Module, parts: list[ast.expr], node: ast.expr, depth: int) -> object:
        words: list[str] = []
        for part in parts:
            match part:
                case ast.Constant(value=str(word)):
                    words.append(word)
                case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                    value = self.value(module, inner, depth)
                    if not isinstance(value, str | int):
                        return Unread(node)
                    words.append(str(value))
                case _:
                    return Unread(node)
        return "".join(words)

    def _members_of(self, module: Module, name: str) -> dict[str, object] | None:
        if name not in module.classes:
            found = hummingbot.ENUMS.get(name.rpartition(".")[2])
            return None if found is None else dict(found)
        node = module.classes[name]
        if not any(module.name_of(base).rpartition(".")[2] in _ENUMS for base in node.bases):
            return None
        return {
            target.id: self.value(module, statement.value)
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }

    def _member(self, module: Module, node: ast.Attribute) -> object:
        if node.attr in ("value", "name") and isinstance(node.value, ast.Attribute):
            member = self._member(module, node.value)
            if isinstance(member, Member):
                return member.value if node.attr == "value" else member.name
        enum = module.name_of(node.value)
        members = self.members(module, enum) if enum else None
        if members is None or node.attr not in members.values:
            return Unread(node)
        return Member(enum.rpartition(".")[2], node.attr, members.values[node.attr])

    def _called(self, module: Module, node: ast.Call, depth: int) -> object:
        name = module.name_of(node.func)
        match name, [self.value(module, argument, depth) for argument in node.args]:
            case "decimal.Decimal", [int() | float() | str() | Decimal() as value]:
                return Decimal(value)
            case "os.path.basename", [str(path)]:
                return path.rpartition("/")[2]
            case "str", [str() | int() as value] if not isinstance(value, bool):
                return str(value)
            case "list" | "tuple" | "set", []:
                return []
            case "dict", [] if not node.keywords:
                return {}
            case _, []:
                return self._made(module, name, node, depth)
            case _:
                return Unread(node)

    def _made(self, module: Module, name: str, node: ast.Call, depth: int) -> object:
        model = name.rpartition(".")[2]
        if model not in hummingbot.MODELS or any(keyword.arg is None for keyword in node.keywords):
            return Unread(node)
        given = {keyword.arg: self.value(module, keyword.value, depth) for keyword in node.keywords}
        made: list[tuple[str, object]] = []
        for field in hummingbot.MODELS[model]:
            if field.name not in given and field.default is None:
                return Unread(node)
            made.append((field.name, given[field.name] if field.name in given else self.fact(field.default or "")))
        return Made(model, tuple(made))

    def fact(self, text: str) -> object:
        """Return what an expression of our own, about Hummingbot, is worth."""
        return self.value(FACTS, ast.parse(text, mode="eval").body)


FACTS = Module(path="hummingbot", imports=hummingbot.IMPORTS, classes={}, constants={})
"""A file that imports all that Hummingbot's own configurations are made of."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _negative(value: object, node: ast.expr) -> object:
    match value:
        case bool():
            return Unread(node)
        case int() | float() | Decimal():
            return -value
        case _:
            return Unread(node)


def _reckoned(left: object, op: ast.operator, right: object, node: ast.expr) -> object:
    texts = isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add)
    # Python itself refuses a float with a Decimal.
    mixed = {type(left), type(right)} == {float, Decimal}
    if texts or (_is_number(left) and _is_number(right) and not mixed):
        return _OPERATORS[type(op)](left, right)
    return Unread(node)


def _is_too_long(value: object) -> bool:
    match value:
        case int():
            return value.bit_length() > _BITS
        case Decimal():
            return len(value.as_tuple().digits) > _DIGITS or abs(value.adjusted()) > _DIGITS
        case str() | list() | dict():
            return len(value) > _TEXT
        case _:
            return False


def _repr(value: object) -> str:
    match value:
        case Member():
            return f"<{value}: {_repr(value.value)}>"
        case Made():
            return f"{value.model}({', '.join(f'{name}={_repr(inner)}' for name, inner in value.fields)})"
        case Unread():
            return str(value)
        case list():
            return f"[{', '.join(map(_repr, value))}]"
        case _:
            return repr(value)
