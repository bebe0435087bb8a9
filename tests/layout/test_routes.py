"""Reads and writes are two APIs. `routes.tsv` lists the routes of the reference: area, side, method, path."""

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import product

from litestar import Controller
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler

from tests.layout.sources import ROOT, files, module_of

# The areas whose routes are all served.
SERVED = (
    "accounts",
    "archives",
    "bots",
    "connectors",
    "containers",
    "market_data",
    "order_books",
    "orders",
    "portfolio",
    "positions",
    "rates",
    "sockets",
    "strategies",
)


def routes(side: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of an API, with the names of parameters left out."""
    for file in files(side):
        module = importlib.import_module(module_of(file))
        for _, controller in inspect.getmembers(module, inspect.isclass):
            if not issubclass(controller, Controller) or controller.__module__ != module.__name__:
                continue
            for _, handler in inspect.getmembers(controller):
                if isinstance(handler, HTTPRouteHandler | WebsocketRouteHandler):
                    paths = [plain(f"{vars(controller)['path']}/{path}") for path in handler.paths]
                    methods = handler.http_methods if isinstance(handler, HTTPRouteHandler) else ["WEBSOCKET"]
                    yield from product(map(str, methods), paths)


def plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", re.sub(r"/+", "/", path)).rstrip("/") or "/"


READS, WRITES = set(routes("read_api")), set(routes("write_api"))
REFERENCE = [line.split("\t") for line in (ROOT / "tests/layout/routes.tsv").read_text().splitlines()]


def test_no_route_is_both_a_read_and_a_write():
    assert not READS & WRITES


def test_no_write_is_a_get():
    assert not [path for method, path in WRITES if method == "GET"]


def test_a_route_of_the_reference_is_on_its_side():
    for _, side, method, path in REFERENCE:
        other = WRITES if side == "R" else READS
        assert (method, plain(path)) not in other


def test_the_served_areas_are_served_whole():
    missing = [
        f"{method} {path}"
        for area, side, method, path in REFERENCE
        if area in SERVED and (method, plain(path)) not in (READS if side == "R" else WRITES)
    ]
    assert not missing
