"""Start, stop and remove containers of this host, and pull images."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Body
from adapters.http.requests import Request
from commands.containers import CleanContainers, PullBegun, PullImage, RemoveContainer, StartContainer, StopContainer
from domain.bots import ArchivePlace
from write_api.bots import Bucket
from write_api.writing import Done, Writes, answer, answers

ContainerName = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$")]
"""The name of a container, as Docker has them."""

Image = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*(?!\n)$")]
"""The name of an image, with the host of its registry before it and its tag behind it where they are given."""


class DockerImage(Body, frozen=True, kw_only=True):
    """Which image."""

    image_name: Image


class PullAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that the pull is `started`, or `in_progress` since somebody asked for it before."""

    message: str
    status: Annotated[str, msgspec.Meta(examples=["started"])]
    image_name: str


def on_the_wire(begun: PullBegun) -> PullAnswer:
    """Return the answer to who wants an image."""
    said = "Pull started for" if begun.status == "started" else "Pull already in progress for"
    return PullAnswer(message=f"{said} {begun.image}", status=begun.status, image_name=begun.image)


class Containers(Controller):
    """The containers of this host, as far as they may be touched."""

    path = "/docker"
    tags = ("Docker",)

    @post(
        ["/start-container/{container_name:str}", "/container/{container_name:str}/start"],
        status_code=200,
        summary="Start a container",
    )
    async def start(
        self, request: Request, container_name: FromPath[ContainerName], writes: NamedDependency[Writes]
    ) -> Answer:
        """Answer null when it runs."""
        outcome = await writes.dispatch(StartContainer(container=container_name), request)
        return answer(200, None, outcome.position)

    @post(
        ["/stop-container/{container_name:str}", "/container/{container_name:str}/stop"],
        status_code=200,
        summary="Stop a container",
    )
    async def stop(
        self, request: Request, container_name: FromPath[ContainerName], writes: NamedDependency[Writes]
    ) -> Answer:
        """Answer null when it has stopped. A bot in it has no time to wind down."""
        outcome = await writes.dispatch(StopContainer(container=container_name), request)
        return answer(200, None, outcome.position)

    @post(
        "/remove-container/{container_name:str}",
        status_code=200,
        summary="Put a bot's files away and remove its container",
        responses=answers(Done, 200),
    )
    async def remove(
        self,
        request: Request,
        container_name: FromPath[ContainerName],
        writes: NamedDependency[Writes],
        *,
        archive_locally: FromQuery[bool] = True,
        s3_bucket: FromQuery[Bucket | None] = None,
    ) -> Answer:
        """Remove a container; the files of a bot that was in it go to the archive or the bucket first.

        With neither, the files stay, and the bot can be started again.
        """
        place = ArchivePlace(bucket=s3_bucket or None) if s3_bucket or archive_locally else None
        command = RemoveContainer(container=container_name, archive=place, force=True)
        outcome = await writes.dispatch(command, request)
        return answer(200, Done(message=f"Container {container_name} removed successfully."), outcome.position)

    @delete(
        "/container/{container_name:str}",
        status_code=200,
        summary="Remove a container",
        responses=answers(Done, 200),
    )
    async def delete(
        self,
        request: Request,
        container_name: FromPath[ContainerName],
        writes: NamedDependency[Writes],
        *,
        force: FromQuery[bool] = False,
    ) -> Answer:
        """Remove a container and leave the files as they are; one that runs only by `force`."""
        outcome = await writes.dispatch(RemoveContainer(container=container_name, force=force), request)
        return answer(200, Done(message=f"Container {container_name} removed successfully."), outcome.position)

    @post("/clean-exited-containers", status_code=200, summary="Remove what has exited")
    async def clean(self, request: Request, writes: NamedDependency[Writes]) -> Answer:
        """Remove the containers that have exited and may be touched; answer null."""
        return answer(200, None, (await writes.dispatch(CleanContainers(), request)).position)

    @post("/pull-image", status_code=200, summary="Pull an image", responses=answers(PullAnswer, 200))
    async def pull(self, request: Request, data: JSONBody[DockerImage], writes: NamedDependency[Writes]) -> Answer:
        """Begin to pull an image, and answer at once; `GET /docker/pull-status` tells how it goes."""
        outcome = await writes.dispatch(PullImage(image=data.image_name), request)
        return answer(200, on_the_wire(outcome.result), outcome.position)
