"""Strategies as recorded, through the published client, and without the defects of the reference."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.contract.comparing import differences
from tests.contract.strategy_cases import BOT, CASES, HEADLESS
from tests.contract.test_client import connected, methods
from tests.contract.test_golden import GOLDEN, recorded
from tests.strategies import CONTROLLERS, PMM_DYNAMIC, V2_WITH_CONTROLLERS

pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]
CONFIG = recorded("controllers/get_controller_config")["body"]
SCRIPT_CONFIG = recorded("scripts/get_script_config")["body"]
GOLDEN_SCRIPT = recorded("scripts/create_or_update_script")["request"]["json"]["content"]
SAVED = {
    **{f"/controllers/{name}": {"content": source} for name, source in CONTROLLERS.items()},
    "/controllers/generic/golden_ctrl": {"content": "X = 1\n"},
    "/controllers/generic/to_delete": {"content": ""},
    "/controllers/configs/kept": CONFIG,
    "/controllers/configs/to_delete": CONFIG,
    "/scripts/v2_with_controllers": {"content": V2_WITH_CONTROLLERS},
    "/scripts/golden": {"content": GOLDEN_SCRIPT},
    "/scripts/to_delete": {"content": ""},
    "/scripts/configs/kept": SCRIPT_CONFIG,
    "/scripts/configs/to_delete": SCRIPT_CONFIG,
}


def give_bot(server, instance, *controllers):
    """Put the files of a bot where they are put when it is deployed."""
    folder = server.data / "bots" / "instances" / instance / "conf" / "controllers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for controller in controllers:
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in CONFIG.items())
        (folder / f"{controller}.yml").write_text(text)


@pytest.fixture(scope="module")
def prepared(server):
    """Save what the cases' paths refer to."""
    with server.client() as client:
        for path, body in SAVED.items():
            client.post(path, json=body).raise_for_status()
    give_bot(server, BOT, "pmm_btc")
    give_bot(server, HEADLESS, "pmm_perp_btc")


def test_every_recorded_answer_has_a_case():
    names = {f"{area}/{file.stem}" for area in ("controllers", "scripts") for file in (GOLDEN / area).glob("*.json")}
    assert names == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_ours_answers_as_recorded(name, api, prepared):
    case, golden = CASES[name], recorded(name)
    if case.path in SAVED:  # another test may have deleted it
        api.post(case.path, json=SAVED[case.path]).raise_for_status()
    answer = api.request(case.method, case.path, json=case.body)
    assert answer.status_code == golden["status"], answer.text
    assert case.words in str(answer.json())
    assert list(differences(golden["body"], answer.json())) == []


async def test_every_method_of_the_client_s_controllers(server):
    async with connected(server) as client:
        router, called = client.controllers, set()

        def calls(name):
            called.add(name)
            return getattr(router, name)

        await calls("create_or_update_controller")("market_making", "by_client", {"content": PMM_DYNAMIC})
        assert "by_client" in (await calls("list_controllers")())["market_making"]
        assert (await calls("get_controller")("market_making", "by_client"))["content"] == PMM_DYNAMIC
        template = await calls("get_controller_config_template")("market_making", "by_client")
        assert template["macd_fast"]["default"] == 21
        config = {"id": "c1", "controller_name": "by_client", "macd_fast": 12}
        assert await calls("validate_controller_config")("market_making", "by_client", config)
        await calls("create_or_update_controller_config")("by_client", config)
        assert config in await calls("list_controller_configs")()
        assert await calls("get_controller_config")("by_client") == config
        give_bot(server, "client-bot", "pmm")
        await calls("update_bot_controller_config")("client-bot", "pmm", {"leverage": 7})
        assert await calls("get_bot_controller_configs")("client-bot") == [
            {**CONFIG, "leverage": 7, "_config_name": "pmm"}
        ]
        await calls("delete_controller_config")("by_client")
        await calls("delete_controller")("market_making", "by_client")
        assert "by_client" not in (await router.list_controllers())["market_making"]
        assert called == methods(router)


async def test_every_method_of_the_client_s_scripts(server):
    async with connected(server) as client:
        router, called = client.scripts, set()

        def calls(name):
            called.add(name)
            return getattr(router, name)

        await calls("create_or_update_script")("by_client", {"content": V2_WITH_CONTROLLERS})
        assert "by_client" in await calls("list_scripts")()
        assert (await calls("get_script")("by_client"))["content"] == V2_WITH_CONTROLLERS
        assert (await calls("get_script_config_template")("by_client"))["script_file_name"] == "by_client.py"
        config = {"script_file_name": "by_client.py", "controllers_config": ["a.yml"]}
        await calls("create_or_update_script_config")("by_client", config)
        assert "by_client" in {item["config_name"] for item in await calls("list_script_configs")()}
        assert await calls("get_script_config")("by_client") == config
        await calls("delete_script_config")("by_client")
        await calls("delete_script")("by_client")
        assert "by_client" not in await router.list_scripts()
        assert called == methods(router)


@pytest.mark.parametrize(
    ("controller", "field"),
    [
        ("market_making/pmm_dynamic", "macd_fast"),
        ("directional_trading/macd_bb_v1", "bb_length"),
        ("directional_trading/supertrend_v1", "multiplier"),
    ],
)
def test_defect_23_the_file_s_own_class_is_read_and_its_configurations_are_valid(api, prepared, controller, field):
    template = api.get(f"/controllers/{controller}/config/template").json()
    assert field in template
    config = {"id": "x", field: template[field]["default"]}
    answer = api.post(f"/controllers/{controller}/config/validate", json=config)
    assert (answer.status_code, answer.json()) == (200, {"message": "Configuration is valid"})


def test_defect_34_what_is_uploaded_is_never_run(api, tmp_path):
    file = tmp_path / "was_here"
    source = f"open({str(file)!r}, 'w').close()\nraise SystemExit\n{V2_WITH_CONTROLLERS}"
    api.post("/scripts/wicked", json={"content": source}).raise_for_status()
    api.post("/controllers/generic/wicked", json={"content": source}).raise_for_status()
    assert api.get("/scripts/wicked/config/template").json()["script_file_name"] == "wicked.py"
    assert api.get("/controllers/generic/wicked/config/template").status_code == 404
    assert api.post("/controllers/generic/wicked/config/validate", json={}).status_code == 404
    assert not file.exists()
    assert api.get("/ready").status_code == 200


@pytest.mark.parametrize("named", ["../../../config.py", "..%2Fx", "/etc/passwd", "a/../../b.yml"])
def test_defect_36_a_script_s_configuration_names_no_paths(api, named):
    answer = api.post("/scripts/configs/tricky", json={"controllers_config": [named]})
    assert (answer.status_code, named.removesuffix(".yml") in answer.json()["detail"]) == (400, True)
    assert api.get("/scripts/configs/tricky").status_code == 404


def test_who_saved_a_strategy_is_in_its_history(api):
    for source in ("a = 1\n", "a = 2\n"):
        api.post("/scripts/versions", json={"content": source}).raise_for_status()
    history = api.get("/audit/streams/strategy-scripts-versions").json()["data"]
    assert [(e["version"], e["actor"], e["data"]["source"]) for e in history] == [
        (1, "admin", "a = 1\n"),
        (2, "admin", "a = 2\n"),
    ]


def test_strategies_are_imported_beside_a_server_that_runs(server, api, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "imported.py").write_text(V2_WITH_CONTROLLERS)
    command = [sys.executable, "-m", "adapters", "strategies", "import", "--folder", str(tmp_path)]
    ended = subprocess.run(
        command, cwd=server.data, env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Importing into the ")
    assert "new       scripts/imported.py\n1 new, 0 changed, 0 unchanged, 0 skipped\n" in ended.stdout
    position = api.get("/audit/streams/strategy-scripts-imported").json()["data"][0]["position"]
    shown = api.get("/scripts/imported", headers={"X-After-Position": str(position)}).json()
    assert shown == {"name": "imported", "content": V2_WITH_CONTROLLERS}


@pytest.mark.parametrize("arguments", [[], ["--folder", "nowhere"], ["--folder", ".", "--image", "x"]], ids=len)
def test_an_import_that_cannot_be_made_says_why(server, arguments):
    command = [sys.executable, "-m", "adapters", "strategies", "import", *arguments]
    ended = subprocess.run(
        command, cwd=server.data, env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, "nectar" in ended.stderr) == (2, True)
    assert "Traceback" not in ended.stderr
