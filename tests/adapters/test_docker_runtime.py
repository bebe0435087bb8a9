"""What a bot's container is made of, and who may touch it; how it lives is the port's suite."""

import itertools

import msgspec
import pytest
import requests
from docker import APIClient
from docker.errors import APIError

from adapters.docker import DockerRuntime
from domain.errors import Invalid, Unavailable
from tests.engine import Engine
from tests.engine.places import PASSWORD, SCRIPT, DockerPlace
from tests.ports.test_runtime import name, started


@pytest.fixture
def place(docker_engine: Engine, tmp_path):
    made = DockerPlace(tmp_path, docker_engine)
    yield made
    made.clear()


async def made(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    return wish.instance, place.client.api.inspect_container(wish.instance)


async def test_a_container_is_made_as_bots_are_used_to(place):
    instance, found = await made(place)
    host = found["HostConfig"]
    assert found["Config"]["Labels"] == {
        **found["Config"]["Labels"],
        "nectar.owner": place.owner,
        "nectar.instance": instance,
    }
    assert (found["Config"]["Tty"], found["Config"]["OpenStdin"]) == (True, True)
    assert host["NetworkMode"] == "host"
    assert host["RestartPolicy"]["Name"] in {"", "no"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
    assert set(found["Config"]["Env"]) >= {
        f"CONFIG_PASSWORD={PASSWORD}",
        f"SCRIPT_CONFIG={SCRIPT}",
        "HEADLESS_MODE=true",
    }


async def test_a_bot_sees_its_own_files_and_the_sources_which_it_cannot_change(place):
    instance, found = await made(place)
    own = place.bots / "instances" / instance
    assert {mount["Destination"]: (mount["Source"], mount["RW"]) for mount in found["Mounts"]} == {
        "/home/hummingbot/conf": (str(own / "conf"), True),
        "/home/hummingbot/data": (str(own / "data"), True),
        "/home/hummingbot/logs": (str(own / "logs"), True),
        "/home/hummingbot/scripts": (str(place.bots / "scripts"), False),
        "/home/hummingbot/controllers": (str(place.bots / "controllers"), False),
    }
    (start,) = await started(place, instance)
    assert start["folder"] == "/home/hummingbot"
    assert start["files"]["conf/connectors/binance.yml"] == 0o600
    assert "scripts/obey.py" in start["files"]


async def test_certificates_are_the_instance_s_own_and_only_where_it_has_some(place):
    wish = place.prepare(name())
    certs = place.bots / "instances" / wish.instance / "certs"
    certs.mkdir()
    (certs / "client_key.pem").write_text("key")
    (place.bots / "gateway-files" / "certs").mkdir(parents=True)
    (place.bots / "gateway-files" / "certs" / "ca_key.pem").write_text("nobody's business")
    await place.runtime.start(wish)
    (start,) = await started(place, wish.instance)
    assert [file for file in start["files"] if file.startswith("certs")] == ["certs/client_key.pem"]
    found = place.client.api.inspect_container(wish.instance)["Mounts"]
    assert [mount["RW"] for mount in found if mount["Destination"].endswith("certs")] == [False]


async def test_a_bot_with_a_screen_and_no_config_is_told_of_neither(place):
    wish = msgspec.structs.replace(place.prepare(name()), headless=False, script_config=None)
    await place.runtime.start(wish)
    environment = place.client.api.inspect_container(wish.instance)["Config"]["Env"]
    assert not [entry for entry in environment if entry.startswith(("HEADLESS_MODE", "SCRIPT_CONFIG"))]


async def test_the_instances_of_other_data_are_neither_seen_nor_touched(place, docker_engine, tmp_path):
    other = DockerPlace(tmp_path / "other", docker_engine)
    try:
        instance, _ = await made(place)
        assert await other.runtime.instances() == {}
        assert await other.runtime.stop(instance, 1) is None
        await other.runtime.remove(instance)
        with pytest.raises(Invalid, match="taken"):
            await other.runtime.start(other.prepare(instance))
        assert (await place.runtime.instances())[instance].state == "running"
    finally:
        other.clear()


async def test_a_container_that_was_made_and_never_started_is_started(place):
    wish = place.prepare(name())
    place.client.containers.create(
        place.image,
        name=wish.instance,
        labels={"nectar.owner": place.owner, "nectar.instance": wish.instance},
        network_mode="host",
        command=["sleep", "100"],
    )
    found = (await place.runtime.instances())[wish.instance]
    assert (found.state, found.exit_code) == ("exited", None)
    assert (await place.runtime.start(wish)).state == "running"


async def test_files_that_are_missing_are_named(place):
    wish = place.prepare(name())
    (place.bots / "instances" / wish.instance / "data").rmdir()
    with pytest.raises(Invalid, match=f"{wish.instance}/data"):
        await place.runtime.start(wish)


@pytest.mark.parametrize("image", ["a::b", "Upper/x", "x:", "a@b", "x" * 256])
async def test_what_no_image_is_called_is_refused(place, image):
    with pytest.raises(Invalid, match=f"^Image '{image}': "):
        await place.runtime.check(image)


async def test_a_container_that_is_removed_while_it_starts_is_no_fault(place, monkeypatch):
    find = DockerRuntime._find

    def removed(self, client, instance):
        found = find(self, client, instance)
        if found is not None:
            client.remove_container(found["Id"], force=True)
        return found

    wish = place.prepare(name())
    await place.runtime.start(wish)
    monkeypatch.setattr(DockerRuntime, "_find", removed)
    with pytest.raises(Invalid, match=f"^Container '{wish.instance}': .*[Nn]o such container"):
        await place.runtime.start(wish)


async def test_an_engine_s_own_fault_is_unavailable(place, monkeypatch):
    def broken(*_):
        response = requests.Response()
        response.status_code = 500
        raise APIError("the disk is full", response=response, explanation="the disk is full")

    monkeypatch.setattr(DockerRuntime, "_find", broken)
    for asked in (place.runtime.stop("x", 1), place.runtime.remove("x")):
        with pytest.raises(Unavailable, match=r"^Container 'x': the disk is full"):
            await asked


async def test_a_place_is_named_after_its_engine_unless_that_has_another_id_for_each_answer(place, monkeypatch):
    engine = place.client.api.info()["ID"]
    assert engine
    assert await place.runtime.place() == f"docker:{engine}"
    ids = itertools.count()  # as Podman, pkg/api/handlers/compat/info.go
    monkeypatch.setattr(APIClient, "info", lambda _: {"ID": f"{next(ids)}"})
    assert await place.again().place() == "docker"
    assert await place.runtime.place() == f"docker:{engine}"
