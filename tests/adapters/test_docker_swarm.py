"""What a bot's service of a Swarm is made of, and what is left of it; how it lives is the port's suite."""

import asyncio
import base64
import io
import os
import tarfile
from pathlib import Path

import pytest

from adapters.docker.errands import empty_volumes, fetch_volumes
from domain.errors import Invalid, Unavailable
from tests.engine import Engine, obedient_image
from tests.engine.machines import two_machines
from tests.engine.places import PASSWORD, SCRIPT, SwarmPlace
from tests.engine.volumes import shared_volumes
from tests.ports.test_runtime import name, started, until


@pytest.fixture
def swarm(swarm_engine: Engine, tmp_path):
    made = SwarmPlace(tmp_path, swarm_engine)
    yield made
    made.clear()


async def test_a_service_has_its_secrets_where_nobody_else_can_read_them(swarm):
    wish = swarm.prepare(name())
    conf = swarm.bots / "instances" / wish.instance / "conf"
    (conf / "conf_client.yml").write_text("mqtt_password: the broker's\n")
    (conf / ".password_verification").write_text("verification")
    await swarm.runtime.start(wish)
    (start,) = await started(swarm, wish.instance)
    assert start["environment"]["CONFIG_PASSWORD"] == PASSWORD
    assert start["environment"]["SCRIPT_CONFIG"] == SCRIPT
    assert {file: mode for file, mode in start["files"].items() if not file.startswith("scripts")} == {
        "conf/.password_verification": 0o600,
        "conf/conf_client.yml": 0o600,
        "conf/connectors/binance.yml": 0o600,
        f"conf/scripts/{SCRIPT}": 0o600,
    }
    assert "scripts/obey.py" in start["files"]
    api = swarm.client.api
    spec = api.inspect_service(wish.instance)["Spec"]
    assert PASSWORD not in str(spec)
    ours = {"label": f"nectar.instance={wish.instance}"}
    assert len(api.secrets(filters=ours)) == 2
    (config,) = api.configs(filters=ours)
    assert spec["TaskTemplate"]["RestartPolicy"]["Condition"] == "none"
    assert spec["TaskTemplate"]["Placement"]["Constraints"] == ["node.role==manager"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(config["Spec"]["Data"]))) as tar:
        assert tar.getnames() == [f"conf/scripts/{SCRIPT}"]


async def test_what_a_service_wrote_is_collected_and_nothing_is_left_of_it(swarm):
    wish = swarm.prepare(name())
    await swarm.runtime.start(wish)
    await started(swarm, wish.instance)
    with pytest.raises(Invalid, match="running"):
        await swarm.runtime.collect(wish.instance)
    await swarm.runtime.stop(wish.instance, 5)
    await swarm.runtime.collect(wish.instance)
    await swarm.runtime.collect(wish.instance)
    assert len(swarm.read_starts(wish.instance)) == 1
    assert (swarm.bots / "instances" / wish.instance / "logs" / "errors.log").is_file()
    api = swarm.client.api
    ours = {"label": f"nectar.owner={swarm.owner}"}
    await swarm.runtime.remove(wish.instance)
    assert api.services(filters=ours) == api.secrets(filters=ours) == []
    assert not api.volumes(filters=ours)["Volumes"]
    # The newest sources are kept for the next instance.
    assert [set(config["Spec"]["Labels"]) for config in api.configs(filters=ours)] == [
        {"nectar.owner", "nectar.sources"}
    ]


async def test_nothing_is_collected_of_what_has_been_put_away(swarm):
    wish = swarm.prepare(name())
    await swarm.runtime.start(wish)
    await started(swarm, wish.instance)
    await swarm.runtime.stop(wish.instance, 5)
    own = swarm.bots / "instances" / wish.instance
    own.rename(swarm.bots / "archived")
    await swarm.runtime.collect(wish.instance)
    assert not own.exists()
    await swarm.runtime.remove(wish.instance)


async def test_what_another_machine_has_is_collected_through_the_swarm(swarm):
    wish = swarm.prepare(name())
    await swarm.runtime.start(wish)
    await started(swarm, wish.instance)
    await swarm.runtime.stop(wish.instance, 5)
    api = swarm.client.api
    service, node = api.inspect_service(wish.instance), api.info()["Swarm"]["NodeID"]
    into = swarm.bots / "instances" / wish.instance
    fetch_volumes(api, service=service, node=node, into=into)
    assert len(swarm.read_starts(wish.instance)) == 1
    empty_volumes(api, service=service, node=node)
    (into / "data" / "started.jsonl").unlink()
    fetch_volumes(api, service=service, node=None, into=into)
    assert swarm.read_starts(wish.instance) == []
    await swarm.runtime.remove(wish.instance)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with shared_volumes(tmp_path_factory.mktemp("volumes")) as made:
        yield made


@pytest.fixture(scope="module")
def machines(driver):
    """Two machines, both with the bot's image and a driver of volumes that both have."""
    with two_machines(driver.name) as made:
        for engine in made:
            obedient_image(engine)
        yield made


@pytest.fixture
def fleet(machines, tmp_path):
    """Two machines, of which the second one has the bots."""
    made = SwarmPlace(tmp_path, machines.manager, "node.role==worker")
    client = machines.worker.client()
    yield made, client
    client.close()
    made.clear()


async def test_a_bot_on_another_machine_lives_and_is_collected_from_there(fleet):
    swarm, worker = fleet
    wish = swarm.prepare(name())
    await swarm.runtime.start(wish)

    async def running():
        ours = {"label": f"nectar.instance={wish.instance}"}
        return [container.logs() for container in worker.containers.list(filters=ours)]

    await until(running, lambda logs: logs == [b"started\r\n"])
    await swarm.runtime.stop(wish.instance, 5)
    await swarm.runtime.start(wish)
    await until(running, lambda logs: logs == [b"started\r\n"])
    assert await swarm.runtime.stop(wish.instance, 5) in {0, None}
    await swarm.runtime.collect(wish.instance)
    assert len(swarm.read_starts(wish.instance)) == 2  # In the same volumes, before and after the stop.
    await swarm.runtime.remove(wish.instance)
    assert await swarm.runtime.instances() == {}
    for volume in worker.volumes.list():
        assert list(Path(volume.attrs["Mountpoint"]).iterdir()) == []


@pytest.fixture
def nomads(machines, driver, tmp_path):
    """Bots of two machines, with volumes that both have."""
    made = SwarmPlace(tmp_path, machines.manager, "node.platform.os==linux", driver.name)
    yield made
    made.clear()


def only(place, role):
    """Have the machine of that role alone take bots."""
    api = place.client.api
    for node in api.nodes():
        given = {"Role": node["Spec"]["Role"], "Labels": {}}
        here = "active" if given["Role"] == role else "drain"
        api.update_node(node["ID"], node["Version"]["Index"], {**given, "Availability": here})


async def test_with_volumes_that_all_machines_have_a_bot_goes_on_with_its_files_on_another_one(nomads, driver):
    place = nomads
    only(place, "worker")
    wish = place.prepare(name())
    await place.runtime.start(wish)
    assert list(driver.made.values()) == [{"share": "bots"}] * 2
    data = next(driver.folder.glob("*-data")) / "started.jsonl"
    await until(lambda: asyncio.to_thread(lambda: data.is_file() and data.read_text()), lambda text: text)
    await place.runtime.stop(wish.instance, 5)
    await place.runtime.collect(wish.instance)  # by the manager, which has not met these volumes
    assert len(place.read_starts(wish.instance)) == 1
    only(place, "manager")
    await place.runtime.start(wish)
    assert len(await started(place, wish.instance, 2)) == 2
    await place.runtime.stop(wish.instance, 5)
    await place.runtime.collect(wish.instance)
    assert len(place.read_starts(wish.instance)) == 2
    await place.runtime.remove(wish.instance)
    assert driver.made == {}
    assert list(driver.folder.iterdir()) == []


async def test_sources_that_are_too_large_for_a_swarm_are_refused(swarm):
    wish = swarm.prepare(name())
    (swarm.bots / "controllers" / "large.py").write_bytes(os.urandom(1_100_000))
    with pytest.raises(Invalid, match="1023999"):
        await swarm.runtime.start(wish)
    assert await swarm.runtime.instances() == {}


async def test_an_engine_that_is_in_no_swarm_is_no_place(swarm):
    swarm.client.swarm.leave(force=True)
    try:
        with pytest.raises(Unavailable, match="swarm"):
            await swarm.runtime.check(swarm.image)
        with pytest.raises(Unavailable, match="swarm"):
            await swarm.runtime.instances()
    finally:
        swarm.join()
