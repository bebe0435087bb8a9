"""Every command has one handler, in its own file."""

import importlib
import inspect

import pytest

from commands.bus import Command
from commands.handlers import HANDLERS
from tests.layout.sources import files, module_of

MODULES = [importlib.import_module(module_of(file)) for file in files("commands")]
COMMANDS = {
    thing
    for module in MODULES
    for thing in vars(module).values()
    if inspect.isclass(thing) and issubclass(thing, Command) and thing is not Command
}


def test_every_command_is_in_the_table():
    assert set(HANDLERS) == COMMANDS


def test_no_command_is_in_two_tables():
    tables = [module.HANDLERS for module in MODULES if hasattr(module, "HANDLERS") and module.HANDLERS is not HANDLERS]
    assert sum(map(len, tables)) == len(HANDLERS)


@pytest.mark.parametrize("command", sorted(HANDLERS, key=str))
def test_a_handler_stands_beside_its_command_and_has_no_other(command):
    handler = inspect.unwrap(HANDLERS[command][0])
    assert inspect.getmodule(handler) is inspect.getmodule(command)
    assert [c for c in HANDLERS if HANDLERS[c][0] is HANDLERS[command][0]] == [command]
