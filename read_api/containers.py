"""The containers and images of this host, and how pulls of images go."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from adapters.http.answers import Answer
from adapters.http.bodies import Text, encode
from domain.containers import Container, Pull
from read_api.pages import described
from read_api.ports import Containers

ContainerName = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$")]
"""The name of a container, as Docker has them."""


class ContainerItem(msgspec.Struct, frozen=True, kw_only=True):
    """A container in a list."""

    id: Annotated[str, msgspec.Meta(examples=["4c01db0b339c6f6d9e1a7d0f5b2e8c93a6d4f1b07e5c28394a1f6b0d2e7c5a48"])]
    name: Annotated[str, msgspec.Meta(examples=["grid-20260102-030405"])]
    status: Annotated[str, msgspec.Meta(examples=["running"])]
    image: str


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """How a container is. `exit_code` is null while it runs, and where it never ran."""

    status: Annotated[str, msgspec.Meta(examples=["running"])]
    running: bool
    exit_code: Annotated[int | None, msgspec.Meta(examples=[None])]


class ContainerAnswer(ContainerItem, frozen=True, kw_only=True):
    """A container, and how it is."""

    success: bool = True
    state: ContainerState


class PullItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pull of an image: `pulling`, `completed` or `failed`. Times are seconds since 1970; what is not so is left out.

    `progress` says how much has come, in words.
    """

    status: str
    started_at: float
    completed_at: float | None = None
    failed_at: float | None = None
    error: str | None = None
    progress: str | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    duration_seconds: float


class PullsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How pulls go, by image."""

    pull_operations: Mapping[str, PullItem]
    total_operations: int


def item_on_the_wire(container: Container) -> ContainerItem:
    """Return a container as it stands in a list."""
    return ContainerItem(id=container.id, name=container.name, status=container.status, image=container.image)


def state_on_the_wire(container: Container) -> ContainerAnswer:
    """Return a container with how it is."""
    state = ContainerState(
        status=container.status, running=container.status == "running", exit_code=container.exit_code
    )
    return ContainerAnswer(**msgspec.structs.asdict(item_on_the_wire(container)), state=state)


def pull_on_the_wire(pull: Pull, now: datetime) -> PullItem:
    """Return how a pull goes at this moment."""
    ended_at = None if pull.ended_at is None else pull.ended_at.timestamp()
    progress = None
    if pull.status == "pulling":
        progress = "Starting pull..." if pull.total is None else f"{pull.done} of {pull.total} bytes"
    return PullItem(
        status=pull.status,
        started_at=pull.started_at.timestamp(),
        completed_at=ended_at if pull.status == "completed" else None,
        failed_at=ended_at if pull.status == "failed" else None,
        error=pull.error,
        progress=progress,
        bytes_done=pull.done if pull.total is not None else None,
        bytes_total=pull.total,
        duration_seconds=round(((pull.ended_at or now) - pull.started_at).total_seconds(), 2),
    )


_PULLS = PullsAnswer(
    pull_operations={
        "hummingbot/hummingbot:latest": PullItem(
            status="pulling",
            started_at=1767323045.0,
            progress="104857600 of 734003200 bytes",
            bytes_done=104857600,
            bytes_total=734003200,
            duration_seconds=12.5,
        )
    },
    total_operations=1,
)


class ContainerReads(Controller):
    """What the Docker engine of this host says."""

    path = "/docker"
    tags = ("Docker",)

    @get("/running", status_code=200, summary="Say whether Docker runs", responses=described(bool, "Whether it does"))
    async def running(self, containers: NamedDependency[Containers]) -> Answer:
        """Answer whether a Docker engine answers."""
        return Answer(200, encode(await containers.running()))

    @get(
        "/available-images",
        status_code=200,
        summary="List images",
        responses=described(list[str], "Their names", ["hummingbot/hummingbot:latest"]),
    )
    async def images(self, containers: NamedDependency[Containers], image_name: FromQuery[Text] = "") -> Answer:
        """Answer the images that are here, with `image_name` in their names if it is given."""
        return Answer(200, encode(await containers.images(image_name)))

    @get(
        "/active-containers",
        status_code=200,
        summary="List the containers that run",
        responses=described(list[ContainerItem], "The containers"),
    )
    async def active(self, containers: NamedDependency[Containers], name_filter: FromQuery[Text] = "") -> Answer:
        """Answer the containers that run, with `name_filter` in their names if it is given."""
        found = await containers.containers(running=True, part=name_filter)
        return Answer(200, encode([item_on_the_wire(container) for container in found]))

    @get(
        "/exited-containers",
        status_code=200,
        summary="List the containers that have exited",
        responses=described(list[ContainerItem], "The containers"),
    )
    async def exited(self, containers: NamedDependency[Containers], name_filter: FromQuery[Text] = "") -> Answer:
        """Answer the containers that have exited, with `name_filter` in their names if it is given."""
        found = await containers.containers(running=False, part=name_filter)
        return Answer(200, encode([item_on_the_wire(container) for container in found]))

    @get(
        "/container/{container_name:str}/status",
        status_code=200,
        summary="Show a container",
        responses=described(ContainerAnswer, "The container"),
    )
    async def status(self, container_name: FromPath[ContainerName], containers: NamedDependency[Containers]) -> Answer:
        """Answer a container as it is now."""
        return Answer(200, encode(state_on_the_wire(await containers.status(container_name))))

    @get(
        "/pull-status",
        status_code=200,
        summary="Say how pulls go",
        responses=described(PullsAnswer, "By image", msgspec.to_builtins(_PULLS)),
    )
    async def pulls(self, containers: NamedDependency[Containers]) -> Answer:
        """Answer how pulls of images go, and how those of the last hour went."""
        now = containers.now()
        operations = {pull.image: pull_on_the_wire(pull, now) for pull in containers.pulls()}
        return Answer(200, encode(PullsAnswer(pull_operations=operations, total_operations=len(operations))))
