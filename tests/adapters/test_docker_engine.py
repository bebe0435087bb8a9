"""The containers and images of a real engine: who looks sees all, who changes something only what is ours."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.docker import Connection, DockerEngine, Images
from domain.errors import Forbidden, Invalid, NotFound, Unavailable
from tests.engine import OBEDIENT_IMAGE, Engine, obedient_image, own_engine
from tests.engine.registry import registry

FOREVER = ["sleep", "1000"]


def now() -> datetime:
    return datetime.now(UTC)


class Host:
    """An engine with containers of three: of this server's data, of another's, and of nobody's."""

    def __init__(self, found: Engine) -> None:
        obedient_image(found)
        self.engine = found
        self.client = found.client()
        self.owner, self.mark = f"test-{uuid4()}", uuid4().hex[:8]
        self.connection = Connection(found.url)
        self.images = Images(self.connection, clock=now)
        self.containers = self.made()
        self.made_here: list[Any] = []

    def made(self, **terms):
        return DockerEngine(self.connection, self.images, owner=self.owner, grace_seconds=0, **terms)

    def run(self, name, command=FOREVER, owner=None):
        labels = {} if owner is None else {"nectar.owner": owner, "nectar.instance": name}
        made = self.client.containers.run(
            OBEDIENT_IMAGE, command, name=f"{name}-{self.mark}", labels=labels, network_mode="host", detach=True
        )
        self.made_here.append(made)
        if command is not FOREVER:
            made.wait(timeout=30)
        return f"{name}-{self.mark}"

    def close(self):
        for made in self.made_here:
            found = self.client.containers.list(all=True, filters={"id": made.id})
            for container in found:
                container.remove(force=True)
        self.client.close()
        self.connection.close()


@pytest.fixture
def host(docker_engine: Engine):
    made = Host(docker_engine)
    yield made
    made.close()


async def names(host, *, running):
    return {container.name for container in await host.containers.containers(running=running, part=host.mark)}


async def test_all_containers_are_shown_by_whether_they_run(host):
    ours, others = host.run("ours", owner=host.owner), host.run("Others")
    ended = host.run("ended", ["sh", "-c", "exit 3"])
    running = await host.containers.containers(running=True, part=host.mark)
    assert {container.name for container in running} == {ours, others}
    assert {(container.status, container.image) for container in running} == {("running", OBEDIENT_IMAGE)}
    assert all(len(container.id) == 64 for container in running)
    (exited,) = await host.containers.containers(running=False, part=host.mark)
    assert (exited.name, exited.status, exited.exit_code) == (ended, "exited", 3)


async def test_a_filter_looks_for_a_part_of_the_name_whatever_its_case(host):
    host.run("Bot_One")
    host.run("two")
    assert {c.name for c in await host.containers.containers(running=True, part=f"bot_one-{host.mark}")} == {
        f"Bot_One-{host.mark}"
    }
    assert await host.containers.containers(running=True, part="(nothing has this)") == []


async def test_a_container_tells_how_it_is(host):
    running, ended = host.run("runs"), host.run("ended", ["sh", "-c", "exit 3"])
    shown = await host.containers.status(running)
    assert (shown.name, shown.status, shown.exit_code, shown.image) == (running, "running", None, OBEDIENT_IMAGE)
    assert (await host.containers.status(ended)).exit_code == 3
    with pytest.raises(NotFound, match="no-such-container"):
        await host.containers.status("no-such-container")


async def test_a_container_is_known_by_its_whole_name_alone(host):
    name = host.run("ours", owner=host.owner)
    container = await host.containers.status(name)
    for other in (container.id, container.id[:12], name[:-1]):
        with pytest.raises(NotFound):
            await host.containers.stop(other)
    assert await names(host, running=True) == {name}


async def test_what_is_ours_is_stopped_started_and_removed(host):
    name = host.run("ours", owner=host.owner)
    await host.containers.stop(name)
    assert await names(host, running=False) == {name}
    await host.containers.stop(name)  # It is stopped already.
    await host.containers.start(name)
    await host.containers.start(name)
    assert await names(host, running=True) == {name}
    with pytest.raises(Invalid, match="running"):
        await host.containers.remove(name, force=False)
    await host.containers.remove(name, force=True)
    with pytest.raises(NotFound, match=name):
        await host.containers.remove(name, force=True)


@pytest.mark.parametrize("owner", [None, "another server's data"])
async def test_what_is_not_ours_is_left_alone(host, owner):
    running, ended = host.run("runs", owner=owner), host.run("ended", ["true"], owner=owner)
    for refused in (
        host.containers.stop(running),
        host.containers.start(ended),
        host.containers.remove(ended, force=True),
        host.containers.remove(running, force=True),
    ):
        with pytest.raises(Forbidden, match="DOCKER_ALL"):
            await refused
    assert await names(host, running=True) == {running}
    assert await names(host, running=False) == {ended}
    assert ended not in await host.containers.exited()


async def test_with_all_containers_everything_may_be_changed(host):
    name = host.run("theirs", ["true"])
    every = host.made(all_containers=True)
    assert name in await every.exited()
    await every.remove(name, force=False)
    assert await names(host, running=False) == set()


async def test_what_has_exited_and_is_ours_may_be_cleaned(host):
    ended = host.run("ended", ["true"], owner=host.owner)
    host.run("runs", owner=host.owner)
    host.run("theirs", ["true"])
    assert await host.containers.exited() == [ended]


async def test_a_container_that_cannot_start_says_why(host):
    made = host.client.containers.create(
        OBEDIENT_IMAGE, ["/no/such/program"], name=f"broken-{host.mark}", labels={"nectar.owner": host.owner}
    )
    host.made_here.append(made)
    with pytest.raises(Invalid, match="no such file"):
        await host.containers.start(f"broken-{host.mark}")


async def test_images_are_listed_all_or_by_a_part_of_their_names(host):
    assert OBEDIENT_IMAGE in await host.containers.images()
    assert await host.containers.images("hummingbot:obed") == [OBEDIENT_IMAGE]
    assert await host.containers.images("(nothing has this)") == []


async def test_lists_ask_the_engine_once_however_many_there_are(host):
    for number in range(3):
        host.run(f"c{number}")
    asked = []
    await host.connection.call(
        lambda client: client.hooks["response"].append(lambda answer, **_: asked.append(answer.url))
    )
    assert len(await names(host, running=True)) == 3
    assert len(asked) == 1


async def test_while_a_container_takes_its_time_to_stop_others_are_served(host):
    deaf = ["sh", "-c", "trap '' TERM; sleep 1000"]
    made = host.client.containers.run(
        OBEDIENT_IMAGE,
        deaf,
        name=f"deaf-{host.mark}",
        labels={"nectar.owner": host.owner},
        network_mode="host",
        detach=True,
    )
    host.made_here.append(made)
    patient = DockerEngine(host.connection, host.images, owner=host.owner, grace_seconds=2)
    stopping = asyncio.create_task(patient.stop(f"deaf-{host.mark}"))
    for _ in range(20):
        assert (await host.containers.status(f"deaf-{host.mark}")).status == "running"
    assert not stopping.done()
    await stopping
    assert (await host.containers.status(f"deaf-{host.mark}")).exit_code == 137


async def test_a_pull_tells_how_it_goes_and_has_the_image_in_the_end(host):
    with registry() as there:
        there.held = True
        image = there.image
        pulling = asyncio.create_task(host.containers.pull(image))
        async with asyncio.timeout(30):
            while not any(pull.done for pull in host.containers.pulls()):
                await asyncio.sleep(0.01)
        (pull,) = host.containers.pulls()
        assert (pull.image, pull.status, pull.total) == (image, "pulling", there.layer_bytes)
        assert 0 < pull.done < there.layer_bytes
        assert host.containers.pulling(image) == pull.started_at
        there.release.set()
        assert await pulling == there.layer_bytes
        (pull,) = host.containers.pulls()
        assert (pull.status, pull.done, pull.error) == ("completed", there.layer_bytes, None)
        assert pull.ended_at >= pull.started_at
        assert host.containers.pulling(image) is None
        assert image in await host.containers.images()
    await host.connection.call(lambda client: client.remove_image(image))


async def test_who_wants_an_image_that_is_being_pulled_waits_for_that_pull(host):
    with registry() as there:
        there.held = True
        first, second = host.containers.pull(there.image), host.containers.pull(there.image)
        third = host.images.have(there.image)
        there.release.set()
        sizes = await asyncio.gather(first, second, third)
        assert sizes[:2] == [there.layer_bytes] * 2
        assert len(host.containers.pulls()) == 1
        await host.connection.call(lambda client: client.remove_image(there.image))


@pytest.mark.parametrize("image", ["tests/unknown:1", "tests/noise:unknown"])
async def test_a_pull_that_fails_says_why_and_can_be_tried_again(host, image):
    with registry() as there:
        missing = f"{there.image.partition('/')[0]}/{image}"
        for _ in range(2):
            with pytest.raises(Invalid, match=missing):
                await host.containers.pull(missing)
            (pull,) = host.containers.pulls()
            assert pull.status == "failed"
            assert missing in pull.error


async def test_a_registry_that_is_away_is_named(host):
    with pytest.raises(Invalid, match=r"'127\.0\.0\.1:1/tests/noise:1' cannot be pulled"):
        await host.containers.pull("127.0.0.1:1/tests/noise:1")


async def test_pulls_of_long_ago_are_forgotten(host):
    time = [now()]
    images = Images(host.connection, clock=lambda: time[0])
    with pytest.raises(Invalid):
        await images.pull("127.0.0.1:1/tests/noise:1")
    assert len(images.pulls()) == 1
    time[0] += timedelta(minutes=61)
    assert images.pulls() == []


async def test_a_server_that_stops_gives_its_pulls_up(host):
    with registry() as there:
        there.held = True
        pulling = asyncio.create_task(host.containers.pull(there.image))
        async with asyncio.timeout(30):
            while not any(pull.done for pull in host.containers.pulls()):
                await asyncio.sleep(0.01)
        host.images.close()
        with pytest.raises(Unavailable, match="the server stops"):
            await pulling


async def test_without_an_engine_it_says_so_and_changes_nothing():
    connection = Connection("unix:///nowhere/docker.sock")
    containers = DockerEngine(connection, Images(connection, clock=now), owner="o")
    assert await containers.running() is False
    for refused in (
        containers.check(),
        containers.images(),
        containers.containers(running=True),
        containers.status("any"),
        containers.start("any"),
        containers.exited(),
        containers.pull("tests/noise:1"),
    ):
        with pytest.raises(Unavailable, match=r"unix:///nowhere/docker\.sock"):
            await refused
    connection.close()


async def test_after_the_end_of_the_server_the_engine_is_not_asked_any_more(host):
    assert await host.containers.running() is True
    host.connection.close()
    with pytest.raises(Unavailable, match="the server stops"):
        await host.containers.exited()


async def test_who_does_not_wait_any_more_leaves_others_alone(host):
    waiting = asyncio.create_task(host.containers.images())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await host.containers.running() is True


async def test_an_engine_that_comes_back_is_found_again(tmp_path):
    with own_engine() as own:
        connection = Connection(own.url)
        containers = DockerEngine(connection, Images(connection, clock=now), owner="o")
        assert await containers.running() is True
        own.stop()
        assert await containers.running() is False
        own.start()
        assert await containers.running() is True
        connection.close()
