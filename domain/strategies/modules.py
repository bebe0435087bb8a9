"""Python source as a tree: the names that a file imports and defines. Nothing of it is ever run.

Reading has bounds, so that no source, however strange, keeps a server: bytes of source, classes that one inherits from.
"""

import ast
from collections.abc import Iterator, Mapping

import msgspec

from domain.errors import Invalid

READ_BYTES = 131_072
"""How long a source may be to be read; the longest controller of Hummingbot has 80,000 bytes."""

LINEAGE = 100
"""From so many classes one may inherit."""

_DEEP = "is nested too deeply to be read"


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `imports` are name here → dotted path, `path` is below `bots/`."""

    path: str
    imports: Mapping[str, str]
    classes: Mapping[str, ast.ClassDef]
    constants: Mapping[str, ast.expr]

    @property
    def dotted(self) -> str:
        """The name under which Hummingbot imports it."""
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def file_name(self) -> str:
        """The name of the file in its folder."""
        return self.path.rpartition("/")[2]

    def name_of(self, node: ast.expr) -> str:
        """Return the dotted path that a name stands for, empty for what is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self.imports.get(node.id, node.id)
        return ".".join([first, *reversed(parts)])


def parse(path: str, text: str) -> Module:
    """Return what a file imports and defines. Raises `Invalid`, naming the line, for what is no Python."""
    length = len(text.encode(errors="replace"))
    if length > READ_BYTES:
        raise Invalid(f"'{path}' has {length} bytes; configurations are read from files of at most {READ_BYTES}")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        where = "" if error.lineno is None else f" in line {error.lineno}"
        raise Invalid(f"'{path}' is no Python{where}: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise Invalid(f"'{path}' is no Python: it holds half a surrogate pair") from error
    except ValueError as error:
        raise Invalid(f"'{path}' is no Python: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise Invalid(f"'{path}' {_DEEP}") from error
    imports: dict[str, str] = {}
    classes: dict[str, ast.ClassDef] = {}
    constants: dict[str, ast.expr] = {}
    for statement in _statements(tree.body):
        match statement:
            case ast.Import(names=names):
                for alias in names:
                    name = alias.asname or alias.name.partition(".")[0]
                    imports[name] = alias.name if alias.asname else name
            case ast.ImportFrom(module=module, names=names, level=level):
                folder = _folder(path, level)
                origin = ".".join(part for part in (folder, module) if part)
                imports.update({alias.asname or alias.name: f"{origin}.{alias.name}" for alias in names})
            case ast.ClassDef(name=name):
                classes[name] = statement
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                constants[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                constants[name] = value
    return Module(path=path, imports=imports, classes=classes, constants=constants)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    # What stands behind a condition counts as if it held, one level deep.
    for statement in body:
        yield statement
        match statement:
            case ast.If(body=inner, orelse=other):
                yield from (*inner, *other)
            case ast.Try(body=inner, handlers=handlers):
                yield from inner
                for handler in handlers:
                    yield from handler.body


def _folder(path: str, level: int) -> str:
    parts = path.split("/")
    return ".".join(parts[: max(len(parts) - level, 0)]) if level else ""


Ancestor = tuple[Module, ast.ClassDef] | str
"""A class in a file that is here, or the dotted path of one that is not."""


class Files:
    """The files that a class may inherit over: path below `bots/` → source. Each is parsed when it is first needed."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._modules: dict[str, Module] = {}
        self._roots: dict[tuple[str, str], frozenset[str]] = {}

    def module(self, path: str) -> Module:
        """Return a file that is here. Raises `Invalid` for what is no Python."""
        if path not in self._modules:
            self._modules[path] = parse(path, self._sources[path])
        return self._modules[path]

    def find(self, module: Module, node: ast.expr) -> Ancestor | None:
        """Return the class that a name in a file stands for, None for what is no name."""
        dotted = module.name_of(node)
        if dotted in module.classes:
            return module, module.classes[dotted]
        origin, _, name = dotted.rpartition(".")
        path = origin.replace(".", "/") + ".py"
        if path in self._sources:
            other = self.module(path)
            if name in other.classes:
                return other, other.classes[name]
        return dotted or None

    def lineage(self, module: Module, node: ast.ClassDef) -> list[Ancestor]:
        """Return all that a class inherits from and itself at the end; of two with the same field the later one wins.

        Raises `Invalid` for more than `LINEAGE` of them.
        """
        found: list[Ancestor] = []
        self._gather(module, node, found, set())
        return found

    def roots(self, module: Module, node: ast.ClassDef, depth: int = 0) -> frozenset[str]:
        """Return the dotted paths of the classes that are not here and that a class inherits from.

        Each class is asked once, however many inherit from it. Raises as `lineage`.
        """
        key = module.path, node.name
        if key in self._roots:
            return self._roots[key]
        if depth > LINEAGE or len(node.bases) > LINEAGE:
            raise _too_many(module, node)
        self._roots[key] = frozenset()  # should it inherit from itself
        roots: set[str] = set()
        for base in node.bases:
            match self.find(module, base):
                case (Module() as other, ast.ClassDef() as parent):
                    roots |= self.roots(other, parent, depth + 1)
                case str(name):
                    roots.add(name)
        self._roots[key] = frozenset(roots)
        return self._roots[key]

    def _gather(self, module: Module, node: ast.ClassDef, found: list[Ancestor], begun: set[tuple[str, str]]) -> None:
        begun.add((module.path, node.name))
        if len(begun) > LINEAGE or len(node.bases) > LINEAGE:
            raise _too_many(module, node)
        for base in reversed(node.bases):
            match self.find(module, base):
                case (Module() as other, ast.ClassDef() as parent):
                    if (other.path, parent.name) not in begun:
                        self._gather(other, parent, found, begun)
                case str(name):
                    found.append(name)
        found.append((module, node))


def _too_many(module: Module, node: ast.ClassDef) -> Invalid:
    return Invalid(f"'{module.path}': class {node.name} inherits from more than {LINEAGE} classes")
