"""A Swarm of two machines: two engines on this one, each in a network of its own, with a cable between them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.engine.running import Engine, own_engine

_ADDRESSES = ("10.231.7.1", "10.231.7.2")


class Machines(NamedTuple):
    """The engine that manages the Swarm, and the one that only works."""

    manager: Engine
    worker: Engine


@contextmanager
def two_machines(volume_driver: str) -> Iterator[Machines]:
    """Start both, on both of them a driver of volumes. Skips the test where networks cannot be made."""
    if shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None or os.geteuid() != 0:
        pytest.skip("networks are made by root with ip, which is not installed")
    names = [f"nectar-{os.getpid()}-{end}" for end in "ab"]
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "delete", name)
        # Their names are seen inside of the networks alone.
        _ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, _ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "cable", "up")
        engines = Machines(*(stack.enter_context(own_engine(name)) for name in names))
        for engine in engines:
            _use(engine, volume_driver)
        _join(*engines)
        yield engines


def _use(engine: Engine, volume_driver: str) -> None:
    # An engine tells its Swarm of a driver that it has used, and only when it joins or some time later.
    client = engine.client()
    client.volumes.create("probe", driver=volume_driver).remove()
    client.close()


def _join(manager: Engine, worker: Engine) -> None:
    first, second = manager.client(), worker.client()
    here, there = _ADDRESSES
    first.swarm.init(advertise_addr=here, listen_addr=f"{here}:2377")
    token = first.swarm.attrs["JoinTokens"]["Worker"]
    second.swarm.join([f"{here}:2377"], token, advertise_addr=there, listen_addr=f"{there}:2377")
    first.close()
    second.close()


def _ip(*arguments: str) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(
        ["ip", *arguments], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=30, check=False
    )
    if "not permitted" in done.stderr:
        pytest.skip("no networks may be made here")
    assert not done.returncode, done.stderr
