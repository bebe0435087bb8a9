"""Bots in containers on this host: the port `Runtime`.

A container has the name of its instance, and what it needs of the folder `bots` as mounts: `conf`, `data`, `logs` and,
where there is a Gateway, `certs` of its own instance, and the strategies' sources, which it cannot change. It shares
the host's network, as bots of hummingbot-api do (`services/docker_service.py`@ee7ce5c).
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import APIError
from docker.errors import NotFound as NoSuchThing
from docker.types import LogConfig, Mount

from adapters.docker.connection import INSTANCE, OWNER, Connection, exit_code, is_ours, labels, refusal
from adapters.docker.images import Images
from commands.ports.bots import Instance, State
from domain.bots import BotDeployed
from domain.errors import Invalid

T = TypeVar("T")

HOME = "/home/hummingbot"
"""Where the images of bots have everything."""

LOG_LIMITS = {"max-size": "10m", "max-file": "5"}
"""How much of what a bot prints is kept."""

_TAKEN = 409
_NAMED_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_RUNS = ("running", "paused", "restarting")


def environment(order: BotDeployed, password: str | None) -> dict[str, str]:
    """Return the environment of a bot; the password, where it comes another way, is left out."""
    return {
        **({} if password is None else {"CONFIG_PASSWORD": password}),
        **({} if order.script_config is None else {"SCRIPT_CONFIG": order.script_config}),
        **({"HEADLESS_MODE": "true"} if order.headless else {}),
    }


class DockerRuntime:
    """The engine of this host as the place where bots run.

    `owner` names the data that this server is of, `bots` is the folder with `instances`, `scripts` and `controllers`,
    and `seen_by_engine` is where the engine finds that folder, if not under the same path (a server in a container).
    """

    name = "docker"

    def __init__(
        self,
        connection: Connection,
        images: Images,
        *,
        owner: str,
        bots: Path,
        config_password: str,
        seen_by_engine: Path | None = None,
    ) -> None:
        self._connection = connection
        self._images = images
        self._owner = owner
        self._bots = bots
        self._config_password = config_password
        self._seen = seen_by_engine or bots
        self._place: str | None = None

    async def place(self) -> str:
        """Return the engine's id behind the name; the name alone of an engine without one that lasts."""
        if self._place is None:
            engine = await self._connection.ask("The engine", _lasting_id)
            self._place = f"{self.name}:{engine}" if engine else self.name
        return self._place

    async def check(self, image: str) -> None:
        """Make sure that containers of an image can be made, pulling it if need be."""
        await self._images.have(image)

    async def start(self, order: BotDeployed) -> Instance:
        """Make the container, once, and have it run; return it."""
        return await self._ask(order.instance, lambda client: self._start(client, order))

    async def stop(self, instance: str, grace_seconds: float) -> int | None:
        """Ask the container to end, end it after `grace_seconds`, and return its exit code."""

        def work(client: docker.APIClient) -> int | None:
            found = self._find(client, instance)
            if found is None:
                return None
            try:
                client.stop(found["Id"], timeout=round(grace_seconds))
                return self._shown(client, found["Id"]).exit_code
            except NoSuchThing:  # It was removed meanwhile.
                return None
            except APIError as e:
                raise refusal(f"Container '{instance}'", e) from e

        return await self._ask(instance, work, long=True)

    async def collect(self, instance: str) -> None:
        """Do nothing: what the instance writes is in its folder."""

    async def remove(self, instance: str) -> None:
        """Remove a stopped container; one that is not there is no error."""

        def work(client: docker.APIClient) -> None:
            found = self._find(client, instance)
            if found is None:
                return
            if found["State"]["Running"]:
                raise Invalid(f"Instance '{instance}' is running: its container cannot be removed")
            try:
                client.remove_container(found["Id"], v=True)
            except NoSuchThing:
                return
            except APIError as e:
                raise refusal(f"Container '{instance}'", e) from e

        await self._ask(instance, work)

    async def instances(self) -> Mapping[str, Instance]:
        """Return every container of ours, in one question."""
        ours = {"label": [f"{OWNER}={self._owner}", INSTANCE]}
        found = await self._connection.ask("The containers", lambda client: client.containers(all=True, filters=ours))
        # What carries the label under another name is a copy that somebody else made.
        return {
            entry["Labels"][INSTANCE]: Instance(
                instance=entry["Labels"][INSTANCE],
                runtime_id=entry["Id"],
                state=_state(entry["State"]),
                exit_code=exit_code(entry["Status"]),
            )
            for entry in found
            if f"/{entry['Labels'][INSTANCE]}" in entry["Names"]
        }

    async def _ask(self, instance: str, work: Callable[[docker.APIClient], T], *, long: bool = False) -> T:
        # Somebody may remove the container at any moment, and the engine may fail at anything.
        return await self._connection.ask(f"Container '{instance}'", work, long=long)

    def _start(self, client: docker.APIClient, order: BotDeployed) -> Instance:
        found = self._find(client, order.instance) or self._made(client, order)
        try:
            client.start(found["Id"])  # One that runs stays as it is.
        except APIError as e:
            raise refusal(f"Container '{order.instance}'", e) from e
        return self._shown(client, found["Id"])

    def _made(self, client: docker.APIClient, order: BotDeployed) -> Mapping[str, Any]:
        instance = order.instance
        give_up_at = time.monotonic() + _NAMED_SECONDS
        while True:
            try:
                return self._create(client, order)
            except NoSuchThing as e:
                raise Invalid(f"Image '{order.image}' not found") from e
            except APIError as e:
                if e.status_code != _TAKEN:
                    raise refusal(f"Container '{instance}'", e) from e
                # By us, whose first try was not answered, or by somebody else. A name is taken a moment before its
                # container can be looked at: one of ours that was there a moment ago is found now.
                was_there = _is_there(client, instance)
                found = self._find(client, instance)
                if found is not None:
                    return found
                if was_there or time.monotonic() > give_up_at:
                    raise Invalid(f"The name '{instance}' is taken by a container that is not ours") from e
                time.sleep(_LOOK_SECONDS)

    def _create(self, client: docker.APIClient, order: BotDeployed) -> Mapping[str, Any]:
        created: Mapping[str, Any] = client.create_container(
            order.image,
            name=order.instance,
            environment=environment(order, self._config_password),
            labels=labels(self._owner, order.instance),
            tty=True,
            stdin_open=True,
            host_config=client.create_host_config(
                network_mode="host",
                mounts=self._mounts(order.instance),
                log_config=LogConfig(type=LogConfig.types.JSON, config=LOG_LIMITS),
            ),
        )
        return created

    def _mounts(self, instance: str) -> list[Mount]:
        own = Path("instances", instance)
        folders = {"conf": own / "conf", "data": own / "data", "logs": own / "logs"}
        fixed = {"scripts": Path("scripts"), "controllers": Path("controllers")}
        if (self._bots / own / "certs").is_dir():
            fixed["certs"] = own / "certs"
        return [
            Mount(f"{HOME}/{name}", str(self._seen / path), type="bind", read_only=name in fixed)
            for name, path in {**folders, **fixed}.items()
        ]

    def _find(self, client: docker.APIClient, instance: str) -> Mapping[str, Any] | None:
        """Return the container of an instance if it is ours, None where there is none or it is somebody else's."""
        try:
            found: Mapping[str, Any] = client.inspect_container(instance)
        except NoSuchThing:
            return None
        ours = is_ours(found["Config"]["Labels"], self._owner, instance)
        return found if ours and found["Name"] == f"/{instance}" else None

    def _shown(self, client: docker.APIClient, container: str) -> Instance:
        found = client.inspect_container(container)
        state = _state(found["State"]["Status"])
        return Instance(
            instance=found["Config"]["Labels"][INSTANCE],
            runtime_id=found["Id"],
            state=state,
            exit_code=found["State"]["ExitCode"] if found["State"]["Status"] == "exited" else None,
        )


def _lasting_id(client: docker.APIClient) -> str:
    """Return the id of an engine, "" where it has none: Podman makes another one up for each answer."""
    first, again = (str(client.info().get("ID") or "") for _ in range(2))
    return first if first == again else ""


def _is_there(client: docker.APIClient, container: str) -> bool:
    try:
        client.inspect_container(container)
    except NoSuchThing:
        return False
    return True


def _state(status: str) -> State:
    return "running" if status in _RUNS else "exited"
