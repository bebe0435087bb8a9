"""Containers, as a user starts, stops and removes them, and images as they are pulled."""

import asyncio

import pytest
from structlog.testing import capture_logs

from commands import containers
from commands.containers import CleanContainers, PullBegun, PullImage, RemoveContainer, StartContainer, StopContainer
from commands.ports import Write
from domain.bots import ArchivePlace, BotStopped, BotStopRequested, stream_of
from domain.containers import STREAM, ContainerRemoved, ContainerStarted, ContainerStopped, ImagePulled
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from tests.commands.bots import desk, kinds, life, running
from tests.commands.world import T0, world

IMAGE = "hummingbot/hummingbot:latest"


async def test_a_container_is_started_and_stopped_and_both_are_recorded():
    async with world() as outside:
        engine = outside.fleet.engine
        engine.containers["box"] = False
        await outside.do(StartContainer(container="box"))
        assert engine.containers == {"box": True}
        outcome = await outside.do(StopContainer(container="box"))
        assert engine.containers == {"box": False}
        assert await outside.events(STREAM) == [
            ContainerStarted(container="box", started_at=T0),
            ContainerStopped(container="box", stopped_at=T0),
        ]
        assert outcome.position == await outside.log.position()


@pytest.mark.parametrize("command", [StartContainer, StopContainer, RemoveContainer], ids=lambda c: c.__name__)
@pytest.mark.parametrize(("name", "refusal"), [("nobody", NotFound), ("theirs", Forbidden)])
async def test_what_is_not_there_or_not_ours_is_refused_and_nothing_recorded(command, name, refusal):
    async with world() as outside:
        outside.fleet.engine.containers["theirs"] = True
        outside.fleet.engine.foreign.add("theirs")
        with pytest.raises(refusal, match=name):
            await outside.do(command(container=name))
        assert await outside.events(STREAM) == []


async def test_a_container_that_runs_is_removed_by_force_alone():
    async with world() as outside:
        outside.fleet.engine.containers["box"] = True
        with pytest.raises(Invalid, match="box"):
            await outside.do(RemoveContainer(container="box"))
        await outside.do(RemoveContainer(container="box", force=True))
        assert await outside.events(STREAM) == [ContainerRemoved(container="box", removed_at=T0)]


async def test_what_has_exited_is_cleaned_and_each_is_recorded():
    async with world() as outside:
        engine = outside.fleet.engine
        engine.containers |= {"a": False, "b": True, "c": False, "theirs": False}
        engine.foreign.add("theirs")
        outcome = await outside.do(CleanContainers(), "key")
        assert engine.containers == {"b": True, "theirs": False}
        assert await outside.events(STREAM) == [ContainerRemoved(container=name, removed_at=T0) for name in ("a", "c")]
        engine.containers["d"] = False
        assert (await outside.do(CleanContainers(), "key")).repeated
        assert "d" in engine.containers
        assert outcome.position == await outside.log.position()


async def test_what_one_cleaning_did_before_it_failed_is_recorded(monkeypatch):
    async with world() as outside:
        engine = outside.fleet.engine
        engine.containers |= {"a": False, "b": False}
        remove = engine.remove

        async def removing(container, *, force):
            if container == "b":
                raise Unavailable("No Docker engine answers any more")
            await remove(container, force=force)

        monkeypatch.setattr(engine, "remove", removing)
        with pytest.raises(Unavailable):
            await outside.do(CleanContainers())
        assert await outside.events(STREAM) == [ContainerRemoved(container="a", removed_at=T0)]


async def test_nothing_is_done_that_cannot_be_recorded():
    async with world() as outside:
        outside.fleet.engine.containers["box"] = True
        outside.log.reachable = False
        with pytest.raises(Unavailable):
            await outside.do(StopContainer(container="box"))
        assert outside.fleet.engine.containers == {"box": True}


@pytest.mark.parametrize(
    "command",
    [
        StartContainer(container="box"),
        StopContainer(container="box"),
        RemoveContainer(container="box"),
        CleanContainers(),
        PullImage(image=IMAGE),
    ],
    ids=lambda c: type(c).__name__,
)
async def test_without_an_engine_everything_is_unavailable(command):
    async with world() as outside:
        outside.fleet.engine.reachable = False
        with pytest.raises(Unavailable):
            await outside.do(command)


async def test_an_image_is_pulled_beside_the_answer_and_recorded_in_its_story():
    async with world() as outside:
        outside.fleet.engine.bytes[IMAGE] = 17
        outcome = await outside.do(PullImage(image=IMAGE))
        assert outcome.result == PullBegun(image=IMAGE, status="started")
        await outside.quiet()
        (recorded,) = (await outside.log.read([STREAM]))[STREAM]
        assert recorded.event == ImagePulled(image=IMAGE, bytes=17, pulled_at=T0)
        assert recorded.actor == "<containers>"


async def test_an_image_that_does_not_come_is_named_and_not_recorded():
    async with world() as outside:
        outside.fleet.engine.bytes[IMAGE] = Invalid("manifest unknown")
        with capture_logs() as lines:
            await outside.do(PullImage(image=IMAGE))
            await outside.quiet()
        assert [line for line in lines if line["event"] == "image_not_pulled"] == [
            {"event": "image_not_pulled", "log_level": "warning", "image": IMAGE, "why": "manifest unknown"}
        ]
        assert await outside.events(STREAM) == []


async def test_an_image_that_is_being_pulled_is_not_pulled_twice():
    async with world() as outside:
        begun = await asyncio.gather(*(outside.do(PullImage(image=IMAGE)) for _ in range(2)))
        assert sorted(outcome.result.status for outcome in begun) == ["in_progress", "started"]
        await outside.quiet()
        assert len(await outside.events(STREAM)) == 1


async def test_a_repeat_is_answered_as_the_first_time():
    async with world() as outside:
        first = await outside.do(PullImage(image=IMAGE), "key")
        await outside.quiet()
        again = await outside.do(PullImage(image=IMAGE), "key")
        assert (again.repeated, again.result) == (True, first.result)
        assert len(await outside.events(STREAM)) == 1
        with pytest.raises(Conflict):
            await outside.do(PullImage(image="another:1"), "key")


async def stopped_bot(w):
    """Return a bot whose container was stopped, as its life tells."""
    instance = await running(w)
    w.fleet.engine.containers[instance] = False
    w.fleet.runtime.crash(instance, 0)
    stream = stream_of(instance)
    version = len(await w.events(stream))
    event = BotStopped(instance=instance, exit_code=0, asked_for=False, stopped_at=T0)
    await w.log.append([Write(stream=stream, expected_version=version, events=[event])], w.origin())
    return instance


@pytest.mark.parametrize("archive", [ArchivePlace(), None], ids=["archived", "not archived"])
async def test_the_container_of_a_bot_that_runs_is_not_removed(archive):
    async with desk() as w:
        instance = await running(w)
        w.fleet.engine.containers[instance] = True
        with pytest.raises(Invalid, match=f"{instance} is running"):
            await w.do(RemoveContainer(container=instance, archive=archive, force=True))
        assert w.fleet.engine.containers == {instance: True}
        assert (await kinds(w))[-1] == "Started"


@pytest.mark.parametrize("bucket", [None, "attic"])
async def test_the_container_of_a_stopped_bot_goes_by_way_of_its_archive(bucket):
    async with desk() as w:
        instance = await stopped_bot(w)
        outcome = await w.do(
            RemoveContainer(container=instance, archive=ArchivePlace(bucket=bucket), force=True), "key"
        )
        assert (await kinds(w))[-3:] == ["StopRequested", "Archived", "Cleared"]
        (wish,) = [event for event in await life(w) if isinstance(event, BotStopRequested)]
        assert wish.archive == ArchivePlace(bucket=bucket)
        assert outcome.position == await w.log.position()
        assert await w.fleet.runtime.instances() == {}
        again = await w.do(RemoveContainer(container=instance, archive=ArchivePlace(bucket=bucket), force=True), "key")
        assert again.repeated


async def test_without_an_archive_only_the_container_of_a_stopped_bot_goes():
    async with desk() as w:
        instance = await stopped_bot(w)
        await w.do(RemoveContainer(container=instance))
        assert w.fleet.engine.containers == {}
        assert (await kinds(w))[-1] == "Stopped"
        assert await w.fleet.files.taken(instance)
        assert await w.events(STREAM) == [ContainerRemoved(container=instance, removed_at=w.time())]


async def test_a_container_whose_bot_has_lost_its_files_stays_and_it_is_said_why():
    async with desk() as w:
        instance = await stopped_bot(w)
        w.fleet.files.instances.clear()
        with pytest.raises(Invalid, match=f"cannot be put away: Bot '{instance}' has no files"):
            await w.do(RemoveContainer(container=instance, archive=ArchivePlace()))
        assert set(await w.fleet.runtime.instances()) == {instance}
        await w.do(RemoveContainer(container=instance))
        assert w.fleet.engine.containers == {}


async def test_an_archive_that_takes_too_long_is_said_to_go_on(monkeypatch):
    monkeypatch.setattr(containers, "REMOVED_WITHIN_SECONDS", 0.05)
    async with desk() as w:
        instance = await stopped_bot(w)
        w.fleet.runtime.reachable = False
        with pytest.raises(Unavailable, match="still will be"):
            await w.do(RemoveContainer(container=instance, archive=ArchivePlace()))
        w.fleet.runtime.reachable = True
