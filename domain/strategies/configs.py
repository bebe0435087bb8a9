"""The configuration class that a script or controller defines: its fields, inherited ones first."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from domain.strategies import hummingbot
from domain.strategies.expressions import UNDEFINED, Evaluator, Unread
from domain.strategies.hummingbot import Takes
from domain.strategies.modules import Ancestor, Files, Module
from domain.strategies.types import Type, number_of, read_type, type_of_fact

_BOUNDS = ("gt", "ge", "lt", "le")
_SHOWN = 500


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `default` is `UNDEFINED` where it must be given; bounds are rule → number."""

    name: str
    type: Type
    default: object = UNDEFINED
    required: bool = True
    prompt: str = ""
    updatable: bool = False
    takes: Takes = ""
    bounds: Mapping[str, str] = {}


class ConfigClass(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration class. `closed` is whether fields that it does not know are refused.

    With `remade`, a validator of its own makes what is given anew, so that nobody knows which fields that may have.
    """

    name: str
    fields: Sequence[Field]
    closed: bool = True
    remade: bool = False


def read(path: str, sources: Mapping[str, str]) -> ConfigClass | None:
    """Return the configuration class that a file defines, None if it defines none.

    `sources` are path below `bots/` → source of that file, and of others that it may inherit over. Of several classes
    it is the one that Hummingbot would take, the first by name. Raises `Invalid` for what is no Python, with the line.
    """
    files = Files(sources)
    module = files.module(path)
    wanted = path.partition("/")[0]
    for name in sorted(module.classes):
        node = module.classes[name]
        if any(base == wanted for base, _ in _facts(files.roots(module, node))):
            return _Reading().of(name, files.lineage(module, node))
    return None


def needed(source: str) -> set[str]:
    """Return the paths of the other files that a source may inherit over."""
    found = set()
    for line in source.splitlines():
        words = line.split(maxsplit=2)
        if len(words) > 1 and words[0] == "from" and words[1].startswith(("controllers.", "scripts.")):
            found.add(words[1].replace(".", "/") + ".py")
    return found


def _facts(names: Iterable[str]) -> Iterator[tuple[str, Sequence[hummingbot.Fact]]]:
    for name in names:
        if name.startswith("hummingbot."):
            base = hummingbot.BASES.get(name.rpartition(".")[2])
            if base is not None:
                yield base


class _Reading:
    """One class, as far as it is read."""

    def __init__(self) -> None:
        self._evaluator = Evaluator()
        self._fields: dict[str, Field] = {}
        self._validated: set[str] = set()
        self._closed = True
        self._remade = False

    def of(self, name: str, lineage: Sequence[Ancestor]) -> ConfigClass:
        """Return the class that stands at the end of a lineage."""
        for ancestor in lineage:
            match ancestor:
                case str():
                    for _, facts in _facts([ancestor]):
                        self._fields.update({fact.name: self._known(fact) for fact in facts})
                case (module, node):
                    self._read_class(module, node)
        fields = [
            msgspec.structs.replace(field, takes="any") if {field.name, "*"} & self._validated else field
            for field in self._fields.values()
        ]
        return ConfigClass(name=name, fields=fields, closed=self._closed, remade=self._remade)

    def _known(self, fact: hummingbot.Fact) -> Field:
        return Field(
            name=fact.name,
            type=type_of_fact(fact.type),
            default=UNDEFINED if fact.default is None else self._evaluator.fact(fact.default),
            required=fact.default is None,
            prompt=fact.prompt,
            updatable=fact.updatable,
            takes=fact.takes,
            bounds=fact.bounds,
        )

    def _read_class(self, module: Module, node: ast.ClassDef) -> None:
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    self._read_field(module, name, annotation, value)
                case ast.Assign(targets=[ast.Name(id="model_config")], value=ast.Call(keywords=keywords)):
                    self._read_extra({keyword.arg: keyword.value for keyword in keywords})
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in self._fields:
                    # The style of pydantic 1: a default of its own for a field that is inherited.
                    default = self._evaluator.value(module, value)
                    self._fields[name] = msgspec.structs.replace(self._fields[name], default=default, required=False)
                case ast.ClassDef(name="Config", body=body):
                    self._read_extra(dict(_assigned(body)))
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                for decorator in statement.decorator_list:
                    self._read_validator(module, decorator)

    def _read_field(self, module: Module, name: str, annotation: ast.expr, value: ast.expr | None) -> None:
        type_ = read_type(module, annotation, self._evaluator)
        if name.startswith("_") or type_.shown.startswith("typing.ClassVar"):
            return
        inherited = self._fields.get(name)
        takes: Takes = "" if inherited is None else inherited.takes  # validators are inherited
        if isinstance(value, ast.Call) and module.name_of(value.func) == "pydantic.Field":
            self._fields[name] = self._declared(module, name, type_, value, takes)
        elif value is None:
            self._fields[name] = Field(name=name, type=type_, takes=takes)
        else:
            default = self._evaluator.value(module, value)
            self._fields[name] = Field(name=name, type=type_, default=default, required=False, takes=takes)

    def _declared(self, module: Module, name: str, type_: Type, call: ast.Call, takes: Takes) -> Field:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        node = given.get("default", call.args[0] if call.args else None)
        default: object = UNDEFINED
        required = "default_factory" not in given
        if node is not None and not (isinstance(node, ast.Constant) and node.value is ...):
            default, required = self._evaluator.value(module, node), False
        elif not required:
            default = self._produced(module, given["default_factory"])
        prompt, updatable = self._asked(module, given)
        bounds = {rule: self._evaluator.value(module, given[rule]) for rule in _BOUNDS if rule in given}
        return Field(
            name=name,
            type=type_,
            default=default,
            required=required,
            prompt=prompt,
            updatable=updatable,
            takes=takes,
            bounds={rule: str(bound) for rule, bound in bounds.items() if number_of(str(bound)) is not None},
        )

    def _produced(self, module: Module, factory: ast.expr) -> object:
        match factory:
            case ast.Lambda(body=body):
                return self._evaluator.value(module, body)
            case ast.Name(id="list" | "set" | "tuple"):
                return []
            case ast.Name(id="dict"):
                return {}
            case _:
                return Unread(factory)

    def _asked(self, module: Module, given: Mapping[str | None, ast.expr]) -> tuple[str, bool]:
        """Return the prompt of a field, and whether it may be changed under a running bot."""
        said: dict[str, ast.expr] = {}
        match given.get("json_schema_extra"):
            case ast.Dict(keys=keys, values=values):
                said = {str(key.value): v for key, v in zip(keys, values, strict=True) if isinstance(key, ast.Constant)}
        match given.get("client_data"):  # of Hummingbot before 2.3
            case ast.Call(keywords=keywords):
                said = {keyword.arg or "": keyword.value for keyword in keywords}
        prompt = said.get("prompt")
        if isinstance(prompt, ast.Lambda):
            prompt = prompt.body
        words = None if prompt is None else self._evaluator.value(module, prompt)
        updatable = said.get("is_updatable")
        return (
            words[:_SHOWN].strip() if isinstance(words, str) else "",
            isinstance(updatable, ast.Constant) and updatable.value is True,
        )

    def _read_validator(self, module: Module, decorator: ast.expr) -> None:
        if not isinstance(decorator, ast.Call):
            return
        given = {keyword.arg: keyword.value for keyword in decorator.keywords}
        mode = given.get("mode")
        how = mode.value if isinstance(mode, ast.Constant) else "after"
        pre = given.get("pre")
        first = how in ("before", "plain", "wrap") or (isinstance(pre, ast.Constant) and pre.value is True)
        match module.name_of(decorator.func).rpartition(".")[2]:
            case "field_validator" | "validator" if first:
                self._validated |= {str(name.value) for name in decorator.args if isinstance(name, ast.Constant)}
            case "model_validator" | "root_validator" if first:
                self._remade = True

    def _read_extra(self, settings: Mapping[str | None, ast.expr]) -> None:
        match settings.get("extra"):
            case ast.Constant(value=str(extra)):
                self._closed = extra == "forbid"
            case ast.Attribute(attr=extra):  # pydantic 1: Extra.allow
                self._closed = extra == "forbid"


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
