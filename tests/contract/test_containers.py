"""The containers of a host as clients know them: the recorded answers, and the published client, on a real engine."""

import asyncio
import inspect
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import msgspec
import pytest
import uvicorn
from hummingbot_api_client import HummingbotAPIClient

from adapters.asgi import build
from adapters.bootstrap import Sending
from adapters.docker import Connection, DockerEngine, Images
from adapters.http.callers import Committed
from adapters.http.protocol import App
from adapters.settings import Settings
from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.orders import word
from domain.containers import STREAM, ImagePulled
from read_api.containers import ContainerReads
from tests.commands.world import World, world
from tests.contract.cases import Case, get
from tests.contract.comparing import differences
from tests.engine import OBEDIENT_IMAGE, Engine, obedient_image
from tests.engine.registry import registry
from tests.http.app import client_of
from write_api.containers import Containers
from write_api.writing import Writes

GOLDEN = Path(__file__).parent / "golden" / "docker"
RUNS, ENDED, THEIRS = "golden-runs", "golden-ended", "golden-theirs"
NOWHERE = "127.0.0.1:1/hummingbot/nope:latest"
PULL = {"image_name": NOWHERE}

CASES = {
    "clean_exited_containers": Case(path="/docker/clean-exited-containers"),
    "get_active_containers": get("/docker/active-containers"),
    "get_active_containers__filter": get("/docker/active-containers?name_filter=zzz"),
    "get_active_containers__live": get("/docker/active-containers"),
    "get_active_containers__live_filter": get(f"/docker/active-containers?name_filter={RUNS[:8]}"),
    "get_available_images": get("/docker/available-images/?image_name=hummingbot"),
    # The reference fails where nothing is filtered, and answers what it cannot do as if it had.
    "get_available_images__no_filter": get("/docker/available-images/", status=200),
    "get_exited_containers": get("/docker/exited-containers"),
    "get_exited_containers__live": get("/docker/exited-containers"),
    "get_pull_status": get("/docker/pull-status/", maps=("$.pull_operations",)),
    "is_running": get("/docker/running"),
    "pull_image": Case(path="/docker/pull-image/", body=PULL),
    "pull_image__missing_field": Case(path="/docker/pull-image/", body={}),
    "remove_container__raw_not_hummingbot": Case(
        path=f"/docker/remove-container/{THEIRS}?archive_locally=true", status=403, words=THEIRS
    ),
    "remove_container__raw_unknown": Case(
        path="/docker/remove-container/hummingbot-nope?archive_locally=true", status=404, words="hummingbot-nope"
    ),
    "start_container__live": Case(path=f"/docker/start-container/{ENDED}"),
    "start_container__unknown": Case(path="/docker/start-container/nope", status=404, words="nope"),
    "stop_container__live": Case(path=f"/docker/stop-container/{RUNS}"),
    "stop_container__unknown": Case(path="/docker/stop-container/nope", status=404, words="nope"),
}
ELSEWHERE = {
    "remove_container__not_hummingbot": "the client raised before it sent",
    "remove_container__unknown": "the client raised before it sent",
}


class Served(NamedTuple):
    api: httpx.AsyncClient
    app: App
    world: World
    engine: DockerEngine
    owner: str
    sending: Sending


async def served_on(url: str) -> AsyncIterator[Served]:
    owner = f"test-{uuid4()}"
    connection = Connection(url)
    images = Images(connection, clock=lambda: datetime.now(UTC))
    engine = DockerEngine(connection, images, owner=owner, grace_seconds=0)
    async with world() as outside, asyncio.TaskGroup() as tasks:
        fleet = outside.bus.ports.fleet
        assert fleet is not None
        fleet, sending = msgspec.structs.replace(fleet, engine=engine), Sending(tasks)
        ports = msgspec.structs.replace(outside.bus.ports, fleet=fleet, spawn=sending)
        writes = Writes(Bus(ports, HANDLERS), Committed(), partial(word, outside.log))
        app = build(
            [ContainerReads], [Containers], {"writes": writes, "containers": engine}, Settings.from_environment({})
        )
        async with client_of(app) as api:
            yield Served(api, app, outside, engine, owner, sending)
        await sending.ended()
    connection.close()


@pytest.fixture
async def served(docker_engine: Engine) -> AsyncIterator[Served]:
    """The routes over a real engine."""
    obedient_image(docker_engine)
    async for made in served_on(docker_engine.url):
        yield made


@pytest.fixture
def containers(docker_engine: Engine, served: Served):
    """Two containers of ours, one that runs and one that has ended, and one that is not ours."""
    client = docker_engine.client()
    made = []
    for name, owner, command in (
        (RUNS, served.owner, ["sleep", "1000"]),
        (ENDED, served.owner, ["true"]),
        (THEIRS, "nobody", ["sleep", "1000"]),
    ):
        more: Any = {"labels": {"nectar.owner": owner}, "network_mode": "host"}
        made.append(client.containers.run(OBEDIENT_IMAGE, command, name=name, detach=True, **more))
    made[1].wait(timeout=30)
    yield client
    for container in client.containers.list(all=True, filters={"name": "golden-"}):
        container.remove(force=True)
    client.close()


def test_every_recorded_answer_has_a_case_or_a_reason():
    assert {file.stem for file in GOLDEN.glob("*.json")} == CASES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", CASES)
async def test_ours_answers_as_recorded(name, served, containers):
    case, golden = CASES[name], json.loads((GOLDEN / f"{name}.json").read_text())
    if name == "get_pull_status":
        await served.api.post("/docker/pull-image/", json=PULL)
        await ended(served, NOWHERE)
    answer = await served.api.request(case.method, case.path, json=case.body)
    assert answer.status_code == (case.status or golden["status"]), answer.text
    body = answer.json()
    if answer.status_code < 400 and golden["status"] < 400:
        assert list(differences(golden["body"], body, maps=case.maps)) == []
        assert bool(body) == bool(golden["body"]) or name in {"get_active_containers", "get_exited_containers"}
    else:
        assert case.words in str(body)


async def ended(served: Served, image: str) -> Any:
    """Return how a pull went, as soon as it has."""
    async with asyncio.timeout(30):
        while True:
            shown = (await served.api.get("/docker/pull-status/")).json()["pull_operations"].get(image)
            if shown is not None and shown["status"] != "pulling":
                return shown
            await asyncio.sleep(0.01)


# 26
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/docker/start-container/{}"),
        ("POST", "/docker/stop-container/{}"),
        ("POST", "/docker/remove-container/{}"),
        ("POST", "/docker/container/{}/start"),
        ("POST", "/docker/container/{}/stop"),
        ("DELETE", "/docker/container/{}"),
    ],
)
async def test_what_is_unknown_or_not_ours_is_refused_by_name(method, path, served, containers):
    for name, status in (("nope", 404), (THEIRS, 403)):
        answer = await served.api.request(method, path.format(name))
        assert (answer.status_code, name in answer.json()["detail"]) == (status, True)
    assert containers.containers.get(THEIRS).status == "running"


# 38
async def test_cleaning_leaves_what_is_not_ours(served, containers):
    containers.containers.get(THEIRS).kill()
    assert (await served.api.post("/docker/clean-exited-containers")).json() is None
    left = {container.name for container in containers.containers.list(all=True, filters={"name": "golden-"})}
    assert left == {RUNS, THEIRS}


# 25
async def test_a_container_of_any_name_can_be_removed(served, containers):
    answer = await served.api.post(f"/docker/remove-container/{RUNS}?archive_locally=false")
    assert (answer.status_code, answer.json()) == (200, {"message": f"Container {RUNS} removed successfully."})
    answer = await served.api.delete(f"/docker/container/{ENDED}")
    assert answer.status_code == 200
    left = {container.name for container in containers.containers.list(all=True, filters={"name": "golden-"})}
    assert left == {THEIRS}


async def test_a_container_that_runs_is_deleted_by_force_alone(served, containers):
    refused = await served.api.delete(f"/docker/container/{RUNS}")
    assert (refused.status_code, "running" in refused.json()["detail"]) == (400, True)
    assert (await served.api.delete(f"/docker/container/{RUNS}?force=true")).status_code == 200


async def test_a_container_shows_how_it_is(served, containers):
    shown = (await served.api.get(f"/docker/container/{ENDED}/status")).json()
    assert (shown["name"], shown["status"], shown["image"]) == (ENDED, "exited", OBEDIENT_IMAGE)
    assert shown["state"] == {"status": "exited", "running": False, "exit_code": 0}
    shown = (await served.api.get(f"/docker/container/{RUNS}/status")).json()
    assert shown["state"] == {"status": "running", "running": True, "exit_code": None}
    assert (await served.api.get("/docker/container/nope/status")).status_code == 404


@pytest.mark.parametrize("name", ["-a", "a b", "%C3%A9", "x" * 256])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/docker/start-container/{}"),
        ("DELETE", "/docker/container/{}"),
        ("GET", "/docker/container/{}/status"),
    ],
)
async def test_a_name_that_no_container_has_is_malformed(method, path, name, served):
    answer = await served.api.request(method, path.format(name))
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["path", "container_name"])


@pytest.mark.parametrize("name", ["a%2Fb", "..%2Fimages%2Fx"])
async def test_a_name_leads_nowhere_else(name, served):
    assert (await served.api.post(f"/docker/start-container/{name}")).status_code == 404


@pytest.mark.parametrize("image", ["", "-a:1", "a b", "a\nb", "http://a/b?x=1", "é", "x" * 257])
async def test_a_name_that_no_image_has_is_malformed(image, served):
    answer = await served.api.post("/docker/pull-image/", json={"image_name": image})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "image_name"])


async def test_an_image_is_pulled_beside_other_requests_and_recorded(served):
    with registry() as there:
        there.held = True
        body = {"image_name": there.image}
        assert (await served.api.post("/docker/pull-image/", json=body)).json() == {
            "message": f"Pull started for {there.image}",
            "status": "started",
            "image_name": there.image,
        }
        again = (await served.api.post("/docker/pull-image/", json=body)).json()
        assert (again["status"], again["image_name"]) == ("in_progress", there.image)
        async with asyncio.timeout(30):
            while "bytes_total" not in (
                shown := (await served.api.get("/docker/pull-status/")).json()["pull_operations"][there.image]
            ):
                await asyncio.sleep(0.01)
        assert (shown["status"], shown["bytes_total"]) == ("pulling", there.layer_bytes)
        assert "completed_at" not in shown
        there.release.set()
        shown = await ended(served, there.image)
        assert shown["status"] == "completed"
        assert shown["completed_at"] >= shown["started_at"]
        await served.sending.ended()
        (event,) = await served.world.events(STREAM)
        assert event == ImagePulled(image=there.image, bytes=there.layer_bytes, pulled_at=served.world.time())
    await served.engine._connection.call(lambda client: client.remove_image(there.image))


async def test_without_an_engine_nothing_fails_unsaid():
    async for served in served_on("unix:///nowhere/docker.sock"):
        assert (await served.api.get("/docker/running")).json() is False
        assert (await served.api.get("/docker/pull-status/")).json() == {"pull_operations": {}, "total_operations": 0}
        for method, path, body in (
            ("GET", "/docker/available-images/", None),
            ("GET", "/docker/active-containers", None),
            ("GET", "/docker/exited-containers", None),
            ("GET", "/docker/container/any/status", None),
            ("POST", "/docker/start-container/any", None),
            ("POST", "/docker/stop-container/any", None),
            ("POST", "/docker/remove-container/any", None),
            ("POST", "/docker/clean-exited-containers", None),
            ("POST", "/docker/pull-image/", PULL),
        ):
            answer = await served.api.request(method, path, json=body)
            assert (answer.status_code, "No Docker engine answers" in answer.json()["detail"]) == (503, True), path


@pytest.mark.parametrize("bucket", ["A", "my_bucket", "x" * 64])
async def test_what_is_no_bucket_is_refused_before_anything_is_stopped(bucket):
    async for served in served_on("unix:///nowhere/docker.sock"):
        answer = await served.api.post(f"/docker/remove-container/any?s3_bucket={bucket}")
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "s3_bucket"])


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_the_published_client(served, containers):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(served.app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        client = HummingbotAPIClient(f"http://127.0.0.1:{listening.getsockname()[1]}", "admin", "admin")
        await client.init()
        try:
            await speak(client.docker)
        finally:
            await client.close()
            server.should_exit = True
            await serving


async def speak(router: Any) -> None:
    assert await router.is_running() is True
    assert OBEDIENT_IMAGE in await router.get_available_images("hummingbot")
    assert {container["name"] for container in await router.get_active_containers("golden")} == {RUNS, THEIRS}
    assert [container["name"] for container in await router.get_exited_containers("golden")] == [ENDED]
    await router.stop_container(RUNS)
    await router.start_container(ENDED)
    assert RUNS in {container["name"] for container in await router.get_exited_containers()}
    await router.clean_exited_containers()
    assert {container["name"] for container in await router.get_active_containers("golden")} == {THEIRS}
    assert (await router.pull_image("127.0.0.1:1/hummingbot/nope"))["status"] == "started"
    assert (await router.get_pull_status())["total_operations"] == 1
    methods = {name for name, _ in inspect.getmembers(router, inspect.iscoroutinefunction) if not name.startswith("_")}
    assert methods == {
        "is_running",
        "get_available_images",
        "get_active_containers",
        "get_exited_containers",
        "clean_exited_containers",
        "start_container",
        "stop_container",
        "remove_container",  # It raises before it sends; the route is called raw above.
        "pull_image",
        "get_pull_status",
    }
