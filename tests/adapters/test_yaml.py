"""Configurations say to a bot what they say here: bots read YAML 1.1, with PyYAML."""

import asyncio
import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.yaml import HummingbotYaml
from domain.errors import Invalid
from domain.strategies import CONFIG_BYTES, DEPTH

YAML = HummingbotYaml()
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ODD = (
    *("on", "yes", "n", "~", "null", "1e5", "1e-05", "12:30", "010", "0x1F", "1_000", "2026-01-01", "=", "<<", ".inf"),
    *("", " a", "a: b", "- a", "#", "a #b", "a\nb\n", "\x85", "\u2028", "\ufeff", "\0", "&a", "*a", "!a", "%", "@"),
)
awkward = st.sampled_from(ODD)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | awkward,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | awkward, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts | awkward, values, max_size=4))
@example({"a": 1e-05, "b": 1e22, "c": -0.0, "d": 2**62, "e": [], "f": {}, "g": 2**64 - 1})
def test_what_is_written_says_the_same_here_and_to_a_bot(content):
    text = asyncio.run(YAML.dump(content))
    assert yaml.safe_load(text) == content
    assert asyncio.run(YAML.load("x", text)) == content
    assert "&" not in text or any("&" in str(part) for part in _parts(content))


def _parts(value):
    if isinstance(value, dict):
        return [part for item in value.items() for part in _parts(list(item))]
    return [part for item in value for part in _parts(item)] if isinstance(value, list) else [value]


async def test_a_configuration_is_written_as_the_reference_writes_it():
    content = {
        "trading_pair": "BTC-USDT",
        "buy_spreads": [0.001, 0.002],
        "leverage": 1,
        "manual_kill_switch": False,
        "time_limit": None,
        "trailing_stop": {"trailing_delta": 0.003, "activation_price": 0.015},
    }
    text = await YAML.dump(content)
    assert text == yaml.dump(content, default_flow_style=False)


async def test_an_empty_configuration_is_an_empty_object():
    assert await YAML.dump({}) == "{}\n"
    assert await YAML.load("x", "{}\n") == {}


async def test_two_places_may_hold_the_same_list():
    shared = [1, 2]
    assert await YAML.dump({"a": shared, "b": shared}) == "a:\n- 1\n- 2\nb:\n- 1\n- 2\n"


async def test_what_a_bot_writes_is_read_as_json_says_it():
    text = "a: 1.0e-05\nb: on\nc: 2026-01-02\nd: 12:30\n# a remark\ne: ~\nf: 0x10\n1: x\ng: 1e5\nh: 1.5e+3\n"
    assert await YAML.load("x", text) == {
        "a": 1e-05,
        "b": True,
        "c": "2026-01-02",
        "d": 750,
        "e": None,
        "f": 16,
        "1": "x",
        "g": "1e5",
        "h": 1500.0,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "'x' is no YAML in line 1: "),
        ("a: 1\nb: 2: 3\n", "'x' is no YAML in line 2: "),
        ("a: 1\na: 2\n", "line 2: found duplicate key"),
        ("\0", "is no YAML"),
        ("a: -_\n", "is no YAML"),
        ("a: 2024-13-45\n", "is no YAML: month must be in 1..12"),
        ("- 1\n", "names and values"),
        ("7", "names and values"),
        ("", "names and values"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("a: &x [1]\nb: *x\n", "anchor or alias in line 1"),
        ("a: 1\nb: *x\n", "anchor or alias in line 2"),
        ("a: !!python/object/apply:os.system ['x']\n", "tag '.*os.system' in line 1"),
        ("a: !!binary aGk=\n", "has the tag"),
        ("a: .nan\n", "holds nan"),
        ("a: -.inf\n", "holds -inf"),
        (f"a: {2**70}\n", "more than 64 bits"),
        ("? [a]\n: 1\n", "key \\('a',\\)"),
        (f"a: {'[' * 5000}\n", f"more than {DEPTH} levels"),
        (f"a: {'x' * CONFIG_BYTES}\n", f"at most {CONFIG_BYTES}"),
    ],
    ids=lambda value: ascii(value)[:24],
)
async def test_what_no_configuration_says_is_refused(text, words):
    with pytest.raises(Invalid, match=words):
        await YAML.load("x", text)


async def test_a_billion_laughs_are_not_laughed():
    text = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}]\n" for n in range(20))
    with pytest.raises(Invalid, match="anchor or alias in line 1"):
        await YAML.load("x", text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_whatever_a_bot_writes_is_read_or_refused(text):
    try:
        content = asyncio.run(YAML.load("x", text))
    except Invalid as refusal:
        assert "'x'" in refusal.message  # noqa: PT017 - any text may be refused, or read
    else:
        assert all(math.isfinite(part) for part in _parts(content) if isinstance(part, float))
