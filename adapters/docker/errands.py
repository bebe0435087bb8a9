"""Bring what is in a service's volumes to this machine, wherever they are.

Volumes of this machine are read through a container that never starts. Those of another machine are out of the engine's
reach, but a Swarm brings the output of services to its managers: a service that is sent there packs the volumes, and
says them.
"""

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
from docker.types import ContainerSpec, DriverConfig, Mount, Placement, RestartPolicy, ServiceMode, TaskTemplate

from adapters.docker.bundles import Stream, unpack
from adapters.docker.runtime import HOME
from adapters.docker.templates import WRITTEN
from domain.errors import Unavailable

Found = Mapping[str, Any]

_ERRAND_SECONDS = 600.0
_LOOK_SECONDS = 0.1
_PACK = f"cd {HOME} && tar -cz {' '.join(WRITTEN)} | base64 -w 120"
_EMPTY = f"cd {HOME} && find {' '.join(WRITTEN)} -mindepth 1 -delete"


def fetch_volumes(client: docker.APIClient, *, service: Found, node: str | None, into: Path) -> None:
    """Put what is in the volumes of a service into a folder; `node` is the machine that has them, None for this one.

    Raises `Unavailable` where that machine does not answer.
    """
    if node is None:
        with _at_hand(client, service) as container:
            for folder in WRITTEN:
                pieces, _ = client.get_archive(container, f"{HOME}/{folder}")
                unpack(Stream(pieces), into)
    else:
        with _errand(client, service, node, _PACK) as said:
            unpack(Stream(_decoded(said)), into, "r|gz")


def empty_volumes(client: docker.APIClient, *, service: Found, node: str) -> None:
    """Leave nothing in volumes of another machine, which cannot be removed from here. Raises `Unavailable`."""
    with _errand(client, service, node, _EMPTY):
        pass


@contextmanager
def _at_hand(client: docker.APIClient, service: Found) -> Iterator[str]:
    """Make a container that has the volumes of a service, and never starts."""
    spec = service["Spec"]["TaskTemplate"]["ContainerSpec"]
    # As the service has them, driver and all: this machine may not have met a volume that others made.
    mounts = [{**mount, "ReadOnly": True} for mount in _volumes(spec)]
    made = client.create_container(
        spec["Image"], host_config=client.create_host_config(mounts=mounts, network_mode="none")
    )
    try:
        yield made["Id"]
    finally:
        client.remove_container(made["Id"], force=True)


@contextmanager
def _errand(client: docker.APIClient, service: Found, node: str, script: str) -> Iterator[Iterable[bytes]]:
    """Run a script beside the volumes of a service, and give what it said."""
    spec = service["Spec"]["TaskTemplate"]["ContainerSpec"]
    mounts = [Mount(mount["Target"], mount["Source"], type="volume") for mount in _volumes(spec)]
    task = TaskTemplate(
        ContainerSpec(spec["Image"], command=["/bin/sh", "-c", script], mounts=mounts),
        restart_policy=RestartPolicy(condition="none"),
        placement=Placement(constraints=[f"node.id=={node}"]),
        log_driver=DriverConfig("json-file"),
    )
    name = f"nectar-errand-{uuid4().hex[:16]}"
    made = client.create_service(task, name=name, mode=ServiceMode("replicated", replicas=1))
    try:
        _wait(client, made["ID"], node)
        yield client.service_logs(made["ID"], stdout=True, is_tty=False)
    finally:
        client.remove_service(made["ID"])


def _wait(client: docker.APIClient, service: str, node: str) -> None:
    give_up_at = time.monotonic() + _ERRAND_SECONDS
    while True:
        status = next((task["Status"] for task in client.tasks(filters={"service": service})), {"State": "new"})
        if status["State"] == "complete":
            return
        if status["State"] in {"failed", "rejected", "orphaned"} or time.monotonic() > give_up_at:
            why = status.get("Err") or f"its task is {status['State']}"
            raise Unavailable(f"The volumes on machine {node} cannot be reached: {why}")
        time.sleep(_LOOK_SECONDS)


def _volumes(spec: Found) -> list[Found]:
    return [mount for mount in spec["Mounts"] if mount["Type"] == "volume"]


def _decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        text = rest + piece.replace(b"\n", b"").replace(b"\r", b"")
        whole = len(text) - len(text) % 4
        rest = text[whole:]
        yield base64.b64decode(text[:whole])
