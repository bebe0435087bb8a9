"""The containers of this host: who looks sees all of them, who changes something only what is ours.

Ours is what carries the label of our data, or everything where the operator wants it so (`DOCKER_ALL`).
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError
from docker.errors import NotFound as NoSuchThing

from adapters.docker.connection import Connection, exit_code, is_ours, refusal
from adapters.docker.images import Images
from domain.containers import Container, Pull
from domain.errors import Forbidden, Invalid, NotFound, Unavailable


class DockerEngine:
    """The port `Engine` of commands, and `Containers` of reads. `owner` names the data that this server is of."""

    def __init__(
        self,
        connection: Connection,
        images: Images,
        *,
        owner: str,
        all_containers: bool = False,
        grace_seconds: float = 10.0,
    ) -> None:
        self._connection = connection
        self._images = images
        self._owner = owner
        self._all_containers = all_containers
        self._grace_seconds = grace_seconds

    async def check(self) -> None:
        """Raise `Unavailable` where no engine answers."""
        await self._connection.ask("The Docker engine", lambda client: client.ping())

    async def running(self) -> bool:
        """Whether an engine answers."""
        try:
            await self.check()
        except Unavailable:
            return False
        return True

    async def images(self, part: str = "") -> Sequence[str]:
        """Return the names with tags of the images that are here and have `part` in them. Raises `Unavailable`."""
        return await self._images.names(part)

    async def containers(self, *, running: bool, part: str = "") -> Sequence[Container]:
        """Return the containers that run, or those that have exited, with `part` in their names, whatever its case.

        Raises `Unavailable`.
        """
        status = "running" if running else "exited"
        found = await self._by_status(status)
        shown = sorted((_listed(entry) for entry in found), key=lambda container: container.name)
        return [container for container in shown if part.lower() in container.name.lower()]

    async def status(self, container: str) -> Container:
        """Return a container as it is now. Raises `NotFound`, `Unavailable`."""
        found = await self._connection.ask(f"Container '{container}'", lambda client: _inspect(client, container))
        state = found["State"]
        return Container(
            id=found["Id"],
            name=container,
            status=state["Status"],
            image=found["Config"]["Image"],
            exit_code=state["ExitCode"] if state["Status"] == "exited" else None,
        )

    def pulls(self) -> Sequence[Pull]:
        """Return how pulls go and how those of the last hour went."""
        return self._images.pulls()

    def now(self) -> datetime:
        """Return the time by the clock that pulls are timed by."""
        return self._images.now()

    async def start(self, container: str) -> None:
        """Start a container, if it does not run."""
        await self._change(container, lambda client, found: client.start(found["Id"]))

    async def stop(self, container: str) -> None:
        """Stop a container and wait until it has."""
        grace = round(self._grace_seconds)
        await self._change(container, lambda client, found: client.stop(found["Id"], timeout=grace), long=True)

    async def remove(self, container: str, *, force: bool) -> None:
        """Remove a container; one that runs only by `force`."""

        def work(client: docker.APIClient, found: Mapping[str, Any]) -> None:
            if found["State"]["Running"] and not force:
                raise Invalid(f"Container '{container}' is running: stop it first")
            client.remove_container(found["Id"], v=True, force=force)

        await self._change(container, work)

    async def exited(self) -> Sequence[str]:
        """Return the names of those that have exited and may be touched."""
        found = await self._by_status("exited")
        return sorted(_listed(entry).name for entry in found if self._may_touch(entry["Labels"]))

    def pulling(self, image: str) -> datetime | None:
        """Return since when an image is being pulled, None where it is not."""
        return self._images.pulling(image)

    def pull(self, image: str) -> Coroutine[object, object, int | None]:
        """Note at once that an image is being pulled, and return what pulls it."""
        return self._images.pull(image)

    def _may_touch(self, labels: Mapping[str, str] | None) -> bool:
        return self._all_containers or is_ours(labels, self._owner)

    async def _change(
        self, container: str, work: Callable[[docker.APIClient, Mapping[str, Any]], None], *, long: bool = False
    ) -> None:
        def change(client: docker.APIClient) -> None:
            found = _inspect(client, container)
            if not self._may_touch(found["Config"]["Labels"]):
                raise Forbidden(
                    f"Container '{container}' was not made by this server; DOCKER_ALL=true would let it be changed"
                )
            try:
                work(client, found)
            except NoSuchThing as e:  # It went in this moment.
                raise NotFound(f"Container '{container}' not found") from e
            except APIError as e:
                raise refusal(f"Container '{container}'", e) from e

        await self._connection.ask(f"Container '{container}'", change, long=long)

    async def _by_status(self, status: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = await self._connection.ask(
            "The containers", lambda client: client.containers(all=True, filters={"status": status})
        )
        return found


def _inspect(client: docker.APIClient, container: str) -> Mapping[str, Any]:
    # The engine would take an id, or the beginning of one, too.
    missing = NotFound(f"Container '{container}' not found")
    try:
        found: Mapping[str, Any] = client.inspect_container(container)
    except NoSuchThing as e:
        raise missing from e
    if found["Name"] != f"/{container}":
        raise missing
    return found


def _listed(entry: Mapping[str, Any]) -> Container:
    return Container(
        id=entry["Id"],
        name=entry["Names"][0].removeprefix("/"),
        status=entry["State"],
        image=entry["Image"],
        exit_code=exit_code(entry["Status"]),
    )
