"""The runtimes of the port's suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.places import DockerPlace, MemoryPlace, Place, ProcessPlace, SwarmPlace, end_all


@pytest.fixture(params=["memory", "process", "docker", "swarm"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Give each of the places where bots can run."""
    made: Place
    match request.param:
        case "memory":
            made = MemoryPlace()
        case "process":
            made = ProcessPlace(tmp_path)
        case "docker":
            made = DockerPlace(tmp_path, request.getfixturevalue("docker_engine"))
        case _:
            made = SwarmPlace(tmp_path, request.getfixturevalue("swarm_engine"))
    try:
        yield made
    finally:
        if request.param == "process":
            await end_all(made.again())
        made.clear()
