"""The published Python client, unmodified, has bots run: from the wish to deploy one to its archive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import aiohttp
import pytest
from hummingbot_api_client import HummingbotAPIClient

from tests.broker import NEEDS_MOSQUITTO, mosquitto
from tests.contract.bots import save_strategies, settings
from tests.contract.serving import Nectar
from tests.contract.test_client import connected, methods

pytestmark = [
    NEEDS_MOSQUITTO,
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

RAISES_BEFORE_IT_SENDS = {"get_bot_history"}
"""The client gives a bool as a query parameter, which its own HTTP library refuses."""
LIMIT_SECONDS = 10


class Side(NamedTuple):
    client: HummingbotAPIClient
    server: Nectar


@pytest.fixture(scope="module")
def bot_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server that these tests share, with a broker and a strategy."""
    with mosquitto() as broker:
        data = tmp_path_factory.mktemp("bots") / "data"
        server = Nectar(data, settings(broker, limit_seconds=LIMIT_SECONDS))
        try:
            save_strategies(server.start())
            yield server
        finally:
            server.stop()


@pytest.fixture
async def side(bot_server: Nectar) -> AsyncIterator[Side]:
    async with connected(bot_server) as client:
        yield Side(client, bot_server)


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], seconds: float = 30) -> Any:
    """Return the first answer that holds."""
    async with asyncio.timeout(seconds):
        while not holds(answer := await ask()):
            await asyncio.sleep(0.05)
        return answer


async def test_a_bot_is_deployed_watched_stopped_started_and_put_away(side):
    bots, called = side.client.bot_orchestration, set(RAISES_BEFORE_IT_SENDS)

    def calls(name):
        called.add(name)
        return getattr(bots, name)

    deployed = await calls("deploy_v2_controllers")("grid", "master_account", ["pmm"], 100.0, None)
    name = deployed["unique_instance_name"]
    assert deployed["success"]
    assert name.startswith("grid-")

    async def status():
        return (await calls("get_bot_status")(name))["data"]

    shown = await until(status, lambda data: data["status"] == "running" and data["performance"])
    assert set(shown["performance"]) == {"pmm"}
    assert name in (await calls("get_active_bots_status")())["data"]
    latest = await calls("get_latest_controller_performance")(name)
    assert latest
    assert await calls("get_controller_performance_history")(name)
    (run,) = (await calls("get_bot_runs")(bot_name=name))["data"]
    assert (run["deployment_status"], run["run_status"]) == ("DEPLOYED", "RUNNING")

    # 17, 18: what the bot answered, and that it has ended when it has ended.
    stopped = await calls("stop_bot")(name)
    assert stopped == {"status": "success", "response": {"success": True, "message": "", "status": 200}}
    await until(status, lambda data: data["status"] == "stopped")
    started = await until(lambda: start(calls("start_bot"), name), lambda answer: answer is not None)
    assert started["response"]["success"]
    await until(status, lambda data: data["status"] == "running")

    archiving = await calls("stop_and_archive_bot")(name)
    assert archiving["message"] == f"Stop and archive process started for bot {name}"

    async def shown_run():
        return (await calls("get_bot_run")(run["id"]))["data"]

    over = await until(shown_run, lambda data: data["deployment_status"] == "ARCHIVED")
    assert (over["run_status"], over["error_message"]) == ("STOPPED", None)
    archived = side.server.data / "bots/archived" / name
    assert (archived / "conf/controllers/pmm.yml").exists()
    # 37: no key, and nothing that opens one.
    assert not (archived / "conf/.password_verification").exists()

    scripted = (await calls("deploy_v2_script")("hello", "master_account", "v2_with_controllers"))[
        "unique_instance_name"
    ]
    with pytest.raises(aiohttp.ClientResponseError, match="is not over"):
        await calls("delete_bot_run")((await bots.get_bot_runs(bot_name=scripted))["data"][0]["id"])
    await bots.stop_and_archive_bot(scripted)
    await until(
        lambda: bots.get_bot_runs(bot_name=scripted), lambda runs: runs["data"][0]["deployment_status"] == "ARCHIVED"
    )
    await bots.delete_bot_run(run["id"])
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await bots.get_bot_run(run["id"])
    assert methods(bots) <= called


async def start(start_bot, name):
    """Start a bot; None while it is still stopping, which only its own last word ends."""
    try:
        return await start_bot(name)
    except aiohttp.ClientResponseError as refused:
        if refused.status != 400:
            raise
        return None


# 26
@pytest.mark.parametrize("method", ["get_bot_status", "start_bot", "stop_bot", "stop_and_archive_bot"])
async def test_an_unknown_bot_is_no_success(side, method):
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await getattr(side.client.bot_orchestration, method)("nobot")
    assert refused.value.status == 404


# 19, 22, 26, 36
@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (("../evil", "master_account", ["pmm"]), 422),
        (("none", "nobody", ["pmm"]), 404),
        (("none", "master_account", ["../../../config.py"]), 422),
        (("none", "master_account", ["nope"]), 404),
    ],
    ids=["name", "account", "traversal", "config"],
)
async def test_a_deployment_that_cannot_be_leaves_nothing_behind(side, wanted, status):
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await side.client.bot_orchestration.deploy_v2_controllers(*wanted)
    assert refused.value.status == status
    assert not list((side.server.data / "bots").glob("instances/none*"))
