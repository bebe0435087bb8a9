"""The runtimes of the port's suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.places import DockerPlace, MemoryPlace, Place, ProcessPlace, end_all


@pytest.fixture(params=["memory", "process", "docker"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Give each of the places where bots can run."""
    made: Place
    match request.param:
        case "memory":
            made = MemoryPlace()
        case "process":
            made = ProcessPlace(tmp_path)
        case _:
            made = DockerPlace(tmp_path, request.getfixturevalue("docker_engine"))
    try:
        yield made
    finally:
        if request.param == "process":
            await end_all(made.again())
        made.clear()
