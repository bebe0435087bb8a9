"""Where things stand: one file an area in each layer, the same name everywhere, none too long to read."""

import pytest

from tests.layout.sources import PACKAGES, ROOT, files, module_of

LINES = 400

AREAS = {
    "analytics",
    "accounts",
    "archives",
    "audit",
    "backtests",
    "bots",
    "candles",
    "clmm",
    "connectors",
    "containers",
    "executors",
    "gateway",
    "market_data",
    "order_books",
    "orders",
    "portfolio",
    "positions",
    "rates",
    "reconciliation",
    "sockets",
    "strategies",
    "swaps",
    "system",
}

# What is no area, by layer, and why it has a file of its own.
KEY_MODULES = {
    "domain": {
        "catalog": "the table of all event types",
        "errors": "the tree of errors",
        "events": "what an event is, and its envelope",
        "matching": "the paper venue's engine",
        "reports": "how a venue tells what happened",
        "upcasters": "how old events are read",
        "values": "money, time, names",
        "views": "what is left out of them",
    },
    "commands": {
        "abreast": "many venues at once, but not too many",
        "bus": "one way in for every command",
        "deciding": "load, decide, append",
        "folding": "streams become states",
        "handlers": "the table of all commands",
        "intake": "what venues tell becomes commands",
        "ports": "what commands need of the outside",
        "processes": "what follows from events, one file an area",
        "reports": "what a venue told becomes one commit",
        "processes.runner": "runs a process on its own checkpoint",
        "schedule": "what is done by the clock",
    },
    "projections": {
        "differences": "what was different at two moments",
        "filling": "takes the log into tables, range by range",
        "moments": "where in the log a time is",
        "paging": "cursors",
        "past": "views as they were",
        "pool": "the connections that reads share",
        "replay": "build views anew",
        "runner": "keep views up to date",
        "shadows": "tables that are built beside those that serve",
        "skips": "what views leave out",
        "standing": "how far each view is",
        "view": "what a view is",
        "views": "the table of all views",
    },
    "read_api": {
        "controllers": "the table of all read controllers",
        "distribution": "shares of the portfolio, by token and by account",
        "pages": "cursors on the wire",
        "ports": "what reads ask of the outside",
        "projections": "how far each view is, of all areas",
        "settle": "who writes and then reads sees what was written",
    },
    "write_api": {
        "ports": "what writes ask beside commands",
        "writing": "what every write does with a request",
    },
}

VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "service", "services", "misc", "base"}


@pytest.mark.parametrize("file", files(*PACKAGES, "tests"), ids=str)
def test_no_file_is_too_long_to_read(file):
    lines = len((ROOT / file).read_text(encoding="utf-8").splitlines())
    assert lines <= LINES, f"{file} has {lines} lines; an area that outgrows {LINES} becomes a package of its name"


@pytest.mark.parametrize("layer", KEY_MODULES)
def test_a_module_is_named_after_its_area_or_is_a_key_module(layer):
    for file in files(layer):
        name = module_of(file).removeprefix(layer).removeprefix(".")
        if not name or name in KEY_MODULES[layer]:
            continue
        # A package that grew out of one file holds parts of it; processes are one file an area.
        area = name.removeprefix("processes.").partition(".")[0]
        known = area in AREAS or (area in KEY_MODULES[layer] and area != "processes")
        assert known, f"{file} is neither an area nor a key module of {layer}"


@pytest.mark.parametrize("layer", KEY_MODULES)
def test_a_key_module_that_is_gone_is_off_the_list(layer):
    modules = {module_of(file).removeprefix(layer).removeprefix(".") for file in files(layer)}
    assert set(KEY_MODULES[layer]) <= modules


@pytest.mark.parametrize("file", files(*PACKAGES), ids=str)
def test_no_name_says_nothing(file):
    assert not VAGUE & {word for part in file.with_suffix("").parts for word in part.split("_")}
