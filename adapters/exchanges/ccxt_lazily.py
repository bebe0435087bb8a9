"""Import one exchange class of ccxt without the hundred others.

The packages `ccxt`, `ccxt.async_support` and `ccxt.pro` each import every exchange there is. Here their modules are
made by a loader that reads the package's source, notes which name it would import from where, and imports when a name
is asked for. To everybody else the packages look as they always do: `import ccxt` and `ccxt.binance()` work later in
the same process.
"""

import ast
import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

PACKAGES = frozenset({"ccxt", "ccxt.async_support", "ccxt.pro"})

_installing = threading.Lock()


class _Package(ModuleType):
    """A package whose names are imported when they are asked for."""

    def __getattr__(self, name: str) -> object:
        # What tools look for in every module (`__wrapped__`) is not there, and no reason to import anything.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        state = self.__dict__
        source = state["_sources"].get(name)
        if source is not None:
            module = importlib.import_module(source[0])
            value = getattr(module, source[1]) if source[1] else module
            state[name] = value
            return value
        # A name that is computed (`exchanges`, `__all__`), or none at all: then the package runs as it was written.
        with state["_running"]:
            if not state["_ran"]:
                state["_ran"] = True
                state["_loader"].exec_module(self)
        if name in state:
            found: object = state[name]
            return found
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets a submodule as an attribute of its package; here, as in the package's own source, the
        # class of the same name takes its place (`ccxt.pro.binance` is a class).
        if isinstance(value, ModuleType):
            source = self.__dict__.get("_sources", {}).get(name)
            if source is not None and source[1] and value.__name__ == source[0]:
                value = getattr(value, source[1])
        super().__setattr__(name, value)


class _Loader(Loader):
    """Makes a `_Package` out of the source of a package."""

    def __init__(self, loader: SourceFileLoader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self._loader.get_data(self._loader.path))
        sources: dict[str, tuple[str, str]] = {}
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom) and statement.module is not None and statement.level == 0:
                for alias in statement.names:
                    # `from ccxt.base import errors` names a module, `from ccxt.base.errors import BaseError` a class.
                    whole = f"{statement.module}.{alias.name}"
                    is_module = statement.module.endswith(".base")
                    sources[alias.asname or alias.name] = (whole, "") if is_module else (statement.module, alias.name)
            elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        module.__dict__[target.id] = statement.value.value
        module.__dict__.update(_sources=sources, _loader=self._loader, _running=threading.RLock(), _ran=False)


class _Finder(MetaPathFinder):
    """Finds the packages of ccxt that import all exchanges."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader)
        return spec


def install() -> None:
    """Import ccxt's packages lazily from now on; a package that was imported before stays as it is."""
    with _installing:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())


def exchange_class(exchange_id: str) -> type:
    """Return ccxt.pro's class of an exchange, where it has none the REST class. Raises `ImportError` for neither."""
    install()
    for package in ("ccxt.pro", "ccxt.async_support"):
        name = f"{package}.{exchange_id}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            found: type = getattr(module, exchange_id)
            return found
    raise ImportError(f"ccxt has no exchange '{exchange_id}'", name=exchange_id)
