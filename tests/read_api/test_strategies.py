import pytest

from domain.strategies.modules import READ_BYTES
from domain.values import Json
from tests.projections.strategies import STRATEGIES, config, controller, script
from tests.strategies import BOLLINGER_V1, GRID_STRIKE, PMM_DYNAMIC, V2_WITH_CONTROLLERS

GRID = "/controllers/generic/grid_strike/config"
VALID = {"id": "g1", "controller_name": "grid_strike", "total_amount_quote": "100", "position_mode": "HEDGE"}


async def test_a_new_installation_has_no_strategies(server):
    assert await server.ask("/scripts/") == []
    assert await server.ask("/scripts/configs/") == []
    assert await server.ask("/controllers/configs/") == []
    assert await server.ask("/controllers/") == {"directional_trading": [], "market_making": [], "generic": []}


async def test_what_was_saved_last_is_shown(server):
    await server.told(STRATEGIES)
    assert await server.ask("/scripts/") == ["odd", "watch"]
    assert await server.ask("/scripts/watch") == {"name": "watch", "content": "a = 2\n"}
    assert await server.ask("/controllers/") == {
        "directional_trading": [],
        "market_making": ["grid"],
        "generic": ["grid"],
    }
    assert await server.ask("/controllers/market_making/grid") == {
        "name": "grid",
        "type": "market_making",
        "content": "b = 1\n",
    }
    assert await server.ask("/controllers/configs/") == [{"leverage": 6}]
    assert await server.ask("/controllers/configs/grid_btc") == {"leverage": 6}
    assert await server.ask("/scripts/configs/grid_btc") == {"script_file_name": "watch.py"}
    assert await server.ask("/scripts/configs/") == [
        {
            "config_name": "grid_btc",
            "script_file_name": "watch.py",
            "controllers_config": [],
            "candles_config": [],
            "markets": {},
        },
        {
            "config_name": "other",
            "script_file_name": "",
            "controllers_config": [],
            "candles_config": [],
            "markets": {},
        },
    ]


async def test_a_configuration_with_odd_texts_is_shown_as_it_was_saved(server):
    content: Json = {"odd": "\0\\u0000\u2028é", "deep": [{"a": [None, True, 0.1]}]}
    await server.told([config("controllers", "odd", content)])
    assert await server.ask("/controllers/configs/odd") == content


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/scripts/nope", "Script 'nope' not found"),
        ("/scripts/configs/nope", "Configuration 'nope' not found"),
        ("/controllers/configs/..%5Cnope", "Configuration '..\\nope' not found"),
        ("/controllers/generic/nope", "Controller 'nope' not found in 'generic'"),
        ("/scripts/nope/config/template", "Script configuration class for 'nope' not found"),
        ("/controllers/generic/nope/config/template", "Controller configuration class for 'nope' not found"),
        ("/controllers/bots/nobot/configs", "Bot 'nobot' not found"),
    ],
)
async def test_what_is_not_there_is_named(server, path, words):
    assert (await server.ask(path, status=404))["detail"] == words


async def test_an_unknown_type_is_refused_with_those_there_are(server):
    for path in ("/controllers/bad_type/nope", "/controllers/bad_type/nope/config/template"):
        problem = (await server.ask(path, status=422))["detail"][0]
        assert problem["loc"] == ["path", "controller_type"]
        assert problem["input"] == "bad_type"
        for type_ in ("directional_trading", "market_making", "generic"):
            assert f"'{type_}'" in problem["msg"]


async def test_a_template_is_read_out_of_the_source(server):
    await server.told(
        [
            controller("market_making", "pmm_dynamic", PMM_DYNAMIC),
            script("v2_with_controllers", V2_WITH_CONTROLLERS),
        ]
    )
    template = await server.ask("/controllers/market_making/pmm_dynamic/config/template")
    assert template["macd_fast"] == {
        "default": 21,
        "type": "<class 'int'>",
        "required": False,
        "prompt": None,
        "updatable": False,
    }
    assert template["id"]["required"] is True
    assert await server.ask("/scripts/v2_with_controllers/config/template") == {
        "script_file_name": "v2_with_controllers.py",
        "controllers_config": [],
        "max_global_drawdown_quote": None,
        "max_controller_drawdown_quote": None,
    }


async def test_a_class_may_inherit_over_files(server):
    child = (
        "from controllers.directional_trading.bollinger_v1 import BollingerV1Config\n"
        "class ChildConfig(BollingerV1Config):\n    mine: int = 1\n"
    )
    grandchild = child.replace("bollinger_v1", "child").replace("BollingerV1Config", "ChildConfig")
    await server.told(
        [
            controller("directional_trading", "bollinger_v1", BOLLINGER_V1),
            controller("directional_trading", "child", child),
            controller("directional_trading", "grandchild", grandchild.replace("class Child", "class Grand")),
        ]
    )
    template = await server.ask("/controllers/directional_trading/grandchild/config/template")
    assert (template["bb_std"]["default"], template["mine"]["default"]) == (2.0, 1)


async def test_a_file_that_is_no_python_is_refused_with_its_line(server):
    await server.told([controller("generic", "bad", "a = 1\nclass :\n"), script("bad", "a = (\n")])
    template = await server.ask("/controllers/generic/bad/config/template", status=400)
    assert template["detail"] == "'controllers/generic/bad.py' is no Python in line 2: invalid syntax"
    assert (await server.ask("/controllers/generic/bad/config/validate", {}, status=400)) == template
    assert "line 1" in (await server.ask("/scripts/bad/config/template", status=400))["detail"]


async def test_a_file_that_is_too_long_to_be_read_is_still_shown(server):
    source = "#" * (READ_BYTES + 1)
    await server.told([script("long", source)])
    assert len((await server.ask("/scripts/long"))["content"]) == READ_BYTES + 1
    assert str(READ_BYTES) in (await server.ask("/scripts/long/config/template", status=400))["detail"]


async def test_a_valid_configuration_is_valid(server):
    await server.told([controller("generic", "grid_strike", GRID_STRIKE)])
    assert await server.ask(f"{GRID}/validate", VALID) == {"message": "Configuration is valid"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"leverage": "x"}, "leverage\n  Input should be a valid integer, got 'x'"),
        ({"leverage": 1.5}, "leverage\n  Input should be a valid integer, got 1.5"),
        ({"total_amount_quote": "abc"}, "total_amount_quote\n  Input should be a valid decimal"),
        ({"total_amount_quote": True}, "total_amount_quote\n  Input should be a valid decimal"),
        ({"keep_position": "maybe"}, "keep_position\n  Input should be a valid boolean"),
        ({"trading_pair": 7}, "trading_pair\n  Input should be a valid string"),
        ({"side": "SIDEWAYS"}, "side\n  Input should be 1 or 2 or 3"),
        ({"initial_positions": [{"connector_name": 1, "trading_pair": "", "amount": 1, "side": "buy"}]}, "0.connector"),
        (
            {"triple_barrier_config": {"stop_loss": -1}},
            "triple_barrier_config.stop_loss\n  Input should be greater than",
        ),
        ({"start_price": None}, "start_price\n  Input should be a valid decimal, got None"),
        ({"nope": 1}, "nope\n  Extra inputs are not permitted, got 1"),
        ({"id": None}, "id\n  Input should be a valid string"),
    ],
    ids=str,
)
async def test_what_is_no_configuration_is_refused_with_the_field(server, changes, words):
    await server.told([controller("generic", "grid_strike", GRID_STRIKE)])
    answer = await server.ask(f"{GRID}/validate", {**VALID, **changes}, status=400)
    assert answer["detail"].startswith("1 validation error for GridStrikeConfig\n")
    assert words in answer["detail"]


async def test_all_that_is_wrong_is_said(server):
    await server.told([controller("generic", "grid_strike", GRID_STRIKE)])
    detail = (await server.ask(f"{GRID}/validate", {"leverage": "x", "a": 1}, status=400))["detail"]
    assert detail.startswith("3 validation errors")  # its id is missing, too
    assert "id\n  Field required" in detail
    await server.ask(f"{GRID}/validate", [], status=422)


async def test_a_bot_s_configurations_are_those_in_its_files(server):
    assert await server.ask("/controllers/bots/bot1/configs") == [
        {"controller_name": "grid", "leverage": 5, "_config_name": "grid_btc"},
        {"_config_name": "empty"},
    ]


async def test_who_saved_what_and_when_is_in_the_history(server):
    await server.told(STRATEGIES)
    history = (await server.ask("/audit/streams/strategy-controllers-generic-grid"))["data"]
    assert [(event["version"], event["type"]) for event in history] == [
        (1, "ControllerSaved"),
        (2, "ControllerDeleted"),
        (3, "ControllerSaved"),
    ]
    assert {event["actor"] for event in history} <= {"admin", "<orders>"}
    assert [event["data"].get("source") for event in history] == ["a = 1\n", None, "a = 3\n"]
    assert all(event["recorded_at"] for event in history)
