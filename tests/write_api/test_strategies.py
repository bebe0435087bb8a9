import pytest

from domain.strategies import (
    CONFIG_BYTES,
    DEPTH,
    SOURCE_BYTES,
    BotConfigChanged,
    ConfigDeleted,
    ConfigSaved,
    ControllerDeleted,
    ControllerSaved,
    ScriptDeleted,
    ScriptSaved,
)


async def test_a_script_is_saved_and_deleted(server):
    answer = await server.client.post("/scripts/watch", json={"content": "a = 1\n"})
    assert (answer.status_code, answer.json()) == (201, {"message": "Script 'watch' saved successfully"})
    assert int(answer.headers["x-position"]) == server.committed.last("admin")
    answer = await server.client.delete("/scripts/watch")
    assert (answer.status_code, answer.json()) == (200, {"message": "Script 'watch' deleted successfully"})
    assert await server.world.events("strategy-scripts-watch") == [
        ScriptSaved(name="watch", source="a = 1\n"),
        ScriptDeleted(name="watch"),
    ]
    answer = await server.client.delete("/scripts/watch")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Script 'watch' not found"})


async def test_a_controller_is_saved_and_deleted(server):
    answer = await server.client.post("/controllers/generic/grid", json={"content": "a = 1\n", "type": "generic"})
    assert (answer.status_code, answer.json()) == (
        201,
        {"message": "Controller 'grid' saved successfully in 'generic'"},
    )
    answer = await server.client.delete("/controllers/generic/grid")
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": "Controller 'grid' deleted successfully from 'generic'"},
    )
    assert await server.world.events("strategy-controllers-generic-grid") == [
        ControllerSaved(type="generic", name="grid", source="a = 1\n"),
        ControllerDeleted(type="generic", name="grid"),
    ]
    answer = await server.client.delete("/controllers/generic/grid")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Controller 'grid' not found in 'generic'"})


async def test_a_controller_of_another_type_than_the_path_s_is_refused(server):
    answer = await server.client.post("/controllers/generic/grid", json={"content": "", "type": "market_making"})
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "Controller type mismatch: URL has 'generic', body has 'market_making'"},
    )


@pytest.mark.parametrize("kind", ["scripts", "controllers"])
async def test_a_configuration_is_saved_and_deleted(server, kind):
    content = {"leverage": 5, "connector_name": "okx"}
    answer = await server.client.post(f"/{kind}/configs/grid_btc", json=content)
    assert (answer.status_code, answer.json()) == (201, {"message": "Configuration 'grid_btc' saved successfully"})
    answer = await server.client.delete(f"/{kind}/configs/grid_btc")
    assert (answer.status_code, answer.json()) == (200, {"message": "Configuration 'grid_btc' deleted successfully"})
    assert await server.world.events(f"strategy-configs-{kind}-grid_btc") == [
        ConfigSaved(kind=kind, name="grid_btc", text="connector_name: okx\nleverage: 5\n", content=content),
        ConfigDeleted(kind=kind, name="grid_btc"),
    ]
    answer = await server.client.delete(f"/{kind}/configs/grid_btc")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Configuration 'grid_btc' not found"})


PATHS = ("/scripts/{}", "/scripts/configs/{}", "/controllers/configs/{}", "/controllers/generic/{}")


@pytest.mark.parametrize("path", PATHS)
async def test_a_name_that_is_no_name_is_refused(server, path):
    before = await server.world.log.position()
    for name in ("a.py", "%C3%A4", "a%20b", "a" * 101):
        for answer in (
            await server.client.post(path.format(name), json={"content": "a = 1"}),
            await server.client.delete(path.format(name)),
        ):
            assert (answer.status_code, answer.json()["detail"][0]["loc"][0]) == (422, "path"), name
    for trick in ("..", "..%2F..%2Fetc", "%2e%2e", "a%2Fb", "..%5C..%5Cx", "a%0A", "%00"):
        answer = await server.client.post(path.format(trick), json={"content": "a = 1"})
        assert answer.status_code in (400, 404, 405, 422), trick
    assert await server.world.log.position() == before


@pytest.mark.parametrize(
    ("path", "body", "location"),
    [
        ("/scripts/watch", {}, ["body", "content"]),
        ("/scripts/watch", {"content": 7}, ["body", "content"]),
        ("/scripts/watch", [], ["body"]),
        ("/controllers/generic/grid", {}, ["body", "content"]),
        ("/controllers/generic/grid", {"content": "", "type": "nope"}, ["body", "type"]),
        ("/controllers/nope/grid", {"content": ""}, ["path", "controller_type"]),
        ("/scripts/configs/a", [1], ["body"]),
        ("/controllers/configs/a", "a: 1", ["body"]),
        ("/controllers/bots/bot1/grid/config", [1], ["body"]),
        ("/controllers/bots/a.b/grid/config", {}, ["path", "bot_name"]),
        ("/controllers/bots/bot1/a.yml/config", {}, ["path", "controller_name"]),
    ],
    ids=str,
)
async def test_what_is_malformed_is_named(server, path, body, location):
    answer = await server.client.post(path, json=body)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, location)


async def test_a_source_that_is_too_long_is_refused_with_the_bound(server):
    answer = await server.client.post("/scripts/watch", json={"content": "#" * (SOURCE_BYTES + 1)})
    assert (answer.status_code, f"at most {SOURCE_BYTES}" in answer.json()["detail"]) == (400, True)
    answer = await server.client.post("/scripts/watch", json={"content": "#" * 5_000_000})
    assert (answer.status_code, "longer than 4194304 bytes" in answer.json()["detail"]) == (413, True)
    assert await server.world.events("strategy-scripts-watch") == []


async def test_a_source_with_a_syntax_error_is_kept_as_its_owner_wrote_it(server):
    answer = await server.client.post("/scripts/watch", json={"content": "def f(:\n"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": "x" * (CONFIG_BYTES + 1)}, f"at most {CONFIG_BYTES}"),
        ({"a": [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}, f"more than {DEPTH} levels"),
        ({"controllers_config": ["../../../config.py"]}, "'../../../config.py'"),
        ({"controllers_config": ["a/b"]}, "'a/b'"),
        ({"controllers_config": {"a": 1}}, "list of names"),
    ],
    ids=["long", "deep", "up", "down", "object"],
)
async def test_a_configuration_that_no_bot_may_have_is_refused(server, content, words):
    answer = await server.client.post("/scripts/configs/a", json=content)
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True)
    assert await server.world.events("strategy-configs-scripts-a") == []


async def test_a_running_bot_s_configuration_is_changed(server):
    files = server.world.fleet.files
    files.instances["bot1"] = {"conf/controllers/grid.yml": "leverage: 5\nside: 1\n"}
    answer = await server.client.post("/controllers/bots/bot1/grid/config", json={"leverage": 3})
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": "Controller configuration for bot 'bot1' updated successfully"},
    )
    assert files.instances["bot1"]["conf/controllers/grid.yml"] == "leverage: 3\nside: 1\n"
    assert await server.world.events("strategy-bots-bot1-grid") == [
        BotConfigChanged(instance="bot1", controller="grid", changes={"leverage": 3}, text="leverage: 3\nside: 1\n")
    ]
    answer = await server.client.post("/controllers/bots/bot1/nope/config", json={"a": 1})
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": "Controller configuration 'nope' not found for bot 'bot1'"},
    )
    answer = await server.client.post("/controllers/bots/nobot/grid/config", json={"a": 1})
    assert (answer.status_code, "'nobot'" in answer.json()["detail"]) == (404, True)
