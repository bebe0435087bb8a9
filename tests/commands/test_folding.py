"""A state from a snapshot and what came after it is the state from the whole stream, whatever the stream is of."""

import ast
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cache, partial, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from structlog.testing import capture_logs

from commands.folding import EVERY, Folded, decode, encode, fold, load
from commands.ports.snapshots import AT_ONCE
from domain import accounts, bots, catalog, orders, positions, rates, strategies, views
from domain.accounts import AccountAdded, CredentialsRemoved, CredentialsStored
from domain.events import Event
from tests.appends import origin, write
from tests.fakes.log import MemoryLog
from tests.layout.sources import files, module_of, tree_of

FOLDS: dict[str, tuple[Any, Callable[[Any, Event], Any]]] = {
    "account": (accounts.NEW, accounts.evolve),
    "order": (orders.NEW, orders.evolve),
    "margin": (positions.NEW, positions.evolve),
    "position": (positions.Known(), positions.learn),
    "rates": (rates.NEW, rates.evolve),
    "bot": (bots.NEW, bots.evolve),
    "source": (strategies.NEW_SOURCE, strategies.evolve_source),
    "config": (strategies.NEW_CONFIG, strategies.evolve_config),
    "skips": (views.NEW, views.evolve),
}
FEW = st.sampled_from(["a", "b", "c"])  # so that ids and names are met again
JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | FEW, lambda inner: st.dictionaries(FEW, inner))
PLAIN: Mapping[object, SearchStrategy[Any]] = {
    str: FEW,
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(datetime(2020, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is beside it
    object: JSON,
    NoneType: st.none(),
}


@cache
def values(kind: Any) -> SearchStrategy[Any]:
    """Return values of a type that stands in an event."""
    arguments, origin_ = get_args(kind), get_origin(kind)
    if origin_ is Annotated:
        return values(arguments[0])
    if origin_ in {Union, UnionType}:
        return st.one_of([values(argument) for argument in arguments])
    if origin_ is Literal:
        return st.sampled_from(arguments)
    if origin_ in {list, Sequence}:
        return st.lists(values(arguments[0]), max_size=3)
    if origin_ in {dict, Mapping}:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if issubclass(kind, msgspec.Struct):
        fields = {field.name: values(field.type) for field in msgspec.structs.fields(kind)}
        return st.fixed_dictionaries(fields).map(lambda given_: kind(**given_))
    return PLAIN[kind]


def events_of(fold_: str) -> SearchStrategy[list[Event]]:
    """Return histories of the events that stand beside a state."""
    _, evolve = FOLDS[fold_]
    types = [event for event in catalog.TYPES.values() if event.__module__ == evolve.__module__]
    return st.lists(st.one_of([values(event) for event in types]), max_size=12)


def test_every_fold_of_the_domain_is_here():
    found = {
        f"{module_of(file)}.{node.name}"
        for file in files("domain")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.FunctionDef)
        and [argument.arg for argument in node.args.args[1:]] == ["event"]
        and not node.name.startswith("_")
    }
    assert found == {f"{evolve.__module__}.{evolve.__name__}" for _, evolve in FOLDS.values()}


@pytest.mark.parametrize("name", FOLDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_state_goes_on_from_its_snapshot_as_if_it_had_never_been_one(name: str, data: st.DataObject):
    new, evolve = FOLDS[name]
    history = data.draw(events_of(name))
    cut = data.draw(st.integers(0, len(history)))
    kept = encode(reduce(evolve, history[:cut], new))
    assert reduce(evolve, history[cut:], decode(kept, evolve)) == reduce(evolve, history, new)


STREAM = "account-a"
load_account = partial(load, stream=STREAM, new=accounts.NEW, evolve=accounts.evolve)


def connections(count: int) -> list[Event]:
    return [
        CredentialsStored(account="a", connector=f"c{n % 7}", fields=[])
        if n % 3
        else CredentialsRemoved(account="a", connector=f"c{n % 5}")
        for n in range(count)
    ]


async def long_log(count: int) -> MemoryLog:
    log = MemoryLog()
    await grow(log, [AccountAdded(account="a"), *connections(count - 1)])
    return log


async def grow(log: MemoryLog, events: Sequence[Event]) -> None:
    version = len((await log.read([STREAM]))[STREAM])
    await log.append([write(STREAM, version, *events)], origin())


async def whole(log: MemoryLog) -> accounts.Account:
    return fold(accounts.NEW, accounts.evolve, (await log.read([STREAM]))[STREAM])


async def loaded_right(log: MemoryLog) -> Folded[accounts.Account]:
    loaded = await load_account(log)
    events = (await log.read([STREAM]))[STREAM]
    assert (loaded.state, loaded.version, loaded.position) == (await whole(log), len(events), events[-1].position)
    assert loaded.first == events[0]
    return loaded


async def test_a_short_stream_has_no_snapshot():
    log = await long_log(EVERY - 1)
    assert len((await loaded_right(log)).newest) == EVERY - 1
    assert log.snapshots == {}


async def test_a_stream_that_does_not_exist_is_new():
    loaded = await load_account(MemoryLog())
    assert (loaded.state, loaded.version, loaded.position, loaded.first) == (accounts.NEW, 0, 0, None)


@pytest.mark.parametrize("count", [EVERY, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 7])
async def test_a_long_stream_is_read_from_its_snapshot(count: int):
    log = await long_log(count)
    await loaded_right(log)
    assert log.snapshots[STREAM].version == count
    assert len((await loaded_right(log)).newest) == 1
    await grow(log, connections(9))
    assert len((await loaded_right(log)).newest) == 10
    assert log.snapshots[STREAM].version == count


async def test_a_snapshot_is_renewed_when_enough_came_after_it():
    log = await long_log(EVERY)
    await loaded_right(log)
    await grow(log, connections(EVERY))
    await loaded_right(log)
    assert log.snapshots[STREAM].version == 2 * EVERY


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"connectors":5}', b"\xff\x00"], ids=repr)
async def test_a_damaged_snapshot_is_passed_over_and_replaced(damaged: bytes):
    log = await long_log(EVERY + 5)
    await loaded_right(log)
    log.snapshots[STREAM] = msgspec.structs.replace(log.snapshots[STREAM], state=damaged)
    with capture_logs() as said:
        assert len((await loaded_right(log)).newest) == EVERY + 5
    assert [(line["event"], line["stream"], line["version"]) for line in said] == [
        ("snapshot_discarded", STREAM, EVERY + 5)
    ]
    assert decode(log.snapshots[STREAM].state, accounts.evolve) == await whole(log)
