"""The routes that deploy, stop, archive and start bots, over the real handlers and steps."""

from functools import partial

import pytest

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.settings import Settings
from commands.orders import word
from domain.bots import BotDeployed
from tests.commands.bots import ACCOUNT, NAME, desk, kinds, life, settled
from tests.fakes.fleet import BUCKET
from tests.http.app import client_of
from tests.write_api.conftest import Server
from write_api.bots import BotRuns, Bots
from write_api.writing import Writes

BOT = {"instance_name": "grid", "credentials_profile": ACCOUNT}
CONTROLLERS = {**BOT, "controllers_config": ["pmm_btc"], "max_global_drawdown_quote": 100.0, "headless": True}
DEPLOY, DEPLOY_SCRIPT = "/bot-orchestration/deploy-v2-controllers", "/bot-orchestration/deploy-v2-script"
AWAY = f"/bot-orchestration/stop-and-archive-bot/{NAME}"


@pytest.fixture
async def server():
    async with desk() as outside:
        committed = Committed()
        writes = Writes(outside.bus, committed, partial(word, outside.log))
        app = build([], [Bots, BotRuns], {"writes": writes}, Settings.from_environment({}))
        async with client_of(app) as client:
            yield Server(client, outside, committed)


@pytest.fixture
async def running(server):
    answer = await server.client.post(DEPLOY, json=CONTROLLERS)
    assert answer.status_code == 200
    server.world.fleet.line.appear(NAME)
    return server


async def test_a_bot_with_controllers_is_deployed(server):
    answer = await server.client.post(DEPLOY, json=CONTROLLERS)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "message": f"Instance {NAME} created successfully.",
            "script_config_generated": f"{NAME}.yml",
            "controllers_deployed": ["pmm_btc"],
            "unique_instance_name": NAME,
        },
    )
    assert await kinds(server.world) == ["Deployed", "Prepared", "Started"]
    assert int(answer.headers["x-position"]) == server.committed.last("admin")


async def test_what_was_asked_for_is_kept_as_it_came(server):
    await server.client.post(DEPLOY, json={**CONTROLLERS, "controllers_config": ["pmm_btc.yml"]})
    (wanted, *_) = await life(server.world)
    assert isinstance(wanted, BotDeployed)
    assert wanted.request == {
        "instance_name": NAME,
        "credentials_profile": ACCOUNT,
        "controllers_config": ["pmm_btc.yml"],
        "max_global_drawdown_quote": 100.0,
        "max_controller_drawdown_quote": None,
        "image": "hummingbot/hummingbot:latest",
        "script_config": f"{NAME}.yml",
        "headless": True,
    }


async def test_a_bot_with_a_script_is_deployed(server):
    answer = await server.client.post(DEPLOY_SCRIPT, json={**BOT, "script": "hello"})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "message": f"Instance {NAME} created successfully.",
            "unique_instance_name": NAME,
        },
    )


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        (DEPLOY, {"instance_name": "../evil"}, "instance_name"),
        (DEPLOY, {"instance_name": "x" * 48}, "instance_name"),
        (DEPLOY, {"instance_name": "grid\n"}, "instance_name"),
        (DEPLOY, {"credentials_profile": "../a"}, "credentials_profile"),
        (DEPLOY, {"controllers_config": ["../../../config.py"]}, "controllers_config"),
        (DEPLOY, {"controllers_config": []}, "controllers_config"),
        (DEPLOY, {"controllers_config": ["x"] * 101}, "controllers_config"),
        (DEPLOY, {"controllers_config": "pmm_btc"}, "controllers_config"),
        (DEPLOY, {"max_global_drawdown_quote": -1}, "max_global_drawdown_quote"),
        (DEPLOY, {"image": "--privileged"}, "image"),
        (DEPLOY, {"headless": "perhaps"}, "headless"),
        (DEPLOY_SCRIPT, {"script": "a/b"}, "script"),
        (DEPLOY_SCRIPT, {"script_config": "../x.yml"}, "script_config"),
    ],
)
async def test_what_is_malformed_is_named(server, path, change, field):
    answer = await server.client.post(path, json={**CONTROLLERS, **change})
    assert (answer.status_code, answer.json()["detail"][0]["loc"][:2]) == (422, ["body", field])
    assert await kinds(server.world) == []


@pytest.mark.parametrize(
    ("path", "change", "status", "words"),
    [
        (DEPLOY, {"credentials_profile": "nobody"}, 404, "Account 'nobody' not found"),
        (DEPLOY, {"controllers_config": ["nope"]}, 404, "Configuration 'nope' not found"),
        (DEPLOY, {"image": "hummingbot/hummingbot:missing"}, 400, "hummingbot/hummingbot:missing"),
        (DEPLOY_SCRIPT, {"script": "nope"}, 404, "Script 'nope' not found"),
    ],
)
async def test_what_is_not_there_is_refused(server, path, change, status, words):
    answer = await server.client.post(path, json={**CONTROLLERS, **change})
    assert answer.status_code == status
    assert words in answer.json()["detail"]


async def test_a_deployment_that_comes_to_nothing_is_no_success(server):
    server.world.fleet.runtime.foreign.add(NAME)
    for _ in range(2):  # the same request again is answered as it stands now
        answer = await server.client.post(DEPLOY, json=CONTROLLERS, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"Instance {NAME} could not be deployed: ")
    assert server.world.fleet.files.instances == {}


async def test_the_same_second_is_a_conflict(server):
    began = server.world.time.now
    await server.client.post(DEPLOY, json=CONTROLLERS)
    server.world.time.now = began
    answer = await server.client.post(DEPLOY, json=CONTROLLERS)
    assert (answer.status_code, "is taken" in answer.json()["detail"]) == (409, True)


async def test_a_repeat_of_a_deployment_answers_the_same(server):
    answers = []
    for _ in range(2):
        answers.append(await server.client.post(DEPLOY, json=CONTROLLERS, headers={"Idempotency-Key": "k"}))
        server.world.time.pass_(5)
    assert answers[0].json() == answers[1].json()
    assert server.world.fleet.runtime.starts == {NAME: 1}


async def test_a_bot_is_stopped_and_started_again(running):
    stop = {"bot_name": NAME, "skip_order_cancellation": False, "async_backend": False}
    answer = await running.client.post("/bot-orchestration/stop-bot", json=stop)
    told = {"success": True, "message": "", "status": 200}
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "response": told})
    await settled(running.world, "StopRequested", "StopTold", "WoundDown")
    start = {"bot_name": NAME, "is_quickstart": False, "async_backend": True}
    answer = await running.client.post("/bot-orchestration/start-bot", json=start)
    message = f"The container of bot {NAME} runs, and its strategy with it"
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "success", "response": {"success": True, "message": message}},
    )
    assert running.world.fleet.runtime.starts == {NAME: 2}


async def test_a_bot_s_refusal_is_not_called_a_success(running):
    running.world.fleet.line.answers[NAME, "stop"] = {"status": 400, "msg": "no"}
    answer = await running.client.post("/bot-orchestration/stop-bot", json={"bot_name": NAME})
    assert answer.json()["response"] == {"success": False, "message": "no", "status": 400}


async def test_a_silent_bot_is_called_silent(running):
    running.world.fleet.line.answers[NAME, "stop"] = lambda _: None
    answer = await running.client.post("/bot-orchestration/stop-bot", json={"bot_name": NAME})
    message = f"Bot {NAME} was told to stop and did not answer"
    assert answer.json()["response"] == {"success": False, "message": message}


async def test_a_bot_that_does_not_run_is_stopped_already(running):
    running.world.fleet.runtime.crash(NAME)
    await running.world.keeper.look()
    answer = await running.client.post("/bot-orchestration/stop-bot", json={"bot_name": NAME})
    assert answer.json()["response"] == {"success": True, "message": f"Bot {NAME} does not run"}


async def test_without_a_broker_a_stop_is_refused(running):
    running.world.fleet.line.connected = False
    answer = await running.client.post("/bot-orchestration/stop-bot", json={"bot_name": NAME})
    assert (answer.status_code, "no connection to the broker" in answer.json()["detail"]) == (503, True)


@pytest.mark.parametrize(
    ("query", "location"),
    [("", f"archived/{NAME}"), (f"?archive_locally=false&s3_bucket={BUCKET}", f"s3://{BUCKET}/{NAME}.tar.gz")],
)
async def test_a_bot_is_put_away_in_the_background(running, query, location):
    answer = await running.client.post(AWAY + query)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["message"]) == ("success", f"Stop and archive process started for bot {NAME}")
    assert body["details"].keys() == {"input_name", "actual_bot_name", "container_name", "process"}
    await settled(running.world, "Archived", "Cleared")
    assert list(running.world.fleet.files.archives) == [location]


@pytest.mark.parametrize(
    ("query", "skipped"), [("", False), ("?skip_order_cancellation=true&archive_locally=true", True)]
)
async def test_orders_are_canceled_unless_it_is_told_not_to(running, query, skipped):
    await running.client.post(AWAY + query)
    await settled(running.world, "Archived", "Cleared")
    (_, _, told) = running.world.fleet.line.sent[0]
    assert told["skip_order_cancellation"] is skipped


async def test_an_archive_has_to_go_somewhere(running):
    answer = await running.client.post(AWAY + "?archive_locally=false")
    assert (answer.status_code, answer.json()["detail"]) == (400, "s3_bucket is needed where archive_locally is false")
    answer = await running.client.post(AWAY + "?archive_locally=false&s3_bucket=A")
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "s3_bucket"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("start-bot", {"bot_name": "nobot"}),
        ("stop-bot", {"bot_name": "nobot"}),
        ("stop-and-archive-bot/nobot", None),
        ("nobot/config", {"params": {}}),
        ("nobot/import-strategy", {"strategy": "x"}),
    ],
)
async def test_an_unknown_bot_is_not_found(server, path, body):
    answer = await server.client.post(f"/bot-orchestration/{path}", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Bot nobot not found")


async def test_a_missing_name_is_named(server):
    answer = await server.client.post("/bot-orchestration/start-bot", json={})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        [{"type": "missing", "loc": ["body", "bot_name"], "msg": "Field required", "input": {}}],
    )


async def test_a_run_is_deleted_when_it_is_over(running):
    run = next(r.position for r in running.world.log.recorded if r.type == "BotDeployed")
    assert (await running.client.delete(f"/bot-orchestration/bot-runs/{run}")).status_code == 400
    running.world.fleet.runtime.crash(NAME)
    await running.world.keeper.look()
    answer = await running.client.delete(f"/bot-orchestration/bot-runs/{run}")
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "message": f"Bot run {run} deleted"})


@pytest.mark.parametrize("run", [999, 0, 2**62])
async def test_an_unknown_run_is_not_found(server, run):
    answer = await server.client.delete(f"/bot-orchestration/bot-runs/{run}")
    assert answer.status_code == 404


async def test_a_bot_is_told_its_settings_and_its_strategy(running):
    answer = await running.client.post(f"/bot-orchestration/{NAME}/config", json={"params": {"nope": 1}})
    refused = {"changes": [], "config": {}, "status": 400, "msg": "Invalid param key(s): ['nope']"}
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "response": refused})
    answer = await running.client.post(f"/bot-orchestration/{NAME}/import-strategy", json={"strategy": "pmm"})
    assert answer.status_code == 200
    assert [(told, data) for _, told, data in running.world.fleet.line.sent] == [
        ("config", {"params": [["nope", 1]]}),
        ("import", {"strategy": "pmm"}),
    ]
