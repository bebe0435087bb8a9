"""Who may import whom, import by import. What import-linter checks beside this are the chains (pyproject.toml)."""

import pytest

from tests.layout.sources import files, imports_of, module_of

# By the longest prefix that fits a module's name: the prefixes of what it may import, the standard library aside.
MAY_IMPORT = {
    "domain": {"domain", "msgspec"},
    "commands": {"commands", "domain", "msgspec", "structlog"},
    "projections": {"projections", "domain", "msgspec", "psycopg", "psycopg_pool", "structlog"},
    "read_api": {"read_api", "projections", "domain", "adapters.http", "litestar", "msgspec", "structlog"},
    "write_api": {"write_api", "commands", "domain", "adapters.http", "litestar", "msgspec", "structlog"},
    "adapters.http": {
        "adapters.http",
        "adapters.ids",
        "domain",
        "litestar",
        "msgspec",
        "structlog",
        "swagger_ui_bundle",
    },
}

# The composition root and the command line: they put everything together, and may import everything.
ROOTS = {
    "adapters.__main__",
    "adapters.as_of",
    "adapters.asgi",
    "adapters.bootstrap",
    "adapters.bootstrap.bots",
    "adapters.bootstrap.markets",
    "adapters.database",
    "adapters.rebuild",
    "adapters.serve",
    "adapters.skip",
}

# What an adapter may import of ours beside other adapters: values of the domain, and the structs that its port speaks.
ADAPTERS = ("adapters", "domain", "commands.ports")
ALSO = {
    "adapters.checkpoints": ("projections.pool",),  # Shares the connections to the database.
    "adapters.lookup": ("projections",),  # Answers the handlers' questions from the views.
    "adapters.readiness": ("projections.runner",),  # Says how far the views are.
    "adapters.strategy_imports": ("commands.deciding",),  # Saves what it finds as a handler would, without a server.
    "adapters.scheduler": ("commands.schedule",),  # Runs the jobs that are named there.
}
OURS = ("adapters", "commands", "domain", "migrations", "projections", "read_api", "write_api")


def within(name: str, prefixes) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize(
    "file", files("domain", "commands", "projections", "read_api", "write_api", "adapters"), ids=str
)
def test_every_import_is_allowed(file):
    module = module_of(file)
    layers = [layer for layer in MAY_IMPORT if within(module, {layer})]
    for name in imports_of(file):
        if layers:
            assert within(name, MAY_IMPORT[layers[0]]), f"{module} must not import {name}"
        elif module not in ROOTS and within(name, OURS):
            assert within(name, (*ADAPTERS, *ALSO.get(module, ()))), f"{module} must not import {name}"
