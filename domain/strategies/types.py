"""The types of fields: how Python shows them, and which values of JSON they take.

Values are taken as pydantic takes them when it is not strict: `"5"` and `5.0` are whole numbers, `"yes"` is true. A
type that is not known here takes everything.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache

import msgspec

from domain.strategies import hummingbot
from domain.strategies.expressions import FACTS, Evaluator, Unread
from domain.strategies.hummingbot import Fact
from domain.strategies.modules import Module

_DEPTH = 10
_SHOWN = 1000
_DIGITS = 40
_BOOLEANS = ("0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes")
_PLAIN = {"str": "str", "int": "int", "float": "float", "bool": "bool", "decimal.Decimal": "decimal"}
_GENERIC = {
    "list": "list",
    "typing.List": "list",
    "typing.Sequence": "list",
    "collections.abc.Sequence": "list",
    "set": "list",
    "typing.Set": "list",
    "dict": "dict",
    "typing.Dict": "dict",
    "typing.Mapping": "dict",
    "collections.abc.Mapping": "dict",
}


class Type(msgspec.Struct, frozen=True, kw_only=True):
    """A type. `shown` is how Python shows it inside another one, `args` are the types inside of it.

    `words` are what an enum or a literal takes, `model` names one of `hummingbot.MODELS`.
    """

    kind: str
    shown: str
    args: tuple["Type", ...] = ()
    words: tuple[object, ...] = ()
    members: tuple[str, ...] = ()
    model: str = ""
    is_class: bool = True

    def __str__(self) -> str:
        """Show it as Python does where it stands alone."""
        if self.kind == "enum":
            return f"<enum '{self.shown.rpartition('.')[2]}'>"
        return f"<class '{self.shown}'>" if self.is_class else self.shown


def read_type(module: Module, node: ast.expr, evaluator: Evaluator, depth: int = 0) -> Type:
    """Return the type that an annotation in a file stands for."""
    if depth > _DEPTH or not evaluator.step():
        return _unknown("…")
    match node:
        case ast.Constant(value=None):
            return Type(kind="null", shown="None", is_class=False)
        case ast.Constant(value=str(text)):
            return _quoted(module, text, evaluator, depth)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = [read_type(module, side, evaluator, depth + 1) for side in (left, right)]
            flat = [inner for side in sides for inner in (side.args if side.kind == "union" else (side,))]
            return _union(flat, [inner.is_class for inner in flat if inner.kind != "null"])
        case ast.Subscript(value=value, slice=index):
            inner = index.elts if isinstance(index, ast.Tuple) else [index]
            return _subscripted(module, module.name_of(value), inner, evaluator, depth)
        case ast.Name() | ast.Attribute():
            return _named(module, node, evaluator, depth)
        case _:
            return _unknown(str(Unread(node)))


@cache
def type_of_fact(text: str) -> Type:
    """Return the type that a fact about Hummingbot names."""
    return read_type(FACTS, ast.parse(text, mode="eval").body, Evaluator())


def _unknown(shown: str, *, is_class: bool = False) -> Type:
    return Type(kind="any", shown=_cut(shown), is_class=is_class)


def _cut(shown: str) -> str:
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _quoted(module: Module, text: str, evaluator: Evaluator, depth: int) -> Type:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _unknown(text)
    return read_type(module, node, evaluator, depth + 1)


def _named(module: Module, node: ast.expr, evaluator: Evaluator, depth: int) -> Type:
    name = module.name_of(node)
    if name in module.constants:  # an alias
        return read_type(module, module.constants[name], evaluator, depth + 1)
    if name in _PLAIN:
        return Type(kind=_PLAIN[name], shown=name)
    if name in _GENERIC:
        return Type(kind=_GENERIC[name], shown=name, is_class=not name.startswith("typing."))
    last = name.rpartition(".")[2]
    path = f"{module.dotted}.{name}" if name in module.classes else name
    if path.startswith("hummingbot."):
        path = hummingbot.PATHS.get(last, path)
    members = evaluator.members(module, name)
    if members is not None:
        return Type(kind="enum", shown=path, words=members.words, members=members.names)
    if name not in module.classes and last in hummingbot.MODELS:
        return Type(kind="model", shown=path, model=last)
    return _unknown(path, is_class=not name.startswith("typing.") and bool(name))


def _subscripted(module: Module, name: str, nodes: Sequence[ast.expr], evaluator: Evaluator, depth: int) -> Type:
    last = name.rpartition(".")[2]
    if last == "Literal":
        words = tuple(evaluator.value(module, node) for node in nodes)
        known = not any(isinstance(word, Unread) for word in words)
        shown = f"{name}[{', '.join(repr(word) for word in words)}]" if known else f"{name}[…]"
        return Type(kind="literal" if known else "any", shown=_cut(shown), words=words if known else (), is_class=False)
    args = tuple(read_type(module, node, evaluator, depth + 1) for node in nodes)
    match last:
        case "Annotated":
            return args[0]
        case "Optional":
            return _union([*args, Type(kind="null", shown="None", is_class=False)], [False])
        case "Union":
            return _union([inner for a in args for inner in (a.args if a.kind == "union" else (a,))], [False])
        case _:
            shown = _cut(f"{name}[{', '.join(arg.shown for arg in args)}]")
            return Type(kind=_GENERIC.get(name, "any"), shown=shown, args=args, is_class=False)


def _union(args: Sequence[Type], classes: Sequence[bool]) -> Type:
    """Return a union. Python shows one of classes alone as `int | None`, any other one in the words of `typing`."""
    given = [arg for arg in args if arg.kind != "null"]
    if len(given) == len(args) and len(given) == 1:
        return given[0]
    if all(classes):
        shown = " | ".join(arg.shown for arg in args)
    elif len(given) == 1:
        shown = f"typing.Optional[{given[0].shown}]"
    else:
        words = [arg.shown if arg.kind != "null" else "NoneType" for arg in args]
        shown = f"typing.Union[{', '.join(words)}]"
    return Type(kind="union", shown=_cut(shown), args=tuple(args), is_class=False)


Wrong = tuple[str, str, object]
"""What is wrong with a value: where it stands (`trailing_stop.activation_price`), what it should be, what it is."""


def wrong(type_: Type, value: object, at: str) -> Iterator[Wrong]:
    """Yield what keeps a value of JSON from being of a type."""
    match type_.kind:
        case "any":
            return
        case "union":
            yield from _wrong_in_union(type_, value, at)
        case "list":
            yield from _wrong_in_list(type_, value, at)
        case "dict":
            yield from _wrong_in_dict(type_, value, at)
        case "model":
            yield from _wrong_in_model(hummingbot.MODELS[type_.model], value, at)
        case "enum" | "literal":
            if type_.words and not any(value == word and type(value) is type(word) for word in type_.words):
                yield at, f"Input should be {' or '.join(map(repr, type_.words))}", value
        case kind:
            if not _TAKES[kind](value):
                yield at, _SHOULD[kind], value


def _wrong_in_union(type_: Type, value: object, at: str) -> Iterator[Wrong]:
    found = [list(wrong(arg, value, at)) for arg in type_.args]
    if all(found):
        yield from next(w for arg, w in zip(type_.args, found, strict=True) if arg.kind != "null")


def _wrong_in_list(type_: Type, value: object, at: str) -> Iterator[Wrong]:
    if not isinstance(value, list):
        yield at, "Input should be a valid list", value
    elif type_.args:
        for index, item in enumerate(value):
            yield from wrong(type_.args[0], item, f"{at}.{index}")


def _wrong_in_dict(type_: Type, value: object, at: str) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield at, "Input should be a valid dictionary", value
    elif len(type_.args) > 1:
        for key, item in value.items():
            yield from wrong(type_.args[1], item, f"{at}.{key}")


def _wrong_in_model(fields: Sequence[Fact], value: object, at: str) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield at, "Input should be a valid dictionary", value
        return
    for field in fields:
        where = f"{at}.{field.name}"
        if field.name not in value:
            if field.default is None:
                yield where, "Field required", value
            continue
        given = value[field.name]
        if not (field.takes == "member" and is_member(type_of_fact(field.type), given)):
            found = list(wrong(type_of_fact(field.type), given, where))
            yield from found or out_of_bounds(field.bounds, given, where)


def is_member(type_: Type, value: object) -> bool:
    """Whether a text names a member of an enum, in whatever case and with or without the enum's own name."""
    members = next((arg.members for arg in (type_, *type_.args) if arg.kind == "enum"), ())
    return isinstance(value, str) and value.rpartition(".")[2].upper() in members


def out_of_bounds(bounds: Mapping[str, str], value: object, at: str) -> Iterator[Wrong]:
    """Yield which bounds of a field a number breaks; what is no number breaks none."""
    number = number_of(value)
    if number is None:
        return
    for rule, text in bounds.items():
        bound = Decimal(text)
        kept = {"gt": number > bound, "ge": number >= bound, "lt": number < bound, "le": number <= bound}[rule]
        if not kept:
            yield at, f"Input should be {_RULES[rule]} {bound}", value


_RULES = {"gt": "greater than", "ge": "greater than or equal to", "lt": "less than", "le": "less than or equal to"}


def number_of(value: object) -> Decimal | None:
    """Return the number that a value of JSON is, or that its text says; None for any other one."""
    match value:
        case bool():
            return None
        case int() | float():
            number = Decimal(str(value))
        case str():
            try:
                number = Decimal(value.strip().replace("_", ""))
            except InvalidOperation:
                return None
        case _:
            return None
    return number if number.is_finite() else None


def _is_whole(value: object) -> bool:
    if isinstance(value, bool):
        return True
    number = number_of(value)
    return number is not None and number.adjusted() < _DIGITS and number == number.to_integral_value()


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or value in (0, 1) or (isinstance(value, str) and value.lower() in _BOOLEANS)


_TAKES: Mapping[str, Callable[[object], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_whole,
    "float": lambda value: isinstance(value, bool) or number_of(value) is not None,
    "decimal": lambda value: number_of(value) is not None,
    "bool": _is_boolean,
    "null": lambda value: value is None,
}
_SHOULD = {
    "str": "Input should be a valid string",
    "int": "Input should be a valid integer",
    "float": "Input should be a valid number",
    "decimal": "Input should be a valid decimal",
    "bool": "Input should be a valid boolean",
    "null": "Input should be null",
}
