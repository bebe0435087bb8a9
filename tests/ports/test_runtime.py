"""Where bots run: one suite for Docker, Swarm, processes, and the fake."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import msgspec
import pytest

from commands.ports.bots import Instance
from domain.errors import Invalid, Unavailable
from tests.engine.places import Place

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], is_so: Callable[[T], object], seconds: float = 30) -> T:
    """Ask until the answer is as it should be, and return it."""
    last = time.monotonic() + seconds
    while not is_so(answer := await ask()):
        assert time.monotonic() < last, f"after {seconds} s still {answer}"
        await asyncio.sleep(0.02)
    return answer


def name() -> str:
    """Return a name that no other test has."""
    return f"bot-{uuid4().hex[:8]}"


async def shown(place: Place, instance: str) -> Instance:
    return (await place.runtime.instances())[instance]


async def exited(place: Place, instance: str) -> Instance:
    return (await until(place.runtime.instances, lambda all_: all_[instance].state == "exited"))[instance]


async def started(place: Place, instance: str, times: int = 1):
    return await until(lambda: place.starts(instance), lambda starts: len(starts) >= times)


async def test_a_started_instance_runs_and_is_known(place):
    wish = place.prepare(name())
    await place.runtime.check(wish.image)
    made = await place.runtime.start(wish)
    assert made == Instance(instance=wish.instance, runtime_id=made.runtime_id, state="running")
    assert made.runtime_id
    assert await shown(place, wish.instance) == made
    assert len(await started(place, wish.instance)) == 1


async def test_however_often_it_is_started_one_instance_runs(place):
    wish = place.prepare(name())
    first = await place.runtime.start(wish)
    await started(place, wish.instance)
    assert await place.runtime.start(wish) == first
    assert await place.again().start(wish) == first
    assert len(await place.starts(wish.instance)) == 1
    assert list(await place.runtime.instances()) == [wish.instance]


async def test_started_by_two_servers_at_once_one_instance_runs(place):
    wish = place.prepare(name())
    both = await asyncio.gather(place.runtime.start(wish), place.again().start(wish))
    assert both[0].runtime_id == both[1].runtime_id
    await started(place, wish.instance)
    assert await place.runtime.stop(wish.instance, 20) in {0, None}
    assert len(await place.starts(wish.instance)) == 1


async def test_a_crash_is_seen_with_its_exit_code(place):
    wish = place.prepare(name(), crash=3)
    await place.runtime.start(wish)
    assert (await exited(place, wish.instance)).exit_code == 3
    assert (await place.again().instances())[wish.instance].exit_code == 3


async def test_what_has_exited_is_started_again_by_a_start(place):
    wish = place.prepare(name(), crash=3)
    await place.runtime.start(wish)
    await exited(place, wish.instance)
    await place.runtime.start(wish)
    assert len(await started(place, wish.instance, 2)) == 2


async def test_what_was_stopped_is_started_again_by_a_start(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    await started(place, wish.instance)
    await place.runtime.stop(wish.instance, 20)
    assert (await place.again().start(wish)).state == "running"
    assert len(await started(place, wish.instance, 2)) == 2
    assert (await shown(place, wish.instance)).exit_code is None


async def test_a_stop_lets_the_program_end_by_itself(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    await started(place, wish.instance)
    assert await place.runtime.stop(wish.instance, 20) == 0
    assert await shown(place, wish.instance) == await exited(place, wish.instance)


async def test_what_does_not_listen_is_ended_after_the_grace(place):
    wish = place.prepare(name(), stubborn=True)
    await place.runtime.start(wish)
    await started(place, wish.instance)
    assert await place.runtime.stop(wish.instance, 1) == 137
    assert (await shown(place, wish.instance)).exit_code == 137


async def test_stopping_what_does_not_run_is_no_error(place):
    assert await place.runtime.stop(name(), 1) is None
    wish = place.prepare(name(), crash=4)
    await place.runtime.start(wish)
    await exited(place, wish.instance)
    assert await place.runtime.stop(wish.instance, 1) == 4


async def test_what_was_removed_is_not_there_any_more(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    await started(place, wish.instance)
    with pytest.raises(Invalid, match="running"):
        await place.runtime.remove(wish.instance)
    await place.runtime.stop(wish.instance, 20)
    await place.runtime.collect(wish.instance)
    await place.runtime.remove(wish.instance)
    assert await place.runtime.instances() == {}
    await place.runtime.remove(wish.instance)


async def test_what_needs_more_than_is_there_is_unavailable(place):
    wish = place.prepare(name())
    away = place.away()
    with pytest.raises(Unavailable):
        await away.start(wish)
    with pytest.raises(Unavailable):
        await away.instances()


@pytest.mark.parametrize("place", ["memory", "docker", "swarm"], indirect=True)
async def test_a_name_that_others_have_is_refused_and_theirs_left_alone(place):
    wish = place.prepare(name())
    place.take(wish.instance)
    with pytest.raises(Invalid, match=f"'{wish.instance}' is taken"):
        await place.runtime.start(wish)
    assert await place.runtime.instances() == {}
    assert await place.runtime.stop(wish.instance, 1) is None
    await place.runtime.remove(wish.instance)
    with pytest.raises(Invalid, match=f"'{wish.instance}' is taken"):
        await place.runtime.start(wish)


@pytest.mark.parametrize("place", ["memory", "docker", "swarm"], indirect=True)
async def test_an_image_that_is_not_to_be_had_is_named(place):
    wish = msgspec.structs.replace(place.prepare(name()), image="nowhere/hummingbot:missing")
    with pytest.raises(Invalid, match="nowhere/hummingbot:missing"):
        await place.runtime.check(wish.image)
    with pytest.raises(Invalid, match="nowhere/hummingbot:missing"):
        await place.runtime.start(wish)
    assert await place.runtime.instances() == {}


async def test_every_server_on_one_place_names_it_alike(place):
    named = await place.runtime.place()
    assert named == await place.again().place()
    assert named.partition(":")[0] == place.runtime.name
    await place.runtime.start(place.prepare(name()))
    assert await place.runtime.place() == named
