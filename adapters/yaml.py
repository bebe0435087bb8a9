"""Configurations as Hummingbot writes and reads them: YAML 1.1, keys in order of the alphabet, no anchors, no tags.

Bots read with the rules of YAML 1.1, where `on` is a truth value, `1e-05` a text and `12:30` a number. What is written
here says the same there.
"""

import asyncio
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import ScalarNode

from domain.errors import Invalid
from domain.strategies import CONFIG_BYTES, DEPTH
from domain.values import Json

_DIRECTIVE = "%YAML 1.1\n---"
_LEAST, _MOST = -(2**63), 2**64 - 1  # what JSON's readers take for a whole number
_DECIMAL = re.compile(r"[-+]?[0-9_]+[eE].*")


class _Constructor(SafeConstructor):
    """Reads `1e5` as a bot does: without a point it is a text."""

    def construct_yaml_float(self, node: ScalarNode) -> Any:  # noqa: ANN401 - a text where a float might be
        text = node.value
        return text if _DECIMAL.fullmatch(text) else super().construct_yaml_float(node)


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


class HummingbotYaml:
    """The port `Yaml`. A long text takes seconds: it is worked on in a thread."""

    async def dump(self, content: Mapping[str, object]) -> str:
        """Return the text of a configuration."""
        return await asyncio.to_thread(_dump, content)

    async def load(self, name: str, text: str) -> Json:
        """Return what a text says, as JSON can say it. Raises `Invalid`, with the line where there is one."""
        return await asyncio.to_thread(_load, name, text)


def _dump(content: Mapping[str, object]) -> str:
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.allow_unicode = False  # a few characters do not survive otherwise, U+0085 for one
    yaml.width = 1000
    text = StringIO()
    yaml.dump(_sorted(content), text)
    return text.getvalue().removeprefix(_DIRECTIVE)[1:]  # a space or the end of the line


def _load(name: str, text: str) -> Json:
    # Length, aliases and depth are looked at before anything is built of the text.
    length = len(text.encode(errors="replace"))
    if length > CONFIG_BYTES:
        raise Invalid(f"Configuration '{name}' has {length} bytes of YAML; at most {CONFIG_BYTES} are allowed")
    try:
        _check(name, _yaml().parse(text))
        content = _yaml().load(text)
    except (YAMLError, ValueError, IndexError) as error:  # IndexError: ruamel takes `-_` for a number
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        why = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise Invalid(f"Configuration '{name}' is no YAML{where}: {why}") from error
    if not isinstance(content, dict):
        raise Invalid(f"Configuration '{name}' should be YAML of names and values")
    return _object(name, content)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.Constructor = _Constructor
    return yaml


def _check(name: str, events: Iterator[Event]) -> None:
    depth = 0
    for event in events:
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            line = event.start_mark.line + 1
            raise Invalid(f"Configuration '{name}' has an anchor or alias in line {line}: write the value out")
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
            line = event.start_mark.line + 1
            raise Invalid(f"Configuration '{name}' has the tag '{event.tag}' in line {line}: write plain values")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEPTH:
            raise Invalid(f"Configuration '{name}' is nested more than {DEPTH} levels deep")


def _sorted(value: object) -> object:
    match value:
        case Mapping():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list() | tuple():
            return [_sorted(item) for item in value]
        case _:
            return value


def _plain(name: str, value: object) -> object:
    match value:
        case dict():
            return _object(name, value)
        case list():
            return [_plain(name, item) for item in value]
        case float() if not math.isfinite(value):
            raise Invalid(f"Configuration '{name}' holds {value}, which is no number")
        case int() if not _LEAST <= value <= _MOST:
            raise Invalid(f"Configuration '{name}' holds a whole number of more than 64 bits")
        case date():
            return value.isoformat()
        case str() | int() | float() | None:
            return value
        case _:
            raise Invalid(f"Configuration '{name}' holds a {type(value).__name__}, which JSON cannot say")


def _object(name: str, value: Mapping[object, object]) -> Json:
    for key in value:
        if not isinstance(key, str | int | float | None):
            raise Invalid(f"Configuration '{name}' has the key {key}, which is no text")
    return {str(key): _plain(name, item) for key, item in value.items()}
