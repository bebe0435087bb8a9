"""Configuration classes are read out of Python source, which is never run."""

import json
from pathlib import Path

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError, Invalid
from domain.strategies import configs
from domain.strategies.configs import needed, read
from domain.strategies.modules import LINEAGE, READ_BYTES
from domain.strategies.templates import check, controller_template, script_template
from tests.strategies import CONTROLLERS, MACD_BB_V1, PMM_DYNAMIC, V2_WITH_CONTROLLERS

GOLDEN = Path(__file__).parents[2] / "contract" / "golden" / "controllers"
BASE = "from hummingbot.strategy_v2.controllers import ControllerConfigBase\n"
PATH = "controllers/generic/x.py"
# The recording shows the fields of the base class alone, or nothing of their own.
WRONG_CLASS = {"macd_bb_v1", "pmm_dynamic", "supertrend_v1"}


def template(source, path=PATH, **others):
    found = read(path, {path: source, **others})
    assert found is not None
    return controller_template(found)


def fields(body, head=""):
    """Return the template of a class with these lines in it."""
    return template(f"{BASE}{head}\nclass XConfig(ControllerConfigBase):\n    {body}\n")


def recorded(name):
    suffix = "" if name == "pmm_simple" else f"__{name}"
    return json.loads((GOLDEN / f"get_controller_config_template{suffix}.json").read_text())["body"]


@pytest.mark.parametrize("controller", [c for c in CONTROLLERS if c.partition("/")[2] not in WRONG_CLASS])
def test_a_template_is_the_recorded_one(controller):
    path, name = f"controllers/{controller}.py", controller.partition("/")[2]
    found, expected = template(CONTROLLERS[controller], path), recorded(name)
    assert list(found) == list(expected)
    for field, shown in expected.items():
        ours = {key: found[field][key] for key in ("default", "type")}
        if (field, name) == ("controller_name", "pmm_simple"):
            assert ours["default"] == "pmm_simple"  # the recording lacks the class's own fields
        else:
            assert ours == {key: shown[key] for key in ("default", "type")}


@pytest.mark.parametrize(
    ("controller", "own"),
    [
        ("market_making/pmm_dynamic", {"candles_connector", "interval", "macd_fast", "macd_slow", "natr_length"}),
        ("directional_trading/macd_bb_v1", {"candles_connector", "interval", "bb_length", "macd_fast", "macd_signal"}),
        ("directional_trading/supertrend_v1", {"length", "multiplier", "percentage_threshold"}),
    ],
)
def test_the_class_of_the_file_is_read_wherever_its_base_sorts(controller, own):
    found = template(CONTROLLERS[controller], f"controllers/{controller}.py")
    assert own <= found.keys()
    assert found["controller_name"]["default"] == controller.partition("/")[2]
    assert set(recorded(controller.partition("/")[2])) <= found.keys()


def test_a_script_s_template_is_its_defaults():
    path = "scripts/v2_with_controllers.py"
    found = read(path, {path: V2_WITH_CONTROLLERS})
    assert found is not None
    assert script_template(found) == {
        "script_file_name": "v2_with_controllers.py",
        "controllers_config": [],
        "max_global_drawdown_quote": None,
        "max_controller_drawdown_quote": None,
    }


def test_prompts_and_what_may_change_under_a_bot_are_told():
    found = template(PMM_DYNAMIC)
    assert found["candles_connector"]["prompt"] == "Candles of"
    assert found["buy_spreads"]["updatable"] is True
    assert found["leverage"]["updatable"] is False
    older = template(MACD_BB_V1)
    assert older["candles_connector"]["prompt"] == "Candles of"
    assert older["interval"]["updatable"] is True


def test_a_field_without_a_default_must_be_given():
    found = fields("a: int\n    b: int = Field(...)\n    c: int = 1", "from pydantic import Field")
    assert [found[name]["required"] for name in ("id", "controller_name", "controller_type", "a", "b", "c")] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    assert found["a"]["default"] == found["b"]["default"] == "PydanticUndefined"


TYPES = {
    "int": "<class 'int'>",
    "Decimal": "<class 'decimal.Decimal'>",
    "decimal.Decimal": "<class 'decimal.Decimal'>",
    "OrderType": "<enum 'OrderType'>",
    "Optional[OrderType]": "typing.Optional[hummingbot.core.data_type.common.OrderType]",
    "Union[int, None]": "typing.Optional[int]",
    "Union[int, str, None]": "typing.Union[int, str, NoneType]",
    "int | None": "int | None",
    "List[int] | None": "typing.Optional[typing.List[int]]",
    "list[float]": "list[float]",
    "Dict[str, Set[str]]": "typing.Dict[str, typing.Set[str]]",
    "'List[Decimal]'": "typing.List[decimal.Decimal]",
    "Literal['a', 'b']": "typing.Literal['a', 'b']",
    "Annotated[int, 1]": "<class 'int'>",
    "Mode": "<enum 'Mode'>",
    "Optional[Mode]": "typing.Optional[controllers.generic.x.Mode]",
    "Level": "<class 'controllers.generic.x.Level'>",
    "Pair": "<class 'str'>",
    "somewhere.Thing": "<class 'somewhere.Thing'>",
    "Nowhere": "<class 'Nowhere'>",
    "lambda: 1": "lambda: 1",
}


@pytest.mark.parametrize("annotation", TYPES)
def test_a_type_is_shown_as_python_shows_it(annotation):
    head = (
        "import decimal\nimport somewhere\nfrom decimal import Decimal\nfrom enum import Enum\n"
        "from typing import Annotated, Dict, List, Literal, Optional, Set, Union\n"
        "from hummingbot.core.event.events import OrderType\n"
        "class Mode(Enum):\n    FAST = 1\nclass Level(BaseModel):\n    price: int\nPair = str\n"
    )
    assert fields(f"a: {annotation}", head)["a"]["type"] == TYPES[annotation]


DEFAULTS = {
    "-5": -5,
    "60 * 60 * 24": 86400,
    "1 / 4": 0.25,
    "Decimal('0.1') * 2": "0.2",
    "Decimal(1)": "1",
    "'a' + 'b'": "ab",
    "f'{NAME}-USDT'": "BTC-USDT",
    "LEVELS": [1, 2],
    "(1, 'a', None)": [1, "a", None],
    "{'a': {'b': 1.5}}": {"a": {"b": 1.5}},
    "list()": [],
    "Field(default_factory=list)": [],
    "Field(default_factory=lambda: [Decimal('1')])": ["1"],
    "Field('x', description='y')": "x",
    "OrderType.LIMIT": "OrderType.LIMIT",
    "OrderType.LIMIT.value": 2,
    "OrderType.LIMIT.name": "LIMIT",
    "Mode.FAST": "Mode.FAST",
    "OrderType.NOPE": "OrderType.NOPE",
    "TrailingStop(activation_price=Decimal('1'), trailing_delta=Decimal('2'))": (
        "activation_price=Decimal('1') trailing_delta=Decimal('2')"
    ),
    "[TrailingStop(activation_price=1, trailing_delta=2)]": ["activation_price=1 trailing_delta=2"],
    "TrailingStop(activation_price=1)": "TrailingStop(activation_price=1)",
    "time.time()": "time.time()",
    "1 if X else 2": "1 if X else 2",
    "1 / 0": "1 / 0",
    "1e999": "inf",
    "10 ** 9": "10 ** 9",
    "2 * 9223372036854775807": "2 * 9223372036854775807",
    "'a' * 1000000000": "'a' * 1000000000",
    "0.1 + Decimal(1)": "0.1 + Decimal(1)",
    "LOOP": "LOOP",
    "'\\ud800'": "\\ud800",
    "b'a'": "b'a'",
    "...": "...",
}


@pytest.mark.parametrize("expression", DEFAULTS)
def test_a_default_is_what_its_expression_is_worth_or_how_it_is_written(expression):
    head = (
        "import time\nfrom decimal import Decimal\nfrom enum import Enum\nfrom pydantic import Field\n"
        "from hummingbot.core.data_type.common import OrderType\n"
        "from hummingbot.strategy_v2.executors.position_executor.data_types import TrailingStop\n"
        "class Mode(Enum):\n    FAST = 1\nNAME = 'BTC'\nLEVELS = [1, 2]\nLOOP = LOOP\n"
    )
    assert fields(f"a: object = {expression}", head)["a"]["default"] == DEFAULTS[expression]


def test_what_a_class_inherits_in_its_own_file_is_read():
    source = (
        f"{BASE}class Mixin:\n    m: int = 1\n"
        "class ZBase(ControllerConfigBase, Mixin):\n    a: int = 1\n    b: int = 2\n    controller_type: str = 'x'\n"
        "class _Hidden: pass\n"
        "class MConfig(ZBase):\n    b: str = 'two'\n    _private: int = 0\n    FIXED: ClassVar[int] = 3\n"
    )
    shown = template(f"from typing import ClassVar\n{source}")
    assert set(shown) >= {"a", "b", "m"}
    assert (shown["b"]["default"], shown["controller_type"]["default"]) == ("two", "x")
    assert not {"_private", "FIXED"} & shown.keys()


def test_what_a_class_inherits_over_other_files_is_read():
    other = "controllers/generic/grid.py"
    source = "from controllers.generic.grid import GridConfig as Base\nclass MyConfig(Base):\n    mine: int = 1\n"
    assert needed(source) == {other}
    grid = f"{BASE}class GridConfig(ControllerConfigBase):\n    levels: int = 3\n"
    found = template(source, **{other: grid})
    assert (found["levels"]["default"], found["mine"]["default"]) == (3, 1)
    assert read(PATH, {PATH: source}) is None


@pytest.mark.parametrize(
    "source",
    [
        "",
        "X = 1\n",
        "class A: pass\n",
        "class A(ControllerConfigBase): pass\n",
        "from elsewhere import ControllerConfigBase\nclass A(ControllerConfigBase): pass\n",
        "from hummingbot.strategy.strategy_v2_base import StrategyV2ConfigBase\nclass A(StrategyV2ConfigBase): pass\n",
        "class A(B): pass\nclass B(A): pass\n",
        "class A(f()): pass\n",
    ],
)
def test_a_file_without_a_configuration_class_has_none(source):
    assert read(PATH, {PATH: source}) is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a = 1\nclass :\n", "no Python in line 2"),
        ("def f(:\n", "line 1: "),
        ("\tif a:\nb\n", "line 1"),
        ("a\0b", "no Python"),
        ("x = '\ud800'", "surrogate"),
        ("(" * 300, "line 1: too many nested parentheses"),
        ("-" * 100_000 + "1", "nested too deeply"),
        ("x" + ".a" * 50_000, "nested too deeply"),
        ("x = " + "9" * 5000, "line 1"),
        ("#" * (READ_BYTES + 1), f"at most {READ_BYTES}"),
    ],
    ids=["class", "def", "indent", "nul", "surrogate", "parentheses", "minus", "dots", "digits", "long"],
)
def test_what_is_no_python_is_refused_with_its_line(source, words):
    with pytest.raises(Invalid, match=words):
        read(PATH, {PATH: source})


def test_a_class_that_inherits_without_end_is_refused():
    chain = "\n".join(f"class A{n}(A{n + 1}): pass" for n in range(LINEAGE + 3))
    with pytest.raises(Invalid, match=f"more than {LINEAGE} classes"):
        read(PATH, {PATH: chain})


RUN = "raise SystemExit('this was run')\n"


def test_nothing_of_a_source_is_run(tmp_path):
    file = tmp_path / "was_here"
    source = (
        f"{BASE}import os\nopen({str(file)!r}, 'w')\n{RUN}\n"
        f"class XConfig(ControllerConfigBase):\n    {RUN}\n    a: print('x') = os.system('touch {file}')\n"
        f"    b: int = __import__('os').system('touch {file}')\n    c: 'open(FILE)' = 1\n"
    )
    found = template(source)
    assert found["a"]["default"] == f"os.system('touch {file}')"
    assert not file.exists()


def test_what_would_take_for_ever_ends(monkeypatch):
    wide = ", ".join(["B"] * 200)
    head = "\n".join(
        f"{chr(65 + n)} = [{wide.replace('B', chr(66 + n))}]\n{chr(97 + n)} = Dict[{wide.replace('B', chr(98 + n))}]"
        for n in range(8)
    )
    monkeypatch.setattr("domain.strategies.expressions.STEPS", 2000)
    value = fields("x: int = A", f"from typing import Dict\n{head}")["x"]["default"]
    assert len(value) == 200
    assert value[-1] == "B"
    assert len(fields("x: a", f"from typing import Dict\n{head}")["x"]["type"]) < 2000


BITS = (
    *("class XConfig(ControllerConfigBase):\n", "    a: ", "int", "List[", "Decimal('1')", " = ", "Field(", ")", "]"),
    *("[", "{", "}", "1", "'a'", "\n", "\n    ", "def ", "f'{", "}'", "OrderType.LIMIT", ",", "...", "lambda: ", "|"),
)
written = st.lists(st.sampled_from(BITS), max_size=12).map(lambda bits: BASE + "".join(bits))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), written), st.booleans())
@example(f"{BASE}class A(ControllerConfigBase):\n  a: List[()] = f()()\n  b: Literal[x[1:2]] = {{**a}}", True)
def test_whatever_is_written_is_read_or_refused(source, scripts):
    path = "scripts/x.py" if scripts else PATH
    try:
        found = read(path, {path: source})
        if found is not None:
            json.dumps([controller_template(found), script_template(found)]).encode()
            check(found, {"id": source})
    except DomainError as refusal:
        event(type(refusal).__name__)


def test_a_reading_has_a_bound_that_real_classes_stay_under(monkeypatch):
    monkeypatch.setattr("domain.strategies.expressions.STEPS", 1000)
    for controller, source in CONTROLLERS.items():
        path = f"controllers/{controller}.py"
        assert not any("…" in str(field) for field in template(source, path).values())
    assert configs.read(PATH, {PATH: ""}) is None
