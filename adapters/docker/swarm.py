"""Bots as services of a Docker Swarm, for fleets larger than one machine: the port `Runtime`.

A bot is a service of one task that Swarm never starts again by itself: whether a bot trades is decided here. What it
needs comes with it, for other machines have no folder of ours: its settings and the strategies' sources as configs,
its keys, certificates and passwords as secrets. What it writes is in volumes of the machine where it runs first, and it
stays bound to that machine.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.errors import NotFound as NoSuchThing
from docker.types import ServiceMode

from adapters.docker import templates
from adapters.docker.connection import INSTANCE, OWNER, Connection, is_ours, labels, refusal
from adapters.docker.errands import empty_volumes, fetch_volumes
from adapters.docker.images import Images
from adapters.docker.templates import Terms
from commands.ports.bots import Instance
from domain.bots import BotDeployed
from domain.errors import Invalid, NotFound, Unavailable

NODE = "nectar.node"
"""The label with the id of the machine that has an instance's volumes."""

EXIT_CODE = "nectar.exit_code"
"""The label with the exit code of a task that was ended here: Swarm forgets it with the task."""

Found = Mapping[str, Any]

_TAKEN = 409
_ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "orphaned", "remove"})
_START_SECONDS = 120.0
_END_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_TRIES = 10
_MOVED = "update out of sequence"


class SwarmRuntime:
    """The Swarm that the engine is a manager of, as the place where bots run.

    `bots` is the folder with `instances`, `scripts` and `controllers`; `constraints`, `volume_driver` and
    `volume_options` are Swarm's own. A task's grace is fixed when its service is made: `grace_seconds`.
    """

    name = "swarm"

    def __init__(
        self,
        connection: Connection,
        images: Images,
        *,
        owner: str,
        bots: Path,
        config_password: str,
        grace_seconds: float = 30.0,
        constraints: Sequence[str] = (),
        volume_driver: str | None = None,
        volume_options: Mapping[str, str] | None = None,
    ) -> None:
        self._connection = connection
        self._images = images
        self._bots = bots
        self._config_password = config_password
        self._terms = Terms(
            owner=owner,
            grace_seconds=grace_seconds,
            constraints=tuple(constraints),
            volume_driver=volume_driver,
            volume_options=volume_options or {},
        )
        self._place: str | None = None

    async def place(self) -> str:
        """Return the Swarm's id behind the name: every manager gives the same."""
        if self._place is None:
            swarm = await self._ask("The Swarm", lambda client: client.inspect_swarm())
            self._place = f"{self.name}:{swarm['ID']}"
        return self._place

    async def check(self, image: str) -> None:
        """Make sure that services of an image can be made: the manager has to have it, to know how it begins."""
        await self._images.have(image)
        await self._ask("The Swarm", lambda client: client.inspect_swarm())

    async def start(self, order: BotDeployed) -> Instance:
        """Make the service, once, and have its task run; return it."""
        instance = order.instance
        found = await self._find(instance)
        if found is None:
            found = await self._ask(f"Service '{instance}'", partial(self._make, order))
            return await self._run(instance, found, force=0)
        if self._shown(found, await self._tasks(found)).state == "running":
            return await self._run(instance, found, force=_force(found))
        return await self._start_again(found)

    async def stop(self, instance: str, grace_seconds: float) -> int | None:
        """Ask the task to end, and return its exit code; the grace is what the service was made with."""
        found = await self._find(instance)
        if found is None:
            return None
        before = self._shown(found, await self._tasks(found))
        if before.state == "exited":
            return before.exit_code
        await self._update(found, replicas=0, marks={})
        patience = max(grace_seconds, self._terms.grace_seconds) + _END_SECONDS
        give_up_at = time.monotonic() + patience
        code = None
        while tasks := await self._tasks(found):
            code = next((ended for ended in map(_exit_code, tasks) if ended is not None), code)
            if all(_has_ended(task) for task in tasks):
                break
            if time.monotonic() > give_up_at:
                raise Unavailable(f"The task of instance '{instance}' has not ended after {patience:g} seconds")
            await asyncio.sleep(_LOOK_SECONDS)
        if code is not None:
            await self._mark(instance, EXIT_CODE, str(code))
        return code

    async def collect(self, instance: str) -> None:
        """Bring what the bot wrote from its volumes into its folder. Raises `Invalid` while it runs."""
        found = await self._find(instance)
        if found is None:
            return
        if self._shown(found, await self._tasks(found)).state == "running":
            raise Invalid(f"Instance '{instance}' is running: what it writes is collected when it has ended")
        folder = self._bots / "instances" / instance
        node = await self._elsewhere(found)

        def work(client: docker.APIClient) -> None:
            if folder.is_dir():  # Else it has been put away: made anew, it would be taken for another bot's.
                fetch_volumes(client, service=found, node=node, into=folder)

        await self._ask(f"Instance '{instance}'", work, long=True)

    async def remove(self, instance: str) -> None:
        """Remove the service, and the configs, secrets and volumes of the instance."""
        found = await self._find(instance)
        if found is not None:
            if self._shown(found, await self._tasks(found)).state == "running":
                raise Invalid(f"Instance '{instance}' is running: its service cannot be removed")
            node = await self._elsewhere(found)
            if node is not None:
                empty = partial(empty_volumes, service=found, node=node)
                await self._ask(f"Instance '{instance}'", empty, long=True)
            await self._ask(f"Service '{instance}'", lambda client: client.remove_service(found["ID"]))
        await self._clear(instance)

    async def instances(self) -> Mapping[str, Instance]:
        """Return every service of ours, in two questions."""
        ours = {"label": [f"{OWNER}={self._terms.owner}", INSTANCE]}
        found = await self._ask("The Swarm", lambda client: (client.services(filters=ours), client.tasks()))
        by_service: dict[str, list[Found]] = {}
        for task in found[1]:
            by_service.setdefault(task["ServiceID"], []).append(task)
        shown = [self._shown(service, by_service.get(service["ID"], [])) for service in found[0]]
        return {instance.instance: instance for instance in shown}

    def _make(self, order: BotDeployed, client: docker.APIClient) -> Found:
        instance = order.instance
        try:
            template = templates.task(client, order, self._bots, self._config_password, self._terms)
        except NoSuchThing as e:
            raise Invalid(f"Image '{order.image}' not found") from e
        try:
            client.create_service(
                template,
                name=instance,
                labels=labels(self._terms.owner, instance),
                mode=ServiceMode("replicated", replicas=1),
            )
        except APIError as e:
            if e.status_code != _TAKEN:
                raise
        # Where the name was taken: by us, whose first try was not answered, or by somebody else.
        found = self._look(client, instance)
        if found is None:
            raise Invalid(f"The name '{instance}' is taken by a service that is not ours")
        return found

    async def _run(self, instance: str, found: Found, *, force: int) -> Instance:
        """Wait until the task runs, or has ended by itself, and note where it does."""
        give_up_at = time.monotonic() + _START_SECONDS
        while True:
            tasks = [task for task in await self._tasks(found) if task["Spec"].get("ForceUpdate", 0) == force]
            state = tasks[0]["Status"]["State"] if tasks else "new"
            if state == "rejected":
                raise Invalid(f"Instance '{instance}' cannot run: {tasks[0]['Status'].get('Err', state)}")
            if state == "running" or state in _ENDED:
                break
            if time.monotonic() > give_up_at:
                why = tasks[0]["Status"].get("Err", f"its task is {state}") if tasks else "it has no task"
                raise Unavailable(f"Instance '{instance}' does not run after {_START_SECONDS:g} seconds: {why}")
            await asyncio.sleep(_LOOK_SECONDS)
        now = await self._found(instance)
        if NODE not in now["Spec"]["Labels"]:
            await self._mark(instance, NODE, tasks[0]["NodeID"])
        return self._shown(now, tasks)

    async def _start_again(self, found: Found) -> Instance:
        """Have a new task run where the service's volumes are."""
        force = _force(found) + 1
        task = dict(found["Spec"]["TaskTemplate"])
        task["ForceUpdate"] = force
        node = found["Spec"]["Labels"].get(NODE)
        if node is not None and self._terms.volume_driver is None:
            task["Placement"] = {"Constraints": [*self._terms.constraints, f"node.id=={node}"]}
        await self._update(found, task=task, replicas=1, marks={EXIT_CODE: None})
        return await self._run(found["Spec"]["Name"], found, force=force)

    async def _mark(self, instance: str, label: str, value: str) -> None:
        """Note something on the service, which leaves its task alone; others may change it at the same time."""
        for _ in range(_TRIES):
            try:
                await self._update(await self._found(instance), marks={label: value})
            except Unavailable as e:
                if _MOVED not in e.message:
                    raise
            else:
                return
        raise Unavailable(f"Service '{instance}' is changed by others all the time")

    async def _update(
        self,
        found: Found,
        *,
        marks: Mapping[str, str | None],
        task: Mapping[str, Any] | None = None,
        replicas: int | None = None,
    ) -> None:
        spec = found["Spec"]
        marked = {name: value for name, value in {**spec["Labels"], **marks}.items() if value is not None}
        count = spec["Mode"]["Replicated"]["Replicas"] if replicas is None else replicas
        await self._ask(
            f"Service '{spec['Name']}'",
            lambda client: client.update_service(
                found["ID"],
                found["Version"]["Index"],
                task_template=spec["TaskTemplate"] if task is None else task,
                name=spec["Name"],
                labels=marked,
                mode=ServiceMode("replicated", replicas=count),
            ),
        )

    async def _clear(self, instance: str) -> None:
        """Remove what is kept for an instance, as soon as nothing uses it any more."""
        owner = self._terms.owner
        give_up_at = time.monotonic() + _END_SECONDS
        while True:
            try:
                await self._connection.call(partial(self._clear_once, owner, instance))
            except APIError as e:
                if time.monotonic() > give_up_at:
                    raise refusal(f"What is left of instance '{instance}'", e) from e
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return

    def _clear_once(self, owner: str, instance: str, client: docker.APIClient) -> None:
        templates.clear(client, owner, instance)
        templates.clear_sources(client, owner, self._bots)
        ours = {"label": [f"{name}={value}" for name, value in labels(owner, instance).items()]}
        for volume in client.volumes(filters=ours)["Volumes"] or ():
            client.remove_volume(volume["Name"])

    async def _elsewhere(self, found: Found) -> str | None:
        """Return the machine that has the service's volumes if they cannot be reached from this one."""
        node = found["Spec"]["Labels"].get(NODE)
        if self._terms.volume_driver is not None or node is None:
            return None
        here = await self._ask("The Swarm", lambda client: client.info()["Swarm"]["NodeID"])
        return None if node == here else str(node)

    async def _find(self, instance: str) -> Found | None:
        found: Found | None = await self._ask(f"Service '{instance}'", lambda client: self._look(client, instance))
        return found

    async def _found(self, instance: str) -> Found:
        found = await self._find(instance)
        if found is None:
            raise NotFound(f"There is no service of instance '{instance}'")
        return found

    def _look(self, client: docker.APIClient, instance: str) -> Found | None:
        try:
            found: Found = client.inspect_service(instance)
        except NoSuchThing:
            return None
        ours = is_ours(found["Spec"]["Labels"], self._terms.owner, instance)
        return found if ours and found["Spec"]["Name"] == instance else None

    async def _tasks(self, found: Found) -> list[Found]:
        """Return the tasks of a service, the newest first."""
        tasks = await self._ask("The Swarm", lambda client: client.tasks(filters={"service": found["ID"]}))
        return _newest_first(tasks)

    async def _ask(self, thing: str, work: Any, *, long: bool = False) -> Any:  # noqa: ANN401 - whatever the engine says
        return await self._connection.ask(thing, work, long=long)

    def _shown(self, found: Found, tasks: Iterable[Found]) -> Instance:
        newest = next(iter(_newest_first(tasks)), None)
        noted = found["Spec"]["Labels"].get(EXIT_CODE)
        runs = newest is not None and not _has_ended(newest)
        code = int(noted) if noted is not None else None if newest is None else _exit_code(newest)
        return Instance(
            instance=found["Spec"]["Labels"][INSTANCE],
            runtime_id=found["ID"],
            state="running" if runs else "exited",
            exit_code=None if runs else code,
        )


def _force(found: Found) -> int:
    return int(found["Spec"]["TaskTemplate"].get("ForceUpdate", 0))


def _newest_first(tasks: Iterable[Found]) -> list[Found]:
    return sorted(tasks, key=lambda task: (task["Spec"].get("ForceUpdate", 0), task["CreatedAt"]), reverse=True)


def _has_ended(task: Found) -> bool:
    return task["Status"]["State"] in _ENDED


def _exit_code(task: Found) -> int | None:
    status = task["Status"]
    if not _has_ended(task) or status["State"] == "rejected":
        return None
    code = status.get("ContainerStatus", {}).get("ExitCode")
    return None if code is None or code < 0 else int(code)
